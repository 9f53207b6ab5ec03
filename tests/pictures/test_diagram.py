"""The diagram: all shapes and gradients of the model as configured, and nothing in the way."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from support.command_line import refused

from scratchvae import IWAE, VAE, Autoencoder, ConditionalVAE, InputError, SemiSupervisedVAE, cli
from scratchvae.pictures.diagram import diagram
from scratchvae.pictures.plots import DARK, MIDDLE

MODELS = {
    "vae": VAE(latent_dim=6, hidden=(20,)),
    "no hidden layer": VAE(latent_dim=6, hidden=(), beta=4.0),
    "deep": VAE(latent_dim=6, hidden=(20, 15, 12, 10), activation="softplus", free_bits=0.25),
    "gaussian": VAE(latent_dim=6, hidden=(20, 15), likelihood="gaussian", capacity=12.5),
    "fixed": VAE(latent_dim=6, likelihood="gaussian", x_variance=0.1),
    "wide": VAE(latent_dim=1000, hidden=(4000, 3000), activation="softplus"),
    "continuous": VAE(latent_dim=6, hidden=(20,), likelihood="continuous_bernoulli", beta=0.5),
    "iwae": IWAE(latent_dim=6, hidden=(20,)),
    "iwae, vae": IWAE(latent_dim=6, hidden=(20, 15), objective="vae"),
    "cvae": ConditionalVAE(latent_dim=6, hidden=(20,)),
    "cvae, no hidden layer": ConditionalVAE(latent_dim=6, hidden=()),
    "ae": Autoencoder(latent_dim=6, hidden=(20, 15)),
    "ae, no hidden layer": Autoencoder(latent_dim=6, hidden=()),
}


def drawn(model):
    """The texts of the diagram by colour, and its axes."""
    figure = diagram(model.build(49))
    (axes,) = figure.axes
    by_colour = {colour: Counter() for colour in (DARK, MIDDLE)}
    for text in axes.texts:
        if text.get_text():
            by_colour[to_hex(text.get_color())][text.get_text()] += 1
    return by_colour[DARK], by_colour[MIDDLE], axes


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_is_there_with_its_shape(name):
    model = MODELS[name]
    forward, _, _ = drawn(model)
    for tensor in model.params_:
        if tensor.endswith("_W"):
            assert f"{tensor} ({','.join(map(str, model.params_[tensor].shape))})" in forward
    widths = "-".join(map(str, (49, *model.hidden, model.latent_dim)))
    assert f"{type(model).__name__} {widths}" in forward


def test_every_arrow_of_a_vae_has_its_shape_and_every_gradient_its_name():
    forward, gradients, axes = drawn(MODELS["vae"])
    shapes = Counter({t: n for t, n in forward.items() if re.fullmatch(r"\(B.*\).*", t)})
    assert shapes == {"(B,49)": 3, "(B,20)": 2, "(B,6)": 4, "(B,6) each": 1, "(B,)": 2}
    names = {t for t in gradients if t.startswith("d") and "=" not in t}
    assert names == {
        *("dmu", "dlogvar", "dz", "dy", "drec", "dkl", "denc1", "ddec1"),
        *("dmu_kl\ndlogvar_kl", "dW  db"),
    }
    assert gradients["dW  db"] == 4
    assert "mu + exp(logvar/2) eps" in forward
    assert {"-log p(x|z)", "½ Σ (mu² + exp(logvar)", "mean(rec + KL)"} < set(forward)
    assert "dmu = dz + dmu_kl,  dlogvar = dz eps exp(logvar/2) / 2 + dlogvar_kl" in gradients
    styles = Counter((to_hex(line.get_color()), line.get_linestyle()) for line in axes.lines)
    # an arrow for each shape and each gradient; the legend has one of each, the head a line
    assert styles == {(DARK, "-"): 12 + 2, (MIDDLE, "--"): 9 + 1}


@pytest.mark.parametrize(
    ("name", "there", "gradients", "missing"),
    [
        ("no hidden layer", ["mean(rec + 4 KL)", "x W + b, in halves", "z W + b"],
         ["dmu = dz + 4 dmu_kl,  dlogvar = dz eps exp(logvar/2) / 2 + 4 dlogvar_kl"], ["enc 1"]),
        ("deep", ["enc 4", "dec 4", "softplus(x W + b)", "softplus(h W + b)", "softplus(z W + b)",
                  "+ Σ max(KL_j, 0.25)"], ["denc4", "ddec1", "ddec4"], ["enc 5"]),
        ("gaussian", ["y, means", "Gaussian", "+ |mean(KL) - 12.5|"], ["dx_logvar"], ["y, logits"]),
        ("fixed", ["y, means", "Gaussian"], [], ["dx_logvar"]),
        ("continuous", ["mean(rec + 0.5 KL)", "BCE, log A(y)"], [], []),
        ("iwae", ["(BK,6)", "(B,K)", "log r", "mean(-log mean_k w)", "w = exp(log r - rec)"],
         ["dz_ratio", "dlogvar_ratio"], ["KL", "dkl"]),
        ("iwae, vae", ["mean(-mean_k log w)"], ["dz_ratio"], ["KL"]),
        ("cvae", ["x, label", "z, label", "(B,49+10)", "(B,6+10)", "-log p(x|z,label)"],
         ["dzy", "dz"], ["x"]),
        ("ae", ["mu, the code", "mean(rec), nats", "-log p(x|mu)"], ["dmu", "denc2", "ddec2"],
         ["eps", "KL", "logvar", "dkl", "dz"]),
    ],
)  # fmt: skip
def test_each_model_has_what_is_its_own(name, there, gradients, missing):
    dark, middle, _ = drawn(MODELS[name])
    assert set(there) <= set(dark)
    assert set(gradients) <= set(middle)
    assert not set(missing) & {*dark, *middle}


def test_the_decoder_runs_back_through_the_widths():
    _, _, axes = drawn(MODELS["deep"])
    at = {t.get_text(): t.get_position() for t in axes.texts}
    row = [t for t in axes.texts if abs(t.get_position()[1] - at["dec 1"][1]) < 0.3]
    shapes = [t for t in row if re.fullmatch(r"\(B,\d+\)", t.get_text())]
    shapes.sort(key=lambda t: -t.get_position()[0])
    assert [t.get_text() for t in shapes] == ["(B,6)", "(B,10)", "(B,12)", "(B,15)", "(B,20)"]
    for i in (1, 2, 3):
        assert at[f"dec {i + 1}"][0] < at[f"ddec{i}"][0] < at[f"dec {i}"][0]
        assert at[f"enc {i}"][0] < at[f"denc{i}"][0] < at[f"enc {i + 1}"][0]
    head = next(y for text, (_, y) in at.items() if text.startswith("head_W"))
    assert head > at["mu"][1] + 0.6, "above its box, which is as high as two others"


@pytest.mark.parametrize("name", MODELS)
def test_no_text_lies_over_another_or_outside(name):
    _, _, axes = drawn(MODELS[name])
    figure = axes.figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(t.get_text(), t.get_window_extent()) for t in axes.texts if t.get_text()]
    for (a, one), (b, two) in itertools.combinations(boxes, 2):
        wide = min(one.x1, two.x1) - max(one.x0, two.x0)
        high = min(one.y1, two.y1) - max(one.y0, two.y0)
        assert wide < 1 or high < 4, (a, b)  # of their line boxes, which are higher than letters
    for text, box in boxes:
        assert figure.bbox.x0 < box.x0 < box.x1 < figure.bbox.x1, text
        assert figure.bbox.y0 < box.y0 < box.y1 < figure.bbox.y1, text
    rectangles = [p.get_window_extent() for p in axes.patches if hasattr(p, "get_boxstyle")]
    for text, box in boxes:  # a text lies inside a rectangle, or beside it
        for r in rectangles:
            inside = r.x0 <= box.x0 and box.x1 <= r.x1 and r.y0 <= box.y0 and box.y1 <= r.y1
            wide, high = (
                min(box.x1, r.x1) - max(box.x0, r.x0),
                min(box.y1, r.y1) - max(box.y0, r.y0),
            )
            assert inside or wide < 1 or high < 3, text
    assert min(t.get_fontsize() for t in axes.texts) >= 9


def test_m2_is_refused():
    model = SemiSupervisedVAE(latent_dim=2, hidden=(4,)).build(9, 3)
    with pytest.raises(InputError, match=r"\(m2\) cannot be drawn"):
        diagram(model)


# --------------------------------------------------------------------------- the command


def call(*argv):
    assert cli.main([str(a) for a in argv]) == 0


def seen(monkeypatch):
    from scratchvae.pictures import diagram as module

    models, original = [], module.diagram
    monkeypatch.setattr(module, "diagram", lambda model: (models.append(model), original(model))[1])
    return models


def test_the_command_draws_the_model_that_train_would_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    models = seen(monkeypatch)
    call("diagram")
    call("diagram", "--data", "mnist", "--model", "iwae", "--k", "3", "-o", "a.png")
    np.savez("own.npz", X=np.zeros((6, 4, 5), dtype=np.uint8), y=np.arange(6) % 2)
    call("diagram", "--data", "own.npz", "--model", "cvae", "--hidden", "7,5", "-o", "b.pdf")
    sizes = [(type(m), m.n_features_, m.hidden, m.latent_dim) for m in models]
    assert sizes == [
        (VAE, 784, (400,), 32), (IWAE, 784, (400,), 32), (ConditionalVAE, 20, (7, 5), 32)
    ]  # fmt: skip
    assert models[1].k == 3
    assert models[2].classes_.tolist() == [0, 1]
    assert (tmp_path / "diagram.svg").read_text().startswith("<?xml")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")
    assert capsys.readouterr().out == "diagram.svg\na.png\nb.pdf\n"


def test_the_command_draws_the_model_of_a_run(tmp_path, monkeypatch):
    models = seen(monkeypatch)
    VAE(latent_dim=3, hidden=(4,), beta=2.0).build(9).save(tmp_path / "m.npz")
    call("diagram", tmp_path / "m.npz")
    call("diagram", tmp_path / "m.npz", "-o", tmp_path / "x.png")
    assert (models[0].latent_dim, models[0].beta) == (3, 2.0)
    assert (tmp_path / "m-diagram.svg").exists()
    assert (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("-o x.gif", ["x.gif must end in .png, .svg, or .pdf"]),
        ("--model m2", ["m2) cannot be drawn", "draw cvae"]),
        ("--model ae --beta 2", ["--beta does not apply to --model ae"]),
        ("--latent-dim 0", ["latent_dim"]),
        ("--data none.npy", ["there is no file"]),
        ("--data x.npy --model cvae", ["x.npy has no labels"]),
        ("m.npz --beta 2 --hidden 3", ["m.npz defines its own model", "--hidden, --beta"]),
        ("nothing", ["there is no run"]),
    ],
)
def test_what_the_command_refuses(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((6, 9)))
    VAE(latent_dim=3, hidden=(4,)).build(9).save("m.npz")
    before = {p.name for p in tmp_path.iterdir()}
    refused(capsys, ["diagram", *options.split()], *words)
    assert {p.name for p in tmp_path.iterdir()} == before
