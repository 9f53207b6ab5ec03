"""Named views of one vector, and named buffers."""

import numpy as np
import pytest

from scratchvae.backend.memory import CACHE_LINE, Flat, Workspace, empty


@pytest.fixture
def flat():
    return Flat({"W": (2, 3), "b": (3,)}, np, "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (1000,)])
def test_memory_begins_with_a_line_of_the_cache(shape, dtype):
    for _ in range(5):
        a = empty(np, shape, dtype)
        assert (a.shape, a.dtype) == (shape, np.dtype(dtype))
        assert a.flags.c_contiguous
        assert a.flags.writeable
        assert a.ctypes.data % CACHE_LINE == 0 or a.size == 0


def test_tensors_are_pieces_of_one_vector(flat):
    flat.W[...] = 1
    flat["b"][...] = 2
    np.testing.assert_array_equal(flat.array, [1] * 6 + [2] * 3)
    assert list(flat) == ["W", "b"]
    assert flat.W is flat["W"]
    assert all(np.shares_memory(a, flat.array) for a in flat.values())


def test_a_tensor_cannot_be_rebound_but_may_be_changed_in_place(flat):
    flat.b += 1
    flat.array *= 2
    np.testing.assert_array_equal(flat.b, [2, 2, 2])
    with pytest.raises(AttributeError, match=r"assign to b\[...\]"):
        flat.b = np.zeros(3)
    with pytest.raises(AttributeError):
        flat.array = np.zeros(9)


def test_an_unknown_tensor_is_named_with_those_that_exist(flat):
    with pytest.raises(AttributeError, match=r"no tensor named 'c' among \['W', 'b'\]"):
        _ = flat.c


def test_like_is_other_memory(flat):
    other = flat.like(np)
    other.W[...] = 5
    assert (flat.W == 0).all()
    assert other.shapes == flat.shapes
    assert other.array.dtype == flat.array.dtype


def test_a_buffer_keeps_its_memory():
    ws = Workspace(np, "float32")
    a = ws("z", 4, 3)
    assert a.dtype == np.float32
    assert np.shares_memory(ws("z", 4, 3), a)
    small = ws("z", 2, 3)
    assert small.shape == (2, 3)
    assert small.flags.c_contiguous
    assert np.shares_memory(small, a)
    assert not np.shares_memory(ws("z", 5, 3), a)
    assert not np.shares_memory(ws("y", 4, 3), ws("z", 4, 3))


def test_full_fills():
    np.testing.assert_array_equal(Workspace(np, "float64").full("d", 0.25, 3), [0.25] * 3)


def test_tensors_move_with_their_values_and_constants(flat):
    flat.W[...] = 1
    flat.constants["c"] = np.ones(1)
    memory = np.full(9, np.nan)
    flat.move_to(memory)
    assert flat.array is memory
    flat.b += 2
    np.testing.assert_array_equal(memory, [1] * 6 + [2] * 3)
    assert flat["W"] is flat.W
    assert flat.c == 1
