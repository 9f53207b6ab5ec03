"""Animations: the number of frames, what moves, and seamless loops."""

import numpy as np
import pytest
from support.gifs import frames_of, read_gif

from scratchvae import VAE, ConditionalVAE
from scratchvae.models.load import load
from scratchvae.pictures import animation
from scratchvae.train.callbacks import MAX_FRAMES, LatentFrames


def history(n, **changes):
    return [
        {"epoch": e, "train_loss": 90.0 / e, "test_loss": 95.0 / e} | changes
        for e in range(1, n + 1)
    ]


def write(shots, path):
    animation.save_animation(shots, path)
    return read_gif(path), frames_of(path)


@pytest.mark.parametrize("n", [1, 3, 40])
def test_training_has_a_frame_for_each_epoch_and_loops(n, rng, tmp_path):
    frames = rng.integers(0, 256, (n + 1, 6, 8, 8)).astype(np.uint8)
    shots = animation.training(range(n + 1), frames, history(n), 3, "negative ELBO")
    gif, shown = write(shots, tmp_path / "t.gif")
    assert len(shown) == len(gif.delays) == n + 1
    assert (gif.loops, gif.palettes) == (0, 0)
    assert gif.delays[-1] == 2500
    assert set(gif.delays[:-1]) == {{1: 600, 3: 600, 40: 150}[n]}
    assert shown.shape[1:3] == gif.size[::-1]


def test_the_points_are_shown_where_they_belong_and_the_rest_stands_still(tmp_path):
    frames = np.zeros((3, 4, 8, 8), dtype=np.uint8)
    frames[1, 2], frames[2, 1] = 255, 128  # the third point, then the second
    shots = animation.training([0, 1, 2], frames, history(2), 2, "loss")
    _, shown = write(shots, tmp_path / "t.gif")
    side = 4 * 10  # four pixels for each, and a margin of one around an image
    top = shown.shape[1] - 14 - max(2 * side, 240) - 14 + 14
    panel = shown[:, top : top + 2 * side, 14 : 14 + 2 * side].astype(int)
    cells = panel.reshape(3, 2, side, 2, side, 3)[:, :, side // 2, :, side // 2, 0]
    assert (cells[0] == 255).all()
    assert cells[1].tolist() == [[255, 255], [0, 255]]
    assert cells[2, 0, 0] == cells[2, 1, 0] == 255
    assert abs(cells[2, 0, 1] - 127) < 13
    legend = shown[:, 40:90, -110:]
    assert (legend == legend[0]).all()
    assert legend.std() > 5
    assert tuple(shown[0, 2, 2]) == (255, 255, 255)


def test_the_curve_grows(tmp_path):
    frames = np.zeros((4, 4, 8, 8), dtype=np.uint8)
    _, shown = write(animation.training(range(4), frames, history(3), 2, "x"), tmp_path / "t.gif")
    curve = shown[:, :, 14 + 80 + 60 :].min(axis=3) < 200
    inks = [int(c.sum()) for c in curve]
    assert inks[0] < inks[1] < inks[2] < inks[3]
    dots = [np.flatnonzero((frame != shown[0]).any(axis=(0, 2))).max() for frame in shown[1:]]
    assert dots[0] < dots[1] < dots[2]


def test_a_run_without_a_test_split_has_one_curve(tmp_path):
    nan = float("nan")
    frames = np.zeros((2, 4, 8, 8), dtype=np.uint8)
    shots = animation.training([0, 1], frames, history(1, test_loss=nan), 2, "x")
    assert len(shots[0]) == 2
    with pytest.raises(ValueError, match="need at least one array"):
        animation.training([0, 1], frames, history(1, test_loss=nan, train_loss=nan), 2, "x")


@pytest.mark.parametrize(("n", "steps"), [(1, 2), (3, 6), (11, 9)])
def test_an_interpolation_goes_there_and_back(n, steps, tmp_path):
    t = np.linspace(0, 1, steps)[None, :, None, None]
    first, second = np.zeros((n, 8, 8)), np.ones((n, 8, 8))
    decoded = np.broadcast_to(t, (n, steps, 8, 8))
    gif, shown = write(animation.interpolation(first, decoded, second, "words"), tmp_path / "i.gif")
    assert len(shown) == 2 * steps - 2
    assert gif.delays == [800, *[80] * (steps - 2), 800, *[80] * (steps - 2)]
    assert (gif.loops, gif.palettes) == (0, 0)
    scale = min(4, 640 // (10 * min(8, n)), 640 // (30 * -(-n // 8)))
    x, top = 14 + 74 + 5 * scale, shown.shape[1] - 14 - 30 * scale * -(-n // 8)
    middle = [shown[:, top + scale * (10 * row + 5), x, 0].astype(int) for row in range(3)]
    assert (middle[0] == 255).all()
    assert (middle[2] == 0).all()
    forth = 255 * (1 - np.linspace(0, 1, steps))
    assert abs(middle[1] - [*forth, *forth[-2:0:-1]]).max() < 17  # one of sixteen shades


def test_all_frames_have_the_colours_of_one_palette(rng, tmp_path):
    frames = rng.integers(0, 256, (3, 6, 8, 8)).astype(np.uint8)
    shots, _ = animation.training(range(3), frames, history(2), 3, "x")
    palettes = {tuple(shot.getpalette()) for shot in shots}
    assert len(palettes) == 1
    assert len(palettes.pop()) == 3 * (16 + 3 * 11)


def test_greys_have_no_tint(tmp_path):
    greys = np.linspace(0, 1, 256).reshape(4, 8, 8)
    still = np.repeat(greys[:, None], 2, axis=1)
    _, shown = write(animation.interpolation(greys, still, greys, ""), tmp_path / "i.gif")
    images = shown[0, -14 - 30 * 4 : -14, 14 + 74 : -14].astype(int)
    assert np.ptp(images, axis=2).max() == 0
    assert len(np.unique(images)) == 16


COLOURS = np.array([[230, 40, 40], [40, 180, 60], [50, 70, 220], [250, 240, 60]], dtype=np.uint8)


PALE = np.array([[252, 253, 247], [253, 250, 252], [252, 252, 249], [252, 248, 250]], np.uint8)


@pytest.mark.parametrize("colours", [COLOURS, PALE])
def test_colours_are_near_those_of_the_data_and_the_page_is_white(colours, tmp_path):
    frames = np.broadcast_to(colours[:, None, None], (3, 4, 8, 8, 3))
    shots = animation.training(range(3), frames, history(2), 2, "x")
    _, shown = write(shots, tmp_path / "t.gif")
    side = 4 * 10
    top = shown.shape[1] - 14 - max(2 * side, 240)
    panel = shown[0, top : top + 2 * side, 14 : 14 + 2 * side].astype(int)
    cells = panel.reshape(2, side, 2, side, 3)[:, side // 2, :, side // 2].reshape(4, 3)
    assert abs(cells - colours.astype(int)).max() < 10
    assert tuple(shown[0, 2, 2]) == (255, 255, 255)
    assert tuple(panel[1, 1]) == (255, 255, 255), "the margin"


@pytest.mark.parametrize("shape", [(6, 20, 3), (20, 6, 3), (6, 20), (20, 6)])
def test_pixels_are_square_in_both_animations(shape, rng, tmp_path):
    height, width = shape[:2]
    frames = np.full((2, 4, *shape), 255, dtype=np.uint8) * np.uint8(len(shape) == 2)
    shots = animation.training(range(2), frames, history(1), 2, "x")
    _, shown = write(shots, tmp_path / "t.gif")
    assert ink(shown[0, :, : 14 + 4 * 2 * (width + 2)]) == (4 * height, 4 * width)
    first = frames[0, :2] / 255
    decoded = np.stack([first] * 3, axis=1)
    _, shown = write(animation.interpolation(first, decoded, first, ""), tmp_path / "i.gif")
    assert ink(shown[0, :, 14 + 74 :]) == (4 * height, 4 * width)


def ink(shot):
    """The height and width of the first black block."""
    black = (shot == 0).all(axis=2)
    row, column = np.argwhere(black & (np.cumsum(black, axis=0) > 5))[0]
    run = [np.flatnonzero(~line)[0] for line in (black[row, column:],)]
    left = column - np.flatnonzero(~black[row, :column][::-1])[0]
    below = np.flatnonzero(~black[row:, left])[0]
    above = np.flatnonzero(~black[:row, left][::-1])[0]
    return int(above + below), int(run[0] + column - left)


def test_a_palette_of_photographs_has_256_colours(rng):
    frames = rng.integers(0, 256, (3, 6, 8, 8, 3)).astype(np.uint8)
    shots, _ = animation.training(range(3), frames, history(2), 3, "x")
    palettes = {tuple(shot.getpalette()) for shot in shots}
    assert len(palettes) == 1
    assert 3 * 200 < len(palettes.pop()) <= 3 * 256


def test_wide_images_go_in_shorter_rows(tmp_path):
    first = np.ones((6, 8, 32))
    shots, _ = animation.interpolation(first, np.ones((6, 2, 8, 32)), first, "")
    assert shots[0].height == 34 + 4 * 2 * (3 * 10) + 14, "four pairs, and two"


# ------------------------------------------------------------------------------------ the film


def grown(film, vae, epochs):
    for _ in range(epochs):
        vae.history_.append({})
        vae.params_.array += 0.01
        film(type("Run", (), {"model": vae}), {})


def test_the_film_shows_the_same_points_after_each_epoch():
    vae = VAE(latent_dim=2, hidden=(5,), seed=3).build(16)
    film = LatentFrames.of(vae)
    before = vae.sample(film.n)
    grown(film, vae, 3)
    assert film.epochs == [0, 1, 2, 3]
    assert (film.columns, film.n) == (8, 48)
    images = vae.rows_.images
    np.testing.assert_array_equal(film.frames[0], np.rint(255 * images(before)))
    np.testing.assert_array_equal(film.frames[3], np.rint(255 * images(vae.sample(film.n))))
    assert (film.frames[3] != film.frames[2]).any()


@pytest.mark.parametrize("epochs", [58, 59, 117, 400])
def test_a_long_run_has_no_more_frames_than_fit(epochs):
    vae = VAE(latent_dim=1, hidden=()).build(4)
    film = LatentFrames.of(vae)
    grown(film, vae, epochs)
    assert len(film.frames) == len(film.epochs) <= MAX_FRAMES
    assert film.epochs[0] == 0
    assert film.epochs[-1] == epochs
    strides = np.diff(film.epochs)
    assert len(film.epochs) > MAX_FRAMES / 2 - 2
    assert (strides[:-1] == strides[0]).all()
    assert strides[-1] <= strides[0]
    assert film.arrays(epochs)["film"].nbytes < 3e6


@pytest.mark.parametrize("epochs", [3, 59, 61])
def test_an_epoch_that_is_taken_again_has_one_frame(epochs):
    """Its first end was interrupted."""
    vae = VAE(latent_dim=1, hidden=()).build(4)
    once, twice = LatentFrames.of(vae), LatentFrames.of(vae)
    vae.history_ = []
    for _ in range(epochs):
        vae.history_.append({})
        for film in (once, twice, twice):
            film.add(vae)
    assert once.epochs == twice.epochs


@pytest.mark.parametrize("stop", [1, 59, 60])
def test_a_resumed_film_is_that_of_the_whole_run(stop):
    vae = VAE(latent_dim=1, hidden=()).build(4)
    whole, part = LatentFrames.of(vae), LatentFrames.of(vae)
    grown(whole, vae, stop)
    part.resume(whole.arrays(stop))  # at epoch 0: not what it should go on from
    assert part.epochs == [0]
    again = LatentFrames.of(vae)
    again.resume(whole.arrays(stop))
    assert again.epochs == whole.epochs
    vae.history_ += [{}] * 2
    for film in (whole, again):
        film.add(vae)
    assert again.epochs == whole.epochs
    np.testing.assert_array_equal(again.frames, whole.frames)


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"film": np.zeros((1, 4, 4), np.uint8), "film_epochs": np.array([0])},
        {"film": np.zeros((1, 48, 4)), "film_epochs": np.array([0])},
        {"film": np.zeros((2, 48, 4), np.uint8), "film_epochs": np.array([0])},
        {"film": np.zeros((0, 48, 4), np.uint8), "film_epochs": np.zeros(0, int)},
    ],
)
def test_a_film_that_does_not_fit_is_begun_anew(damaged):
    film = LatentFrames.of(VAE(latent_dim=1, hidden=()).build(4))
    frame = film.frames[0]
    film.resume(damaged)
    assert film.epochs == [0]
    assert film.frames[0] is frame


def test_labels_take_turns_in_columns_of_their_own():
    for classes, columns in ((3, 6), (10, 10), (11, 8)):
        cvae = ConditionalVAE(latent_dim=1, hidden=()).build(16, classes)
        assert LatentFrames.of(cvae).columns == columns
    assert LatentFrames.of(VAE(latent_dim=1, hidden=()).build(7)) is None
    assert LatentFrames.of(VAE(latent_dim=1, hidden=()).build(256 * 256)).n == 4


@pytest.mark.parametrize(
    ("shape", "drawn"), [((6, 4, 3), (6, 4, 3)), ((3, 6, 4), (6, 4, 3)), ((6, 4), (6, 4))]
)
def test_a_film_of_any_images_is_kept_in_the_checkpoint(shape, drawn, rng, tmp_path):
    X = rng.random((20, *shape))
    vae = VAE(latent_dim=2, hidden=(5,)).fit(X, epochs=1)
    film = LatentFrames.of(vae)
    assert film.frames[0].shape == (48, *drawn)
    assert film.frames[0].dtype == np.uint8
    expected = np.rint(255 * vae.rows_.images(vae.sample(48)))
    np.testing.assert_array_equal(film.frames[0], expected)
    vae.save(tmp_path / "c.npz", arrays=film.arrays(1))
    again, arrays = LatentFrames.of(vae), load(tmp_path / "c.npz").arrays
    assert arrays["film"].shape == (1, 48, X[0].size)
    again.resume(arrays)
    np.testing.assert_array_equal(again.frames, film.frames)


def test_a_film_of_scaled_data_shows_their_range(rng):
    X = rng.normal(50, 10, (40, 5, 5))
    vae = VAE(latent_dim=2, hidden=(5,), likelihood="gaussian", scale="standard").fit(X, epochs=1)
    frame = LatentFrames.of(vae).frames[0]
    assert 60 < frame.mean() < 190, "not white, nor black"


def test_a_film_of_wide_images_is_no_wider_than_one_of_square_ones():
    for shape, columns in (((4, 98), 4), ((98, 4), 4), ((98, 98), 4), ((4, 4), 8)):
        vae = VAE(latent_dim=1, hidden=()).fit(np.ones((2, *shape)), epochs=1)
        assert LatentFrames.of(vae).columns == columns
