"""The embedded data set `shapes`: whether its factors mean what they say."""

import numpy as np
import pytest

from scratchvae import VAE, InputError, cli, load_data
from scratchvae.backend import noise
from scratchvae.data import data_set, shapes, strokes
from scratchvae.data.sources import Options, known_name

GRID = np.arange(shapes.SIDE) - (shapes.SIDE - 1) / 2  # of the pixels' middles, from the image's


@pytest.fixture(scope="module")
def drawn():
    images, labels, factors = shapes.generate("test")
    ink = images.reshape(-1, shapes.SIDE, shapes.SIDE) / 255
    return ink, labels, dict(zip(shapes.FACTORS, factors.T, strict=True))


def moments(ink):
    """Area and centre of mass (x to the right, y down) of each image, (N,)."""
    area = ink.sum(axis=(1, 2))
    return area, ink.sum(axis=1) @ GRID / area, ink.sum(axis=2) @ GRID / area


def at(ink, x, y):
    """Bilinear interpolation of each image at x, y (N,...), from its middle; 0 outside."""
    x, y = x + (shapes.SIDE - 1) / 2, y + (shapes.SIDE - 1) / 2
    padded = np.pad(ink, ((0, 0), (1, 2), (1, 2)))
    x, y = np.clip(x, -1, shapes.SIDE) + 1, np.clip(y, -1, shapes.SIDE) + 1
    i, j = y.astype(int), x.astype(int)
    v, u = y - i, x - j
    n = np.arange(len(ink)).reshape(-1, *[1] * (x.ndim - 1))
    top = (1 - u) * padded[n, i, j] + u * padded[n, i, j + 1]
    return (1 - v) * top + v * ((1 - u) * padded[n, i + 1, j] + u * padded[n, i + 1, j + 1])


def test_forms_and_ranges(drawn):
    X, y = load_data("shapes", "test")
    assert X.shape == (4000, 1024)
    assert X.dtype == np.uint8
    assert y.dtype == np.int64
    assert data_set("Shapes", "test", None, Options()).X.shape == (4000, 32, 32)
    assert known_name("SHAPES") == "shapes"
    _, labels, factors = drawn
    np.testing.assert_array_equal(y, labels)
    np.testing.assert_array_equal(factors["shape"], labels)
    assert np.bincount(labels, minlength=3).min() > 1250
    for name in ("scale", "rotation", "x", "y"):
        low, high = shapes.FACTORS[name]
        assert low <= factors[name].min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < factors[name].max() <= high


def test_factors_are_independent_and_uniform(drawn):
    factors = np.array(list(drawn[2].values()))
    off = np.corrcoef(factors) - np.eye(5)
    assert np.abs(off).max() < 0.05
    for name in ("scale", "rotation", "x", "y"):
        counts = np.histogram(drawn[2][name], 8, shapes.FACTORS[name])[0]
        assert counts.min() > 420, "of 500 expected, standard deviation 21"


def test_centre_of_mass_is_the_position(drawn):
    ink, _, factors = drawn
    _, x, y = moments(ink)
    np.testing.assert_allclose(x, factors["x"], atol=0.1)
    np.testing.assert_allclose(y, factors["y"], atol=0.1)


def test_area_is_scale_squared_for_every_shape(drawn):
    ink, labels, factors = drawn
    ratio = moments(ink)[0] / factors["scale"] ** 2
    for label in range(3):
        np.testing.assert_allclose(ratio[labels == label], 1, atol=0.06)


@pytest.mark.parametrize("label", range(3))
def test_rotation_turns_the_image_clockwise(drawn, label):
    """Turned back by its own angle about its own centre, every image of one scale is the same."""
    ink, labels, factors = drawn
    large = (labels == label) & (factors["scale"] > 10.8)
    x, y, angle = (factors[name][large, None, None] for name in ("x", "y", "rotation"))
    across, down = np.meshgrid(GRID[8:24], GRID[8:24])
    cos, sin = np.cos(angle), np.sin(angle)

    def upright(angle_sign):
        u, v = across, down
        return at(
            ink[large], x + cos * u - angle_sign * sin * v, y + angle_sign * sin * u + cos * v
        )

    back, wrong = upright(1), upright(-1)
    assert len(back) > 10
    assert back.std(axis=0).max() < 0.2, "edges alone differ, by the interpolation"
    assert back.std(axis=0).mean() < 0.02
    assert wrong.std(axis=0).mean() > 2 * back.std(axis=0).mean()


def test_the_upright_shapes_are_what_their_names_say(drawn):
    ink, labels, factors = drawn
    area, _, _ = moments(ink)
    spread = []
    for label in range(3):
        straight = (labels == label) & (np.abs(factors["rotation"]) < 0.05)
        x, y = (factors[name][straight, None] for name in ("x", "y"))
        s = factors["scale"][straight]
        columns, rows = ink[straight].sum(axis=1), ink[straight].sum(axis=2)
        wide = (columns * (GRID - x) ** 2).sum(axis=1) / area[straight] / s**2
        high = (rows * (GRID - y) ** 2).sum(axis=1) / area[straight] / s**2
        spread.append((wide.mean(), high.mean()))
        skew = (rows * (GRID - y) ** 3).sum(axis=1).mean()
        assert (abs(skew) > 10) == (label == 2), "a heart alone differs from top to bottom"
    np.testing.assert_allclose(spread[0], 1 / 12, rtol=0.05)  # of a square of side 1
    np.testing.assert_allclose(spread[1], (1 / (2 * np.pi), 1 / (8 * np.pi)), rtol=0.08)
    tip = (labels == 2) & (np.abs(factors["rotation"]) < 0.05)
    below = at(ink[tip], factors["x"][tip], factors["y"][tip] + 0.6 * factors["scale"][tip])
    notch = at(ink[tip], factors["x"][tip], factors["y"][tip] - 0.5 * factors["scale"][tip])
    assert below.min() > 0.2
    assert notch.max() < 0.5


def test_only_edges_are_between_black_and_white(drawn):
    ink, scale = drawn[0][:1000], drawn[2]["scale"][:1000]
    grey = (ink > 0) & (ink < 1)
    assert grey.any(axis=(1, 2)).all()
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    around = np.stack([np.roll(padded, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    low, high = around.min(axis=0)[:, 1:-1, 1:-1], around.max(axis=0)[:, 1:-1, 1:-1]
    assert (low[grey] < 0.5).all()
    assert (high[grey] > 0.5).all(), "a grey pixel lies beside a dark and a bright one"
    perimeter = grey.sum(axis=(1, 2)) / scale
    assert 2 < perimeter.min() <= perimeter.max() < 8
    assert ink[:, [0, -1]].max() == ink[:, :, [0, -1]].max() == 0, "no shape leaves the picture"


def test_no_two_rotations_look_alike():
    """A square repeats after 90 degrees: the range must be narrower than that, by a margin."""
    low, high = shapes.FACTORS["rotation"]
    assert high - low < np.pi / 2 - 0.1


def test_an_image_depends_on_its_row_split_and_seed_alone():
    X, y, factors = shapes.generate("train", 1200)
    for n in (1, 7, 601):
        few = shapes.generate("train", n)
        for a, b in zip(few, (X, y, factors), strict=True):
            np.testing.assert_array_equal(a, b[:n])
    other_split, other_seed = shapes.generate("test", 1200), shapes.generate(n=1200, seed=1)
    for other in (other_split, other_seed):
        assert not (other[2][:, 1:] == factors[:, 1:]).any(axis=1).mean() > 0.01
        assert (other[0] != X).any(axis=1).mean() > 0.99


def test_the_random_numbers_are_not_those_of_strokes(monkeypatch):
    """No random word of 32 bits that draws the one data set draws the other."""
    bits, words = noise.bits, {shapes: set(), strokes: set()}
    for of, drawn in words.items():
        with monkeypatch.context() as patch:
            patch.setattr(noise, "bits", lambda *a, d=drawn, **key: _kept(bits(*a, **key), d))
            for split in of.SIZES:
                of.generate(split, 20)
        assert len(drawn) > 100
    assert not words[shapes] & words[strokes]


def _kept(words, seen):
    seen.update(words.ravel().tolist())
    return words


@pytest.mark.parametrize("label", range(3))
@pytest.mark.parametrize("rotation", [0.0, 0.3])
def test_the_middle_of_a_shape_is_covered_where_a_pixel_lies_on_its_centre(label, rotation):
    at_a_pixel = {"x": (0.5, 0.5), "y": (0.5, 0.5), "rotation": (rotation, rotation)}
    images, labels, _ = shapes.generate("test", 50, ranges=at_a_pixel)
    middle = images.reshape(-1, shapes.SIDE, shapes.SIDE)[labels == label, 15:18, 15:18]
    assert len(middle) > 5
    assert middle.min() == 255


def test_other_ranges_move_the_shapes_and_leave_the_rest():
    _, labels, factors = shapes.generate("test", 200)
    moved, same_labels, other = shapes.generate("test", 200, ranges={"x": (2, 3)})
    np.testing.assert_array_equal(same_labels, labels)
    np.testing.assert_array_equal(other[:, [0, 1, 2, 4]], factors[:, [0, 1, 2, 4]])
    np.testing.assert_allclose(other[:, 3], 2 + (factors[:, 3] + 6) / 12, rtol=1e-5)
    np.testing.assert_allclose(moments(moved.reshape(-1, 32, 32) / 255)[1], other[:, 3], atol=0.1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"split": "all"}, "split must be one of train, test, got 'all'"),
        ({"n": 0}, "n must be a whole number"),
        ({"n": 2.5}, "n must be a whole number"),
        ({"seed": -1}, "seed"),
        ({"ranges": {"z": (0, 1)}}, "for scale, rotation, x, y, got 'z'"),
        ({"ranges": {"shape": (0, 1)}}, "for scale, rotation, x, y, got 'shape'"),
        ({"ranges": {"x": (1, 0)}}, "the range of x must be two numbers in order"),
        ({"ranges": {"x": 3}}, "the range of x must be two numbers in order"),
        ({"ranges": {"x": "12"}}, "the range of x must be two numbers in order, got '12'"),
        ({"ranges": {"x": ("1", "2")}}, "the range of x must be two numbers in order"),
        ({"ranges": {"y": ("a", "b")}}, "the range of y must be"),
        ({"ranges": {"y": (0, float("nan"))}}, "the range of y must be"),
        ({"ranges": {"scale": (0, 1)}}, "the range of scale must be"),
    ],
)
def test_unusable_requests_are_refused_in_one_sentence(given, words):
    with pytest.raises(InputError, match=words) as error:
        shapes.generate(**given)
    assert "\n" not in str(error.value)


def test_the_command_line_knows_the_data_set_and_its_size(tmp_path):
    model, page = tmp_path / "m.npz", tmp_path / "page.html"
    images = data_set("shapes", "test", None, Options()).X[:200]
    VAE(latent_dim=2, hidden=(2,)).fit(images, epochs=1).save(model)
    assert cli.main(["explore", str(model), "--data", "Shapes", "-o", str(page)]) == 0
    assert "test examples of shapes" in page.read_text()
    assert cli.main(["diagram", "--data", "shapes", "-o", str(tmp_path / "d.svg")]) == 0
    assert "1024" in (tmp_path / "d.svg").read_text()
