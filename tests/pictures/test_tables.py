"""Pictures of tables: a panel for each column, named, in the units of the data."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from scratchvae import VAE, ConditionalVAE, cli
from scratchvae.evaluate.units import Data, units_of
from scratchvae.pictures import gallery, plots, tables

FORMULA = r"$\frac$"  # one that matplotlib cannot read


def rendered(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


def table(n=60):
    """Three columns of a kind, and a constant: (n,4)."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=n)
    return np.stack([170 + 8 * a, 3000 - 900 * a, rng.normal(size=n), np.full(n, 5)], axis=1)


NAMES = ("height", "steps", "noise", "five")


@pytest.fixture(scope="module")
def model():
    vae = VAE(latent_dim=3, hidden=(8,), likelihood="gaussian", scale="standard", lr=0.02)
    vae.build_from(table(), columns=NAMES)
    return vae


# ------------------------------------------------------------------------------- reconstructions


def test_r_squared_is_the_part_of_the_variance(rng):
    x = rng.normal(size=(500, 2)) * [1, 100] + 7
    mean = np.broadcast_to(x.mean(axis=0), x.shape)
    np.testing.assert_allclose(tables.r_squared(x, x), 1)
    np.testing.assert_allclose(tables.r_squared(x, mean), 0, atol=1e-12)
    np.testing.assert_allclose(tables.r_squared(x, (x + mean) / 2), 0.75)
    assert np.isnan(tables.r_squared(np.ones((3, 1)), np.zeros((3, 1)))).all()


def test_columns_are_drawn_by_name_and_the_best_is_first():
    X = table()
    decoded = X.copy()
    decoded[:, 0] = X[:, 0].mean()
    decoded[:, 2] *= 0.5
    figure = tables.reconstructions(X, decoded, NAMES)
    quality = tables.r_squared(X, decoded)
    assert titles(figure) == [
        "steps  R² 1.00", f"noise  R² {quality[2]:.2f}", "height  R² 0.00", "five  constant"
    ]  # fmt: skip
    assert "of 4 columns" not in figure.get_suptitle()
    (dots,) = figure.axes[1].collections
    np.testing.assert_array_equal(dots.get_offsets(), np.stack([X[:, 2], decoded[:, 2]], axis=1))
    assert figure.axes[0].get_xlim() == figure.axes[0].get_ylim()
    assert rendered(figure).std() > 5


def test_of_many_columns_the_best_and_the_worst(rng):
    X = rng.normal(size=(50, 40))
    decoded = X * np.linspace(0, 1, 40)  # the later, the better
    figure = tables.reconstructions(X, decoded, [f"c{i}" for i in range(40)])
    shown = [title.split()[0] for title in titles(figure)]
    assert shown == [f"c{i}" for i in (*range(39, 31, -1), *range(7, -1, -1))]
    assert "the 8 best and the 8 worst of 40 columns" in figure.get_suptitle()


@pytest.mark.parametrize(("n", "D"), [(1, 1), (1, 3), (2, 5), (60, 16), (60, 17)])
def test_tables_of_any_size_are_drawn(n, D, rng):
    X, names = rng.normal(size=(n, D)), [f"c{i}" for i in range(D)]
    for figure in (
        tables.reconstructions(X, X + 1, names),
        tables.samples(X, X + 1, names, "t"),
        tables.samples(X, None, names, "t"),
    ):
        assert rendered(figure).std() > 3
        assert len(titles(figure)) == min(D, 16)


def test_long_names_are_cut():
    figure = tables.reconstructions(table(), table(), ["x" * 50, "b", "c", FORMULA])
    assert f"{'x' * 19}…  R² 1.00" in titles(figure)
    assert rendered(figure).std() > 5


# --------------------------------------------------------------------------------------- samples


def test_histograms_hold_the_share_of_samples_and_of_data():
    data = np.linspace(0, 100, 1000)[:, None]
    drawn = 20 + data[:500] / 5
    figure = tables.samples(drawn, data, ["c"], "samples")
    samples, rows = (patch.get_data() for patch in figure.axes[0].patches)
    np.testing.assert_array_equal(samples.edges, rows.edges)
    assert samples.values.sum() == pytest.approx(1)
    assert rows.values.sum() == pytest.approx(1), "the extremes are in the outermost bins"
    assert samples.values[samples.edges[:-1] > 31].sum() == 0
    assert [text.get_text() for text in figure.legends[0].texts] == ["samples", "data"]


def test_a_histogram_of_few_rows_spans_them_and_of_many_clips_an_outlier(rng):
    few = np.array([[1.0], [2.0], [3.0], [4.0], [90.0]])
    (bars,) = (p.get_data() for p in tables.samples(few, None, ["c"], "t").axes[0].patches)
    assert (bars.edges[0], bars.edges[-1]) == (1, 90)
    np.testing.assert_allclose(bars.values.sum(), 1)
    many = np.append(rng.random(999), 1e6)[:, None]
    (bars,) = (p.get_data() for p in tables.samples(many, None, ["c"], "t").axes[0].patches)
    assert bars.edges[-1] < 2
    np.testing.assert_allclose(bars.values.sum(), 1)


def test_a_collapsed_model_has_a_histogram_too():
    drawn, data = np.full((100, 2), 3.0), np.linspace(0, 9, 40).reshape(20, 2)
    assert rendered(tables.samples(drawn, data, ["a", "b"], "t")).std() > 5
    assert rendered(tables.samples(drawn, None, ["a", "b"], "t")).std() > 5


def test_the_first_of_many_columns(rng):
    X = rng.normal(size=(20, 30))
    figure = tables.samples(X, X, [f"c{i}" for i in range(30)], "samples")
    assert titles(figure) == [f"c{i}" for i in range(16)]
    assert figure.get_suptitle() == "samples: the first 16 of 30 columns"


# --------------------------------------------------------------------------------- from a model


def test_the_numbers_are_in_the_units_of_the_data(model):
    X = table()
    picture = gallery.reconstructions(model, X, {})
    np.testing.assert_allclose(picture.numbers, model.reconstruct(X))
    figure = picture.figure(plots)
    assert {title.split()[0] for title in titles(figure)} == set(NAMES)
    steps = next(a for a in figure.axes if a.get_title(loc="left").startswith("steps"))
    np.testing.assert_allclose(steps.collections[0].get_offsets()[:, 0], X[:, 1])
    picture = gallery.samples(model, 50, seed=3, beside=X)
    np.testing.assert_allclose(picture.numbers, model.sample(50, seed=3))
    figure = picture.figure(plots)
    assert titles(figure) == list(NAMES)
    assert figure.get_suptitle() == "samples from the prior, means of p(x|z)"
    figure = gallery.samples(model, 50).figure(plots)
    assert figure.get_suptitle() == "samples from the prior, means of p(x|z); without the data"


def test_columns_without_names_have_numbers():
    vae = VAE(latent_dim=2, hidden=(4,), likelihood="gaussian").build_from(np.ones((3, 2)))
    assert gallery.names(vae) == ["column 0", "column 1"]


def test_the_latent_plane_is_that_of_the_two_most_informative_units(model):
    test = Data(table(), np.arange(60) % 2, "t", "rows")
    found = units_of(model, test, {})
    picture = gallery.latent_plane(model, test, found)
    np.testing.assert_array_equal(picture.numbers, found.mu[:, found.order[:2]])
    (axes, _) = picture.figure(plots).axes
    j = found.order[0]
    assert axes.get_xlabel() == f"unit {j} (KL {found.information[j]:.2f})"
    assert "in the two most informative units, coloured by label" in picture.words


# -------------------------------------------------------------------------------- the commands


@pytest.fixture
def run(tmp_path):
    np.savez(tmp_path / "t.npz", X=table()[:, :3] / 4000, y=np.arange(60) % 2)
    argv = ["train", "--data", tmp_path / "t.npz", "--model", "cvae", "--latent-dim", "2"]
    argv += ["--hidden", "4", "--epochs", "2", "--likelihood", "gaussian", "--quiet"]
    assert cli.main([*map(str, argv), "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_the_commands_draw_a_table_or_say_why_not(run, tmp_path, capsys):
    for command in (["sample"], ["sample", "--label", "1"], ["reconstruct"]):
        path = tmp_path / f"{len(command)}{command[0]}.png"
        assert cli.main([command[0], str(run), *command[1:], "-o", str(path)]) == 0
        assert path.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    for command in ("interpolate", "traverse", "manifold"):
        for suffix in ("png", "svg"):
            path = tmp_path / f"{command}.{suffix}"
            assert cli.main([command, str(run), "-o", str(path)]) == 2
            said = capsys.readouterr().err
            assert "rows of 3 features are not images and cannot be drawn" in said
            assert "write the numbers with -o FILE.npy" in said
            assert not path.exists()
    assert cli.main(["interpolate", str(run), "-o", str(tmp_path / "i.gif")]) == 2
    assert "are not images" in capsys.readouterr().err
    assert cli.main(["interpolate", str(run), "-o", str(tmp_path / "i.npy")]) == 0
    assert np.load(tmp_path / "i.npy").shape[1:] == (12, 3)
    assert cli.main(["manifold", str(run), "-o", str(tmp_path / "m.npy")]) == 0
    assert np.load(tmp_path / "m.npy").shape == (20, 20, 3)
    assert cli.main(["explore", str(run)]) == 2
    assert "use `reconstruct` and `sample`, which draw tables" in capsys.readouterr().err


def test_reconstruct_draws_many_rows_of_a_table(run, tmp_path, monkeypatch):
    X = np.tile(table()[:, :3] / 4000, (60, 1))
    np.savez(tmp_path / "many.npz", X=X, y=np.arange(len(X)) % 2)
    argv = ["reconstruct", str(run), "--data", str(tmp_path / "many.npz")]
    assert cli.main([*argv, "-o", str(tmp_path / "r.npy")]) == 0
    assert np.load(tmp_path / "r.npy").shape == (3600, 3), "all of them, as in a .csv"
    drawn = []
    draw = tables.reconstructions
    monkeypatch.setattr(
        tables, "reconstructions", lambda x, *a: [drawn.append(len(x)), draw(x, *a)][1]
    )
    assert cli.main([*argv, "-o", str(tmp_path / "r.png")]) == 0
    assert drawn == [2000]
    assert cli.main([*argv, "-n", "7", "-o", str(tmp_path / "r.npy")]) == 0
    assert np.load(tmp_path / "r.npy").shape == (7, 3)


def test_names_and_labels_are_text_and_no_formulas(rng):
    X, y = rng.normal(size=(20, 3)), np.array([FORMULA, "b"])[np.arange(20) % 2]
    cvae = ConditionalVAE(latent_dim=2, hidden=(4,), likelihood="gaussian").fit(X, y, epochs=1)
    assert rendered(gallery.samples(cvae, 5).figure(plots)).std() > 5
    assert rendered(tables.samples(X, X, [FORMULA] * 3, "t")).std() > 5
    images, scores = rng.random((2, 4, 4)), ["1", "2"]
    for figure in (
        plots.latent_plane(rng.normal(size=(20, 2)), y),
        plots.anomalies((images, scores, [FORMULA] * 2), (images, scores, [FORMULA] * 2)),
        plots.samples(images, FORMULA),
    ):
        assert rendered(figure).std() > 5


def test_samples_of_one_label_say_so(rng):
    X, y = rng.normal(size=(20, 3)), np.arange(20) % 2
    cvae = ConditionalVAE(latent_dim=2, hidden=(4,), likelihood="gaussian").fit(X, y, epochs=1)
    assert gallery.samples(cvae, 5, label={"y": 1}).words.startswith("samples of label 1, means")
    assert gallery.samples(cvae, 5).words.startswith("samples of each label in turn: 0, 1, means")
