"""Pictures: that they are drawn of what they may meet, and the grid puts pixels where it should."""

from itertools import pairwise

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
    images = np.zeros((3, 2, 2))
    images[1] = [[1, 0], [0, 0.5]]
    table = plots.grid(images, columns=2)
    assert table.shape == (2 * 4, 2 * 4)
    assert table[1, 5] == 1
    assert table[2, 6] == 0.5
    assert table.sum() == 1.5


def test_pictures_stand_upright():
    images = np.zeros((4, 3, 3))
    images[:, 0] = 1  # the first row of each image
    (axes,) = plots.samples(images).axes
    (shown,) = axes.images
    np.testing.assert_array_equal(shown.get_array(), plots.grid(images))
    assert shown.get_array()[1, 1:4].sum() == 3


@pytest.mark.parametrize("n", [1, 5, 100])
def test_samples_and_reconstructions(n, rng):
    X = rng.random((n, 4, 4))
    assert rendered(plots.samples(X)).std() > 5
    assert rendered(plots.reconstructions(X, 1 - X)).std() > 5


def test_columns_of_samples(rng):
    images = rng.random((6, 2, 2))
    (axes,) = plots.samples(images, "a title", columns=2).axes
    assert axes.images[0].get_array().shape == (3 * 4, 2 * 4)
    assert axes.get_title(loc="left") == "a title"


@pytest.mark.parametrize(("n", "steps"), [(1, 2), (5, 12)])
def test_interpolations_stand_between_their_ends(n, steps, rng):
    first, second = np.zeros((n, 4, 4)), np.ones((n, 4, 4))
    figure = plots.interpolations(first, rng.random((n, steps, 4, 4)), second)
    assert rendered(figure).std() > 5
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (6 * n, 6 * (steps + 2) + 2 * 2)  # a gap of two pixels on both sides
    assert shown[:, :8].max() == 0
    assert shown[1:5, -5:-1].min() == 1
    assert shown[:, -8:-6].max() == 0
    assert shown[1:5, 9:13].std() > 0.1


@pytest.mark.parametrize(("units", "steps"), [(1, 2), (4, 11)])
def test_traversals_name_their_rows_and_columns(units, steps, rng):
    decoded, values = rng.random((units, steps, 4, 4)), np.linspace(-2.5, 2.5, steps)
    marks = [f"unit {j}" for j in range(units)]
    figure = plots.traversals(decoded, marks, values, "title", "of", "along")
    assert rendered(figure).std() > 5
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == marks
    assert axes.get_xticklabels()[0].get_text() == "-2.5"
    for places, count in ((axes.get_yticks(), units), (axes.get_xticks(), steps)):
        np.testing.assert_allclose(places, 6 * np.arange(count) + 2.5)  # the middle of each


def test_the_manifold_grows_to_the_right_and_upwards(rng):
    decoded = np.zeros((5, 5, 3, 3))
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
    assert rendered(plots.manifold(rng.random((1, 1, 3, 3)), [0.0], [0.0], (0, 1), "one")).std() > 5


@pytest.mark.parametrize("n", [1, 5, 24])
def test_anomalies_tell_the_scores(n, rng):
    worst = rng.random((n, 4, 4)), [f"{i}0" for i in range(n)], [f"c{i}" for i in range(n)]
    best = rng.random((n, 4, 4)), [f"{i}" for i in range(n)], None
    figure = plots.anomalies(worst, best)
    assert rendered(figure).std() > 5
    left, right = figure.axes
    assert [t.get_text() for t in left.texts] == [f"{i}0, c{i}" for i in range(n)]
    assert [t.get_text() for t in right.texts] == [f"{i}" for i in range(n)]
    np.testing.assert_array_equal(left.images[0].get_array()[1:5, 1:5], worst[0][0])
    for axes in (left, right):
        for i, text in enumerate(axes.texts):  # eight a row, in cells of 6 by 8, below the image
            assert text.get_position() == (6 * (i % 8) + 2, 8 * (i // 8) + 5)


def test_latent_plane(rng):
    z = rng.standard_normal((50, 2))
    for labels in (None, np.arange(50) % 3, np.array(["a", "b"])[np.arange(50) % 2], np.zeros(50)):
        assert rendered(plots.latent_plane(z, labels)).std() > 5
    with pytest.raises(InputError, match=r"codes of shape \(N, 2\)"):
        plots.latent_plane(rng.standard_normal((50, 3)))


def test_labels_that_are_real_numbers_have_a_continuous_colour_bar(rng):
    z, ages = rng.standard_normal((50, 2)), rng.uniform(18, 95, 50).round(1)
    texts = np.array([*map(str, ages[:-1]), ""])
    for labels in (ages, texts):
        figure = plots.latent_plane(z, labels)
        axes, bar = figure.axes
        assert 2 < len(bar.get_yticks()) < 15
        low, high = axes.collections[0].get_clim()
        assert (low, high) == (ages[:-1].min(), ages[:-1].max()) or labels is ages
        assert rendered(figure).std() > 5
    for labels in (ages.astype(int), ages.round(-1) + 0.5, np.array([*texts[:-1], "old"])):
        _, bar = plots.latent_plane(z, labels).axes
        assert len(bar.get_yticks()) == len(np.unique(labels))


@pytest.mark.parametrize("shape", [(2, 9), (2, 3, 3, 1), (2, 3, 3, 4), (2, 1, 3, 3, 3), (9,)])
def test_rows_that_are_not_images(shape):
    with pytest.raises(InputError, match=r"shape \(N,H,W\) or \(N,H,W,3\), got .*rows_.images"):
        plots.samples(np.zeros(shape))


@pytest.mark.parametrize("n", [1, 5, 16, 20])
def test_each_reconstruction_stands_under_its_original(n):
    images = (np.arange(n) + 1) / 40
    whole = images[:, None, None] * np.ones((3, 3))
    figure = plots.reconstructions(whole, whole / 2)
    columns = min(n, 16)
    (shown,) = figure.axes[0].images
    table = shown.get_array()
    if n > columns:  # two rows of pairs of 10 pixels, set apart by one more
        assert len(table) == 10 + 1 + 10
        assert table[10].max() == 0
        table = np.delete(table, 10, axis=0)
    cells = table.reshape(-1, 5, columns, 5)[:, 2, :, 2].reshape(-1, 2, columns)
    np.testing.assert_allclose(cells[:, 0].ravel()[:n], images)
    np.testing.assert_allclose(cells[:, 1].ravel()[:n], images / 2)
    assert cells.sum() == pytest.approx(1.5 * images.sum())  # and nothing else


# -------------------------------------------------------------------- colour, and other shapes


def inches_per_pixel(axes):
    """The height and the width of a pixel of the image on these axes, once drawn."""
    height, width = axes.images[0].get_array().shape[:2]
    box = axes.get_window_extent()
    return box.height / height, box.width / width


def every_picture(images):
    """Each picture of these images (N,H,W[,3]), N >= 4, by its name."""
    four = images[:4].reshape(2, 2, *images.shape[1:])
    texts = ["1"] * len(images)
    return {
        "samples": plots.samples(images),
        "reconstructions": plots.reconstructions(images, images),
        "interpolations": plots.interpolations(images[:2], four, images[2:4]),
        "traversals": plots.traversals(four, ["a", "b"], [0, 1], "title"),
        "manifold": plots.manifold(four, [0, 1], [0, 1], (0, 1), "title"),
        "anomalies": plots.anomalies((images, texts, None), (images, texts, None)),
    }


@pytest.mark.parametrize("shape", [(3, 7), (9, 4), (2, 30), (30, 2), (5, 5)])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_pixels_are_square_in_every_picture(shape, colours, rng):
    for name, figure in every_picture(rng.random((6, *shape, *colours))).items():
        rendered(figure)
        for axes in figure.axes:
            assert axes.images[0].get_array().shape[2:] == colours
            high, wide = inches_per_pixel(axes)
            assert high == pytest.approx(wide, rel=0.02), name


def test_colour_is_drawn_as_it_is_on_white():
    images = np.zeros((3, 2, 2, 3))
    images[..., 0] = 1  # red
    for name, figure in every_picture(np.concatenate((images, images))).items():
        shown = np.concatenate([a.images[0].get_array().reshape(-1, 3) for a in figure.axes])
        found = {tuple(pixel) for pixel in np.round(shown, 6).tolist()}
        expected = {(1, 0, 0), (1, 1, 1)} if name != "manifold" else {(1, 0, 0)}
        assert found == expected, name
        pixels = rendered(figure)[..., :3].reshape(-1, 3)
        assert (pixels == (255, 0, 0)).all(axis=1).mean() > 0.02, name


@pytest.mark.parametrize(
    ("shape", "columns"), [((4, 4), 16), ((4, 8), 11), ((8, 2), 16), ((2, 80), 2), ((1, 999), 1)]
)
def test_wide_images_stand_in_shorter_rows(shape, columns):
    assert plots.per_row(np.zeros((5, *shape)), 16) == columns
    (axes,) = plots.reconstructions(np.ones((20, *shape)), np.ones((20, *shape))).axes
    assert axes.images[0].get_array().shape[1] == columns * (shape[1] + 2)


@pytest.mark.parametrize(
    ("shape", "columns"),
    [((100, 28, 28), 10), ((100, 24, 32), 10), ((12, 28, 28), 4), ((7, 28, 28), 3)],
)
def test_a_grid_is_about_square_and_full_if_it_can_be(shape, columns):
    assert plots.grid(np.zeros(shape)).shape[1] == columns * (shape[2] + 2)


def test_a_table_of_wide_images_is_about_square():
    table = plots.grid(np.zeros((30, 6, 28)))
    assert table.shape == (10 * 8, 3 * 30)


def test_no_pixel_of_a_large_image_is_lost(rng):
    for name, figure in every_picture(rng.random((16, 128, 128))).items():
        figure.set_dpi(110)  # as `save_figure`
        rendered(figure)
        for axes in figure.axes:
            assert min(inches_per_pixel(axes)) > 0.97, name


def test_long_labels_have_a_line_of_their_own(rng):
    images, scores = rng.random((9, 4, 4)), ["12"] * 9
    left, right = plots.anomalies(
        (images, scores, ["cat"] * 9), (images, scores, ["horse"] * 9)
    ).axes
    assert (left.texts[0].get_text(), right.texts[0].get_text()) == ("12\ncat", "12\nhorse")
    assert right.texts[8].get_position() == (2, 4 + 4 + 2 + 5)  # the text has four pixels


def test_labels_that_have_no_room_are_below_in_lines(rng):
    images = rng.random((9, 4, 4))
    far = images, ["-1.2346e+38"] * 9, ["#1"] * 9
    left, right = plots.anomalies(far, (images, ["1"] * 9, ["#12*\na very long name*"] * 9)).axes
    assert left.texts[0].get_text() == "-1.2346e+38\n#1"
    assert right.texts[0].get_text() == "1\n#12*\na very\nlong\nname*"
    assert left.texts[0].get_fontsize() < 8
    for axes in (left, right):
        rendered(axes.figure)
        boxes = [text.get_window_extent() for text in axes.texts]
        for one, other in pairwise(boxes[:8]):
            assert one.x1 < other.x0
        assert boxes[0].y0 > boxes[8].y1
        assert boxes[8].y0 >= 0


@pytest.mark.parametrize("label", ["photographs/of/the_northern_coast_line", "W" * 50, "a b " * 20])
@pytest.mark.parametrize("n", [1, 5])
def test_long_names_are_whole_and_overlap_nothing(n, label, rng):
    images = rng.random((n, 28, 28))
    below = "score in nats, #row, label; #row*: score above 1.5; label*: counts as anomalous"
    figure = plots.anomalies((images, ["1.5"] * n, [f"#1*\n{label}"] * n), None, below)
    rendered(figure)
    (axes,), edge = figure.axes, figure.bbox
    for text in axes.texts:
        assert "".join(text.get_text().split()) == "".join(f"1.5#1*{label}".split())
    title = figure._suptitle
    assert title.get_text().replace("\n", " ") == f"below each image: {below}"
    boxes = [text.get_window_extent() for text in (title, *axes.texts)]
    for i, one in enumerate(boxes):
        assert edge.x0 <= one.x0 < one.x1 <= edge.x1
        assert edge.y0 <= one.y0 < one.y1 <= edge.y1
        assert not any(one.overlaps(other) for other in boxes[:i])


def test_one_example_is_the_only_one(rng):
    (axes,) = plots.anomalies((rng.random((1, 4, 4)), ["1"], None), None, "a score").axes
    assert axes.images[0].get_array().shape[1] == 6
    assert axes.figure.get_suptitle() == "below each image: a score"
    assert axes.get_title(loc="left") == ""


def test_points_are_larger_where_there_are_few(rng):
    def size(n):
        figure = plots.latent_plane(rng.normal(size=(n, 2)), np.arange(n) % 2)
        return figure.axes[0].collections[0].get_sizes()[0]

    assert [size(n) for n in (10, 10_000)] == [40, 5]
    assert 40 > size(100) > size(1000) > 5


def test_long_labels_hide_no_points(rng):
    z = rng.normal(size=(30, 2))
    for names, drawn in ((["a", "bb"], ["a", "bb"]), (["a", "bbb"], [])):
        axes, bar = plots.latent_plane(z, np.array(names)[np.arange(30) % 2]).axes
        assert [text.get_text() for text in axes.texts] == drawn
        assert [text.get_text() for text in bar.get_yticklabels()] == names


def test_colour_on_white_has_a_hair_line(rng):
    images = np.ones((20, 8, 8, 3))
    images[:, 3:5, 3:5] = 0
    dark = 1 - images
    for name, shown in (("white", images), ("dark", dark), ("ink", images[..., 0])):
        count = 20 if name == "white" else 0
        four = shown.reshape(1, 20, *shown.shape[1:])[0]
        assert len(plots.samples(four).axes[0].patches) == count, name
        assert len(plots.reconstructions(four, four).axes[0].patches) == 2 * count, name
    figure = plots.reconstructions(images, images)
    table = figure.axes[0].images[0].get_array()
    for patch in figure.axes[0].patches:  # each is around an image
        x, y = (round(v + 0.5) for v in patch.get_xy())
        np.testing.assert_array_equal(table[y : y + 8, x : x + 8], images[0])


def test_rows_of_wide_images_are_high_enough_to_see(rng):
    figure = plots.traversals(rng.random((3, 11, 16, 64)), list("abc"), range(11), "t", "unit (KL)")
    rendered(figure)
    (axes,) = figure.axes
    assert axes.get_window_extent().height / 3 / figure.dpi > 0.3  # inches
    assert figure.get_size_inches()[0] <= 18
    (above,) = axes.texts
    assert above.get_text() == "unit (KL)"
    assert above.get_window_extent().y0 > axes.get_window_extent().y1


def test_a_long_title_takes_two_lines():
    title = "decoded over unit 6 (horizontal) and unit 1 (vertical), at quantiles of the prior, etc"
    figure = plots.manifold(np.zeros((2, 2, 3, 3)), [0, 1], [0, 1], (0, 1), title)
    assert figure.axes[0].get_title(loc="left").count("\n") == 1
