"""The pictures of a run that apply to its model and data, and the page that shows them."""

import re
from html.parser import HTMLParser
from shutil import copytree

import numpy as np
import pytest
from PIL import Image
from support.command_line import refused
from support.gifs import frames_of, read_gif
from support.run_folders import contents, metrics

from scratchvae import cli, load_data, load_model
from scratchvae.cli import train as training
from scratchvae.files.run_folder import FILES, TRAIN_PICTURES
from scratchvae.models.load import load
from scratchvae.pictures import gallery
from scratchvae.pictures.page import page
from scratchvae.train import trainer as loop

NUMBERS = {"checkpoint.npz", "best.npz", "metrics.csv", "config.json", "index.html"}
OF_TABLES = {"loss.png", "reconstructions.png", "samples.png"}
OF_IMAGES = {"reconstructions.png", "samples.png", "interpolations.png", "training.gif"}


def call(*argv):
    assert cli.main([str(a) for a in argv]) == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of a bar at one of three heights."""
    y = np.arange(80) % 3
    X = np.zeros((80, 6, 6), dtype=np.uint8)
    X[np.arange(80), 2 * y] = 200
    X[:, :, 0] += np.arange(80, dtype=np.uint8)[:, None] % 40
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(path, X=X, y=y)
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    train(data, run)
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A run of its own for each test."""
    return copytree(trained, tmp_path / "run")


def train(data, folder, *options):
    small = ("--latent-dim", "3", "--hidden", "8", "--batch-size", "16", "--lr", "0.02")
    call("train", "--data", data, *small, "--epochs", "12", "--quiet", "--out", folder, *options)
    return names(folder)


def names(folder):
    """What lies in the folder, but for the checkpoints before the newest."""
    return {name for name in contents(folder) if not name.startswith("checkpoint-")}


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("", OF_IMAGES | {"loss.png", "unit_kl.png", "traversals.png"}),
        ("--model iwae --latent-dim 2",
         OF_IMAGES | {"loss.png", "unit_kl.png", "traversals.png", "latent.png", "manifold.png"}),
        ("--model m2", OF_IMAGES | {"loss.png", "unit_kl.png", "traversals.png"}),
        ("--model cvae --latent-dim 2 --beta 1000",  # no unit is active
         OF_IMAGES | {"loss.png", "unit_kl.png", "latent.png", "manifold.png"}),
        ("--model ae --latent-dim 2",
         OF_IMAGES | {"loss.png", "traversals.png", "latent.png", "manifold.png"}),
        ("--model vae --latent-dim 1", OF_IMAGES | {"loss.png", "unit_kl.png", "traversals.png"}),
    ],
)  # fmt: skip
def test_a_run_leaves_the_pictures_that_apply(options, left, data, tmp_path):
    run = tmp_path / "run"
    assert train(data, run, *options.split()) == NUMBERS | left
    assert left | NUMBERS <= set(FILES)
    for name in left:
        kind = b"GIF89a" if name.endswith(".gif") else b"\x89PNG"
        assert (run / name).read_bytes().startswith(kind)
    shown = re.findall(r'<img src="([^"]+)"', (run / "index.html").read_text())
    assert sorted(shown) == sorted(left)


@pytest.mark.parametrize(
    ("options", "left", "why"),
    [
        ("--latent-dim 7", {"unit_kl.png", "latent.png"}, ""),
        ("--latent-dim 2", {"unit_kl.png", "latent.png"}, ""),
        (
            "--latent-dim 1",
            {"unit_kl.png"},
            "No latent.png: the model has one latent unit, not two.",
        ),
        ("--model ae", {"latent.png"}, "No unit_kl.png: an Autoencoder has no KL."),
    ],
)
def test_rows_that_are_no_images_have_pictures_of_their_own(options, left, why, tmp_path, rng):
    np.save(tmp_path / "rows.npy", rng.random((60, 7)))
    run = tmp_path / "run"
    found = train(tmp_path / "rows.npy", run, *options.split())
    assert found == NUMBERS | left | OF_TABLES
    assert "film" not in load(run)[2]
    said = "".join(Page((run / "index.html").read_text()).texts)
    images = "manifold.png, traversals.png, interpolations.png or training.gif"
    assert f"No {images}: the rows are not images.\n" in said
    assert why in said
    assert f"scratchvae sample {run} -n 1000 -o new.csv\n" in said
    assert f"scratchvae anomaly {run} --split all\n" in said
    assert "scratchvae explore" not in said
    assert "scratchvae manifold" not in said


def test_one_test_example_has_no_other_to_go_to(tmp_path, rng):
    np.savez(tmp_path / "one.npz", x_train=rng.random((20, 9)), x_test=rng.random((1, 9)))
    run = tmp_path / "run"
    found = train(tmp_path / "one.npz", run)
    assert "interpolations.png" not in found
    assert "traversals.png" not in found, "of one example, no unit varies"
    said = "".join(Page((run / "index.html").read_text()).texts)
    assert "No interpolations.png: the test split has no two examples.\n" in said
    assert "No traversals.png: no latent unit is active.\n" in said
    assert "No latent.png: the model has 3 latent units, not two.\n" in said


@pytest.mark.parametrize("units", [1, 2, 3])
def test_a_page_that_offers_a_manifold_does_not_say_that_there_cannot_be_one(units, tmp_path, rng):
    np.savez(tmp_path / "d.npz", x_train=rng.random((20, 9)), x_test=rng.random((3, 9)))
    run = tmp_path / "run"
    found = train(tmp_path / "d.npz", run, "--latent-dim", str(units))
    said = "".join(Page((run / "index.html").read_text()).texts)
    one = "No latent.png or manifold.png: the model has one latent unit, not two.\n"
    three = "for two units only; the manifold command below picks two of 3.\n"
    assert ("manifold.png" in found) == (units == 2)
    assert (f"scratchvae manifold {run}" in said) == (units > 1)
    assert (one in said, three in said) == (units == 1, units == 3)


def test_an_absent_interpolation_of_labelled_data_names_the_label(tmp_path, rng):
    X, y = rng.random((24, 9)), np.arange(24) % 2
    np.savez(tmp_path / "two.npz", x_train=X, y_train=y, x_test=X[:2], y_test=y[:2])
    train(tmp_path / "two.npz", tmp_path / "run", "--model", "cvae")
    said = "".join(Page((tmp_path / "run" / "index.html").read_text()).texts)
    assert "No interpolations.png: the test split has no two examples of one label.\n" in said


def test_quiet_says_nothing_and_otherwise_all_files_are_named(data, tmp_path, capsys):
    train(data, tmp_path / "run")
    assert capsys.readouterr() == ("", "")
    small = ("--hidden", "8", "--epochs", "1", "--out", tmp_path / "two")
    call("train", "--data", data, *small)
    said = capsys.readouterr().out.strip().splitlines()[-1]
    assert said.startswith(f"in {tmp_path / 'two'}: index.html, training.gif, loss.png")
    assert set(said.split(": ")[1].split(", ")) == names(tmp_path / "two") - (
        NUMBERS - {"index.html"}
    )


def test_the_bars_are_what_metrics_say_of_the_test_split(data, tmp_path, monkeypatch):
    from scratchvae.evaluate import metrics
    from scratchvae.pictures import plots

    seen, original = [], plots.unit_kl
    monkeypatch.setattr(plots, "unit_kl", lambda *a: (seen.append(a), original(*a))[1])
    train(data, tmp_path / "run", "--beta", "3")
    mu, logvar = load_model(tmp_path / "run").encode(load_data(data, "test")[0])
    np.testing.assert_allclose(seen[0][0], metrics.unit_kl(mu, logvar))
    np.testing.assert_array_equal(seen[0][1], metrics.active_units(mu))
    assert 0 < seen[0][1].sum() < 3


@pytest.mark.parametrize("model", ["vae", "cvae", "m2"])
def test_a_gpu_that_refuses_to_convert_leaves_the_same(model, data, tmp_path, double):
    few = ("--model", model, "--epochs", "3")
    on_cpu = train(data, tmp_path / "cpu", *few)
    on_gpu = train(data, tmp_path / "gpu", *few, "--device", "cuda")
    assert on_gpu == on_cpu
    films = [load(tmp_path / name)[2]["film"].astype(int) for name in ("cpu", "gpu")]
    assert films[0].shape == films[1].shape
    assert abs(films[0][0] - films[1][0]).max() <= 1


def test_a_picture_that_applies_no_more_is_removed(run, monkeypatch):
    (run / "anomaly.png").write_bytes(b"of a command")
    original = gallery.units_of

    def none(*a):
        found = original(*a)
        return found._replace(active=np.zeros_like(found.active))

    monkeypatch.setattr(gallery, "units_of", none)
    call("train", "--resume", "--out", run, "--epochs", "13", "--quiet")
    assert not (run / "traversals.png").exists()
    assert (run / "anomaly.png").exists()
    text = (run / "index.html").read_text()
    assert 'src="traversals.png"' not in text
    assert "<p>No traversals.png: no latent unit is active.</p>" in text


def test_overwrite_removes_all_that_a_run_may_leave(data, run, tmp_path, capsys):
    for name in ("index.html", "training.gif", "unit_kl.png", "diagram.svg", *TRAIN_PICTURES):
        (tmp_path / "taken").mkdir(exist_ok=True)
        (tmp_path / "taken" / name).write_text("mine")
        argv = ["train", "--data", data, "--out", tmp_path / "taken"]
        refused(capsys, argv, f"files that a run would replace ({name})")
        (tmp_path / "taken" / name).unlink()
        (run / name).write_text("old")
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((60, 7)))
    for kind in ("csv", "png"):  # the scores of anomaly --data new.npy, and a user's own files
        (run / f"anomaly-new.{kind}").write_text("row,score,label\n0,1.5,a\n")
        (run / f"anomaly-mine.{kind}").write_text("day,score\n1,2\n")
    found = train(tmp_path / "rows.npy", run, "--overwrite")
    own = {"anomaly-mine.csv", "anomaly-mine.png"}
    assert found == NUMBERS | OF_TABLES | {"unit_kl.png", "latent.png"} | own


# ------------------------------------------------------------------- colour, and other shapes


@pytest.mark.parametrize("shape", [(6, 4, 3), (3, 6, 4), (5, 9), (16, 4)])
def test_a_run_on_images_of_any_shape_leaves_all_pictures(shape, tmp_path, rng):
    weights = rng.random((2, np.prod(shape)))
    X = np.rint(127 * rng.random((90, 2)) @ weights).astype(np.uint8).reshape(90, *shape)
    np.savez(tmp_path / "images.npz", X=X, y=np.arange(90) % 2)
    run = tmp_path / "run"
    found = train(tmp_path / "images.npz", run, "--latent-dim", "2", "--beta", "0.1")
    assert found == NUMBERS | OF_IMAGES | {
        *("loss.png", "unit_kl.png", "latent.png", "manifold.png", "traversals.png")
    }
    assert load(run).arrays["film"].shape == (13, 48, X[0].size)
    for command in ("sample", "reconstruct", "interpolate", "traverse", "manifold"):
        call(command, run, "-o", tmp_path / f"{command}.png")
    call("anomaly", run, "-o", tmp_path / "scores.csv")
    assert (tmp_path / "scores.png").exists()
    call("interpolate", run, "-o", tmp_path / "i.gif")
    call("explore", run)
    call("train", "--resume", "--out", run, "--epochs", "13", "--quiet")
    assert len(read_gif(run / "training.gif").delays) == 14


def test_rows_of_a_square_number_are_drawn_in_their_shape(tmp_path, rng, monkeypatch):
    from scratchvae.pictures import plots

    X = rng.random((40, 2, 8))  # 16 pixels, which are not 4 by 4
    np.savez(tmp_path / "wide.npz", X=X)
    seen, original = [], plots.reconstructions
    monkeypatch.setattr(plots, "reconstructions", lambda *a: (seen.append(a), original(*a))[1])
    run = tmp_path / "run"
    train(tmp_path / "wide.npz", run, "--epochs", "1")
    test, _ = load_data(tmp_path / "wide.npz", "test")
    for shown in seen[0]:  # noise is not ink on paper: three equal colours
        assert (shown == shown[..., :1]).all()
    np.testing.assert_allclose(seen[0][0][..., 0], test)
    decoded = load_model(run).reconstruct(test).reshape(-1, 2, 8)
    np.testing.assert_allclose(seen[0][1][..., 0], decoded)


def test_photographs_are_drawn_as_they_are_in_every_picture(tmp_path, rng):
    """Grey that is not ink on paper: 0 is black."""
    dark = np.clip(rng.normal(0.1, 0.02, (60, 6, 6)), 0.001, 1)
    np.save(tmp_path / "dark.npy", dark)
    run = tmp_path / "run"
    train(tmp_path / "dark.npy", run, "--latent-dim", "2", "--epochs", "2")
    call("anomaly", run, "-o", tmp_path / "a.csv")
    call("interpolate", run, "-o", tmp_path / "i.gif")
    pictures = [*run.glob("*.gif"), tmp_path / "a.png", tmp_path / "i.gif"]
    pictures += [run / f"{n}.png" for n in ("samples", "reconstructions", "manifold")]
    for path in pictures:
        with Image.open(path) as image:
            image.seek(getattr(image, "n_frames", 1) - 1)
            pixels = np.asarray(image.convert("L"))
        assert (pixels < 160).mean() > 0.09, path.name  # as ink, nearly all would be pale
    decoded = load_model(run).decode([[0.0, 0.0]])
    assert gallery.drawn(load_model(run), decoded).shape == (1, 6, 6, 3)


def test_a_csv_of_named_pixels_is_drawn_as_images(tmp_path, rng):
    X, y = rng.integers(0, 256, (60, 16)), rng.integers(0, 3, 60)
    lines = [",".join(["label", *(f"pixel{i}" for i in range(16))])]
    lines += [",".join(map(str, [label, *row])) for label, row in zip(y, X, strict=True)]
    (tmp_path / "digits.csv").write_text("\n".join(lines))
    run = tmp_path / "run"
    found = train(tmp_path / "digits.csv", run, "--scale", "bytes", "--epochs", "2")
    assert found >= OF_IMAGES
    assert load_model(run).rows_.image_shape == (4, 4)


# --------------------------------------------------------------------------------- the film


def test_the_film_has_a_frame_for_each_epoch_also_of_a_resumed_run(data, trained, tmp_path):
    run = tmp_path / "run"
    train(data, run, "--epochs", "5")
    assert len(read_gif(run / "training.gif").delays) == 6
    call("train", "--resume", "--out", run, "--epochs", "12", "--quiet")
    assert len(read_gif(run / "training.gif").delays) == 13
    np.testing.assert_array_equal(
        frames_of(run / "training.gif"), frames_of(trained / "training.gif")
    )
    _, _, arrays = load(run)
    assert arrays["film_epochs"].tolist() == list(range(13))
    model = load_model(run)
    last = np.rint(255 * model.rows_.images(model.sample(arrays["film"].shape[1])))
    np.testing.assert_array_equal(arrays["film"][-1], last.reshape(len(last), -1))


def test_an_interrupted_run_keeps_its_film(data, tmp_path, monkeypatch):
    class Interrupted(loop.Trainer):
        def take_step(self, rows):
            if self.epoch == 3:
                raise KeyboardInterrupt
            return super().take_step(rows)

    monkeypatch.setattr(training, "Trainer", Interrupted)
    small = ("--latent-dim", "3", "--hidden", "8", "--epochs", "12", "--quiet")
    argv = ["train", "--data", str(data), *small, "--out", str(tmp_path / "run")]
    assert cli.main(argv) == 130
    assert load(tmp_path / "run")[2]["film_epochs"].tolist() == [0, 1, 2, 3]
    monkeypatch.undo()
    call("train", "--resume", "--out", tmp_path / "run", "--epochs", "4", "--quiet")
    assert len(read_gif(tmp_path / "run" / "training.gif").delays) == 5


def test_interpolate_writes_an_animation(run, tmp_path, capsys):
    call("interpolate", run, "-n", "2", "-o", tmp_path / "i.gif")
    assert capsys.readouterr().out == f"{tmp_path / 'i.gif'}\n"
    gif = read_gif(tmp_path / "i.gif")
    assert (gif.loops, gif.palettes) == (0, 0)
    assert sum(gif.delays) == 2 * 800 + 44 * 80, "24 steps, there and back"
    call("interpolate", run, "-n", "2", "--steps", "5", "-o", tmp_path / "i.gif")
    assert sum(read_gif(tmp_path / "i.gif").delays) == 2 * 800 + 6 * 80
    refused(capsys, ["interpolate", run, "-o", "x.doc"], ".pdf (a picture), .gif (an animation)")
    for command in ("sample", "reconstruct", "traverse", "manifold"):
        refused(capsys, [command, run, "-o", tmp_path / "x.gif"], "x.gif must end in .png")


# --------------------------------------------------------------------------------- the page


MINUS = "\N{MINUS SIGN}"


class Page(HTMLParser):
    """Elements that were opened and not closed, texts, and what refers to other files."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.cells, self.links, self.alts, self.texts = [], [], [], [], []
        self.tiles = []  # the name, the value and the explanation of each
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert not any(name.startswith("on") for name in attrs)
        assert tag not in ("link", "iframe")
        assert tag != "script" or not attrs
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [attrs[name] for name in ("src", "href") if name in attrs]
        if tag == "img":
            self.alts.append(attrs["alt"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(text)
        if self.open and self.open[-1] in ("dt", "dd", "strong"):
            self.tiles.append(text.strip())


def test_the_page_shows_the_numbers_the_pictures_and_how_to_go_on(data, tmp_path, capsys):
    run = tmp_path / "a run"
    small = ("--latent-dim", "3", "--hidden", "16,8", "--epochs", "12", "--beta", "0.1")
    small += ("--batch-size", "8", "--lr", "0.02")
    call("train", "--data", data, *small, "--out", run)
    out = capsys.readouterr().out
    text = (run / "index.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text
    shown = Page(text)
    said = "".join(shown.texts)
    assert "VAE 36-16-8-3 on bars.npz, 12 epochs" in said
    lines = out.splitlines()
    (elbo,) = [line.split(maxsplit=2) for line in lines if line.startswith("ELBO")]
    assert shown.tiles[0] == "ELBO"
    assert " ".join(elbo[1:]).replace("+- ", "±") == " ".join(shown.tiles[1:3]).replace(MINUS, "-")
    assert next(line for line in lines if line.startswith("data  ")) in said
    assert shown.links[:4] == ["samples.png"] * 2 + ["reconstructions.png"] * 2
    assert [link for link in shown.links if link in ("loss.png", "unit_kl.png")] == (
        ["loss.png"] * 2 + ["unit_kl.png"] * 2
    )
    assert all((run / link).exists() for link in shown.links)
    assert all(len(alt) > 10 for alt in shown.alts)
    assert len(set(shown.alts)) == len(shown.alts) == len(set(shown.links))
    rows = metrics(run)
    assert "The last 10 of 12" in said
    for row in rows[2:]:
        assert f"{float(row['test_loss']):.2f}" in shown.cells
    assert f"{float(rows[1]['test_loss']):.2f}" not in shown.cells
    assert ["beta", "0.1"] == shown.cells[shown.cells.index("beta") :][:2]
    assert ["hidden", "16, 8"] == shown.cells[shown.cells.index("hidden") :][:2]
    assert "dreg" not in shown.cells, "a VAE has no such setting"
    folded = shown.cells.index("activation"), shown.cells.index("device")
    assert shown.cells.index("seed") < min(folded), "which have their defaults"
    commands = [line for line in said.splitlines() if line.startswith("scratchvae ")]
    assert f"scratchvae train --resume --out '{run}' --epochs 24" in commands
    names = [line.split()[1] for line in commands]
    assert " ".join(names) == (
        "train evaluate anomaly sample interpolate traverse manifold explore diagram"
    )


def test_the_commands_of_the_page_do_what_they_say(data, tmp_path, monkeypatch, capsys):
    import shlex

    monkeypatch.chdir(tmp_path)
    for model in ("ae", "m2"):
        train(data, tmp_path / model, "--model", model)
        said = "".join(Page((tmp_path / model / "index.html").read_text()).texts)
        lines = [line for line in said.splitlines() if line.startswith("scratchvae ")]
        for line in reversed(lines):  # the first goes on with the training
            call(*shlex.split(line)[1:])
        assert ("scratchvae diagram" in said) == (model == "ae")


def test_the_commands_of_the_page_name_a_row_that_exists(tmp_path, rng):
    few = tmp_path / "few.npz"
    np.savez(few, x_train=rng.random((40, 9)), x_test=rng.random((3, 9)))
    train(few, tmp_path / "run", "--model", "ae")
    said = "".join(Page((tmp_path / "run" / "index.html").read_text()).texts)
    assert "--row 2 -o row-2.png\n" in said


def test_everything_on_the_page_is_escaped():
    bad = "<b>&\"'</b>"
    record = dict.fromkeys(loop.COLUMNS, 1.0) | {"epoch": 1, "test_loss": float("nan")}
    settings = {bad: bad, "layers": (1, 2), "none": None, "empty": ()}
    defaults = {"none": None, "empty": [], "layers": (2, 1)}
    text = page(
        bad, [(bad, bad, bad)], bad, [record], {f"{bad}.png": bad}, {bad: bad}, settings, defaults,
        [["run", bad]],
    )  # fmt: skip
    assert "<b>" not in text
    shown = Page(text)
    assert shown.links == ["%3Cb%3E%26%22%27%3C/b%3E.png"] * 2
    assert shown.alts == [bad]
    assert shown.cells[-8:] == [bad, bad, "layers", "1, 2", "none", "none", "empty", "none"]
    assert shown.tiles == [bad] * 3
    assert "2 default settings" in text
    assert "Each epoch" in text
    assert "nan" not in text


def test_a_run_that_was_stopped_while_it_drew_gets_its_page_by_resume(run, capsys):
    left = names(run)
    kept = (run / "metrics.csv").read_bytes()
    for name in left - NUMBERS | {"index.html"}:
        (run / name).unlink()
    call("train", "--resume", "--quiet", "--out", run)
    assert names(run) == left
    assert (run / "metrics.csv").read_bytes() == kept
    assert cli.main(["train", "--resume", "--out", str(run)]) == 2
    assert "pass a larger --epochs to continue" in capsys.readouterr().err


# ---------------------------------------------------------------- the explorer, and the commands


def test_the_page_and_the_explorer_link_each_other(run, tmp_path, capsys):
    text = (run / "index.html").read_text()
    assert "explorer.html" not in Page(text).links
    call("explore", run, "-o", tmp_path / "elsewhere.html")
    assert (run / "index.html").read_text() == text
    assert 'href="index.html"' not in (tmp_path / "elsewhere.html").read_text()
    for _ in range(2):
        call("explore", run)
        assert Page((run / "index.html").read_text()).links.count("explorer.html") == 1
        assert 'href="index.html"' in (run / "explorer.html").read_text()
    assert Page((run / "index.html").read_text()).links[0] == "explorer.html"
    capsys.readouterr()
    call("train", "--resume", "--out", run, "--epochs", "13")
    removed = f"removed {run / 'explorer.html'}, which showed the earlier model"
    assert removed in capsys.readouterr().out
    assert not (run / "explorer.html").exists()
    assert "explorer.html" not in Page((run / "index.html").read_text()).links


def test_the_explorer_adds_nothing_to_a_page_that_is_not_its_own(run):
    (run / "index.html").write_bytes(b"caf\xe9, by hand")
    call("explore", run)
    assert (run / "index.html").read_bytes() == b"caf\xe9, by hand"


def test_commands_are_called_as_the_user_called_this_one(tmp_path, monkeypatch):
    """By name if it is on the PATH, else by its path, or by that of Python."""
    monkeypatch.chdir(tmp_path)
    bin = tmp_path / ".venv" / "bin"
    bin.mkdir(parents=True)
    for name in ("scratchvae", "python"):
        (bin / name).touch(0o755)
    module = tmp_path / "scratchvae" / "__main__.py"
    for path, argv, python, expected in (
        ("/nowhere", ".venv/bin/scratchvae", bin / "python", ".venv/bin/scratchvae"),
        ("/nowhere", bin / "scratchvae", bin / "python", f"{bin}/scratchvae"),
        (bin, bin / "scratchvae", bin / "python", "scratchvae"),
        (bin, ".venv/bin/scratchvae", bin / "python", "scratchvae"),
        ("/nowhere", module, bin / "python", ".venv/bin/python -m scratchvae"),
        ("/nowhere", module, "/opt/python", "/opt/python -m scratchvae"),
        (bin, module, bin / "python", "python -m scratchvae"),
        (bin, module, "/opt/python", "/opt/python -m scratchvae"),
        ("/nowhere", "/opt/notebook.py", "/opt/python", "scratchvae"),
        ("/nowhere", "", "/opt/python", "scratchvae"),
    ):
        monkeypatch.setenv("PATH", str(path))
        monkeypatch.setattr("sys.argv", [str(argv)])
        monkeypatch.setattr("sys.executable", str(python))
        assert " ".join(training.program()) == expected


def test_the_page_prints_the_way_in_which_it_was_called(data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "program", lambda: ["/opt/a b/python", "-m", "scratchvae"])
    train(data, tmp_path / "run", "--epochs", "1")
    said = "".join(Page((tmp_path / "run" / "index.html").read_text()).texts)
    assert f"'/opt/a b/python' -m scratchvae explore {tmp_path / 'run'}\n" in said
