"""Pictures: that they are drawn of what they may meet, and the grid puts pixels where it should."""

import numpy as np
import pytest

from scratchvae import InputError, plots


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
    assert rendered(plots.loss_curves(history)).std() > 5


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


def test_latent_plane(rng):
    z = rng.standard_normal((50, 2))
    for labels in (None, np.arange(50) % 3, np.array(["a", "b"])[np.arange(50) % 2], np.zeros(50)):
        assert rendered(plots.latent_plane(z, labels)).std() > 5
    with pytest.raises(InputError, match=r"codes of shape \(N, 2\)"):
        plots.latent_plane(rng.standard_normal((50, 3)))


def test_rows_that_are_not_images():
    with pytest.raises(InputError, match="7 features are not square images"):
        plots.samples(np.zeros((2, 7)))
