"""Models as safetensors files: read as they were written, or refused in one sentence."""

import json
import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save
from support.golden import CASES, PLAIN, golden

from scratchvae import (
    IWAE,
    VAE,
    Autoencoder,
    CheckpointError,
    ConditionalVAE,
    InputError,
    SemiSupervisedVAE,
    cli,
    load_model,
)
from scratchvae.data.labels import MAX_LETTERS
from scratchvae.files.safetensors import MAX_HEADER
from scratchvae.models.parameters import Parametric

pytestmark = pytest.mark.usefixtures("no_pictures")

SMALL = {"latent_dim": 2, "hidden": (3,), "seed": 1}
LABELLED = (ConditionalVAE, SemiSupervisedVAE)
MODELS = (VAE, Autoencoder, IWAE, *LABELLED)
OTHERS = (  # than the defaults
    VAE(2, (6, 4), "tanh", "continuous_bernoulli", beta=4.0, free_bits=0.1, bias_from_data=True),
    VAE(2, (), "softplus", "gaussian", x_variance=0.3, init="small"),
    VAE(2, [5], likelihood="gaussian", seed=2**64 - 1),
    IWAE(2, (5,), k=3, dreg=True, init="glorot"),
    ConditionalVAE(3, (), capacity=1.5),
    SemiSupervisedVAE(2, (5, 4, 3), alpha=0.5, likelihood="gaussian"),
)
CLASSES = ([0, 1, 2], [-5, 7], ["a", "Zürich \U0001f600"], [0.0, 1.0], [False, True])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.safetensors"


def built(model, classes=3):
    """With parameters that no `build` makes again."""
    model.build(*((5, classes) if isinstance(model, LABELLED) else (5,)))
    model.params_.array[...] += np.sin(np.arange(len(model.params_.array))) / 7
    return model


def same(a, b):
    """Whether two models are equal, bit for bit."""
    return (
        type(a) is type(b)
        and a.get_params() | {"hidden": tuple(a.hidden)} == b.get_params()
        and a.n_features_ == b.n_features_
        and a.params_.array.dtype == b.params_.array.dtype
        and a.params_.array.tobytes() == b.params_.array.tobytes()
        and getattr(a, "classes_", np.empty(0)).tolist()
        == getattr(b, "classes_", np.empty(0)).tolist()
    )


def write(path, tensors, about=None):
    """A file that says of itself whatever we like."""
    path.write_bytes(save(tensors, None if about is None else {"scratchvae": json.dumps(about)}))
    return path


def parts(model, path):
    """Its tensors, and what its file says of it."""
    model.save(path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load_file(path), json.loads(header["__metadata__"]["scratchvae"])


def read(path):
    """The model, or the one sentence of why not; anything else fails."""
    try:
        return load_model(path)
    except CheckpointError as error:
        return str(error)


def refused(path, *words):
    reason = read(path)
    assert isinstance(reason, str)
    assert len(reason) < 1000
    assert reason.startswith(str(path))
    for word in words:
        assert word in reason.removeprefix(str(path))


# ----------------------------------------------------------------------------------- both ways


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", MODELS)
def test_each_model_is_read_as_it_was_written(path, kind, dtype):
    model = built(kind(**SMALL, dtype=dtype))
    model.save(path)
    assert same(model, load_model(path))


@pytest.mark.parametrize("model", OTHERS, ids=repr)
def test_all_hyper_parameters_come_back(path, model):
    built(model).save(path)
    again = load_model(path)
    assert same(model, again)
    again._check_built()
    X = np.random.default_rng(0).random((4, 5))
    if not isinstance(model, LABELLED):  # constants, too, that are no parameters
        assert np.array_equal(model.score_samples(X), again.score_samples(X))


@pytest.mark.parametrize("classes", CLASSES, ids=repr)
@pytest.mark.parametrize("kind", LABELLED)
def test_classes_keep_their_kind(path, kind, classes):
    model = built(kind(**SMALL), classes)
    model.save(path)
    again = load_model(path)
    assert same(model, again)
    assert again.classes_.dtype == model.classes_.dtype
    assert np.array_equal(model.sample(4, y=classes[0]), again.sample(4, y=classes[0]))


@pytest.mark.parametrize("kind", MODELS)
def test_others_read_the_names_and_layout_of_state_dict(path, kind):
    model = built(kind(**SMALL))
    model.save(path)
    theirs, ours = load_file(path), model.state_dict()
    assert theirs.keys() == ours.keys()
    for name, a in ours.items():
        assert theirs[name].dtype == a.dtype
        assert np.array_equal(theirs[name], a)


def test_arrays_that_are_not_contiguous_are_written_right(path, monkeypatch):
    """safetensors 0.8.0 writes their memory as it lies, without a word."""
    model = built(VAE(**SMALL))
    ours = model.state_dict()
    strided = {name: np.repeat(a, 2, axis=-1)[..., ::2] for name, a in ours.items()}
    strided["fc_mu.weight"] = np.asfortranarray(ours["fc_mu.weight"])
    monkeypatch.setattr(model, "state_dict", lambda: strided)
    model.save(path)
    for name, a in load_file(path).items():
        assert np.array_equal(a, ours[name])


def test_the_same_model_is_the_same_bytes(path):
    model = built(SemiSupervisedVAE(**SMALL))
    model.save(path)
    first = path.read_bytes()
    load_model(path).save(path)
    assert path.read_bytes() == first


def test_on_a_gpu_too(path, double):
    model = built(VAE(**SMALL))
    model.save(path)
    again = load_model(path, "cuda")
    assert isinstance(again.params_.array, double.ndarray)
    again.save(path)
    assert load_model(path).device == "cuda"
    assert same(model, load_model(path, "cpu"))


# ------------------------------------------------------------------------------- PyTorch's files


def test_a_file_that_pytorch_wrote():
    weights = golden("blog")["weight"]
    vae = load_model(PLAIN)
    assert same(vae, VAE(3, (7,), dtype="float64").load_state_dict(weights))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_shapes_tell_a_plain_vae(path, case, dtype):
    weights = {name: a.astype(dtype) for name, a in golden(case)["weight"].items()}
    known = {k: v for k, v in CASES[case].items() if k in ("latent_dim", "hidden", "likelihood")}
    vae = load_model(write(path, weights))
    assert same(vae, VAE(**known, dtype=dtype).load_state_dict(weights))


def weights(**changed):
    """Those of a plain VAE, but for these; None takes one away."""
    plain = VAE(**SMALL).build(5).state_dict()
    plain |= {name.replace("__", "."): a for name, a in changed.items()}
    return {name: a for name, a in plain.items() if a is not None}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"weight": np.ones(3)}, ["a plain VAE", "fc_mu", "decoder.0"]),
        ({}, ["a plain VAE"]),
        (weights(fc_mu__weight=None), ["a plain VAE"]),
        (weights(fc_mu__bias=None), ["missing or unexpected: fc_mu.bias"]),
        (weights(**dict.fromkeys("abcd", np.ones(3))), ["unexpected: a, b, c, ..."]),
        (weights(encoder__9__weight=np.ones((3, 3))), ["a plain VAE"]),
        (weights(fc_mu__weight=np.ones(6, "f4")), ["a plain VAE"]),
        (weights(fc_mu__weight=np.ones((2, 4), "f4")), ["fc_mu.weight is float32 of shape (2, 4)"]),
        (weights(fc_mu__weight=np.ones((0, 3), "f4")), ["latent_dim must be", ">= 1, got 0"]),
        (weights(fc_mu__bias=np.ones(2)), ["fc_mu.bias is float64", "has float32"]),
        (weights(fc_mu__bias=np.ones(2, "f2")), ["fc_mu.bias is F16", "has float32"]),
        (weights(fc_mu__bias=np.array([0, np.nan], "f4")), ["fc_mu.bias holds a NaN"]),
        (weights(fc_mu__bias=np.array([0, np.inf], "f4")), ["fc_mu.bias holds a NaN or an inf"]),
        (weights(x_logvar=np.ones(2, "f4")), ["x_logvar is float32 of shape (2,)"]),
        (Autoencoder(**SMALL).build(5).state_dict(), ["a plain VAE"]),
    ],
)  # fmt: skip
def test_other_tensors_are_refused(path, tensors, words):
    refused(write(path, tensors), *words)


def test_a_dtype_that_numpy_has_not(path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"12")
    refused(path, "a plain VAE")


# ---------------------------------------------------------------------------- files of strangers


def too_early(model):
    raise AssertionError("memory was taken for a model that the file does not hold")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 3}, ["version 3", "reads 1 and 2"]),
        ({"model": "gan"}, ["'gan'", "vae, iwae"]),
        ({"model": ["vae"]}, ["['vae']"]),
        ({"config": 1}, ["must map names to values"]),
        ({"config": {}}, ["hidden is not a list"]),
        ({"hidden": "33"}, ["hidden is not a list"]),
        ({"hidden": [1] * 11}, ["more layers than the file"]),
        ({"hidden": [10**9]}, ["encoder.1.weight", "(1000000000, 5)"]),
        ({"hidden": [10**30]}, ["each layer width"]),
        ({"latent_dim": 10**9}, ["1000000000"]),
        ({"n_features": 10**9}, ["1000000000"]),
        ({"n_features": 1.5}, ["n_features must be"]),
        ({"n_features": None}, ["n_features must be"]),
        ({"dtype": "float64"}, ["is float32", "has float64"]),
        ({"dtype": {}}, ["dtype must be"]),
        ({"likelihood": "gaussian"}, ["missing or unexpected: x_logvar"]),
        ({"device": "cuda:0"}, ["unknown device"]),
        ({"seed": -1}, ["seed must be"]),
        ({"beta": float("nan")}, ["beta"]),
        ({"alpha": 1}, ["no hyper-parameter alpha"]),
        ({"x" * 5000: 1}, ["no hyper-parameter xxx"]),
        ({"hidden": [4]}, ["encoder.1."]),
        ({"model": "ae"}, ["no hyper-parameter beta"]),
        ({"beta": 2.0}, ["does not match its checksum"]),  # it fits, but is not what was written
    ],
    ids=lambda given: repr(given)[:40],
)  # fmt: skip
def test_a_description_that_does_not_fit_is_refused_before_memory_is_taken(
    path, monkeypatch, change, words
):
    tensors, about = parts(built(VAE(**SMALL)), path)
    for name, value in change.items():
        own = about if name in about else about["config"]
        own[name] = value
    write(path, tensors, about)
    if "does not match its checksum" not in words:
        monkeypatch.setattr(Parametric, "_allocate", too_early)
    refused(path, *words)


@pytest.mark.parametrize(
    "classes",
    [
        *(None, 3, [], [0, 1], [0, 1, 1], [2, 1, 0], [-1, 0, 1], [0, 1, "2"], [[0], [1], [2]]),
        *([0, 1, None], [0, 1, float("nan")], ["a", "b", "c\0"], {"0": 0, "1": 1, "2": 2}),
        ["a", "b", "c" * (MAX_LETTERS // 3 + 1)],
    ],
    ids=lambda classes: repr(classes)[:40],
)  # fmt: skip
def test_classes_of_no_model_are_refused(path, monkeypatch, classes):
    tensors, about = parts(built(ConditionalVAE(**SMALL)), path)
    write(path, tensors, about | {"classes": classes})
    monkeypatch.setattr(Parametric, "_allocate", too_early)
    refused(path, "encoder.1.weight" if classes == [0, 1] else "classes")


def test_classes_that_no_file_can_hold(path):
    long = built(ConditionalVAE(**SMALL), ["a", "b" * MAX_LETTERS])
    with pytest.raises(InputError, match="too long"):
        long.save(path)
    many = ConditionalVAE(1, (1,)).build(1, 100_000)
    with pytest.raises(InputError, match="too many labels"):
        many.save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", "null", '"version"', "{}", '{"version": 1}', "[" * 99999, "9" * 9999],
    ids=lambda text: text[:20],
)
def test_a_text_that_is_no_description(path, text):
    path.write_bytes(save(VAE(**SMALL).build(5).state_dict(), {"scratchvae": text}))
    refused(path)


def test_a_pipe_is_refused_without_waiting_for_its_other_end(path):
    os.mkfifo(path)
    refused(path, "not a regular file")


def test_a_header_is_not_read_where_it_is_too_large(path):
    header = b"{" + b" " * MAX_HEADER + b"}"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    tracemalloc.start()
    refused(path, "header is too long")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_memory_is_a_small_multiple_of_the_file(path):
    built(VAE(20, (300,)).build(700)).save(path)
    load_model(path)  # what is imported on use
    tracemalloc.start()
    load_model(path)
    assert tracemalloc.get_traced_memory()[1] < 4 * path.stat().st_size
    tracemalloc.stop()


@given(data=st.data())
def test_damaged_files_are_refused(tmp_path_factory, data):
    """However a file of ours is damaged, it is refused, unless the damage says nothing."""
    path = tmp_path_factory.mktemp("damaged") / "m.safetensors"
    model = built(ConditionalVAE(**SMALL), ["a", "b"])
    model.save(path)
    whole = damaged = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        end = data.draw(st.one_of(st.just(at), st.just(at + 1), st.integers(at, len(damaged))))
        damaged = damaged[:at] + data.draw(st.binary(max_size=8)) + damaged[end:]
        damaged = damaged or whole
    path.write_bytes(damaged)
    found = read(path)
    assert len(found) < 1000 if isinstance(found, str) else same(model, found)


def test_each_flipped_bit_is_seen(path):
    """The header's own words aside, where "F" and "f" may mean the same."""
    model = built(VAE(latent_dim=1, hidden=(1,)))
    model.save(path)
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        found = read(path)
        assert isinstance(found, str) or (bit < 8 * start and same(model, found)), bit


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


NAMES = [*ConditionalVAE().get_params(), "model", "config", "n_features", "classes", "version"]


@given(name=st.sampled_from(NAMES), value=JSON)
@example(name="device", value="cuda")
@example(name="bias_from_data", value=[])
def test_any_value_in_a_description_is_taken_or_refused(tmp_path_factory, name, value):
    path = tmp_path_factory.mktemp("values") / "m.safetensors"
    tensors, about = parts(built(ConditionalVAE(**SMALL)), path)
    own = about["config"] if name in about["config"] else about
    kept, own[name] = own[name], value
    found = read(write(path, tensors, about))
    assert len(found) < 1000 if isinstance(found, str) else value == kept


# -------------------------------------------------------------------------------- the command


@pytest.fixture
def run(tmp_path):
    X = np.random.default_rng(0).random((40, 5))
    np.savez(tmp_path / "own.npz", x_train=X, x_test=X[:9])
    options = "--latent-dim 2 --hidden 3 --epochs 1 --quiet".split()
    folder = tmp_path / "run"
    data = str(tmp_path / "own.npz")
    assert cli.main(["train", "--data", data, *options, "--out", str(folder)]) == 0
    return folder


def call(capsys, *argv):
    capsys.readouterr()
    assert cli.main([str(a) for a in argv]) == 0
    return capsys.readouterr().out.strip()


def fails(capsys, *argv):
    capsys.readouterr()
    assert cli.main([str(a) for a in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_export_writes_into_the_run_or_beside_the_model_or_where_asked(run, tmp_path, capsys):
    model = load_model(run)
    other = tmp_path / "new" / "m.safetensors"
    assert call(capsys, "export", run) == str(run / "model.safetensors")
    assert call(capsys, "export", run, "-o", other) == str(other)
    model.save(tmp_path / "own.model.npz")
    beside = tmp_path / "own.model.safetensors"
    assert call(capsys, "export", tmp_path / "own.model.npz") == str(beside)
    for path in (run / "model.safetensors", other, beside):
        assert same(model, load_model(path))


def test_commands_take_such_a_file(run, tmp_path, capsys):
    path = Path(call(capsys, "export", run))
    ours = call(capsys, "evaluate", run, "--data", tmp_path / "own.npz", "--samples", "3")
    assert call(capsys, "evaluate", path, "--data", tmp_path / "own.npz", "--samples", "3") == ours
    call(capsys, "sample", PLAIN, "-o", tmp_path / "s.npy")
    assert np.load(tmp_path / "s.npy").shape == (100, 12)


def test_export_replaces_its_own_file_and_no_model(run, tmp_path, capsys):
    path = Path(call(capsys, "export", run))
    path.write_text("old")
    call(capsys, "export", run)
    assert load_model(path).n_features_ == 5
    assert "would overwrite the model to export" in fails(capsys, "export", path)
    assert "would overwrite the model to export" in fails(capsys, "export", path, "-o", path)


def test_a_new_run_in_the_folder_takes_the_old_export_away(run, tmp_path, capsys):
    path = Path(call(capsys, "export", run))
    for checkpoint in run.glob("*.npz"):
        checkpoint.unlink()
    train = ["train", "--data", tmp_path / "own.npz", "--epochs", "1", "--quiet", "--out", run]
    assert "model.safetensors" in fails(capsys, *train)
    call(capsys, *train, "--overwrite")
    assert not path.exists()


def test_export_refuses_in_one_sentence(run, tmp_path, capsys):
    assert "must end in .safetensors" in fails(capsys, "export", run, "-o", tmp_path / "m.npz")
    assert "no run or saved model" in fails(capsys, "export", tmp_path / "none")
    (tmp_path / "m.safetensors").write_bytes(b"")
    assert "another kind of file" in fails(capsys, "sample", tmp_path / "m.safetensors")


def test_without_the_package(run, path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    hint = "pip install 'scratchvae[safetensors]'"
    assert hint in fails(capsys, "export", run)
    assert hint in fails(capsys, "sample", PLAIN)
    with pytest.raises(InputError, match="pip install"):
        load_model(PLAIN)
    with pytest.raises(InputError, match="pip install"):
        VAE(**SMALL).build(5).save(path)
    assert not path.exists()


def test_the_ending_may_be_in_capitals(tmp_path):
    model = VAE(latent_dim=2, hidden=(3,)).build(9)
    model.save(tmp_path / "m.SafeTensors")
    again = load_model(tmp_path / "m.SafeTensors")
    np.testing.assert_array_equal(again.params_.array, model.params_.array)
    assert (tmp_path / "m.SafeTensors").read_bytes()[8:9] == b"{"
