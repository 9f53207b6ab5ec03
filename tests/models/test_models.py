"""The public methods of models: shapes, copies, and validation of input."""

import errno
import pickle
import zipfile

import numpy as np
import pytest

from scratchvae import VAE, Autoencoder, CheckpointError, InputError, load_model
from scratchvae.backend import noise
from scratchvae.cli import main
from scratchvae.errors import DamagedError
from scratchvae.models import MODELS


@pytest.fixture
def X(rng):
    return rng.random((13, 9))


@pytest.fixture(params=[VAE, Autoencoder])
def model(request, X):
    return request.param(latent_dim=3, hidden=(7,), seed=2).fit(X, epochs=1)


def test_the_default_is_the_blog_posts_architecture():
    vae = VAE().build(784)
    assert vae.get_params() == {
        **{"latent_dim": 32, "hidden": (400,), "activation": "relu", "likelihood": "bernoulli"},
        **{"beta": 1.0, "free_bits": 0.0, "capacity": None, "x_variance": None},
        **{"init": "uniform", "bias_from_data": False, "scale": "none"},
        **{"epochs": 10, "batch_size": 128, "lr": 1e-3, "kl_warmup": 0, "kl_cycle": 0},
        **{"binarize": "none", "clip_norm": None},
        **{"dtype": "float32", "device": "cpu", "seed": 0},
    }
    assert {name: a.shape for name, a in vae.params_.items()} == {
        **{"enc0_W": (784, 400), "enc0_b": (400,), "head_W": (400, 64), "head_b": (64,)},
        **{"dec0_W": (32, 400), "dec0_b": (400,), "out_W": (400, 784), "out_b": (784,)},
    }
    assert vae.params_.array.dtype == np.float32
    first = "latent_dim=32, hidden=(400,), activation='relu', likelihood='bernoulli'"
    assert repr(VAE(beta=2.0)) == f"VAE({first}, beta=2.0)"


def test_fresh_parameters_fill_their_range():
    for name, a in VAE(latent_dim=20).build(784).params_.items():
        fan_in = {"enc0": 784, "head": 400, "dec0": 20, "out": 400}[name[:-2]]
        assert np.abs(a).max() <= fan_in**-0.5
        assert a.std() == pytest.approx(fan_in**-0.5 / 3**0.5, rel=0.2)


def test_shapes_and_dtypes(model, X):
    assert model.reconstruct(X).shape == (13, 9)
    assert model.sample(5).shape == (5, 9)
    assert model.decode(np.zeros((2, 3))).shape == (2, 9)
    assert model.score_samples(X).shape == (13,)
    codes = model.encode(X) if isinstance(model, VAE) else (model.encode(X),)
    assert [c.shape for c in codes] == [(13, 3)] * len(codes)
    for a in (model.reconstruct(X), model.sample(1), model.score_samples(X), *codes):
        assert type(a) is np.ndarray
        assert a.dtype == np.float32
    assert 0 <= model.sample(50).min()
    assert model.sample(50).max() <= 1


def test_gaussian_means_are_not_squeezed_into_the_unit_interval():
    vae = VAE(latent_dim=2, hidden=(3,), likelihood="gaussian").build(4)
    vae.params_.array[...] = 0
    vae.params_.out_b[...] = [-7, 0, 0.5, 7]
    np.testing.assert_array_equal(vae.decode(np.zeros((1, 2))), [[-7, 0, 0.5, 7]])


def test_no_rows_give_no_rows(model):
    assert model.reconstruct(np.zeros((0, 9))).shape == (0, 9)
    assert model.score_samples(np.zeros((0, 9))).shape == (0,)


def test_nothing_that_is_returned_is_the_models_own_memory(model, X):
    eps = np.zeros((13, 3))
    _, grads = model.loss_and_grad(X, eps)
    state = model.state_dict()
    answers = [*grads.values(), *state.values(), model.reconstruct(X), model.sample(2)]
    for a in answers:
        a[...] = np.nan
    assert np.isfinite(model.params_.array).all()
    assert np.isfinite(model.reconstruct(X)).all()
    loss, again = model.loss_and_grad(X, eps)
    assert np.isfinite(loss)
    assert all(np.isfinite(g).all() for g in again.values())


def test_inputs_stay_untouched(model, X):
    eps = np.zeros((13, 3))
    for a in (X, eps):
        a.flags.writeable = False
    model.loss_and_grad(X, eps)
    model.fit(X, X_test=X, epochs=1, binarize="dynamic")
    model.reconstruct(X)
    model.decode(eps)


def test_bytes_booleans_and_floats_mean_the_same(model):
    X = np.random.default_rng(0).integers(0, 2, (5, 9)).astype(bool)
    same = [
        model.score_samples(a) for a in (X, X.astype(float), X.astype(np.uint8) * 255, X.tolist())
    ]
    for a in same[1:]:
        np.testing.assert_allclose(a, same[0], rtol=1e-6)


def test_many_rows_are_the_same_as_few(model, monkeypatch):
    """Data pass through in pieces: their size changes nothing, and no piece overwrites another."""
    from scratchvae.models import model as base

    X = np.random.default_rng(0).random((11, 9))
    z = np.random.default_rng(1).standard_normal((11, 3))

    def everything():
        codes = model.encode(X)
        samples = [model.score_samples(X, k=3)] if isinstance(model, VAE) else []
        return [*(codes if isinstance(codes, tuple) else [codes]), model.reconstruct(X), *samples,
                model.score_samples(X), model.decode(z), model.sample(11)]  # fmt: skip

    whole = everything()
    monkeypatch.setattr(base, "BLOCK", 4)
    for a, b in zip(whole, everything(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_each_row_and_each_use_of_the_seed_has_noise_of_its_own(model):
    if isinstance(model, VAE):
        X = np.random.default_rng(0).random((5, 9))
        seen = []
        draw = model.draw_noise
        model.draw_noise = lambda *args, **key: seen.append(draw(*args, **key)) or seen[-1]
        model.score_samples(X)
        assert len(np.unique(seen[0][:5])) == 15
    z = noise.normal(4, 3, seed=2, stream=noise.SAMPLE)
    np.testing.assert_array_equal(model.sample(4), model.decode(z))


def test_layers_of_one_shape_have_weights_of_their_own():
    vae = VAE(latent_dim=5, hidden=(5, 5)).build(5)
    weights = [a.ravel()[:20] for name, a in vae.params_.items() if name.endswith("_W")]
    for i, a in enumerate(weights):
        for b in weights[i + 1 :]:
            assert not np.isin(np.round(a, 6), np.round(b, 6)).any()


def test_samples_follow_their_seed(model):
    np.testing.assert_array_equal(model.sample(4), model.sample(4))
    np.testing.assert_array_equal(model.sample(4, seed=1), model.sample(9, seed=1)[:4])
    assert (model.sample(4, seed=1) != model.sample(4)).any()
    if isinstance(model, VAE):
        one, two = (model.score_samples(np.full((5, 9), 0.5), seed=seed) for seed in (1, None))
        assert (one != two).any()


def test_gradients_by_name_have_the_shapes_of_the_parameters(model, X):
    loss, grads = model.loss_and_grad(X, np.zeros((13, 3)))
    assert isinstance(loss, float)
    assert {n: g.shape for n, g in grads.items()} == {n: p.shape for n, p in model.params_.items()}
    assert model.state_dict(grads).keys() == model.state_dict().keys()


def test_loss_and_grad_builds_a_model_that_is_not_built(X):
    vae = VAE(latent_dim=3, hidden=(7,))
    loss, _ = vae.loss_and_grad(X, np.zeros((13, 3)))
    assert vae.n_features_ == 9
    assert loss == pytest.approx(9 * np.log(2), rel=0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.reconstruct(np.zeros((2, 8))), "X has 8 features, but .* is expecting 9"),
        (lambda m: m.score_samples(np.full((2, 9), np.nan)), "NaN at row 0, column 0"),
        (lambda m: m.score_samples(np.full((2, 9), 7.0)), r"must lie in \[0, 1\]"),
        (lambda m: m.reconstruct(np.zeros(9)), "pass x"),
        (lambda m: m.decode(np.zeros((2, 4))), r"z must be finite numbers of shape \(N, 3\)"),
        (lambda m: m.decode([[np.inf] * 3]), "z must be finite"),
        (lambda m: m.decode([["a"] * 3]), "z must be finite numbers"),
        (lambda m: m.sample(0), "n must be a whole number >= 1"),
        (lambda m: m.sample(1, seed=-1), "seed must be"),
        (
            lambda m: m.loss_and_grad(np.zeros((2, 9)), np.zeros((3, 3))),
            r"eps .* of shape \(2, 3\)",
        ),
        (
            lambda m: m.loss_and_grad(np.zeros((2, 9)), np.full((2, 3), np.nan)),
            "eps must be finite",
        ),
        (lambda m: m.loss_and_grad(np.zeros((0, 9)), np.zeros((0, 3))), "at least one row"),
        (lambda m: m.score_samples(np.zeros((1, 9)), k=0), "k must be a whole number >= 1"),
    ],
)
def test_unusable_input_is_one_sentence(model, call, message):
    with pytest.raises(InputError, match=message) as error:
        call(model)
    assert "\n" not in str(error.value)


def test_a_vae_needs_its_noise():
    with pytest.raises(InputError, match=r"eps must be finite numbers of shape \(2, 3\)"):
        VAE(latent_dim=3).loss_and_grad(np.zeros((2, 9)))


@pytest.mark.parametrize("name", ["reconstruct", "score_samples", "encode"])
def test_a_model_without_parameters_says_so(name, X):
    with pytest.raises(InputError, match=r"this VAE is not fitted yet: call fit, .* load_model$"):
        getattr(VAE(), name)(X)


def test_an_autoencoder_has_no_importance_weights(X):
    with pytest.raises(InputError, match="draws no samples"):
        Autoencoder(latent_dim=2).fit(X, epochs=1).score_samples(X, k=5)


# ------------------------------------------------------------------------------- state dicts


def test_a_state_that_does_not_fit_changes_nothing(model):
    state = model.state_dict()
    before = model.params_.array.copy()
    for change, message in (
        (lambda s: s.pop("decoder.0.bias"), "missing or unexpected: decoder.0.bias"),
        (lambda s: s.update(extra=np.zeros(3)), "missing or unexpected: extra"),
        (
            lambda s: s.update({"decoder.0.bias": np.zeros(8)}),
            r"\(8,\), but the model has .* \(7,\)",
        ),
        (lambda s: s.update({"decoder.0.bias": np.full(7, np.nan)}), "must hold finite"),
        (lambda s: s.pop("encoder.1.weight"), "holds no matrix 'encoder.1.weight'"),
    ):
        wrong = dict(state)
        change(wrong)
        with pytest.raises(InputError, match=message):
            model.load_state_dict(wrong)
        np.testing.assert_array_equal(model.params_.array, before)


# ------------------------------------------------------------------------------ save and load


def test_a_saved_model_is_the_same_model(model, X, tmp_path):
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert type(again) is type(model)
    assert again.get_params() == model.get_params()
    np.testing.assert_array_equal(again.params_.array, model.params_.array)
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    for record, saved in zip(model.history_, again.history_, strict=True):
        np.testing.assert_equal(saved, {**record, "seconds": np.nan})  # no part of what is learned
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def rewrite(path, **changes):
    """The same checkpoint with members replaced (None: removed)."""
    with np.load(path) as content:
        arrays = dict(content) | changes
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})


def meta(path, change):
    import json

    with np.load(path) as content:
        text = json.loads(str(content["meta"]))
    change(text)
    return np.array(json.dumps(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.unlink(), "there is no run or saved model"),
        (lambda p: p.write_bytes(b""), "damaged, or another kind"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "damaged, or another kind"),
        (lambda p: rewrite(p, meta=None), "not a readable checkpoint"),
        (lambda p: rewrite(p, meta=np.array("{")), "not a readable checkpoint"),
        (lambda p: rewrite(p, meta=np.array("[]")), "not a readable checkpoint"),
        (
            lambda p: rewrite(p, meta=meta(p, lambda m: m.update(version=5))),
            "version 5, but .* reads 1, 2, 3 and 4",
        ),
        (lambda p: rewrite(p, meta=meta(p, lambda m: m.update(version=0))), "version 0, but"),
        (lambda p: rewrite(p, meta=meta(p, lambda m: m.update(model="x"))), "kinds are ae, vae"),
        (lambda p: rewrite(p, meta=meta(p, lambda m: m.pop("config"))), "must map names to values"),
        (
            lambda p: rewrite(p, meta=meta(p, lambda m: m["config"].update(colour=1))),
            "no hyper-parameter colour",
        ),
        (
            lambda p: rewrite(p, meta=meta(p, lambda m: m["config"].update(latent_dim=0))),
            "latent_dim",
        ),
        (
            lambda p: rewrite(p, meta=meta(p, lambda m: m["config"].update(latent_dim=4))),
            "head_W is",
        ),
        (lambda p: rewrite(p, **{"param/out_b": None}), "missing or unexpected: out_b"),
        (
            lambda p: rewrite(p, **{"param/out_b": np.zeros(8, "f4")}),
            r"out_b is float32 of shape \(8,\)",
        ),
        (lambda p: rewrite(p, **{"param/out_b": np.zeros(9)}), "out_b is float64"),
        (
            lambda p: rewrite(p, **{"param/out_b": np.full(9, None)}),
            "dtype object, but only numbers",
        ),
        (lambda p: rewrite(p, **{"param/out_b": np.full(9, np.nan, "f4")}), "out_b holds a NaN"),
    ],
)
def test_a_damaged_checkpoint_is_refused(model, tmp_path, change, message):
    path = tmp_path / "m.npz"
    model.save(path)
    change(path)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(path)
    assert "\n" not in str(error.value)


def test_no_checkpoint_is_left_half_written(model, tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    model.save(path)
    before = path.read_bytes()

    def full_disk(f, **arrays):
        f.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match=r"No space left on device: '.*/m.npz'$"):
        model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(model, tmp_path, monkeypatch):
    import os

    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, f=original: (calls.append(n), f(*a))[1])
    model.save(tmp_path / "m.npz")
    assert calls[:2] == ["fsync", "replace"]
    (tmp_path / "plain").write_text("")
    modes = {p.name: p.stat().st_mode for p in tmp_path.iterdir()}
    assert modes["m.npz"] == modes["plain"], "readable by whom a new file is readable"


def test_an_unbuilt_model_cannot_be_saved(tmp_path):
    with pytest.raises(InputError, match="not fitted yet"):
        VAE().save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "call"),
    [
        ({"activation": "tanh"}, lambda m: m.transform(np.zeros((1, 9)))),
        ({"latent_dim": 5}, lambda m: m.sample()),
        ({"hidden": (3,)}, lambda m: m.state_dict()),
        ({"dtype": "float64"}, lambda m: m.score_samples(np.zeros((1, 9)))),
    ],
)
def test_parameters_are_not_read_with_other_hyper_parameters(rng, tmp_path, change, call):
    model = VAE(latent_dim=2, hidden=(4,)).build(9)
    model.set_params(**change)
    with pytest.raises(InputError, match="when this VAE was built, but is now"):
        call(model)
    with pytest.raises(InputError, match="call fit, or set it back"):
        model.save(tmp_path / "m.npz")
    assert not (tmp_path / "m.npz").exists()
    call(model.fit(rng.random((4, 9)), epochs=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"epoch": 3},
            r"fit has no argument 'epoch' \(did you mean epochs\?\): choose among X_test, y_test,",
        ),
        ({"validation_data": 3}, r"'validation_data' \(did you mean X_test\?\): choose"),
        (
            {"patience": 3},
            r"'patience' \(did you mean callbacks=scratchvae.train.EarlyStopping\(5\)\?\): choo",
        ),
        ({"learning_rate": 3}, r"'learning_rate' \(did you mean lr\?\): choose"),
        ({"latent_dim": 3}, r"fit has no argument 'latent_dim': pass latent_dim to VAE\(...\)$"),
        ({"n_components": 3}, r"'n_components': pass latent_dim to VAE\(...\)$"),
        ({"qqq": 3}, "fit has no argument 'qqq': choose among"),
    ],
)
def test_a_setting_that_fit_does_not_know_is_named(rng, settings, message):
    vae = VAE()
    with pytest.raises(InputError, match=message):
        vae.fit(rng.random((4, 9)), **settings)
    assert not hasattr(vae, "params_")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"learning_rate": 3},
            r"no hyper-parameter 'learning_rate' \(did you mean lr\?\): choose among",
        ),
        ({"latent_dims": 3}, r"'latent_dims' \(did you mean latent_dim\?\): choose among latent_d"),
        ({"random_state": 3}, r"'random_state' \(did you mean seed\?\)"),
        ({"validation_data": 3}, "has no hyper-parameter 'validation_data': pass X_test to fit$"),
        ({"X_test": 3}, "has no hyper-parameter 'X_test': pass X_test to fit$"),
        ({"patience": 3}, r"pass callbacks=scratchvae.train.EarlyStopping\(5\) to fit$"),
        ({"qqq": 3}, "has no hyper-parameter 'qqq': choose among latent_dim"),
    ],
)
def test_a_hyper_parameter_that_is_unknown_is_named(settings, message):
    for cls in MODELS.values():
        for call in (cls, cls().set_params):
            for error in (InputError, TypeError):  # TypeError: as Python has it
                with pytest.raises(error, match=message) as told:
                    call(**settings)
                assert str(told.value).startswith(f"{cls.__name__} has no hyper-parameter")


def test_a_class_of_ones_own_has_its_own_hyper_parameters():
    class Wide(VAE):
        def __init__(self, width=9, seed=0):
            super().__init__(hidden=(width,), seed=seed)
            self.width = width

    assert Wide(width=7).get_params() == {"width": 7, "seed": 0}
    with pytest.raises(
        InputError, match=r"Wide has no hyper-parameter 'widths' \(did you mean width\?\)"
    ):
        Wide(widths=3)


@pytest.mark.parametrize("y", [None, np.zeros(4)], ids=["without labels", "with labels"])
def test_a_pair_of_data_and_labels_is_not_the_data(rng, y):
    pair = rng.random((4, 9)), y
    message = r"got a tuple of data and labels, as load_data returns it: unpack it, X, y = load_da"
    for call in (VAE().fit, VAE().build(9).encode):
        with pytest.raises(InputError, match=message):
            call(pair)
    with pytest.raises(InputError, match=message):
        VAE(hidden=(3,)).fit(pair[0], X_test=pair)
    VAE(hidden=(3,)).fit(tuple(pair[0]), epochs=1)  # a tuple of rows is rows
    VAE(hidden=(3,)).fit((pair[0], pair[0]), epochs=1)  # and one of images is images


# ------------------------------------------------------------------- files of other programs


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (
            ".pt",
            r"is a PyTorch file, .* safetensors.torch.save_file\(model.state_dict\(\), 'm.s",
        ),
        (".pth", "is a PyTorch file"),
        (".PT", "is a PyTorch file"),
        (".ckpt", "is a PyTorch file"),
        (".bin", "is a PyTorch file"),
        (".pkl", r"is a pickle, and reading it can run code: .*model.save\('m.npz'\)$"),
        (".pickle", "is a pickle"),
        (".joblib", "is a pickle"),
        (".h5", r"is an HDF5 file, .* data, read them with load_data .*; .*model.get_weights\(\)"),
        (".hdf5", "is an HDF5 file, not a saved model"),
        (".keras", r"is a Keras file: .*get_weights\(\), and pass them to load_state_dict und"),
        (".onnx", r"is an ONNX graph: .*onnx.numpy_helper.to_array, and pass them to load_state"),
    ],
)
def test_a_file_of_another_program_is_named(tmp_path, suffix, message, capsys):
    path = tmp_path / f"m{suffix}"
    with pytest.raises(CheckpointError, match="there is no run or saved model"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as archive:  # as PyTorch and Keras 3 write them
        archive.writestr("m/data.pkl", pickle.dumps({"w": 3}))
    for content in (path.read_bytes(), b"", pickle.dumps(3), b"\x89HDF\r\n\x1a\n", b"\x08\x07"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message) as error:
            load_model(path)
        assert "\n" not in str(error.value)
        assert not isinstance(error.value, DamagedError)
    assert main(["sample", str(path)]) == 2
    said = capsys.readouterr().err
    assert message[:12] in said
    assert said.count("\n") == 1


def test_a_model_that_was_saved_under_such_a_name_is_loaded(model, tmp_path):
    model.save(tmp_path / "m.npz")
    (tmp_path / "m.npz").rename(tmp_path / "m.pkl")
    assert load_model(tmp_path / "m.pkl").get_params() == model.get_params()


@pytest.mark.parametrize("name", ["m.pkl", "m.pt", "m.h5", "m.npz.gz", "m.v2", "m.NPY"])
def test_an_ending_that_is_none_is_refused(model, tmp_path, name):
    message = f"{name} must end in .npz or .safetensors, the two formats of a saved model"
    with pytest.raises(InputError, match=message):
        model.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["m.npz", "m.NPZ", "m"])
def test_an_ending_of_npz_or_none(model, tmp_path, name):
    model.save(tmp_path / name)
    assert load_model(tmp_path / name).get_params() == model.get_params()


def test_the_mean_score_of_no_rows_is_refused(rng):
    X = rng.random((20, 4))
    vae = VAE(latent_dim=2, hidden=(4,), epochs=1).fit(X)
    assert vae.score_samples(X[:0]).shape == vae.score_samples(X[:0], k=2).shape == (0,)
    with pytest.raises(InputError, match="the mean score of no examples is undefined"):
        vae.score(X[:0])
