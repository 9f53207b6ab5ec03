"""Counter-based noise: published test vectors, distributions, and the key of each number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchvae import VAE, InputError
from scratchvae.backend import noise
from scratchvae.data.labels import keep_labels
from scratchvae.errors import MAX_SEED
from scratchvae.train import Trainer
from scratchvae.train.measure import losses

# From the Random123 distribution, kat_vectors: philox4x32, 10 rounds: counter, key, result.
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_gives_the_published_vectors(counter, key, expected):
    words = noise.philox(*(np.array([c], dtype=np.uint64) for c in counter), key[0] | key[1] << 32)
    assert tuple(int(w[0]) for w in words) == expected


@given(
    st.integers(0, MAX_SEED),
    st.integers(0, 7),
    st.integers(0, 2**32 - 1),
    st.integers(0, 1000),
    st.integers(1, 9),
    st.integers(1, 20),
)
def test_a_row_does_not_depend_on_the_rows_around_it(seed, stream, step, row, n, width):
    """So a batch may be split among processes, and cut into pieces of any size."""
    key = {"seed": seed, "stream": stream, "step": step}
    for draw in (noise.bits, noise.uniform, noise.normal):
        whole = draw(n, width, row=row, **key)
        assert whole.shape == (n, width)
        for i in (0, n - 1):
            np.testing.assert_array_equal(draw(1, width, row=row + i, **key)[0], whole[i])


def test_seed_stream_step_and_row_each_change_the_numbers():
    base = {"seed": 1, "stream": 2, "step": 3, "row": 4}
    first = noise.normal(1, 8, **base)
    for name in base:
        other = noise.normal(1, 8, **base | {name: base[name] + 1})
        assert not np.isin(other, first).any(), name


def test_numbers_are_made_from_bits_as_documented():
    """The layout is part of what a seed means: a change here changes every result."""
    key = {"seed": 7, "stream": 3, "step": 2, "row": 1}
    words = noise.bits(2, 8, **key)
    np.testing.assert_array_equal(noise.uniform(2, 8, **key), (words >> 8) / np.float32(2**24))
    u, angle = (words[:, :4] + 1) / 2**32, words[:, 4:] / 2**32
    radius = np.sqrt(-2 * np.log(u))
    both = [radius * np.cos(2 * np.pi * angle), radius * np.sin(2 * np.pi * angle)]
    np.testing.assert_allclose(
        noise.normal(2, 8, **key, dtype="float64"), np.concatenate(both, axis=1), rtol=1e-12
    )
    block = [np.array([c], dtype=np.uint64) for c in (1, 2, 2, 3)]  # block, row, step, stream
    np.testing.assert_array_equal(words[1, 1::2], [int(w[0]) for w in noise.philox(*block, 7)])


def test_each_use_of_a_seed_has_a_key_of_its_own(monkeypatch, rng):
    """Which stream is which use is part of what a seed means, too."""
    keys, bits, X, y = set(), noise.bits, rng.random((6, 9)), np.arange(6) % 2

    def spy(*args, seed, stream, step=0, **rest):
        if stream != noise.KEYS:  # the keys of rows are the same for every seed
            assert seed == 3
            keys.update((stream, j) for j in np.unique(step).tolist())
        return bits(*args, seed=seed, stream=stream, step=step, **rest)

    monkeypatch.setattr(noise, "bits", spy)
    vae = VAE(latent_dim=2, hidden=(3,), seed=3).build(9)
    trainer = Trainer(vae, X, binarize="dynamic")
    trainer.adam.t = 5
    ahead = range(
        5, 5 + noise.Ahead.SIZE // (6 * 2)
    )  # the noise of later steps is drawn with that of step 5
    for use, wanted in (
        (lambda: vae.build(9), {(noise.INIT, i) for i in range(4)}),
        (lambda: trainer.take_step(y), {*((noise.TRAIN, i) for i in ahead), (noise.BINARIZE, 5)}),
        (lambda: losses(vae, X), {(noise.TEST, 0)}),
        (lambda: vae.score_samples(X, k=3), {(noise.SCORE, j) for j in range(3)}),
        (lambda: vae.score_samples(X), {(noise.SCORE, 0)}),
        (lambda: keep_labels(y, 2, 3), {(noise.LABELS, 0)}),
    ):
        keys.clear()
        use()
        assert keys == wanted


@pytest.mark.parametrize(("n", "width"), [(5, 2), (3, 9), (noise.Ahead.SIZE, 2)])
def test_noise_ahead_is_that_of_each_step(n, width):
    ahead, key = noise.Ahead(), {"seed": 7, "stream": 3, "row": 4, "dtype": "float32"}
    for change in ({}, {"seed": 8}, {"row": 0}, {"stream": 1}, {"dtype": "float64"}):
        key |= change
        for step in (7, 8, 9, 8, 7, 10**6, 9):
            found = ahead.normal(n, width, **key, step=step, xp=np)
            np.testing.assert_array_equal(found, noise.normal(n, width, **key, step=step))
            assert found.dtype == key["dtype"]


def test_noise_ahead_is_drawn_once_for_several_steps(monkeypatch):
    ahead, calls, bits = noise.Ahead(), [], noise.bits
    monkeypatch.setattr(noise, "bits", lambda *a, **k: (calls.append(a), bits(*a, **k))[1])
    key = {"seed": 7, "stream": 3, "row": 4, "dtype": "float32", "xp": np}
    for step in range(20):
        ahead.normal(5, 2, **key, step=step)
    assert len(calls) == 1
    ahead.normal(4, 2, **key, step=20)
    assert len(calls) == 2


def test_rows_with_keys_have_the_numbers_of_their_keys():
    key = {"seed": 7, "stream": 3, "step": 2}
    keys = np.array([5, 0, 5, 2**32 - 1], dtype=np.uint64)
    found = noise.normal(4, 9, **key, row=keys)
    for i, row in enumerate(keys):
        np.testing.assert_array_equal(found[i : i + 1], noise.normal(1, 9, **key, row=int(row)))


def test_equal_rows_have_equal_keys_and_others_do_not():
    pixels = np.arange(256, dtype=np.uint8).reshape(32, 8)
    x = pixels / 255
    keys = noise.row_keys(x)
    assert keys.dtype == np.uint64
    assert keys.max() < 2**32
    assert len(np.unique(keys)) == 32
    np.testing.assert_array_equal(noise.row_keys(pixels / np.float32(255)), keys)
    np.testing.assert_array_equal(noise.row_keys(x[::-1].copy())[::-1], keys)
    np.testing.assert_array_equal(noise.row_keys(np.asfortranarray(x)), keys)
    np.testing.assert_array_equal(
        noise.row_keys(np.full((1, 3), -0.0)), noise.row_keys(x[:1, :3] * 0)
    )
    assert noise.row_keys(x[:, ::-1].copy())[0] != keys[0]  # the order of the columns counts
    assert np.isfinite(noise.row_keys(np.full((1, 3), 1e300))).all()


def test_keys_of_similar_rows_are_spread(rng):
    """Rows that differ in one bit of one pixel: no bit of the key is constant, none is likely."""
    x = np.full((4096, 60), 0.5, dtype=np.float32)
    x[np.arange(4096), rng.integers(60, size=4096)] += rng.integers(1, 200, 4096) * np.float32(
        2**-24
    )
    keys = np.unique(noise.row_keys(x))
    assert len(keys) > 0.9 * len(np.unique(x, axis=0))
    share = ((keys[:, None] >> np.arange(32, dtype=np.uint64)) & np.uint64(1)).mean(axis=0)
    assert (abs(share - 0.5) < 5 * 0.5 / len(keys) ** 0.5).all()


def test_uniforms_are_uniform_and_never_one():
    u = noise.uniform(2000, 100, seed=0, stream=1)
    assert u.dtype == np.float32
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.bincount((u.ravel() * 16).astype(int), minlength=16)
    expected = u.size / 16
    assert ((counts - expected) ** 2 / expected).sum() < 45  # chi squared, 15 degrees: p < 1e-4


def test_normals_are_normal():
    z = noise.normal(2000, 101, seed=0, stream=1, dtype="float64").ravel()
    n = z.size
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z**3).mean()) < 5 * (15 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5
    assert 4 < np.abs(z).max() < 7
    assert np.isfinite(z).all()


def test_the_columns_of_normals_are_not_correlated():
    z = noise.normal(20_000, 7, seed=3, stream=1, dtype="float64")
    off = np.corrcoef(z.T) - np.eye(7)
    assert np.abs(off).max() < 5 / 20_000**0.5
    off = np.corrcoef((z**2).T) - np.eye(7)
    assert np.abs(off).max() < 5 / 20_000**0.5


def test_float32_noise_is_the_float64_noise_rounded():
    key = {"seed": 5, "stream": 1, "step": 9}
    for draw in (noise.uniform, noise.normal):
        double = draw(50, 11, **key, dtype="float64")
        np.testing.assert_array_equal(draw(50, 11, **key), double.astype(np.float32))


@given(st.integers(0, 300), st.integers(0, 1000), st.integers(0, 50))
def test_permutations_are_permutations(n, seed, epoch):
    order = noise.permutation(n, seed=seed, epoch=epoch)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_each_epoch_and_seed_has_its_own_order():
    orders = [noise.permutation(1000, seed=s, epoch=e) for s in (0, 1) for e in (0, 1)]
    for i, a in enumerate(orders):
        for b in orders[i + 1 :]:
            assert (a == b).mean() < 0.02


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "0", True, None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(InputError, match="seed must be a whole number"):
        noise.check_seed(seed)
