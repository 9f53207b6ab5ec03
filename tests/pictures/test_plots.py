"""Pictures: that they are drawn of what they may meet, and the grid puts pixels where it should."""

import numpy as np
import pytest

from scratchvae import InputError
from scratchvae.pictures import plots


def rendered(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


@pytest.fixture(autouse=True)
def _agg(monkeypatch):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    original = Figure.__init__

    def with_canvas(self, *args, **kwargs):
        original(self, *args, **kwargs)
        FigureCanvasAgg(self)

    monkeypatch.setattr(Figure, "__init__", with_canvas)


def record(epoch, **changes):
    base = {"epoch": epoch, "train_loss": 9.0, "test_loss": 8.0, "rec": 6.0, "kl": 2.0}
    return base | changes


@pytest.mark.parametrize(
    "history",
    [
        [record(1)],
        [record(e, test_loss=8.0 / e) for e in range(1, 30)],
        [record(1, test_loss=float("nan")), record(2, test_loss=float("nan"))],
    ],
)
def test_loss_curves(history):
    figure = plots.loss_curves(history, "what it minimises")
    assert rendered(figure).std() > 5
    assert figure.axes[0].get_title(loc="left") == "what it minimises"


def test_grid_places_each_image():
    images = np.zeros((3, 4))
    images[1] = [1, 0, 0, 0.5]
    table = plots.grid(images, columns=2)
    assert table.shape == (2 * 4, 2 * 4)
    assert table[1, 5] == 1
    assert table[2, 6] == 0.5
    assert table.sum() == 1.5


def test_pictures_stand_upright():
    images = np.zeros((4, 9))
    images[:, 0:3] = 1  # the first row of each image
    (axes,) = plots.samples(images).axes
    (shown,) = axes.images
    np.testing.assert_array_equal(shown.get_array(), plots.grid(images))
    assert shown.get_array()[1, 1:4].sum() == 3


@pytest.mark.parametrize("n", [1, 5, 100])
def test_samples_and_reconstructions(n, rng):
    X = rng.random((n, 16))
    assert rendered(plots.samples(X)).std() > 5
    assert rendered(plots.reconstructions(X, 1 - X)).std() > 5


def test_columns_of_samples(rng):
    images = rng.random((6, 4))
    (axes,) = plots.samples(images, "a title", columns=2).axes
    assert axes.images[0].get_array().shape == (3 * 4, 2 * 4)
    assert axes.get_title(loc="left") == "a title"


@pytest.mark.parametrize(("n", "steps"), [(1, 2), (5, 12)])
def test_interpolations_stand_between_their_ends(n, steps, rng):
    first, second = np.zeros((n, 16)), np.ones((n, 16))
    figure = plots.interpolations(first, rng.random((n, steps, 16)), second)
    assert rendered(figure).std() > 5
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (6 * n, 6 * (steps + 2) + 2 * 2)  # a gap of two pixels on both sides
    assert shown[:, :8].max() == 0
    assert shown[1:5, -5:-1].min() == 1
    assert shown[:, -8:-6].max() == 0
    assert shown[1:5, 9:13].std() > 0.1


@pytest.mark.parametrize(("units", "steps"), [(1, 2), (4, 11)])
def test_traversals_name_their_rows_and_columns(units, steps, rng):
    decoded, values = rng.random((units, steps, 16)), np.linspace(-2.5, 2.5, steps)
    marks = [f"unit {j}" for j in range(units)]
    figure = plots.traversals(decoded, marks, values, "title", "of", "along")
    assert rendered(figure).std() > 5
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == marks
    assert axes.get_xticklabels()[0].get_text() == "-2.5"
    for places, count in ((axes.get_yticks(), units), (axes.get_xticks(), steps)):
        np.testing.assert_allclose(places, 6 * np.arange(count) + 2.5)  # the middle of each


def test_the_manifold_grows_to_the_right_and_upwards(rng):
    decoded = np.zeros((5, 5, 9))
    decoded[0, 4] = 1  # the upper right
    values = np.array([-2, -1, 0, 0.5, 2.0])
    figure = plots.manifold(decoded, values, values, (3, 7), "title")
    assert rendered(figure).std() > 5
    (axes,) = figure.axes
    shown = axes.images[0].get_array()
    assert shown[:3, 12:].min() == 1
    assert shown.sum() == 9
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("unit 3", "unit 7")
    at = dict(
        zip(
            map(float, (t.get_text() for t in axes.get_yticklabels())),
            axes.get_yticks(),
            strict=True,
        )
    )
    assert at[-2] == 13
    assert at[0] == 7
    assert at[2] == 1
    assert at[1] == pytest.approx(3)  # a third of the way from 0.5 to 2
    assert rendered(plots.manifold(rng.random((1, 1, 9)), [0.0], [0.0], (0, 1), "one")).std() > 5


@pytest.mark.parametrize("n", [1, 5, 24])
def test_anomalies_tell_the_scores(n, rng):
    worst = rng.random((n, 16)), [f"{i}0" for i in range(n)], [f"c{i}" for i in range(n)]
    best = rng.random((n, 16)), [f"{i}" for i in range(n)], None
    figure = plots.anomalies(worst, best)
    assert rendered(figure).std() > 5
    left, right = figure.axes
    assert [t.get_text() for t in left.texts] == [f"{i}0, c{i}" for i in range(n)]
    assert [t.get_text() for t in right.texts] == [f"{i}" for i in range(n)]
    np.testing.assert_array_equal(left.images[0].get_array()[1:5, 1:5].ravel(), worst[0][0])
    for axes in (left, right):
        for i, text in enumerate(axes.texts):  # eight a row, in cells of 6 by 8, below the image
            assert text.get_position() == (6 * (i % 8) + 2, 8 * (i // 8) + 5)


def test_latent_plane(rng):
    z = rng.standard_normal((50, 2))
    for labels in (None, np.arange(50) % 3, np.array(["a", "b"])[np.arange(50) % 2], np.zeros(50)):
        assert rendered(plots.latent_plane(z, labels)).std() > 5
    with pytest.raises(InputError, match=r"codes of shape \(N, 2\)"):
        plots.latent_plane(rng.standard_normal((50, 3)))


def test_rows_that_are_not_images():
    with pytest.raises(InputError, match="7 features are not square images"):
        plots.samples(np.zeros((2, 7)))


@pytest.mark.parametrize("n", [1, 5, 16, 20])
def test_each_reconstruction_stands_under_its_original(n):
    images = (np.arange(n) + 1) / 40
    figure = plots.reconstructions(np.tile(images[:, None], 9), np.tile(images[:, None] / 2, 9))
    columns = min(n, 16)
    (shown,) = figure.axes[0].images
    cells = shown.get_array().reshape(-1, 5, columns, 5)[:, 2, :, 2].reshape(-1, 2, columns)
    np.testing.assert_allclose(cells[:, 0].ravel()[:n], images)
    np.testing.assert_allclose(cells[:, 1].ravel()[:n], images / 2)
    assert cells.sum() == pytest.approx(1.5 * images.sum())  # and nothing else
