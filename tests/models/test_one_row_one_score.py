"""A row has one score, exactly: alone, in a batch of any size and order, of any dtype."""

import numpy as np
import pytest

from scratchvae import load_data
from scratchvae.models import MODELS, Labelled

ROWS = 300  # not a multiple of the block


CASES = [(kind, dtype) for kind in MODELS for dtype in ("float32", "float64")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def fitted(request):
    """A fitted model, its rows, and the argument y= of some rows."""
    kind, dtype = request.param
    X, y = load_data("strokes")
    X, y = X[:ROWS], y[:ROWS]
    model = MODELS[kind](latent_dim=4, hidden=(32,), dtype=dtype, seed=1).fit(X, y, epochs=1)
    return model, X, lambda rows: {"y": y[rows]} if isinstance(model, Labelled) else {}


def bounds(model):
    """The argument k= of each bound that the model has."""
    return (None, 3) if model.noisy else (None,)


def test_alone_as_in_the_batch(fitted):
    model, X, labels = fitted
    for k in bounds(model):
        scores = model.score_samples(X, k, **labels(slice(None)))
        for i in (0, 1, 127, 128, 255, ROWS - 1):
            alone = model.score_samples(X[i : i + 1], k, **labels(slice(i, i + 1)))
            assert alone[0] == scores[i]


def test_in_any_order_and_in_any_pieces(fitted, rng):
    model, X, labels = fitted
    order = rng.permutation(ROWS)
    for k in bounds(model):
        scores = model.score_samples(X, k, **labels(slice(None)))
        np.testing.assert_array_equal(
            model.score_samples(X[order], k, **labels(order)), scores[order]
        )
        for n in (2, 3, 7, 150):
            rows = slice(11, 11 + n)
            np.testing.assert_array_equal(
                model.score_samples(X[rows], k, **labels(rows)), scores[rows]
            )


def test_of_bytes_as_of_their_floats(fitted):
    """For a float64 model, pixels of float32 are rounded ones, but the noise is the same."""
    model, X, labels = fitted
    y = labels(slice(None))
    for k in bounds(model):
        scores = model.score_samples(X, k, **y)
        np.testing.assert_array_equal(model.score_samples(X / 255, k, **y), scores)
        rounded = model.score_samples(X / np.float32(255), k, **y)
        if model.dtype == "float32":
            np.testing.assert_array_equal(rounded, scores)
        np.testing.assert_allclose(rounded, scores, rtol=1e-6)


def test_equal_rows_have_equal_scores(fitted):
    model, X, labels = fitted
    y = {name: a[:1].repeat(200) for name, a in labels(slice(None)).items()}
    for k in bounds(model):
        assert len(np.unique(model.score_samples(X[:1].repeat(200, axis=0), k, **y))) == 1


def test_what_else_reads_a_row_does_not_depend_on_its_neighbours(fitted):
    model, X, labels = fitted
    one, all_of_it = slice(5, 6), slice(None)
    np.testing.assert_array_equal(
        model.reconstruct(X[one], **labels(one)), model.reconstruct(X, **labels(all_of_it))[one]
    )
    np.testing.assert_array_equal(
        model.transform(X[one], **labels(one)), model.transform(X, **labels(all_of_it))[one]
    )
    if model.kind == "m2":
        np.testing.assert_array_equal(model.predict_proba(X[one]), model.predict_proba(X)[one])
