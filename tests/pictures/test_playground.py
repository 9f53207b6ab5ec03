"""The page in which a VAE learns: its mathematics against the package's, and a real browser."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support import browser
from support.command_line import refused

from scratchvae import VAE, Autoencoder, cli, load_data
from scratchvae.backend import noise
from scratchvae.pictures import playground
from scratchvae.train.optim import Adam
from scratchvae.verify.known_bugs import BUGS, half_forgotten, kl_gradients_times

FOLDER = Path(playground.__file__).parent
SCRIPTS = ("model.js", "checks.js", "worker.js", "playground.js")
B, D, H = 5, 196, 7
LIKELIHOOD = "\N{MINUS SIGN}log p(x|z)"  # a line of the meaning check
ENCODER = ["enc0_W", "enc0_b", "head_W", "head_b"]
# what is said to see each bug: differences in these parameters, or these parts of the meaning
SEEN = {
    "std": ([], ["samples"]),
    "half": (ENCODER, []),
    "redrawn": (ENCODER, []),
    "sign": (ENCODER, []),
    "dropped": ([], ["KL"]),
    "mean": ([], ["reconstruction"]),
}


# ------------------------------------------------------------------------------- what it holds


@pytest.fixture(scope="module")
def page():
    return playground.page()


def test_the_page_stands_alone_and_is_small(page):
    assert len(page.encode()) < 500_000
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"\bsrc\s*=|@import|url\(|\bfetch\(|XMLHttpRequest|import\(", page)
    assert re.findall(r'\bhref="([^"]*)"', page) == ["data:,"]
    assert "default-src 'none'" in page
    assert not re.search(r"\$\w", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_its_digits_are_those_of_the_data_at_half_their_size():
    held = playground.digits()
    assert held["train"].shape == (1000, D)
    assert held["y"].tolist() == [k % 10 for k in range(60)]
    for split in ("train", "test"):
        X, y = load_data("strokes", split)
        small = X.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, D)
        for row, digit in enumerate(held[split][:30]):
            error = abs(small - digit).max(axis=1)
            assert error.min() <= 0.5
            assert split == "train" or y[error.argmin()] == held["y"][row]


def test_the_scripts_stay_short_and_strict():
    scripts = [(FOLDER / name).read_text() for name in SCRIPTS]
    assert {path.name for path in FOLDER.glob("*.js")} == set(SCRIPTS)
    assert sum(len(text.splitlines()) for text in scripts) <= 600
    for text in scripts:
        assert text.startswith('"use strict";\n')
        assert max(map(len, text.splitlines())) <= 100


# -------------------------------------------------------------------------------- the command


def test_the_command_writes_the_page_and_replaces_its_own(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert cli.main(["playground"]) == 0
        assert capsys.readouterr().out == "playground.html\n"
    assert Path("playground.html").read_text() == page
    assert cli.main(["playground", "-o", "new/p.html"]) == 0
    assert Path("new/p.html").read_text() == page


def test_the_command_refuses_in_a_sentence(tmp_path, capsys):
    refused(capsys, ["playground", "-o", tmp_path / "p.png"], "p.png must end in .html")
    other = tmp_path / "index.html"
    other.write_text("<title>my page</title>")
    refused(capsys, ["playground", "-o", other], "exists and is not a playground: choose another")
    assert other.read_text() == "<title>my page</title>"
    (tmp_path / "folder.html").mkdir()
    refused(capsys, ["playground", "-o", tmp_path / "folder.html"], "folder.html")


# ----------------------------------------------------------- the mathematics, in two engines


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.chromium(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture(scope="module")
def file(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "playground.html"
    path.write_text(page)
    return path


def in_node(body, *arguments):
    """What the body of a function returns, in Node.js with the page's mathematics."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    texts = [(FOLDER / name).read_text() for name in ("model.js", "checks.js", "worker.js")]
    texts.insert(0, "globalThis.self = {};")
    call = f"console.log(JSON.stringify((function () {{{body}}})(...{json.dumps(arguments)})))"
    script = "\n".join([*texts, call])
    done = subprocess.run([node], input=script, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


@pytest.fixture(params=["node", "chromium"])
def evaluate(request):
    if request.param == "node":
        return in_node
    window, file = (request.getfixturevalue(name) for name in ("chromium", "file"))
    return browser.Page(window, f"{file.as_uri()}#paused").js


LOSS_AND_GRAD = """
const [given, x, eps, beta, bug, redrawn] = arguments, H = given.enc0_b.length;
const p = {}, g = views(new Float64Array(count(x.length * Z / eps.length, H)),
  x.length * Z / eps.length, H);
for (const name in given) p[name] = Float64Array.from(given[name]);
const acts = forward(p, Float64Array.from(x), Float64Array.from(eps), beta, bug);
backward(p, g, acts, beta, bug, () => redrawn.shift());
return [acts.loss, acts.rec, acts.kl, Object.entries(g).map(([name, a]) => [name, [...a]])];
"""


def batch(rng):
    """x (B,D), eps (B,Z), and weights with which every part of the loss matters."""
    vae = VAE(latent_dim=2, hidden=(H,), activation="tanh", dtype="float64").build(D)
    vae.params_.array[...] = 0.5 * rng.standard_normal(vae.params_.array.size)
    x = playground.digits()["train"][:B] / 255
    return vae, x, rng.standard_normal((B, 2))


def flat(a):
    return np.asarray(a).ravel().tolist()


def compare(found, vae, x, eps):
    loss, gradients = vae.loss_and_grad(x, eps)
    assert found[0] == pytest.approx(loss, rel=1e-12)
    assert [name for name, _ in found[3]] == list(gradients)
    for name, g in found[3]:
        right = gradients[name].ravel()
        size = abs(right).max()
        assert size > 0, name
        np.testing.assert_allclose(g, right, rtol=1e-10, atol=1e-12 * size, err_msg=name)


@pytest.mark.parametrize("beta", [1.0, 0.25])
def test_loss_and_gradients_are_those_of_the_package(beta, evaluate, rng):
    vae, x, eps = batch(rng)
    vae.beta = beta
    given = {name: flat(a) for name, a in vae.params_.items()}
    found = evaluate(LOSS_AND_GRAD, given, flat(x), flat(eps), beta, {}, [])
    compare(found, vae, x, eps)
    assert found[1] + beta * found[2] == pytest.approx(found[0], rel=1e-14)


OF_THE_PACKAGE = {
    "std": BUGS["exp logvar as standard deviation"],
    "half": half_forgotten(),
    "redrawn": BUGS["noise redrawn in backward"],
    "sign": kl_gradients_times(1, -1),
    "dropped": BUGS["kl identically zero"],
    "mean": BUGS["mean of pixels and sum of units"],
}


@pytest.mark.parametrize("bug", SEEN)
def test_each_bug_is_the_one_that_the_checks_of_the_package_know(bug, rng):
    vae, x, eps = batch(rng)
    given = {name: flat(a) for name, a in vae.params_.items()}
    redrawn = noise.normal(B, 2, seed=1, stream=noise.TRAIN, step=0, dtype="float64")
    found = in_node(LOSS_AND_GRAD, given, flat(x), flat(eps), 1, {bug: True}, flat(redrawn))
    with OF_THE_PACKAGE[bug]():
        compare(found, vae, x, eps)


def test_without_noise_and_kl_it_is_an_autoencoder(rng):
    vae, x, eps = batch(rng)
    auto = Autoencoder(latent_dim=2, hidden=(H,), activation="tanh", dtype="float64").build(D)
    for name, a in auto.params_.items():
        a[...] = vae.params_[name][..., : a.shape[-1]]
    given = {name: flat(a) for name, a in vae.params_.items()}
    found = in_node(LOSS_AND_GRAD, given, flat(x), flat(0 * eps), 0, {}, [])
    loss, gradients = auto.loss_and_grad(x)
    assert found[0] == pytest.approx(loss, rel=1e-12)
    for name, g in found[3]:
        g = np.reshape(g, vae.params_[name].shape)
        assert not g[..., gradients[name].shape[-1] :].any()
        mine = g[..., : gradients[name].shape[-1]]
        np.testing.assert_allclose(mine, gradients[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_adam_is_the_packages(evaluate, rng):
    p, gradients = rng.standard_normal(9), rng.standard_normal((6, 9))
    body = """
    const [start, gradients] = arguments, p = Float64Array.from(start);
    const state = { m: like(p), v: like(p), t: 0 };
    for (const g of gradients) adam(state, p, g, 0.01);
    return [...p];
    """
    found = evaluate(body, p.tolist(), gradients.tolist())
    adam = Adam(p, lr=0.01)
    for g in gradients:
        adam.step(p, g)
    np.testing.assert_allclose(found, p, rtol=1e-12)


def test_its_noise_is_normal():
    z = np.array(
        in_node("const { normal } = normalFrom(3); return Array.from({length: 40000}, normal)")
    )
    assert abs(z.mean()) < 5 / 200
    assert abs(z.std() - 1) < 5 / 280
    assert abs((z**4).mean() - 3) < 5 * (96 / 40000) ** 0.5
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 5 / 200


CHECKS = """
const [bytes, bug, seeds, steps] = arguments, D = 196, H = 12, N = 20;
const x = Float64Array.from(bytes, (v) => v / 255), said = [];
for (let seed = 0; seed < seeds; seed++) {
  const { uniform, normal } = normalFrom(seed), { vector, p } = build(D, H, uniform);
  const gradient = like(vector), g = views(gradient, D, H);
  const state = { m: like(vector), v: like(vector), t: 0 };
  for (const many of [0, steps]) {
    for (let step = 0; step < many; step++) {
      const acts = forward(p, x, new Float64Array(N * Z).map(normal), 1, bug);
      backward(p, g, acts, 1, bug, normal);
      adam(state, vector, gradient, 0.01);
    }
    const eps = new Float64Array(N * Z).map(normal);
    said.push([differences(p, x, eps, 1, bug, normal), meaning(p, x, eps, bug, normal)].map(
      (rows) => rows.filter((row) => !row.passed).map((row) => row.name)));
  }
}
return said;
"""


@pytest.mark.parametrize("bug", [None, *SEEN])
def test_each_bug_is_seen_by_its_check_and_no_other_at_the_start_and_later(bug):
    x = flat(playground.digits()["train"][:20])
    said = in_node(CHECKS, x, {bug: True} if bug else {}, 4, 150)
    assert said == [list(SEEN[bug]) if bug else [[], []]] * 8


def test_the_checks_compute_what_they_say(rng):
    """An error that no switch knows: each check sees it, and says how large it is."""
    body = """
    const [bytes] = arguments, D = 196, { uniform, normal } = normalFrom(0);
    const { p } = build(D, 12, uniform), x = Float64Array.from(bytes, (v) => v / 255);
    const eps = new Float64Array(40).map(normal);
    forward = ((right) => (...given) => {
      const acts = right(...given);
      return { ...acts, loss: acts.loss + 0.01 * given[0].out_b[3] };
    })(forward);
    const slopes = differences(p, x, eps, 1, {}, normal), parts = meaning(p, x, eps, {}, normal);
    return [slopes, parts].map((rows) => rows.filter((row) => !row.passed).map((row) => row.name));
    """
    x = flat(playground.digits()["train"][:20])
    assert in_node(body, x) == [["out_b"], ["reconstruction"]]


CHECKED = """
const [bytes, factor, out_b] = arguments, { uniform, normal } = normalFrom(0);
const { p } = build(196, 12, uniform), x = Float64Array.from(bytes, (v) => v / 255);
p.head_W.forEach((w, i) => { p.head_W[i] = factor * w; });
if (out_b) p.out_b.fill(out_b);
const eps = new Float64Array(2 * x.length / 196).map(normal);
return [differences(p, x, eps, 1, {}, normal), meaning(p, x, eps, {}, normal)];
"""


@pytest.mark.parametrize(("factor", "out_b"), [(1, -30), (1, -40), (1, 40), (1e4, 0)])
def test_the_right_model_passes_with_weights_far_from_the_start(factor, out_b):
    """Pixels that are always blank drift to logits below -38; some bugs make mu and logvar huge."""
    both = in_node(CHECKED, flat(playground.digits()["train"][:20]), factor, out_b)
    parts = both[1] if out_b else both[0] + both[1]  # no slope is left where all logits are large
    assert [row["name"] for row in parts if not row["passed"]] == []


def test_the_random_parts_may_differ_by_five_standard_errors():
    body = """
    const [bytes] = arguments, x = Float64Array.from(bytes, (v) => v / 255);
    return Array.from({ length: 30 }, (_, seed) => {
      const { uniform, normal } = normalFrom(seed), { p } = build(196, 12, uniform);
      return meaning(p, x, new Float64Array(40).map(normal), {}, normal).slice(0, 2);
    });
    """
    rows = in_node(body, flat(playground.digits()["train"][:20]))
    for samples, _ in rows:
        assert samples["limit"] == pytest.approx(5 / (2 * 600 * 20 * 2) ** 0.5)
    for part in zip(*rows, strict=True):
        errors = [5 * (row["found"] - row["expected"]) / row["limit"] for row in part]
        assert 0.6 < np.std(errors) < 1.5


def test_the_first_weights_are_uniform_within_the_root_of_the_fan_in():
    body = """
    const { p } = build(50, 20, normalFrom(0).uniform);
    return Object.entries(p).map(([name, a]) => [name, Math.max(...a.map(Math.abs))]);
    """
    found = in_node(body)
    vae = VAE(latent_dim=2, hidden=(20,), activation="tanh").build(50)
    assert [name for name, _ in found] == list(vae.params_)
    for name, most in found:
        limit = len(vae.params_[name.replace("_b", "_W")]) ** -0.5
        assert most <= limit, name
        assert most > 0.85 * limit or name.endswith("_b"), name


def test_the_tiles_of_the_plane_are_decoded_where_they_stand():
    body = """
    digits = { D: 6 }, start({ hidden: 5, seed: 0 });
    const { tiles: found, tilesReach: reach } = tiles(new Float64Array(4)), far = reach * 13 / 14;
    const at = (row, column) => [...found.slice(6 * (14 * row + column)).slice(0, 6)];
    const three = [[-far, far], [far, far], [-far, -far]];
    const corners = three.map((z) => bytesOf(decode(now.p, z)[1]));
    return [[at(0, 0), at(0, 13), at(13, 0)], corners.map((corner) => [...corner])];
    """
    found, corners = in_node(body)
    assert found == corners
    assert corners[0] != corners[1] != corners[2]


# what the two lines of each switch compute, for one example of three equal pixels
LINES = """
const [lines] = arguments, B = 1, D = 3, x = 0.3, beta = 0.7, eps = 0.6, fresh = -1.7;
const { sqrt, exp } = Math, sum = (v) => D * v, normal = () => fresh, said = {};
const { p } = build(D, 2, normalFrom(0).uniform), one = (a) => a.fill(a[0]);
one(p.out_W), one(p.out_b);
for (const name in lines) {
  said[name] = [{}, { [name]: true }].map((bug, k) => {
    const acts = forward(p, new Float64Array(D).fill(x), new Float64Array(2).fill(eps), beta, bug);
    const g = views(new Float64Array(count(D, 2)), D, 2), run = (beta) => {
      const { dz, dhead } = backward(p, g, acts, beta, bug, normal);
      return { dz: dz[0], dlogvar: dhead[2] };
    };
    const { dz, dlogvar } = run(0), dlogvar_kl = run(beta).dlogvar - dlogvar, dkl = beta / B;
    const { rec, kl, loss } = acts, [mu, , logvar] = acts.head, y = acts.y[0], z = acts.z[0];
    const [left, right] = lines[name][k].split(" = "), value = (text) => eval(text);
    return [value(left), value(right)];
  });
}
return said;
"""


def test_the_lines_of_each_switch_are_what_the_model_computes(page):
    lines = {}
    for bug, right, wrong in re.findall(
        r'data-bug="(\w+)".*?class="right">(.*?)<.*?class="wrong">(.*?)<', page, re.DOTALL
    ):
        lines[bug] = [right, wrong]
    assert [*lines] == [*SEEN]
    for bug, both in in_node(LINES, lines).items():
        for computed, shown in both:
            assert computed == pytest.approx(shown, rel=1e-9), bug
        assert both[0][0] != pytest.approx(both[1][0], rel=1e-3), bug


# ------------------------------------------------------------------------------ in a browser


class Playground(browser.Page):
    def ask(self, **request):
        """Send the worker a request, and wait until its answer is drawn."""
        self.js("playground.ask(arguments[0])", request)
        self.settle()

    def settle(self):
        script = """
        const done = arguments[0], { at } = playground;
        const busy = () => at.busy || at.drawing || !at.checks;
        const look = () => busy() ? requestAnimationFrame(look) : done();
        look();
        """
        self.window.execute_async_script(script)

    def bug(self, name):
        self.click(f"[data-bug={name}]")
        self.settle()

    def step(self):
        return self.js("return playground.at.step")

    def failed(self):
        """The names of the lines of each check that are red, and its own colour with them."""
        names = {
            "spread of z / exp(logvar/2)": "samples",
            LIKELIHOOD: "reconstruction",
        }
        found = []
        for check in ("differences", "meaning"):
            red = [li.text.split("\n")[0] for li in self.find_all(f"#{check} li.failed")]
            classes = self.find(f"#{check}").get_attribute("class").split()
            assert ("failed" in classes, "passed" in classes) == (bool(red), not red)
            found.append([names.get(name, name) for name in red])
        return found


@pytest.fixture
def opened(chromium, file):
    """The page, at rest; at the end, nothing may have been complained of or fetched."""
    view = Playground(chromium, f"{file.as_uri()}#paused")
    view.settle()
    yield view
    assert view.complaints() == []
    fetched = view.js("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [name for name in fetched if not name.startswith("blob:")] == []
    view.prefers()


def test_200_steps_lower_the_loss_and_the_same_seed_gives_the_same(opened):
    view = opened
    view.choose("#hidden", "32")
    view.ask(steps=200)
    assert view.step() == 200
    losses = np.array(view.js("return playground.at.history"))
    assert losses.shape == (200, 3)
    np.testing.assert_allclose(losses[:, 0], losses[:, 1:].sum(axis=1))
    assert losses[0, 0] == pytest.approx(196 * np.log(2), rel=0.05)
    assert losses[-20:, 0].mean() < 0.5 * losses[0, 0]
    assert view.find("#loss").text == f"{losses[-1, 0]:.2f}"
    drawn = np.reshape(view.js("return [...playground.at.images]"), (10, D))
    likeness = [
        np.corrcoef(a, b)[0, 1] for a, b in zip(drawn, playground.digits()["test"], strict=False)
    ]
    assert np.mean(likeness) > 0.6
    view.click("#restart")
    view.settle()
    assert view.step() == 0
    view.ask(steps=100, check=True)  # which draws other noise than training does
    view.ask(steps=100)
    np.testing.assert_array_equal(view.js("return playground.at.history"), losses)
    view.choose("#seed", "1")
    view.settle()
    view.ask(steps=200)
    assert abs(np.array(view.js("return playground.at.history")) - losses).min() > 0


@pytest.mark.parametrize("steps", [0, 60])
def test_switches_turn_on_the_check_that_is_said_to_see_them(steps, opened):
    view = opened
    view.ask(steps=steps, check=True)
    assert view.failed() == [[], []]
    assert view.find("#verdict").get_attribute("textContent") == (
        "Finite differences pass. Meaning passes."
    )
    for bug, (differences, meaning) in SEEN.items():
        view.bug(bug)
        assert view.failed() == [differences, meaning], bug
        assert view.find(f"#why-{bug}").is_displayed()
        said = view.find("#verdict").get_attribute("textContent")
        for text, names in (("differences", differences), ("Meaning", meaning)):
            fails = f"{text} fail{'s' * (text == 'Meaning')}: {', '.join(names)}."
            assert (fails in said) == bool(names), said
        red = view.js("return all('svg .failed').map((e) => e.textContent)")
        assert sorted(red) == sorted(differences)
        view.ask(steps=steps, check=True)
        assert view.failed() == [differences, meaning], bug
        view.bug(bug)
        assert view.failed() == [[], []], bug
        assert not view.find(f"#why-{bug}").is_displayed()


def test_an_autoencoder_has_points_and_one_part_of_meaning(opened):
    view = opened
    view.click("#noise")
    view.settle()
    assert [li.text.split("\n")[0] for li in view.find_all("#meaning li")] == [LIKELIHOOD]
    assert view.failed() == [[], []]
    view.ask(steps=3)
    loss, rec, kl = view.js("return playground.at.last")
    assert loss == rec
    assert kl > 0
    assert "An autoencoder" in view.find("#plane-help").text
    assert view.js("return all('[data-bug]:disabled').map((box) => box.dataset.bug)") == [
        *("std", "half", "sign", "dropped")
    ]
    assert view.find("[data-bug=std]").accessible_name.endswith("(needs latent noise)")
    view.bug("redrawn")
    assert view.failed() == [ENCODER, []]
    view.bug("redrawn")
    view.bug("mean")
    assert view.failed() == [[], ["reconstruction"]]


def test_what_is_drawn_is_what_the_model_says(opened):
    view = opened
    view.ask(steps=30)
    body = """
    const { head, images, norms, tiles, reach } = playground.at;
    return [[...head], [...images], norms, tiles.length, reach];
    """
    head, drawn, norms, tiles, reach = view.js(body)
    head = np.reshape(head, (60, 4))
    assert reach >= 2
    assert tiles == 14 * 14 * D
    assert np.reshape(drawn, (10, D)).std(axis=0).max() > 1
    assert norms.keys() == {*ENCODER, "dec0_W", "dec0_b", "out_W", "out_b", "mu", "logvar", "z"}
    for name, value in norms.items():
        text = view.js("return all(`[data-norm=${arguments[0]}]`)[0].textContent", name)
        assert float(text) == pytest.approx(value, rel=0.06), name
    shown = view.js(
        "const c = document.querySelector('#digits'), g = c.getContext('2d');"
        "return [c.width, c.height, [...g.getImageData(0, 0, c.width, c.height).data]]"
    )
    ink = np.reshape(shown[2], (shown[1], shown[0], 4))[..., 3]
    originals = playground.digits()["test"][:10].reshape(10, 14, 14)
    for k in range(10):
        np.testing.assert_array_equal(ink[:14, 15 * k : 15 * k + 14], originals[k])
        below = ink[15:29, 15 * k : 15 * k + 14]
        np.testing.assert_array_equal(below, np.reshape(drawn, (10, 14, 14))[k])


def test_it_plays_by_itself_and_stops(chromium, file):
    view = Playground(chromium, file.as_uri())
    script = "const done = arguments[0]; setTimeout(() => done(playground.at.step), 1000)"
    first, second = (view.window.execute_async_script(script) for _ in range(2))
    assert second > first > 0
    view.click("#play")
    view.settle()
    still = view.step()
    view.settle()
    assert view.step() == still
    assert view.find("#play").text == "play"
    assert view.complaints() == []


def test_it_waits_where_motion_is_to_be_reduced(chromium, file):
    view = Playground(chromium, "about:blank")
    view.prefers(reduced_motion="reduce")
    view.window.get(file.as_uri())
    view.settle()
    assert (view.step(), view.js("return playground.at.playing")) == (0, False)
    view.prefers()


def test_keys(opened):
    from selenium.webdriver import Keys

    view, body = opened, opened.find("body")
    for keys in ("s", "sss"):
        body.send_keys(keys)
        view.settle()
    assert view.step() == 4
    view.js(
        "for (const held of [{repeat: true}, {ctrlKey: true}, {altKey: true}, {metaKey: true}])"
        "  document.body.dispatchEvent("
        "    new KeyboardEvent('keydown', {key: 's', bubbles: true, ...held}))"
    )
    for selector in ("#beta", "#noise", "#seed"):
        view.find(selector).send_keys("s")
    view.settle()
    assert view.step() == 4
    body.send_keys(" ")
    assert view.js("return playground.at.playing") is True
    body.send_keys(" ")
    assert view.js("return playground.at.playing") is False
    view.find("#play").send_keys(" ")  # once, and not once more by the page
    assert view.js("return playground.at.playing") is True
    view.find("#play").send_keys(" ")
    assert view.js("return playground.at.playing") is False
    view.find("#beta").send_keys(Keys.ARROW_RIGHT)
    assert view.js("return playground.settings().beta") == 2**0.5
    assert view.find("#beta-value").text == "1.4"
    view.find("[data-bug=half]").send_keys(" ")
    view.settle()
    assert view.failed() == [ENCODER, []]
    assert view.js("return playground.at.playing") is False
    assert view.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


# how high the curve of the loss stands, as a share of the canvas, at these shares of its width
HEIGHTS = r"""
const [shares] = arguments, canvas = document.querySelector("#losses"), { width, height } = canvas;
const copy = new OffscreenCanvas(width, height), g = copy.getContext("2d", {
  willReadFrequently: true,
});
g.drawImage(canvas, 0, 0);
const ink = getComputedStyle(document.body).color.match(/\d+/g).map(Number);
return shares.map((share) => {
  const { data } = g.getImageData(Math.round(share * width), 0, 1, height);
  for (let y = 0; y < height; y++)
    if (ink.every((v, k) => Math.abs(data[4 * y + k] - v) < 9) && data[4 * y + 3] > 200)
      return 1 - y / height;
  return null;
});
"""


def test_the_axis_of_the_losses_follows_the_recent_ones(opened):
    view = opened
    view.ask(steps=1)

    def heights(losses):
        view.js("playground.at.history = arguments[0]", [[loss, 0, 0] for loss in losses])
        view.ask()
        return view.js(HEIGHTS, [0.5, 0.6, 0.7, 0.8, 0.9, 0.98])

    for last in (300, 1649, 1e7):
        rising = heights(np.linspace(0, last, 100))
        assert None not in rising
        assert (np.diff(rising) > 0.03).all(), "the curve of a growing loss is not flat"
        assert rising[-1] > 0.9
    healed = heights([*np.linspace(0, 1e5, 50), *[200] * 50])
    assert healed[1:] == pytest.approx([0.5] * 5, abs=0.1), "a past excess hides nothing"


def test_a_switch_shows_its_verdicts_on_a_phone(opened):
    view = opened
    view.resize(390, 844, mobile=True)
    for bug, (differences, meaning) in SEEN.items():
        view.js("arguments[0].scrollIntoView({block: 'center'})", view.find(f"[data-bug={bug}]"))
        view.bug(bug)
        line = view.find("#short")
        marks = ["\N{BALLOT X}" if wrong else "\N{CHECK MARK}" for wrong in (differences, meaning)]
        assert line.text == "finite differences {} \N{MIDDLE DOT} meaning {}".format(*marks)
        top, bottom = view.js(
            "const r = arguments[0].getBoundingClientRect(); return [r.top, r.bottom]", line
        )
        assert 0 < top < bottom <= 844
        view.bug(bug)
    view.resize(1280, 900)
    assert not view.find("#short").is_displayed()


def test_of_several_bugs_each_text_is_said_to_be_about_its_own(opened):
    view = opened
    before = "return getComputedStyle(document.querySelector('#why-std'), '::before').content"
    view.bug("std")
    assert view.js(before) == "none"
    view.bug("half")
    assert view.js(before) == '"This bug alone: "'
    view.bug("half")
    assert view.js(before) == "none"


def test_settings_reach_the_model(opened):
    view = opened
    for selector, value in (("#batch", "16"), ("#hidden", "16"), ("#lr", "-4"), ("#beta", "-2")):
        view.choose(selector, value)
    view.settle()
    chosen = view.js("return playground.settings()")
    assert (chosen["batch"], chosen["hidden"], chosen["lr"], chosen["beta"]) == (16, 16, 1e-4, 0.25)
    view.ask(steps=5)
    loss, rec, kl = view.js("return playground.at.last")
    assert loss == pytest.approx(rec + 0.25 * kl)


def test_a_loss_that_is_not_finite_stops_it_and_is_said(opened):
    view = opened
    view.js("document.querySelector('#lr').max = 300")
    view.choose("#lr", "300")
    view.click("#play")
    script = "const done = arguments[0]; setTimeout(done, 600)"
    view.window.execute_async_script(script)
    view.settle()
    assert view.js("return playground.at.playing") is False
    assert "no longer a finite number: restart" in view.find("#verdict").text
    view.choose("#lr", "-2.5")
    view.click("#restart")
    view.settle()
    assert view.failed() == [[], []]


def test_an_error_in_the_training_is_said(opened):
    view = opened
    view.click("#play")
    view.js("playground.ask({ given: { train: null } })")
    script = "const done = arguments[0]; setTimeout(done, 600)"
    view.window.execute_async_script(script)
    assert view.find("#verdict").text.startswith("The training stopped: Uncaught TypeError")
    assert view.js("return playground.at.playing") is False
    assert all("TypeError" in complaint for complaint in view.complaints())
    view.ask(steps=1, check=True)
    assert view.failed() == [[], []]


def test_the_norms_are_also_a_list_that_changes_once_a_second(opened):
    view = opened
    view.ask(steps=3)
    script = "const done = arguments[0]; setTimeout(done, 1200)"
    view.window.execute_async_script(script)
    listed = view.js("return all('#norm-list li').map((item) => item.textContent.split(' '))")
    shown = view.js("return all('[data-norm]').map((e) => [e.dataset.norm, e.textContent])")
    assert sorted(listed) == sorted(shown)
    view.js(
        "window.changes = 0; new MutationObserver(() => { changes++; })"
        ".observe($('norm-list'), { childList: true })"
    )
    for _ in range(5):
        view.ask(steps=1)
    view.window.execute_async_script(script)
    assert 0 < view.js("return changes") <= 2
    assert view.js("return $('norm-list').closest('[aria-live], [role=status]')") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme, opened):
    view = opened
    view.prefers(color_scheme=scheme)
    for bug in ("half", "mean"):
        view.bug(bug)
    assert view.failed() == [ENCODER, ["reconstruction"]]
    found = view.contrasts()
    assert len(found) > 80
    assert {text: contrast for text, contrast in found if contrast < 4.5} == {}


def test_everything_that_can_be_used_or_seen_has_a_name(opened):
    seen = opened.find_all("button, input, select, canvas, svg, section")
    for element in seen:
        assert element.accessible_name, element.get_attribute("outerHTML")[:200]
    assert len(seen) > 25
    assert opened.find("#verdict").get_attribute("role") == "status"


@pytest.mark.parametrize("width", [320, 390, 800])
def test_it_fits_a_phone_and_the_dark(width, opened):
    view = opened
    for box in SEEN:
        view.click(f"[data-bug={box}]")
    view.settle()
    view.resize(width, 844, mobile=True)
    assert view.js("return document.documentElement.scrollWidth") == width
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = view.js(paper)
    view.prefers(color_scheme="dark")
    assert view.js(paper) != light


def test_the_pictures_of_the_documents(opened):
    view, steps = opened, 800 if os.environ.get("SCRATCHVAE_SCREENSHOTS") else 5
    for _ in range(5):
        view.ask(steps=steps, check=True)
    view.shoot("playground.png")
    for bug in ("half", "std"):
        view.bug(bug)
        view.ask(steps=steps // 2, check=True)
        view.settle()
        view.shoot(f"playground_{bug}.png")
        assert view.failed() == list(SEEN[bug])
        view.bug(bug)
