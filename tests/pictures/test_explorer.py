"""The page that decodes in a browser: its content, and its behaviour in a real browser."""

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import browser
from support.command_line import refused

from scratchvae import VAE, InputError, cli, load_data, load_model
from scratchvae.evaluate.units import Data, units_of
from scratchvae.files.run_folder import COLUMNS
from scratchvae.models import MODELS, Labelled
from scratchvae.pictures import explorer
from scratchvae.pictures.page import page as page_of_run

FOLDER = Path(explorer.__file__).parent
SIDE, PIXELS = 8, 64
# every model; every activation and likelihood; no hidden layer to two
KINDS = {
    "ae": {"likelihood": "continuous_bernoulli", "activation": "softplus", "hidden": (9, 7)},
    "vae": {"likelihood": "bernoulli", "activation": "relu", "hidden": ()},
    "iwae": {"likelihood": "gaussian", "activation": "tanh", "hidden": (9, 7), "x_variance": 0.01},
    "cvae": {"likelihood": "bernoulli", "activation": "relu", "hidden": (12,)},
    "m2": {"likelihood": "continuous_bernoulli", "activation": "softplus", "hidden": (12,)},
}


def images(n=60):
    """Soft spots of ink at places that the label decides: (n,64) in [0, 1], and labels (n,)."""
    rng = np.random.default_rng(0)
    y, grid = np.arange(n) % 3, np.arange(SIDE)
    row, column = 1.5 + 2 * y + rng.random(n), 1 + 5 * rng.random(n)
    X = np.exp(-((grid[:, None] - row[:, None, None]) ** 2) / 2)
    X = X * np.exp(-((grid - column[:, None, None]) ** 2) / 2)
    return (X * (X > 0.05)).reshape(n, PIXELS), y  # most pixels are paper


def fitted(kind):
    X, y = images()
    model = MODELS[kind](latent_dim=3, **KINDS[kind])
    given = {"y": y} if isinstance(model, Labelled) else {}
    return model.fit(X, **given, epochs=60, batch_size=20, lr=0.01)


@pytest.fixture(scope="module")
def models():
    models = {kind: fitted(kind) for kind in KINDS}
    for model in models.values():  # a decoder that says the same everywhere would test nothing
        labels = {"y": 0} if isinstance(model, Labelled) else {}
        assert model.decode(2 * np.eye(3), **labels).std(axis=0).max() > 0.05
    return models


def page(model, X=None, y=None, name="spots", in_run=False):
    """The page as `explore` makes it."""
    X, y = images() if X is None else (X, y)
    data = Data(X, y, name, "rows")
    return explorer.page(model, units_of(model, data, {}), data, in_run)


def content(text):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*)</script>', text)[1]
    )


def numbers(text, bits):
    return np.frombuffer(base64.b64decode(text), dtype=f"<f{bits // 8}")


def decoder(model):
    return {n: a for n, a in model.params_.items() if n.startswith(("dec", "out"))}


# ------------------------------------------------------------------------------- what it holds


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_holds_the_decoder_and_the_codes(kind, models):
    model = models[kind]
    held = content(page(model))
    X, y = images()
    labels = {"y": y} if isinstance(model, Labelled) else {}
    np.testing.assert_allclose(
        numbers(held["mu"], 32).reshape(60, 3), model.transform(X, **labels), rtol=1e-6
    )
    assert held["y"] == y.tolist()
    assert held["labels"] == ["0", "1", "2"]
    assert held["classes"] == (["0", "1", "2"] if labels else None)
    assert held["params"].keys() == decoder(model).keys()
    assert sorted(u["unit"] for u in held["units"]) == [0, 1, 2]
    said = [u["said"] for u in held["units"]]
    assert said == sorted(said, reverse=True)
    assert (held["height"], held["width"], held["channels"]) == (SIDE, SIDE, 1)
    assert np.allclose(held["centre"], model.transform(X).mean(axis=0) if kind == "ae" else 0)


def test_the_page_stands_alone(models):
    text = page(models["cvae"])
    assert "http:" not in text
    assert "https:" not in text
    assert re.findall(r"\bsrc\s*=.*", text) == ["src = `data:image/png;base64,${of.png}`;"]
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|import\(", text)
    assert re.findall(r'\bhref="([^"]*)"', text) == ["data:,"]
    assert "default-src 'none'" in text
    assert not re.search(r"\$\w", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


@pytest.mark.parametrize(("tolerance", "bits"), [(explorer.TOLERANCE, 16), (0, 32)])
def test_the_page_of_the_default_model_is_small(tolerance, bits, monkeypatch):
    monkeypatch.setattr(explorer, "TOLERANCE", tolerance)
    X, y = load_data("strokes", "test")
    text = page(VAE().build(784), X, y, "strokes")
    assert len(text.encode()) < 3e6
    assert content(text)["bits"] == bits
    assert len(content(text)["y"]) == 2000
    assert "VAE 784-400-32, bernoulli pixels, 0 epochs; 2,000 test examples of strokes" in text


def test_float16_is_used_where_no_pixel_shows_it(models):
    model = models["vae"]
    held = content(page(model))
    assert held["bits"] == 16
    for name, a in decoder(model).items():
        found = numbers(held["params"][name], 16)
        np.testing.assert_array_equal(found, a.astype(np.float16).ravel())
        np.testing.assert_allclose(found, a.ravel(), rtol=2**-11, atol=2**-25)


@pytest.mark.parametrize("size", [300.0, 1e5])
def test_and_float32_where_one_does(size):
    """Logits that are small differences of large numbers; and weights beyond float16."""
    model = VAE(latent_dim=2, hidden=(8,)).build(PIXELS)
    model.params_.out_W[...] *= size
    model.params_.out_b[...] -= model.params_.out_W.sum(axis=0) / 8
    held = content(page(model))
    assert held["bits"] == 32
    for name, a in decoder(model).items():
        np.testing.assert_array_equal(numbers(held["params"][name], 32), a.ravel())


def test_labels_cannot_end_the_script():
    X, _ = images()
    evil = "</script><script>alert(1)</script>"
    y = np.array([evil, "<!--", 'a"b'])[np.arange(60) % 3]
    model = MODELS["cvae"](latent_dim=2, hidden=(5,)).fit(X, y, epochs=1)
    text = page(model, X, y, name=f"{evil}.npz")
    assert text.count("</script>") == 5
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert content(text)["labels"] == sorted([evil, "<!--", 'a"b'])


def test_rows_without_a_label_and_data_without_any(models):
    X, y = images()
    few = np.where(y == 1, -1, y)
    held = content(page(models["m2"], X, few))
    assert held["labels"] == ["0", "2"]
    assert held["y"] == [{0: 0, 1: -1, 2: 1}[label] for label in y.tolist()]
    assert content(page(models["vae"], X, None))["labels"] == []


@pytest.mark.parametrize(("n", "Z", "expected"), [(7, 2, 7), (10000, 2, 2000), (10000, 400, 500)])
def test_how_many_examples_are_shown(n, Z, expected):
    rows = explorer.shown(n, Z)
    assert len(np.unique(rows)) == len(rows) == expected
    assert rows[0] == 0
    assert n - rows[-1] <= -(-n // expected)


def test_the_page_undoes_the_scale_and_puts_colours_in_their_places(rng):
    X = rng.normal(5, 2, (30, 3, 4, 2))  # (3,H,W)
    model = VAE(latent_dim=2, hidden=(4,), likelihood="gaussian", scale="standard", seed=1)
    model.fit(X, epochs=1)
    text = page(model, X, None)
    held = content(text)
    assert (held["height"], held["width"], held["channels"]) == (4, 2, 3)
    assert 'class="colour" style="--ratio: 0.5; --across: 8"' in text
    z = rng.standard_normal((5, 2))
    h = np.maximum(z @ model.params_.dec0_W + model.params_.dec0_b, 0)
    W, b = (numbers(held["params"][name], held["bits"]) for name in ("out_W", "out_b"))
    y = h @ W.reshape(4, 24).astype(float) + b
    pixels = numbers(held["gain"], 32) * y + numbers(held["shift"], 32)
    expected = model.rows_.images(model.decode(z))
    np.testing.assert_allclose(pixels.clip(0, 1).reshape(5, 4, 2, 3), expected, atol=1e-3)


def test_a_table_of_a_square_number_of_columns_is_no_image():
    model = VAE(latent_dim=2, hidden=(4,), likelihood="gaussian")
    model.build_from(np.zeros((3, 4)), columns=("a", "b", "c", "d"))
    with pytest.raises(InputError, match="rows of 4 features are not images"):
        page(model, np.zeros((3, 4)))


def test_what_cannot_be_shown():
    with pytest.raises(
        InputError, match="rows of 10 features are not images: use `reconstruct` and `sample`"
    ):
        page(VAE(latent_dim=2, hidden=(4,)).build(10), np.zeros((3, 10)))
    with pytest.raises(InputError, match="needs two latent units or more, but this model has one"):
        page(VAE(latent_dim=1, hidden=(4,)).build(PIXELS))


# -------------------------------------------------------------------------------- the command


@pytest.fixture
def run(tmp_path, no_pictures):
    X, y = images()
    np.savez(tmp_path / "spots.npz", x_train=X, y_train=y, x_test=X[:12], y_test=y[:12])
    argv = ["train", "--data", tmp_path / "spots.npz", "--latent-dim", 2, "--hidden", 8]
    assert cli.main([*map(str, argv), "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_explore_writes_into_the_run(run, tmp_path, capsys):
    capsys.readouterr()
    assert cli.main(["explore", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'explorer.html'}\n"
    held = content((run / "explorer.html").read_text())
    X, _ = images()
    mu = load_model(run).transform(X[:12])
    np.testing.assert_allclose(numbers(held["mu"], 32).reshape(12, 2), mu, rtol=1e-5)
    np.save(tmp_path / "other.npy", X[:5])
    argv = ["explore", run, "--data", tmp_path / "other.npy", "-o", tmp_path / "o.html"]
    assert cli.main([str(a) for a in argv]) == 0
    assert content((tmp_path / "o.html").read_text())["y"] == [-1] * 5
    assert cli.main(["train", "--data", "strokes", "--out", str(run)]) == 2
    for path in run.glob("*.npz"):
        path.unlink()
    capsys.readouterr()
    assert cli.main(["train", "--out", str(run)]) == 2
    assert "explorer.html" in capsys.readouterr().err


def test_explore_refuses_in_a_sentence(run, tmp_path, capsys):
    refused(capsys, ["explore", run, "-o", tmp_path / "e.png"], "e.png must end in .html")
    VAE(latent_dim=1, hidden=(4,)).build(PIXELS).save(tmp_path / "one.npz")
    refused(
        capsys, ["explore", tmp_path / "one.npz"], "two latent units"
    )  # before it asks for data
    VAE(latent_dim=2, hidden=(4,)).build(10).save(tmp_path / "ten.npz")
    refused(capsys, ["explore", tmp_path / "ten.npz"], "not images: use `reconstruct`")
    VAE(latent_dim=2, hidden=(4,)).build(9).save(tmp_path / "nine.npz")
    refused(capsys, ["explore", tmp_path / "nine.npz"], "name it with --data")
    refused(capsys, ["explore", tmp_path / "nine.npz", "--data", "strokes"], "784")
    assert not list(tmp_path.rglob("e*.html"))


def test_explore_works_on_a_gpu_that_refuses_to_convert(run, tmp_path, double):
    out = [tmp_path / "cpu.html", tmp_path / "gpu.html"]
    for device, path in zip(("cpu", "cuda"), out, strict=True):
        assert cli.main(["explore", str(run), "--device", device, "-o", str(path)]) == 0
    cpu, gpu = (content(path.read_text()) for path in out)
    assert cpu["params"] == gpu["params"]
    np.testing.assert_allclose(numbers(gpu["mu"], 32), numbers(cpu["mu"], 32), rtol=1e-4)


# -------------------------------------------------------------------------------- the scripts


def test_the_scripts_stay_short_and_strict():
    scripts = [path.read_text() for path in FOLDER.glob("*.js")]
    assert len(scripts) == 4
    assert sum(len(text.splitlines()) for text in scripts) < 660
    for text in scripts:
        assert len(text.splitlines()) <= 340
        assert text.startswith('"use strict";\n')
        assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_the_scripts_parse(path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    subprocess.run([node, "--check", path], check=True)


# ------------------------------------------------------------------------------ in a browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.chromium(tmp_path_factory.mktemp("profile")) as window:
        yield window


class View(browser.Page):
    def __init__(self, window, path):
        super().__init__(window, path.as_uri(), width=1180)
        self.settle()

    def settle(self):
        """Wait until two frames have been drawn, and the text that follows them has been set."""
        script = (
            "const done = arguments[0], frame = requestAnimationFrame;"
            "frame(() => frame(() => setTimeout(done, 150)))"
        )
        self.window.execute_async_script(script)

    def image(self, selector="#digit"):
        """The ink of a canvas, in [0, 255]."""
        return np.array(
            self.js(
                "const c = document.querySelector(arguments[0]), {width, height} = c;"
                "const copy = new OffscreenCanvas(width, height);"
                "const g = copy.getContext('2d', {willReadFrequently: true});"
                "g.drawImage(c, 0, 0);"
                "return [...g.getImageData(0, 0, width, height).data].filter((_, i) => i % 4 == 3)",
                selector,
            )
        )

    def colours(self, selector="#digit"):
        """The pixels of a canvas over white, (H,W,3), in [0, 255]."""
        found = self.js(
            "const c = document.querySelector(arguments[0]), {width, height} = c;"
            "const copy = new OffscreenCanvas(width, height);"
            "const g = copy.getContext('2d', {willReadFrequently: true});"
            "g.fillStyle = 'white'; g.fillRect(0, 0, width, height);"
            "g.drawImage(c, 0, 0);"
            "return [[height, width, 4], [...g.getImageData(0, 0, width, height).data]]",
            selector,
        )
        return np.array(found[1]).reshape(found[0])[..., :3]

    def z(self):
        return np.array(self.js("return explorer.at.z"))

    def drag(self, touch=False, right=120, up=60):
        """From left of the middle of the plane, by so many pixels."""
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.actions.action_builder import ActionBuilder
        from selenium.webdriver.common.actions.pointer_input import PointerInput

        self.js("arguments[0].scrollIntoView({block: 'center'})", self.find("#plane"))
        if touch:
            chain = ActionBuilder(self.window, mouse=PointerInput("touch", "finger"))
            at = chain.pointer_action
            at.move_to(self.find("#plane"), -50, 0).pointer_down()
            at.move_to(self.find("#plane"), right - 50, -up).pointer_up()
        else:
            chain = ActionChains(self.window)
            chain.move_to_element_with_offset(self.find("#plane"), -50, 0).click_and_hold()
            chain.move_by_offset(right, -up).release()
        chain.perform()
        self.settle()

    def press(self, *keys):
        self.find("#plane").send_keys(*keys)
        self.settle()

    def choose(self, selector, value):
        super().choose(selector, value)
        self.settle()

    def click(self, selector):
        super().click(selector)
        self.settle()


@pytest.fixture
def opened(chromium, models, tmp_path):
    """Open the page of a model; at the end, nothing may have been complained of or fetched."""
    pages = []

    def open_page(kind, **data):
        path = tmp_path / f"{kind}.html"
        path.write_text(page(models[kind], **data))
        pages.append(View(chromium, path))
        return pages[-1]

    yield open_page
    for each in pages:
        assert each.complaints() == []
        assert each.js("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_browser_decodes_what_the_model_decodes(kind, models, opened, rng):
    model, view = models[kind], opened(kind)
    for i, z in enumerate(rng.standard_normal((10, 3))):
        label = {"y": i % 3} if isinstance(model, Labelled) else {}
        found = np.array(view.js("return [...explorer.means(...arguments)]", z.tolist(), i % 3))
        np.testing.assert_allclose(found, model.decode(z[None], **label)[0], atol=1e-3)
    z = view.z()
    label = {"y": 0} if label else {}
    shown = np.clip(model.decode(z[None], **label)[0], 0, 1)
    np.testing.assert_allclose(view.image() / 255, shown, atol=1e-3 + 0.5 / 255)


def test_the_mean_of_the_continuous_bernoulli_has_all_its_digits(opened):
    from scratchvae.models.losses import continuous_bernoulli_mean

    l = np.array([-800, -30, -1, -0.11, -0.099, -1e-9, 0, 1e-5, 0.0999, 0.1001, 2, 50, 900.0])  # noqa: E741
    view = opened("iwae")
    found = view.js("return arguments[0].map(continuous_bernoulli_mean)", l.tolist())
    np.testing.assert_allclose(found, continuous_bernoulli_mean(l), rtol=1e-10)


def test_float16_is_read_to_the_last_bit(opened):
    bits = np.arange(2**16, dtype="<u2")
    bits = bits[np.isfinite(bits.view("<f2"))]
    text = base64.b64encode(bits.tobytes()).decode()
    found = opened("vae").js("return [...floats(arguments[0], 16)]", text)
    np.testing.assert_array_equal(np.array(found, dtype=float), bits.view("<f2").astype(float))


# what `fit` meets: the shape of a row, the likelihood and the scale, and what is drawn
SHAPES = {
    "colour": ((9, 5, 3), {"likelihood": "bernoulli"}),
    "channels first": ((3, 9, 5), {"likelihood": "bernoulli"}),
    "wide": ((4, 14), {"likelihood": "continuous_bernoulli"}),
    "high": ((14, 4), {"likelihood": "bernoulli", "scale": "minmax"}),
    "standard": ((4, 9), {"likelihood": "gaussian", "scale": "standard"}),
    "standard, in colour": ((3, 4, 9), {"likelihood": "gaussian", "scale": "standard"}),
    "minmax": ((49,), {"likelihood": "gaussian", "scale": "minmax"}),
    "bytes": ((6, 7, 3), {"likelihood": "gaussian", "scale": "bytes"}),
    "as it is": ((6, 7), {"likelihood": "gaussian"}),
}


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request):
    """A fitted model of such data, and the data."""
    shape, config = SHAPES[request.param]
    rng = np.random.default_rng(0)
    X = rng.random((60, 2)) @ rng.random((2, np.prod(shape)))
    X = X.reshape(60, *shape) / X.max()
    if config.get("scale") == "bytes":
        X = np.rint(255 * X)
    elif config["likelihood"] == "gaussian" or config.get("scale"):
        X = 3 * X - 1
    return VAE(latent_dim=2, hidden=(12,), **config).fit(X, epochs=80, batch_size=20, lr=0.01), X


def test_the_page_shows_what_the_model_decodes(shaped, chromium, tmp_path, rng):
    model, X = shaped
    path = tmp_path / "shaped.html"
    path.write_text(page(model, X, None))
    view = View(chromium, path)
    images = model.rows_.images
    for z in rng.standard_normal((10, 2)):
        found = np.array(view.js("return [...explorer.means(arguments[0], 0)]", z.tolist()))
        shown = images(model.decode(z[None]))[0]
        assert shown.std() > 0.02, "the model says the same everywhere"
        np.testing.assert_allclose(found.clip(0, 1).reshape(shown.shape), shown, atol=1e-3)
    shown = images(model.decode(view.z()[None]))[0]
    shown = shown if shown.ndim == 3 else shown[..., None] * np.ones(3)  # and not as ink
    np.testing.assert_allclose(view.colours() / 255, shown, atol=1e-3 + 1 / 255)
    view.choose("#sigma", "0")
    np.testing.assert_array_equal(view.colours("#samples canvas"), view.colours())
    height, width = shown.shape[:2]
    for selector in ("#digit", "#samples canvas"):
        box = view.js(
            "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [b.height, b.width]",
            selector,
        )
        assert box[0] / box[1] == pytest.approx(height / width, rel=0.1), selector
        assert 20 < max(box) <= 240
    assert view.complaints() == []


def test_colour_is_not_inverted_in_the_dark(chromium, models, rng, tmp_path):
    X = rng.random((20, 4, 6, 3))
    colour = VAE(latent_dim=2, hidden=()).fit(X, epochs=1)
    for model, rows, expected in ((colour, X, "none"), (models["vae"], None, "invert(1)")):
        path = tmp_path / "dark.html"
        path.write_text(page(model, rows))
        view = View(chromium, path)
        view.prefers(color_scheme="dark")
        assert view.find("#digit").value_of_css_property("filter") == expected
        view.prefers()


def test_grey_photographs_are_no_ink(chromium, rng, tmp_path):
    """Neither black on white, nor inverted in the dark."""
    X = rng.random((20, 4, 6))
    model = VAE(latent_dim=2, hidden=()).fit(X, epochs=1)
    assert not model.rows_.ink
    text = page(model, X)
    assert content(text)["ink"] is False
    assert 'class="colour"' in text
    path = tmp_path / "photographs.html"
    path.write_text(text)
    view = View(chromium, path)
    view.prefers(color_scheme="dark")
    view.settle()
    assert view.find("#digit").value_of_css_property("filter") == "none"
    expected = model.rows_.images(model.decode(view.z()[None]))[0]
    np.testing.assert_allclose(view.colours()[..., 0] / 255, expected, atol=1e-3 + 1 / 255)
    assert view.image().min() == 255, "opaque"
    view.prefers()


def test_ink_is_the_page_of_a_model_of_ink(models):
    assert content(page(models["vae"]))["ink"] is True
    assert '<div id="space" class="ink"' in page(models["vae"])


def test_names_of_classes_can_be_read_and_are_apart(chromium, models, tmp_path):
    """Whole, or in the legend alone; the letters of A and B lie beside the point, over all else."""
    X, _ = images()
    kinds = ["cat", "car", "WWWWWWWWWW", "a rather long name", "w" * 200]
    names = np.array(kinds)[np.arange(60) // 3 % 5]  # all in one place
    path = tmp_path / "named.html"
    path.write_text(page(models["vae"], X, names))
    view = View(chromium, path)
    view.js(
        "window.said = [];"
        "const write = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {"
        "  said.push([text, x, y, this.measureText(text).width / 2, this.canvas.clientWidth]);"
        "  return write.call(this, text, x, y); };"
        "window.discs = [];"
        "const arc = CanvasRenderingContext2D.prototype.arc;"
        "CanvasRenderingContext2D.prototype.arc = function (x, y, r, ...ends) {"
        "  if (r === 9) discs.push([x, y]); return arc.call(this, x, y, r, ...ends); };"
    )
    view.resize(1000, 900)
    view.settle()
    said = view.js("return said")
    found = {text: rest for text, *rest in said if not text[-1].isdigit()}
    assert set(found) == {*kinds[:4], "A", "B"}
    for one, (x, v, half, size) in found.items():
        assert half <= x <= size - half
        assert 6 < v < size - 6
        for other, (a, b, half_of_other, _) in found.items():
            if one < other and not {one, other} & {"A", "B"}:
                assert abs(v - b) >= 13 or abs(x - a) >= half + half_of_other, (one, other)
    view.resize(360, 900)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert view.js(wide) == 0, "nothing is beyond the right edge"
    assert view.js(
        "return [...document.querySelectorAll('#legend li')].map(e => e.textContent)"
    ) == sorted(kinds)
    view.resize(1000, 900)
    view.shoot("named.png")
    assert [text for text, *_ in said[-2:]] == ["A", "B"], "on top"
    point, a, _ = view.js("return discs")[-3:]
    assert np.hypot(*np.subtract(point, a)) > 18, "the point does not cover A, where it stands"


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "touch"])
def test_dragging_changes_the_digit(touch, opened):
    view = opened("vae")
    view.choose("#kind", "units")
    assert view.find("#plane").value_of_css_property("touch-action") == "none"  # nor scrolls
    before, z = view.image(), view.z()
    view.drag(touch)
    assert abs(view.image() - before).max() > 5
    units = view.js("return explorer.at.units")
    assert (view.z()[units] > 0).all()
    rest = [j for j in range(3) if j not in units]
    np.testing.assert_array_equal(view.z()[rest], z[rest])


def test_the_arrow_keys_move_the_point_and_a_reader_hears_where_it_is(opened):
    from selenium.webdriver import Keys

    view = opened("vae")
    view.choose("#kind", "units")
    view.press(Keys.HOME)
    np.testing.assert_array_equal(view.z(), 0)
    across, up = view.js("return explorer.at.units")
    before = view.image()
    view.press(*[Keys.ARROW_RIGHT] * 4, Keys.ARROW_UP)
    z = view.z()
    assert z[across] > z[up] > 0
    assert abs(view.image() - before).max() > 5
    said = view.find("#where").text
    assert f"z[{across}] = {z[across]:.2f}, z[{up}] = {z[up]:.2f}" in said
    assert "The nearest test example of label" in said
    assert f"{z[across]:.2f}" in view.find("#digit").get_attribute("aria-label")
    view.press(Keys.SHIFT + Keys.ARROW_RIGHT)
    assert view.z()[across] == pytest.approx(z[across] * 9 / 4)
    assert view.js("return document.activeElement.id") == "plane"
    assert view.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_everything_that_can_be_used_has_a_name(opened):
    view = opened("cvae")
    seen = 0
    for tab in ("#tab-space", "#tab-gradient"):
        view.click(tab)
        parts = "button, input, select, #plane, #digit, #samples, svg, [role=tabpanel]"
        for element in view.find_all(parts):
            if element.is_displayed():
                assert element.accessible_name, element.get_attribute("outerHTML")
                seen += 1
    assert seen > 25


def test_the_label_changes_the_digit(opened, models):
    for kind in ("cvae", "m2"):
        view = opened(kind)
        assert view.find("#label").is_displayed()
        before = view.image()
        view.choose("#label", "2")
        assert abs(view.image() - before).max() > 20
        shown = np.clip(models[kind].decode(view.z()[None], 2)[0], 0, 1)
        np.testing.assert_allclose(view.image() / 255, shown, atol=1e-3 + 0.5 / 255)
    assert not opened("vae").find("#label").is_displayed()


def test_the_walk_goes_from_a_to_b(opened):
    from selenium.webdriver import Keys

    view = opened("vae")
    view.press(Keys.HOME)
    view.click("#set-a")
    view.drag()
    b = view.z()
    view.press("b")
    view.choose("#walk", "0.25")
    np.testing.assert_allclose(view.z(), b / 4)
    first = view.image()
    view.choose("#walk", "1")
    np.testing.assert_allclose(view.z(), b)
    assert abs(view.image() - first).max() > 5
    view.click("#play")
    assert view.find("#play").text == "stop"
    seen = {tuple(view.z()) for _ in range(4) if view.settle() is None}
    assert len(seen) == 4
    view.click("#play")
    still = view.z()
    view.settle()
    np.testing.assert_array_equal(view.z(), still)


def test_sigma_spreads_the_samples(opened):
    view = opened("vae")
    samples = [f"#samples canvas:nth-child({k})" for k in range(1, 9)]
    view.choose("#sigma", "0")
    for sample in samples:
        np.testing.assert_array_equal(view.image(sample), view.image())
    view.choose("#sigma", "1")
    spread = [view.image(sample) for sample in samples]
    assert len({tuple(image) for image in spread}) == 8
    z, eps = view.z(), np.array(view.js("return explorer.at.eps"))
    found = np.array(view.js("return [...explorer.means(arguments[0], 0)]", list(z + eps[3])))
    np.testing.assert_allclose(spread[3] / 255, np.clip(found, 0, 1), atol=1 / 255)
    view.click("#draw")
    assert abs(view.image(samples[3]) - spread[3]).max() > 2


def test_units_are_chosen_and_the_others_have_sliders(opened):
    view = opened("cvae")
    assert not view.find("#across").is_displayed()
    view.choose("#kind", "units")
    assert view.find("#across").is_displayed()
    across, up = view.js("return explorer.at.units")
    (third,) = {0, 1, 2} - {across, up}
    before = view.image()
    view.choose("#sliders input", "1.5")
    assert view.z()[third] == 1.5
    assert abs(view.image() - before).max() > 2
    view.choose("#up", str(third))
    assert view.js("return explorer.at.units") == [across, third]
    view.choose("#across", str(third))  # taken: they change places
    assert view.js("return explorer.at.units") == [third, across]
    assert view.find("#up").get_attribute("value") == str(across)


def test_a_page_without_labels(opened):
    view = opened("vae", X=images()[0])
    assert view.find("#where").text.endswith("the code of a test example.")
    assert len(view.js("return document.getElementById('kind').options")) == 2
    view.drag()
    assert "The nearest test example is" in view.find("#where").text
    view.click("#another")
    assert view.js("return explorer.at.z.length") == 3


def test_a_label_that_is_markup_is_shown_as_text(chromium, tmp_path):
    X, _ = images()
    y = np.array(["</script><b>", "<i>x</i>"])[np.arange(60) % 2]
    path = tmp_path / "evil.html"
    path.write_text(page(MODELS["cvae"](latent_dim=2, hidden=(5,)).fit(X, y, epochs=1), X, y))
    view = View(chromium, path)
    assert view.find("#legend").text.split() == ["</script><b>", "<i>x</i>"]
    assert view.complaints() == []


@pytest.mark.parametrize("tab", ["#tab-space", "#tab-gradient"])
def test_it_fits_a_phone_and_the_dark(tab, opened):
    view = opened("cvae")
    view.resize(375, 667, mobile=True)
    view.click(tab)
    assert view.js("return document.documentElement.scrollWidth") == 375
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = view.js(paper)
    view.prefers(color_scheme="dark")
    view.settle()
    assert view.js(paper) != light
    view.prefers()


def test_the_tabs_are_opened_by_keys(opened):
    from selenium.webdriver import Keys

    view = opened("vae")
    view.find("#tab-space").send_keys(Keys.ARROW_RIGHT)
    assert view.find("#gradient").is_displayed()
    assert not view.find("#space").is_displayed()
    assert view.js("return document.activeElement.id") == "tab-gradient"
    view.window.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert view.find("#space").is_displayed()


# ----------------------------------------------------------------------------- the page of a run


def test_the_page_of_a_run_fits_a_phone_and_its_commands_are_copied(chromium, tmp_path):
    numbers = [("ELBO", "-12345.67", "nats per example, +- 0.51 over the examples")] * 5
    record = dict.fromkeys(COLUMNS, 12345.678)
    command = ["/a/long/path/to/the/python", "-m", "scratchvae", "explore", "runs/a run"]
    text = page_of_run(
        *("VAE", numbers, "data   " + 30 * "w", [record], {"picture.png": "a picture"}),
        *({}, {"seed": 0}, {}, [command] * 2),
    )
    assert "default-src 'none'" in text
    path = tmp_path / "index.html"
    Image.new("L", (9, 4)).save(tmp_path / "picture.png")
    path.write_text(text)
    view = View(chromium, path)
    view.resize(360, 700, mobile=True)
    view.settle()
    assert view.js("return document.documentElement.scrollWidth") == 360
    assert view.js("return document.querySelector('figure img').naturalWidth") == 9
    cut = (
        "return [...document.querySelectorAll('.tiles div')]"
        ".filter((tile) => tile.scrollWidth > tile.clientWidth).length"
    )
    assert view.js(cut) == 0
    buttons = view.find_all(".commands button")
    line = "/a/long/path/to/the/python -m scratchvae explore 'runs/a run'"
    assert [button.accessible_name for button in buttons] == [f"copy {line}"] * 2
    for denied in ("", "navigator.clipboard.writeText = () => Promise.reject(new Error());"):
        view.js(
            f"window.copied = []; {denied} document.execCommand = (name) =>"
            "copied.push([name, getSelection().toString()]);"
        )
        if not denied:
            view.js("navigator.clipboard.writeText = async (text) => copied.push(['clip', text])")
        buttons[1].click()
        view.settle()
        assert view.js("return copied") == [["copy" if denied else "clip", line]]
        assert buttons[1].text == "copied"
        assert buttons[1].accessible_name == f"copied {line}"
    view.window.execute_async_script("setTimeout(arguments[0], 2000)")
    assert [button.accessible_name for button in buttons] == [f"copy {line}"] * 2
    assert view.complaints() == []


# ------------------------------------------------------------------- the plane and the originals


def test_the_planes_are_those_of_most_variance(models):
    X, y = images()
    model = models["vae"]
    mu = model.transform(X).astype(float)
    codes, labels = content(page(model))["planes"]
    for plane in (codes, labels):
        axes = np.array(plane["axes"])
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    values, vectors = np.linalg.eigh(np.cov(mu.T))
    np.testing.assert_allclose(np.abs(codes["axes"] @ vectors[:, :0:-1]), np.eye(2), atol=1e-5)
    part = values[1:].sum() / values.sum()
    assert codes["name"] == f"principal plane of the codes ({part:.0%} of their variance)"
    means = np.array([mu[y == label].mean(axis=0) for label in range(3)])
    away = means - means.mean(axis=0)  # three points lie in a plane
    inside = np.array(labels["axes"]).T @ (labels["axes"] @ away.T)
    np.testing.assert_allclose(inside.T, away, atol=1e-6)
    assert labels["name"].startswith("principal plane of the label means")
    assert len(content(page(model, X, None))["planes"]) == 1
    two = VAE(latent_dim=2, hidden=(4,)).build(PIXELS)
    assert content(page(two))["planes"] == []


def test_the_originals_are_reduced_to_fit(models, monkeypatch):
    from io import BytesIO

    X, _ = images()
    for most, side in ((explorer.MOST_PIXELS, 8), (60 * 4 * 4, 4)):
        monkeypatch.setattr(explorer, "MOST_PIXELS", most)
        held = content(page(models["vae"]))["originals"]
        assert (held["width"], held["height"], held["columns"]) == (side, side, 8)
        ink = np.asarray(Image.open(BytesIO(base64.b64decode(held["png"]))).getchannel("A"))
        found = ink[2 * side : 3 * side, 3 * side : 4 * side] / 255  # of example 19
        want = X[19].reshape(side, 8 // side, side, 8 // side).mean(axis=(1, 3))
        np.testing.assert_allclose(found, want, atol=1.01 / 255)


def test_the_principal_plane_is_first_and_a_drag_stays_in_it(opened):
    view = opened("vae")
    assert view.js("return document.getElementById('kind').selectedOptions[0].text").startswith(
        "principal plane of the codes"
    )
    axes = np.array(view.js("return explorer.plane.view.axes"))
    before = view.z()
    view.drag()
    moved = view.z() - before
    assert np.hypot(*(axes @ moved)) > 0.1
    np.testing.assert_allclose(axes.T @ (axes @ moved), moved, atol=1e-12)
    first, second = axes @ view.z()
    half = view.js("return explorer.plane.size()") / 2
    under = view.js("return explorer.plane.coordinates(arguments[0])", [half + 70, half - 60])
    np.testing.assert_allclose([first, second], under, atol=0.02)
    assert f"first axis = {first:.2f}, second axis = {second:.2f}".replace(
        "-", "\N{MINUS SIGN}"
    ) in (view.find("#where").text)


def spot(view, n):
    """Where the dot of a test example lies, from the middle of the plane; it comes into view."""
    view.js("arguments[0].scrollIntoView({block: 'center'})", view.find("#plane"))
    x, y, size = view.js(
        "const {view, coordinates, size} = explorer.plane, [a, b] = view.codes[arguments[0]];"
        "const [low, high] = [coordinates([0, size()]), coordinates([size(), 0])];"
        "return [(a - low[0]) / (high[0] - low[0]), (high[1] - b) / (high[1] - low[1]), size()]", n
    )  # fmt: skip
    return [round((v - 0.5) * size) for v in (x, y)]


def point_at(view, n, click=False):
    from selenium.webdriver import ActionChains

    chain = ActionChains(view.window).move_to_element_with_offset(
        view.find("#plane"), *spot(view, n)
    )
    (chain.click() if click else chain).perform()
    view.settle()


def test_a_test_example_is_shown_under_the_mouse_and_chosen_by_a_click(opened, models):
    X, y = images()
    view = opened("cvae")
    assert not view.find("#hover").is_displayed()
    point_at(view, 20)
    n = view.js("return explorer.at.marked")
    gap = np.subtract(spot(view, n), spot(view, 20))
    assert np.hypot(*gap) < 2, "dots may lie over each other"
    assert view.find("#hover-label").text == str(y[n])
    np.testing.assert_allclose(view.image("#thumbnail") / 255, X[n], atol=0.51 / 255)
    point_at(view, n, click=True)
    np.testing.assert_allclose(view.z(), models["cvae"].transform(X, y=y)[n], atol=1e-6)
    assert view.find("#label").get_attribute("value") == str(y[n])
    np.testing.assert_allclose(view.image("#original") / 255, X[n], atol=0.51 / 255)
    assert view.find("#where").text.endswith(f"the code of a test example of label {y[n]}.")
    assert view.find("#original").get_attribute("aria-label").endswith(f"of label {y[n]}")


def test_the_nearest_original_stands_beside_the_decoded(shaped, chromium, tmp_path):
    model, X = shaped
    path = tmp_path / "shaped.html"
    path.write_text(page(model, X, None))
    view = View(chromium, path)
    view.drag()
    n = np.hypot(*(model.transform(X) - view.z()).T).argmin()
    assert view.js("return explorer.at.nearest") == n
    shown = model.rows_.images(np.asarray(X[n], dtype=float).ravel())
    shown = shown if shown.ndim == 3 else shown[..., None] * np.ones(3)
    if model.rows_.ink and model.rows_.image_shape[2:] == ():
        shown = 1 - shown
    np.testing.assert_allclose(view.colours("#original") / 255, shown, atol=1 / 255)
    sizes = (
        "return ['digit', 'original'].map(id => $(id).getBoundingClientRect()).map(b => b.height)"
    )
    assert len(set(view.js(sizes))) == 1


def test_the_legend_hides_a_class(opened):
    view = opened("vae")
    second = view.find("#legend li:nth-child(2) button")
    colour = [int(explorer.class_colours(3)[1][i : i + 2], 16) for i in (1, 3, 5)]

    def dots():
        return (view.colours("#plane") == colour).all(axis=-1).sum()

    assert dots() > 20
    second.click()
    view.settle()
    assert second.get_attribute("aria-pressed") == "false"
    assert dots() == 0
    point_at(view, 1)  # of that class
    marked = view.js("return explorer.at.marked")
    assert marked == -1 or marked % 3 != 1
    second.click()
    view.settle()
    assert second.get_attribute("aria-pressed") == "true"
    assert dots() > 20


def test_the_wheel_and_the_keys_zoom_about_a_point(opened):
    from selenium.webdriver.common.action_chains import ActionChains, ScrollOrigin

    view = opened("vae")
    r, wide = view.js("const v = explorer.plane.view; return [v.r, v.whole]")
    assert r == wide
    where = "return explorer.plane.coordinates(arguments[0])"
    size = view.js("return explorer.plane.size()")
    spot = [round(size / 2) + 100, round(size / 2) - 60]
    fixed = view.js(where, spot)
    view.js("arguments[0].scrollIntoView({block: 'center'})", view.find("#plane"))
    top = view.js("return scrollY")
    origin = ScrollOrigin.from_element(view.find("#plane"), 100, -60)
    ActionChains(view.window).scroll_from_origin(origin, 0, -300).perform()
    view.settle()
    assert view.js("return explorer.plane.view.r") == pytest.approx(r / 1.002**300)
    np.testing.assert_allclose(view.js(where, spot), fixed, atol=0.02 * r)
    assert view.js("return scrollY") == top
    view.press("0")
    assert view.js("return explorer.plane.view.r") == r
    assert view.js("const v = explorer.plane.view; return v.mid.join() === v.middle.join()")
    view.press("+")
    view.press("+")
    assert view.js("return explorer.plane.view.r") == pytest.approx(0.64 * r)
    view.press("-")
    assert view.js("return explorer.plane.view.r") == pytest.approx(0.8 * r)


def test_the_view_has_its_limits(opened):
    view = opened("vae")
    r, whole, fits, again = view.js(
        "const p = explorer.plane, fits = p.zoom(1e-9, [10, 10]);"
        "return [p.view.r, p.view.whole, fits, p.zoom(0.5, [10, 10])]"
    )
    assert (fits, again) == (True, False)
    assert r == pytest.approx(whole / 50)
    view.press("0")
    away = view.js(
        "const p = explorer.plane, z = p.moved(explorer.at.z, [1e3, -1e3]);"
        "return p.at(z).map((c, axis) => c - p.view.middle[axis])"
    )
    np.testing.assert_allclose(away, [whole, -whole])
    away, r = view.js(
        "const p = explorer.plane, far = (z) => Math.abs(p.at(z)[0] - p.view.middle[0]);"
        "const z = p.view.codes.map((code) => p.moved(explorer.at.z, code))"
        "  .reduce((a, b) => far(b) > far(a) ? b : a);"
        "p.zoom(0.1, [p.size() / 2, p.size() / 2]), p.follow(z);"
        "return [Math.abs(p.at(z)[0] - p.view.mid[0]), p.view.r]"
    )
    assert away == pytest.approx(0.95 * r), "in view, and no further than needed"


def test_a_test_example_is_found_within_ten_pixels(opened):
    found = opened("vae").js(
        "const p = explorer.plane, { codes, mid, r } = p.view, right = (n) => codes[n][0];"
        "const n = codes.reduce((best, _, k) => right(k) > right(best) ? k : best, 0);"
        "const [x, y] = codes[n].map((c, axis) =>"
        "  (p.size() / 2) * (1 + (axis ? -1 : 1) * (c - mid[axis]) / r));"
        "return [n, ...[9.9, 10.1].map((away) => p.exampleAt([x + away, y], () => true))]"
    )
    assert found[1:] == [found[0], -1]


def test_the_ticks_stand_where_they_say(opened):
    view = opened("vae")
    view.js(
        "window.said = [];"
        "const write = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {"
        "  said.push([text, x, y]); return write.call(this, text, x, y); };"
    )
    view.press("+")
    size = view.js("return explorer.plane.size()")
    seen = [set(), set()]
    for text, x, y in view.js("return said"):
        for axis, edge in enumerate((y == size - 10, x == 14)):
            if edge:
                at = view.js("return explorer.plane.coordinates(arguments[0])", [x, y])[axis]
                tick = float(text.replace("\N{MINUS SIGN}", "-"))
                assert tick == pytest.approx(at, abs=1e-3)
                seen[axis].add(np.sign(tick))
    assert seen == [{-1, 0, 1}] * 2


def test_two_fingers_zoom(opened):
    view = opened("vae")
    view.js("arguments[0].scrollIntoView({block: 'center'})", view.find("#plane"))
    x, y = view.js(
        "const b = $('plane').getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]"
    )
    r = view.js("return explorer.plane.view.r")

    def touch(kind, *points):
        at = [{"x": x + a, "y": y + b, "id": i} for i, (a, b) in enumerate(points)]
        view.window.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", (-40, 0))
    touch("touchStart", (-40, 0), (40, 0))
    z = view.z()
    touch("touchMove", (-80, 0), (80, 0))
    touch("touchEnd")
    view.settle()
    assert view.js("return explorer.plane.view.r") == pytest.approx(r / 2)
    np.testing.assert_array_equal(view.z(), z)
    view.drag(touch=True)
    assert (view.z() != z).any(), "one finger moves the point again"


def test_two_units_are_decoded_in_the_background(chromium, opened, tmp_path):
    X, y = images()
    vae = VAE(latent_dim=2, hidden=(20,), likelihood="bernoulli").fit(X, epochs=30, lr=0.01)
    path = tmp_path / "two.html"
    path.write_text(page(vae, X, y))
    view = View(chromium, path)
    assert not view.find("#kind").is_displayed()
    for key in ("", "+"):
        if key:
            view.press(key)
        cells, done = view.js("const b = explorer.at.behind; return [b.cells, b.next]")
        assert cells == done > 50
        across = view.js("return explorer.plane.view.behind.width") // SIDE
        size = view.js("return explorer.plane.size()")
        middle = [(3.5 / across) * size, (2.5 / across) * size]
        z = view.js("return explorer.plane.coordinates(arguments[0])", middle)
        ink = view.js(
            "return [...explorer.plane.view.behind.getContext('2d')"
            ".getImageData(...arguments[0]).data].filter((_, i) => i % 4 == 3)",
            [3 * SIDE, 2 * SIDE, SIDE, SIDE],
        )
        np.testing.assert_allclose(np.array(ink) / 255, vae.decode([z])[0], atol=1.5e-3 + 0.5 / 255)
    view.click("#behind")
    assert view.js("return explorer.plane.view.behind") is None
    assert view.complaints() == []
    assert not opened("vae").find("#behind").is_displayed(), "of three units"


# ------------------------------------------------------------------------------ one gradient


def rows(view):
    return {row["name"]: row for row in view.js("return gradient.rows()")}


def of_the_package(found):
    """The same two-pixel model, loss and gradients by the package."""
    vae = VAE(latent_dim=1, hidden=(1,), activation="tanh", dtype="float64").build(2)
    for name, a in vae.params_.items():
        for index in np.ndindex(a.shape):
            a[index] = found[f"{name}[{','.join(map(str, index))}]"]["value"]
    x = [[found["x[0]"]["value"], found["x[1]"]["value"]]]
    return vae.loss_and_grad(x, [[found["eps"]["value"]]])


@pytest.mark.parametrize("eps", ["0.7", "-1.3"])
def test_gradients_by_hand_are_slopes_and_those_of_the_package(eps, opened):
    view = opened("vae")
    view.click("#tab-gradient")
    for knob, value in (("x[1]", "0.6"), ("eps", eps), ("dec0_W[0,0]", "-1.4")):
        view.choose(f'[data-knob="{knob}"]', value)
    found = rows(view)
    assert found["eps"]["value"] == float(eps)
    derived = {name: row for name, row in found.items() if row.get("hand") is not None}
    assert found.keys() - derived.keys() == {"x[0]", "x[1]", "eps"}
    for name, row in derived.items():
        assert row["hand"] == pytest.approx(row["slope"], abs=1e-8), name
        places = f'[data-of="{name}"]'
        texts = view.js(
            "return [...document.querySelectorAll(arguments[0])]"
            ".map((e) => [e.getAttribute('class'), e.textContent])",
            places,
        )
        kinds = {kind for kind, _ in texts}
        assert kinds == {"value", "hand", "slope"}, name
        for kind, text in texts:
            assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(row[kind], abs=6e-5)
    loss, gradients = of_the_package(found)
    assert found["loss"]["value"] == pytest.approx(loss, rel=1e-12)
    for name, g in gradients.items():
        for index in np.ndindex(g.shape):
            row = found[f"{name}[{','.join(map(str, index))}]"]
            assert row["hand"] == pytest.approx(g[index], rel=1e-10)
    assert view.find("#verdict").text == "All 27 gradients by hand agree with their slopes."
    about = view.js("return document.querySelector('#gradient .what').textContent")
    assert "tanh unit (derivative 1 \N{MINUS SIGN} tanh\N{SUPERSCRIPT TWO})" in about


def test_a_forgotten_sum_is_seen_and_a_step_lowers_the_loss(opened):
    view = opened("vae")
    view.click("#tab-gradient")
    start = rows(view)["loss"]["value"]
    view.choose("#bug", "forget")
    said = view.find("#verdict").text
    assert said.startswith("Wrong: d")
    assert "dmu," in said
    assert "dmu_kl" not in said
    assert "dout_W" not in said
    assert view.js("return document.querySelectorAll('tr.wrong').length") == said.count(" d")
    view.choose("#bug", "")
    view.click("#step")
    assert rows(view)["loss"]["value"] < start
    view.click("#reset")
    assert rows(view)["loss"]["value"] == start


@pytest.mark.parametrize(("bug", "ratio"), [("half", 2), ("noise", -1.1 / 0.7)])
def test_a_bug_in_the_noise_is_seen_in_the_table_and_in_the_diagram(bug, ratio, opened):
    view = opened("vae")
    view.click("#tab-gradient")
    fill = (
        "return [...document.querySelectorAll('#gradient g')].filter(g => g.textContent"
        ".includes(arguments[0])).map(g => getComputedStyle(g.firstElementChild).fill)[0]"
    )
    right = view.js(fill, "logvar")
    view.choose("#bug", bug)
    found = rows(view)["logvar_z"]
    assert found["hand"] == pytest.approx(ratio * found["slope"])
    said = view.find("#verdict").text
    assert "dlogvar_z" in said
    assert "dmu" not in said
    assert "dhead_W[0,0]" not in said
    assert view.js(fill, "logvar") != right == view.js(fill, "dec1")
    view.choose("#bug", "")
    assert view.js(fill, "logvar") == right


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme, opened):
    view = opened("cvae")
    view.prefers(color_scheme=scheme)
    found = view.contrasts()
    view.click("#tab-gradient")
    view.choose("#bug", "forget")
    found += view.contrasts()
    view.prefers()
    assert len(found) > 200
    assert {text: contrast for text, contrast in found if contrast < 4.5} == {}


def test_the_losses_are_drawn_step_by_step(opened):
    view = opened("vae")
    view.click("#tab-gradient")
    view.click("#step")
    view.click("#steps")
    losses = view.js("return gradient.losses")
    assert losses[-1] == rows(view)["loss"]["value"]
    assert (np.diff(losses) < 0).all()
    points = view.js("return document.querySelector('#losses polyline').getAttribute('points')")
    x, y = np.array([float(v) for v in points.replace(",", " ").split()]).reshape(-1, 2).T
    np.testing.assert_allclose(x, np.linspace(0, 300, 52))
    np.testing.assert_allclose(y, np.interp(losses, (losses[-1], losses[0]), (68, 6)))
    said = view.find("#losses").get_attribute("aria-label")
    assert said == f"The loss, {losses[0]:.4f} at first, {losses[-1]:.4f} after 51 steps"
    view.choose('[data-knob="eps"]', "0.2")
    assert view.js("return gradient.losses") == [rows(view)["loss"]["value"]]


def test_the_page_of_digits(chromium, tmp_path):
    """The pictures of the documents, where SCRATCHVAE_SCREENSHOTS names a folder for them."""
    X, _ = load_data("strokes")
    epochs = 15 if os.environ.get("SCRATCHVAE_SCREENSHOTS") else 1
    vae = VAE(latent_dim=2).fit(X, epochs=epochs)
    path = tmp_path / "strokes.html"
    path.write_text(page(vae, *load_data("strokes", "test"), "strokes"))
    view = View(chromium, path)
    view.resize(1120, 870)
    before = view.image()
    view.choose("#sigma", "0.5")
    view.drag(right=170, up=70)
    assert abs(view.image() - before).max() > 50
    view.shoot("explorer.png")
    view.click("#tab-gradient")
    for _ in range(8):
        view.click("#step")
    view.resize(1120, 1330)
    view.settle()
    view.shoot("one_gradient.png")
    assert view.complaints() == []
