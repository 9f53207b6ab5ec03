"""The format of a model's rows: their scale, their shape, the names of their columns."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from scratchvae import VAE, InputError, load_model
from scratchvae.data.batches import check_columns
from scratchvae.data.learning import learn_format
from scratchvae.data.rows import RowFormat
from scratchvae.errors import DataWarning
from scratchvae.train import Trainer

GAUSSIAN = {"latent_dim": 2, "hidden": (8,), "likelihood": "gaussian"}
SMALL = {"latent_dim": 2, "hidden": (8,)}


@pytest.fixture
def table(rng):
    """Columns of other sizes, one of them constant."""
    X = rng.normal(size=(60, 4)) * [1, 100, 0.01, 0] + [0, 500, -3, 7]
    return X.astype(np.float64)


class Frame:
    """What a DataFrame shows of itself: columns, a shape, and an array."""

    def __init__(self, X, columns):
        self.X, self.columns, self.shape, self.ndim = X, columns, X.shape, X.ndim

    def __array__(self, dtype=None, copy=None):
        return np.array(self.X, dtype=dtype)

    def __len__(self):
        return len(self.X)


def learned(X, scale="none", unit_interval=False, **more):
    return learn_format(X, scale=scale, unit_interval=unit_interval, **more)


# ----------------------------------------------------------------------------------------- scale


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_columns_are_scaled_and_scaled_back(scale, table):
    form = learned(table, scale)
    scaled = form.scaled(form.check(table, "VAE"), "float64", False)
    if scale == "standard":
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 1, 0], atol=1e-9)
    else:
        np.testing.assert_allclose(scaled.min(axis=0), 0)
        np.testing.assert_allclose(scaled.max(axis=0), [1, 1, 1, 0])
    np.testing.assert_allclose(form.unscaled(scaled), table)


@pytest.mark.parametrize("scale", ["standard", "minmax"])
@pytest.mark.parametrize("absurd", [99999999.0, -1e6])
def test_one_absurd_value_that_decides_the_scale_of_its_column_is_named(scale, absurd, table):
    table[17, 1] = absurd
    told = rf"column 1 holds {absurd:.10g}, in row 17 .* interquartile ranges from its median .*log"
    with pytest.warns(DataWarning, match=told.replace("+", r"\+")):
        learned(table, scale)
    with pytest.warns(DataWarning, match="column 'b' holds"):
        learned(Frame(table, list("abcd")), scale)


@pytest.mark.parametrize("scale", ["standard", "minmax"])
@pytest.mark.parametrize("code", [-999, -9999, -99, -1, -9, 999, 9999, 99999])
def test_a_code_for_missing_values_is_named(scale, code, rng):
    X = np.stack([rng.normal(75, 12, 400).round(1), rng.normal(size=400)], axis=1)
    X[[37, 250], 0] = code
    told = rf"column 0 holds {code} in row 37 \(counted from 0\) and 1 more, far from its other"
    with pytest.warns(DataWarning, match=rf"{told}.* replace it by the mean of the others") as seen:
        learned(X, scale)
    assert len(seen) == 1
    X[250, 0] = 75
    with pytest.warns(DataWarning, match=rf"column 'kg' holds {code} in line 9, far .*ing mean"):
        learned(Frame(X, ["kg", "b"]), scale, where=lambda i: f"line {i - 28}")


def test_other_columns_with_codes_are_counted_and_a_rank_may_have_one_too(rng):
    X = np.stack([rng.integers(1, 6, 300), rng.normal(75, 12, 300), rng.random(300)], axis=1)
    X[5:8, 0] = -1
    X[4, 1] = -999
    with pytest.warns(DataWarning, match="column 0 holds -1 in row 5 .*; also column 1: if"):
        learned(X, "standard")


def test_a_value_that_decides_the_scale_is_named_where_no_other_is_near_it(rng):
    X = rng.normal(75, 12, (180, 2))
    X[20, 1] = 750.5
    with pytest.warns(DataWarning, match=r"column 1 holds 750.5, in row 20 .*, \d\d\.?\d* interq"):
        learned(X, "standard")


@pytest.mark.filterwarnings("error::scratchvae.errors.DataWarning")
def test_ordinary_skewed_columns_hold_no_codes_and_no_value_that_decides_their_scale(rng):
    n, draws = 400, 200
    columns = {
        "incomes": np.exp(rng.normal(10, 0.7, (draws, n))).round(),
        "lognormal": np.exp(rng.normal(0, 1, (draws, n))),
        "counts": rng.poisson(3, (draws, n)),
        "rare counts": rng.negative_binomial(0.5, 0.02, (draws, n)),
        "exponential": rng.exponential(50, (draws, n)),
        "rounded": rng.exponential(50, (draws, n)).round(),
        "t3": rng.standard_t(3, (draws, n)),
        "normal": rng.normal(3, 3, (draws, n)).round(),
        "narrow": rng.normal(40, 20, (draws, n)).round(),
        "signs": rng.choice([-1, 1], (draws, n)),
        "ranks": rng.choice([-1, 0, 1, 2], (draws, n)),
    }
    for scale in ("standard", "minmax"):
        for of_kind in columns.values():
            for column in of_kind:
                learned(column[:, None], scale)
    X = np.stack([rng.integers(60, 100, n), rng.integers(0, 2, n)], axis=1)  # scores up to 99
    learned(X, "standard")


@pytest.mark.filterwarnings("error::scratchvae.errors.DataWarning")
def test_columns_with_long_tails_and_images_are_no_absurd_values(table, rng):
    table[:, 0] = np.exp(rng.normal(size=60))  # lognormal
    table[:, 2] = rng.random(60) < 0.02  # rarely 1
    learned(table, "standard")
    images = np.where(rng.random((60, 4, 4)) < 0.3, rng.random((60, 4, 4)), 0)
    images[3, 2, 2] = 1e4
    learned(images, "standard")


@pytest.mark.parametrize("scale", ["standard", "minmax", "bytes"])
def test_pixels_that_were_divided_by_255_are_named_if_the_model_learned_bytes(scale, rng):
    X = rng.integers(0, 256, (20, 4, 4)).astype(np.uint8)
    vae = VAE(**GAUSSIAN, scale=scale).fit(X, epochs=1)
    with pytest.warns(DataWarning, match=r"pixels lie in \[0, 1\], but the model has learned pix"):
        vae.score_samples(X / 255)


@pytest.mark.filterwarnings("error::scratchvae.errors.DataWarning")
def test_rows_that_may_lie_between_0_and_1_get_no_warning(rng, table):
    X = rng.integers(0, 256, (20, 4, 4)).astype(np.uint8)
    vae = VAE(**GAUSSIAN, scale="standard").fit(X, epochs=1)
    for right in (X, X.astype(float), 0.0 * X, X[:0] / 255):
        vae.score_samples(right)
    VAE(**SMALL).fit(X / 255, epochs=1).score_samples(X / 255)
    VAE(**GAUSSIAN, scale="standard").fit(np.abs(table), epochs=1).score_samples(
        np.full((1, 4), 0.5)
    )


def test_images_have_one_scale_for_all_pixels(rng):
    X = rng.uniform(-1, 3, size=(20, 4, 5))
    for scale in ("minmax", "standard"):
        form = learned(X, scale)
        assert len(form.offset) == len(form.factor) == 1
    assert form.offset[0] == pytest.approx(X.mean())
    assert form.factor[0] == pytest.approx(X.std())


def test_what_was_fitted_is_applied_to_new_rows_and_undone(table):
    vae = VAE(**GAUSSIAN, scale="standard", seed=0).fit(table, epochs=300, batch_size=20, lr=1e-2)
    assert np.abs(vae.reconstruct(table) - table).mean(axis=0)[1] < 60  # of a deviation of 100
    samples = vae.sample(500)
    off = np.abs(samples.mean(axis=0) - table.mean(axis=0))
    assert (off < [1, 60, 0.01, 0.1]).all()
    by_hand = (table - table.mean(axis=0)) / np.where(table.std(axis=0) > 0, table.std(axis=0), 1)
    plain = VAE(**GAUSSIAN).load_state_dict(vae.state_dict())
    np.testing.assert_allclose(vae.encode(table), plain.encode(by_hand), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        vae.score_samples(table), plain.score_samples(by_hand, seed=0), rtol=1e-3
    )
    np.testing.assert_array_equal(
        vae.inverse_transform(vae.transform(table)), vae.reconstruct(table)
    )


@pytest.mark.parametrize("scale", ["none", "bytes", "minmax", "standard"])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_scale_is_saved(scale, suffix, table, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    table = table / [1, 100, 1, 1]
    vae = VAE(**GAUSSIAN, scale=scale).fit(table, epochs=1)
    vae.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    assert again.rows_ == vae.rows_
    np.testing.assert_array_equal(again.score_samples(table[3:4]), vae.score_samples(table)[3:4])
    np.testing.assert_array_equal(again.reconstruct(table), vae.reconstruct(table))


@pytest.mark.parametrize("scale", ["none", "bytes", "minmax", "standard"])
def test_weights_that_are_loaded_leave_the_format_of_the_rows(scale, rng, tmp_path):
    X = (rng.random((40, 5, 4)) < 0.5).astype(np.uint8) * (1 if scale == "none" else 200)
    vae = VAE(**(GAUSSIAN if scale == "standard" else SMALL), scale=scale).fit(X, epochs=1)
    before, rows = vae.score_samples(X), vae.rows_
    vae.load_state_dict(vae.state_dict())
    assert vae.rows_ == rows
    np.testing.assert_array_equal(vae.score_samples(X), before)
    vae.load_state_dict(VAE(**vae.get_params()).build(9).state_dict())
    assert vae.rows_.shape is None


def test_a_scale_that_was_not_learned_is_not_forgotten(table, tmp_path):
    vae = VAE(**GAUSSIAN, scale="standard").build(4)
    for use in (
        lambda: vae.score_samples(table),
        lambda: vae.loss_and_grad(table, np.zeros((60, 2))),
        lambda: VAE(**GAUSSIAN, scale="minmax").loss_and_grad(table, np.zeros((60, 2))),
        lambda: Trainer(vae, table),
    ):
        with pytest.raises(InputError, match=r"has not learned the scale of its data: call fit or"):
            use()
    vae.save(tmp_path / "m.npz")
    with pytest.raises(InputError, match="has not learned the scale"):
        load_model(tmp_path / "m.npz").encode(table)
    Trainer(vae.build_from(table), table).run(1)


def test_fit_may_override_the_scale(table):
    vae = VAE(**GAUSSIAN).fit(table, epochs=1, scale="standard")
    assert vae.scale == "none"
    assert vae.rows_.scale == "standard"


def test_a_gaussian_table_of_bytes_is_that_of_the_same_numbers(rng):
    X = rng.integers(0, 18, size=(50, 6))
    models = [VAE(**GAUSSIAN, seed=0).fit(X.astype(t), epochs=3) for t in ("u1", "i8", "f4", "f8")]
    for model in models[1:]:
        np.testing.assert_array_equal(model.params_.array, models[0].params_.array)
        np.testing.assert_array_equal(
            model.score_samples(X.astype("u1")), models[0].score_samples(X.astype("f8"))
        )


@pytest.mark.parametrize("scale", ["none", "minmax", "standard"])
def test_booleans_in_a_gaussian_table_are_the_numbers_0_and_1(scale, rng):
    X = rng.random((50, 6)) < 0.5
    a, b = (VAE(**GAUSSIAN, scale=scale, seed=0).fit(X.astype(t), epochs=3) for t in ("?", "f8"))
    np.testing.assert_array_equal(a.params_.array, b.params_.array)
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(X.astype(float)))


@pytest.mark.filterwarnings("ignore::scratchvae.errors.DataWarning")
def test_scale_bytes_of_0_and_1_stays_a_division(rng):
    X = (rng.random((50, 9)) < 0.5).astype(np.uint8)
    a, b = (VAE(**SMALL, seed=0).fit(X.astype(t), epochs=3, scale="bytes") for t in ("u1", "f8"))
    np.testing.assert_array_equal(a.params_.array, b.params_.array)


def test_large_offsets_keep_their_digits():
    T = 1.7e9 + np.arange(200.0)[:, None] * [1, 2]
    vae = VAE(**GAUSSIAN, scale="standard", seed=0).fit(T, epochs=200, batch_size=20, lr=1e-2)
    assert np.abs(vae.reconstruct(T) - T).mean() < 30  # of a deviation of 58 and 115
    assert len(np.unique(vae.reconstruct(T)[:, 0])) > 100


def test_half_precision_is_divided_in_the_models(rng):
    X = rng.integers(0, 256, (30, 9))
    vae = VAE(**SMALL, scale="bytes").fit(X, epochs=1)
    np.testing.assert_array_equal(vae.score_samples(X.astype("f2")), vae.score_samples(X))


def test_a_channel_of_one_is_no_other_shape(rng):
    X = rng.random((12, 5, 4))
    vae = VAE(**SMALL).fit(X, epochs=1)
    np.testing.assert_array_equal(vae.score_samples(X[..., None]), vae.score_samples(X))


def test_bytes_of_images_are_pixels_for_a_gaussian_too(rng):
    X = rng.integers(0, 256, size=(50, 3, 2), dtype=np.uint8)
    a = VAE(**GAUSSIAN, seed=0).fit(X, epochs=2)
    b = VAE(**GAUSSIAN, seed=0).fit(X.astype("f4") / np.float32(255), epochs=2)
    np.testing.assert_array_equal(a.params_.array, b.params_.array)


def test_zeros_and_ones_in_bytes_are_binary_pixels(rng):
    X = (rng.random((50, 9)) < 0.5).astype(np.uint8)
    a, b = (VAE(**SMALL, seed=0).fit(rows, epochs=2) for rows in (X, X.astype(bool)))
    np.testing.assert_array_equal(a.params_.array, b.params_.array)
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(X * 255))
    with pytest.raises(InputError, match="fitted on pixels that are 0 or 1"):
        a.encode(X * 255)


@pytest.mark.parametrize("as_type", ["u1", "f8", "i8"])
def test_scale_bytes_divides_whatever_the_dtype(as_type, rng):
    X = rng.integers(0, 256, size=(50, 9)).astype(as_type)
    vae = VAE(**SMALL, seed=0).fit(X, epochs=1, scale="bytes")
    plain = VAE(**SMALL, seed=0).fit(X / 255, epochs=1)
    np.testing.assert_array_equal(vae.params_.array, plain.params_.array)
    np.testing.assert_allclose(vae.reconstruct(X), plain.reconstruct(X / 255) * 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[0, 255]], r"reach from 0 to 255: pass scale='bytes' \(--scale bytes\), which divides"),
        ([[0, 16]], r"0 to 16: if they are pixels, pass scale='minmax' \(--scale minmax\), which"),
        ([[-1, 1]], r"reach from -1 to 1: if they are pixels, pass scale='minmax'"),
        ([[-0.1, 0.5]], r"must lie in \[0, 1\], but these reach from -0.1 to 0.5"),
        (
            [[-300, 2500]],
            r"300 to 2500: .* other numbers need likelihood='gaussian' and scale='sta",
        ),
        (
            Frame(np.array([[0, 200.0]]), ["a", "b"]),
            r"200: columns of numbers need likelihood='gaussian' and",
        ),
    ],
)
def test_pixels_out_of_range_get_the_remedy_for_their_range(X, message):
    with pytest.raises(InputError, match=message):
        VAE(**SMALL).fit(X if isinstance(X, Frame) else np.array(X, dtype=float), epochs=1)


def test_a_table_for_a_likelihood_of_pixels_is_a_warning(table):
    frame = Frame(table, ["age", "size", "weight", "kind"])
    with pytest.warns(
        DataWarning, match="pixel likelihood fits columns of numbers badly: use likelihood="
    ):
        VAE(**SMALL).fit(frame, epochs=1, scale="minmax")


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_constant_column_stays_constant(scale, rng):
    X = rng.normal(size=(40, 3)) * [1, 1, 0] + [0, 50, 7.3]
    vae = VAE(**GAUSSIAN, scale=scale, seed=0).fit(X, epochs=1)
    for rows in (vae.reconstruct(X), vae.sample(9), vae.sample(9, draw=True)):
        assert (rows[:, 2] == 7.3).all()
        assert rows[:, 1].std() > 0
    twin = X.copy()
    twin[:, 2] = 8.3
    assert (vae.score_samples(twin) < vae.score_samples(X)).mean() > 0.9, (
        "another value is unlikely"
    )


def test_the_remedies_work(rng):
    for X, scale in (
        (rng.integers(0, 256, (30, 9)) * 1.0, "bytes"),
        (rng.integers(0, 17, (30, 9)) * 1.0, "minmax"),
        (rng.uniform(-1, 1, (30, 9)), "minmax"),
        (rng.integers(0, 17, (30, 9)).astype(np.uint8), "minmax"),
    ):
        vae = VAE(**SMALL).fit(X, epochs=1, scale=scale)
        assert vae.reconstruct(X).max() > 0.5 * X.max() - 1


def test_data_that_would_be_learned_badly_are_warned_of(rng, table):
    with pytest.warns(DataWarning, match=r"column 1 reaches .* pass scale='standard'"):
        VAE(**GAUSSIAN).build_from(table)
    with pytest.warns(DataWarning, match=r"column 'b' reaches"):
        VAE(**GAUSSIAN).build_from(Frame(table, ["a", "b", "c", "d"]))
    digits = rng.integers(0, 17, (30, 64)).astype(np.uint8)
    with pytest.warns(DataWarning, match="largest of these uint8 pixels is 16, .* scale='minmax'"):
        VAE(**SMALL).fit(digits, epochs=1)


def test_warnings_are_at_the_line_of_the_user(table):
    with pytest.warns(DataWarning) as caught:
        VAE(**GAUSSIAN).build_from(table)
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore::scratchvae.errors.DataWarning")
@pytest.mark.parametrize("value", [5.0, 1e6, -3.0, 1e17])
@pytest.mark.parametrize("scale", ["none", "minmax", "standard"])
def test_constant_data_can_be_saved_and_drawn(value, scale):
    form = learned(np.full((4, 3, 3), value), scale)
    assert RowFormat.read(form.describe(), 9) == form
    assert np.isfinite(form.images(np.full(9, value))).all()


def test_new_rows_outside_the_range_of_training_count_as_its_ends(rng):
    X = rng.uniform(0, 5, (40, 3))
    vae = VAE(**SMALL).fit(X, epochs=1, scale="minmax")
    ends = [[1, 1, 1], [1, X[:, 1].min(), X[:, 2].max()]]
    with pytest.warns(
        DataWarning, match="such as -3 in row 1 .counted from 0., column 1, lie outside"
    ):
        found = vae.score_samples([[1, 1, 1], [1, -3, 7]])
    np.testing.assert_allclose(found, vae.score_samples(ends), rtol=1e-6)


def test_an_unknown_likelihood_is_told_before_anything_about_data():
    with pytest.raises(InputError, match="likelihood must be one of"):
        VAE(likelihood="mse").fit([[-5.0, 900.0]])
    with pytest.raises(InputError, match="scale must be one of none, bytes, minmax, standard"):
        VAE(scale="zscore").fit([[-5.0, 900.0]])
    with pytest.raises(InputError, match="scale must be one of"):
        VAE().fit([[0.5, 0.5]], scale="zscore")


def test_binary_images_and_a_scale_of_their_own_exclude_each_other(rng):
    with pytest.raises(InputError, match="binarize='dynamic' needs pixels"):
        VAE(**SMALL).fit(rng.random((20, 9)), scale="minmax", binarize="dynamic")


# ----------------------------------------------------------------------------------------- shape


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((16, 64), (16, 64)),
        ((5, 4, 3), (5, 4, 3)),
        ((3, 5, 4), (5, 4, 3)),
        ((5, 4, 1), (5, 4)),
        ((1, 5, 4), (5, 4)),
        ((2, 2, 2, 2), None),
    ],
)
def test_shapes_are_kept_and_drawn(shape, image, rng, tmp_path):
    X = rng.random((12, *shape))
    vae = VAE(**SMALL).fit(X, epochs=1)
    assert vae.rows_.shape == shape
    assert vae.rows_.image_shape == image
    vae.save(tmp_path / "m.npz")
    assert load_model(tmp_path / "m.npz").rows_.shape == shape
    if image:
        drawn = vae.rows_.images(X.reshape(12, -1))
        assert drawn.shape == (12, *image)
        if shape == (3, 5, 4):
            np.testing.assert_array_equal(drawn[0, 2, 1], X[0, :, 2, 1])
        else:
            np.testing.assert_array_equal(drawn.ravel(), X.ravel())
    else:
        with pytest.raises(InputError, match="nothing to draw"):
            vae.rows_.images(X.reshape(12, -1))


def test_flat_rows_are_images_only_where_they_could_be_square():
    assert RowFormat(784, True).image_shape == (28, 28)
    assert RowFormat(13, True).image_shape is None
    assert RowFormat(1, True).image_shape is None
    assert RowFormat(9, True).image_shape == (3, 3)
    assert RowFormat(9, False).image_shape is None  # a table of nine numbers
    assert RowFormat(64, False).image_shape == (8, 8)
    assert RowFormat(4, True, columns=("a", "b", "c", "d")).image_shape is None


def numbered(pattern, *starts):
    return tuple(pattern.format(i + starts[0], *starts[1:]) for i in range(9))


@pytest.mark.parametrize(
    "columns",
    [
        numbered("pixel{}", 0), numbered("pixel{}", 1), numbered("Pixel_{}", 0),
        numbered("px{}", 1), numbered("pixel {:03d}", 0),
        tuple(f"{i}x{j}" for i in (1, 2, 3) for j in (1, 2, 3)),
        tuple(f"pixel_{i}_{j}" for i in range(3) for j in range(3)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pixels", [True, False])
def test_columns_named_after_pixels_are_an_image(columns, pixels):
    assert RowFormat(9, pixels, columns=columns).image_shape == (3, 3)


@pytest.mark.parametrize(
    "columns",
    [
        numbered("pixel{}", 2), numbered("pixels{}", 0), numbered("{}", 0), numbered("x{}", 0),
        numbered("pixel{}", 0)[::-1], (*numbered("pixel{}", 0)[:8], "label"),
        (*numbered("pixel{}", 0)[:8], "pixel9"), numbered("pixel{}", 0)[:8],
        (*numbered("pixel{}", 0)[:8], "0x8"), ("pixel0",),
        tuple(f"{i}x{j}" for j in (1, 2, 3) for i in (1, 2, 3)),  # column after column
    ],
)  # fmt: skip
def test_columns_of_other_names_are_a_table(columns):
    assert RowFormat(len(columns), True, columns=columns).image_shape is None


def test_bytes_in_columns_of_pixels_are_pixels(rng):
    X = rng.integers(0, 256, (20, 9)).astype(np.uint8)
    assert learned(X, "minmax", columns=numbered("pixel{}", 0)).pixels
    assert not learned(X, "minmax", columns=numbered("part{}", 0)).pixels


def test_images_on_a_background_of_the_lowest_value_are_ink(rng, tmp_path):
    strokes = np.zeros((12, 6, 6))
    strokes[:, :3, :5] = rng.uniform(0.1, 1, (12, 3, 5))
    photographs = rng.random((12, 6, 6))
    for X, ink in ((strokes, True), (photographs, False)):
        for data in (X, X - 8, (255 * X).astype(np.uint8)):
            assert learned(data).ink == ink
            assert learned(data, "standard").ink == ink
        vae = VAE(**SMALL).fit(X, epochs=1)
        vae.save(tmp_path / "m.npz")
        assert load_model(tmp_path / "m.npz").rows_.ink == ink
    assert learned(strokes > 0).ink
    assert not learned(strokes == 0).ink  # white paper is not the lowest value
    half = np.repeat([[0.0], [1.0]], 18, axis=1).reshape(1, 6, 6)
    assert not learned(half).ink, "exactly half is not more than half"


def test_ink_is_learned_from_the_training_data_and_does_not_change(rng):
    vae = VAE(**SMALL).fit(rng.random((12, 36)), epochs=1)
    vae.score_samples(np.zeros((3, 36)))
    assert not vae.rows_.ink


def test_rows_of_another_shape_are_refused(rng):
    vae = VAE(**SMALL).fit(rng.random((12, 5, 4)), epochs=1)
    with pytest.raises(
        InputError, match=r"fitted on rows of shape \(5, 4\), but these have \(4, 5\)"
    ):
        vae.encode(rng.random((2, 4, 5)))
    assert vae.encode(rng.random((2, 20)))[0].shape == (2, 2)


def test_pictures_use_the_range_of_the_data(rng):
    X = rng.uniform(-3, 5, (30, 4, 4))
    form = learned(X)
    assert form.images(X.reshape(30, -1)).min() == 0
    assert form.images(X.reshape(30, -1)).max() == 1
    byte_images = rng.integers(0, 256, (30, 4, 4)) * 1.0
    form = learned(byte_images, "bytes", unit_interval=True)
    np.testing.assert_allclose(form.images(byte_images.reshape(30, -1)), byte_images / 255)
    assert learned(rng.uniform(0.2, 0.6, (9, 4, 4))).images(np.full(16, 0.5)).max() == 0.5


# --------------------------------------------------------------------------------------- columns


def test_a_column_of_text_and_a_gap_are_named(table):
    named = Frame(np.array([[1.0, "north"], [2.0, "south"]], dtype=object), ["age", "region"])
    with pytest.raises(InputError, match="column 'region' holds text: encode it as numbers, or"):
        VAE(**GAUSSIAN).fit(named)
    table[3, 2] = np.nan
    with pytest.raises(InputError, match="the data hold NaN at row 3, column 'c': fill or drop"):
        VAE(**GAUSSIAN).fit(Frame(table, ["a", "b", "c", "d"]))


def test_names_of_columns_stay_with_the_model(table, tmp_path):
    names = ["age", "size", "weight", "id"]
    vae = VAE(**GAUSSIAN, scale="standard").fit(Frame(table, names), epochs=1)
    np.testing.assert_array_equal(vae.feature_names_in_, names)
    vae.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert again.rows_.columns == tuple(names)
    again.encode(Frame(table, names))
    again.encode(table)
    with pytest.raises(InputError, match=r"same order as they were in fit. It is age, size"):
        again.encode(Frame(table[:, ::-1], names[::-1]))
    with pytest.raises(InputError, match=r"unseen at fit time: extra.*now missing: id"):
        again.encode(Frame(table, ["age", "size", "weight", "extra"]))
    assert not hasattr(VAE(**GAUSSIAN, scale="standard").fit(table, epochs=1), "feature_names_in_")
    assert not hasattr(VAE(), "feature_names_in_")
    with pytest.warns(DataWarning, match="X has feature names, but VAE was fitted without"):
        check_columns(None, ("a",), "VAE")


# ------------------------------------------------------------------------------ untrusted formats


GOOD = RowFormat(6, True, shape=(2, 3), scale="standard", offset=(1.0,), factor=(2.0,))


def test_what_is_described_is_read():
    for form in (GOOD, RowFormat(6, False), replace(GOOD, shape=None, columns=tuple("abcdef"))):
        assert RowFormat.read(json.loads(json.dumps(form.describe())), 6) == form


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": 1}, {"white": 254}, {"shape": [6, 2]}, {"shape": [-2, -3]}, {"shape": "ab"},
        {"shape": [2.0, 3.0]}, {"columns": ["a"]}, {"columns": [1] * 6}, {"columns": 5},
        {"scale": "log"}, {"scale": ["none"]}, {"offset": [1, 2]}, {"offset": [float("nan")]},
        {"factor": [1e-31]}, {"factor": [-1.0]}, {"factor": []}, {"factor": ["a"]}, {"low": 1.0},
        {"ink": 1}, {"ink": None}, {"ink": []},
        {"high": None}, {"other": 1}, {"offset": 1.0}, {"low": True, "high": 2.0},
    ],
)  # fmt: skip
def test_formats_from_files_are_not_trusted(change):
    with pytest.raises(InputError, match="the format of its rows is invalid"):
        RowFormat.read(GOOD.describe() | change, 6)


def test_a_format_without_ink_is_of_ink():
    about = replace(GOOD, ink=False).describe()
    assert not RowFormat.read(about, 6).ink
    del about["ink"]
    assert RowFormat.read(about, 6).ink
    del about["white"]
    with pytest.raises(InputError, match="it has other fields"):
        RowFormat.read(about, 6)


@pytest.mark.parametrize("about", [None, [], "text", 5, {}])
def test_formats_that_are_none(about):
    with pytest.raises(InputError, match="the format of its rows is invalid"):
        RowFormat.read(about, 6)


def test_messages_say_where_in_the_row(rng):
    X = rng.random((5, 4, 6))
    vae = VAE(**SMALL).fit(X, epochs=1)
    with pytest.raises(InputError, match=r"this is one example of shape \(4, 6\): pass x\[None\]"):
        vae.score_samples(X[0])
    X[2, 3, 5] = np.nan
    with pytest.raises(InputError, match=r"NaN at row 2, position \(3, 5\)"):
        vae.score_samples(X)


def test_a_column_of_dates_is_named():
    X = np.array([[1, date(2026, 1, 2)], [2, date(2026, 1, 3)]], dtype=object)
    with pytest.raises(InputError, match="dtype object \\(column 'day'\\): "):
        VAE(**GAUSSIAN).fit(Frame(X, ["a", "day"]), epochs=1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", ["none", "standard"])
def test_numbers_beyond_single_precision(scale, rng):
    X = rng.normal(size=(60, 3))
    vae = VAE(**GAUSSIAN, scale=scale).fit(X, epochs=1)
    X[7, 1] = -1e300
    with pytest.raises(InputError, match=r"reach -1e\+300 at row 7 .*, column 1, too large to"):
        VAE(**GAUSSIAN, scale=scale).fit(X, epochs=1)
    for codes in vae.encode(X):
        assert np.isfinite(codes).all()
    assert vae.score_samples(X).argmin() == 7


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_column_of_tiny_numbers_is_not_constant(scale, rng):
    X = rng.normal(size=(60, 2)) * [1, 1e-12]
    vae = VAE(**GAUSSIAN, scale=scale, seed=0).fit(X, epochs=1)
    assert vae.sample(50, draw=True)[:, 1].std() > 1e-13
    far = X.copy()
    far[:, 1] = 5e-9
    assert (vae.score_samples(far) < vae.score_samples(X) - 1000).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["f2", "i8", "u1"])
def test_rows_of_any_dtype_are_read_without_warnings(dtype, rng):
    X = rng.integers(0, 9, (40, 3)).astype(dtype)
    VAE(**GAUSSIAN, seed=0).fit(X, epochs=1).score_samples(X)


def test_floats_up_to_255_for_a_model_that_knows_bytes():
    X = np.random.default_rng(0).integers(0, 256, (20, 4, 4)).astype(np.uint8)
    vae = VAE(latent_dim=2, hidden=(4,), epochs=1).fit(X)
    told = "reach from .* to 255: pass uint8, which counts from 0 to 255, or divide them by 255"
    for dtype in (np.float64, np.float32, np.int64):
        with pytest.raises(InputError, match=told):
            vae.score_samples(np.concatenate((X, X[:1] * 0 + 255)).astype(dtype))
    with pytest.raises(InputError, match="scale them like the training data"):
        vae.score_samples(X.astype(np.float64) - 300)


def test_one_row_of_a_frame_is_named_as_pandas_has_it():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.random.default_rng(0).random((20, 3)), columns=[*"abc"])
    vae = VAE(latent_dim=2, hidden=(4,), epochs=1).fit(X)
    with pytest.raises(InputError, match=r"a Series of shape \(3,\). .*: pass X.iloc\[\[i\]\] f"):
        vae.score_samples(X.iloc[5])
    with pytest.raises(InputError, match=r"a ndarray of shape \(3,\). .*: pass x\[None\] for one"):
        vae.score_samples(X.to_numpy()[5])
