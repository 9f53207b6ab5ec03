"""Layers recognised by their output, and the gradients that their usual bugs give.

A layer is recognised if a formula gives the forward's output to the last digits, and a bug is named
if it gives the gradient that backward returned.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, combinations, permutations, product

import numpy as np

SAME = 1e-9  # relative: what a formula of a known layer may leave of its output
CLOSE = 1e-5  # relative to the gradient: what differences may leave of a right formula
DEEPEST = 4  # axes of an output that may be normalised
MOST = 6  # arrays among which the arguments of a layer are looked for
PROJECTIONS = 4  # matrices among which those of queries, keys and values are looked for
MOVED = "x - mean is used in place of the normalised x"
PLAIN = "x itself is used in place of the normalised x"
OUTPUT = "the output is used in place of the normalised x"

Arrays = Mapping[str, np.ndarray]
Candidates = Iterator[tuple[str, np.ndarray]]


def known(
    name: str, a: np.ndarray, n: np.ndarray, arrays: Arrays, masks: Arrays, v: np.ndarray
) -> Candidates:
    """Explanations, and the gradient of `name` if they are true.

    a, n: the gradient that backward returned, and the numeric one. arrays: the inputs and the
    output by name. masks: inputs of true and false. v: the upstream gradient.
    """
    x, y = arrays.get(name), arrays.get("y")
    if x is None or y is None:
        return
    if v.shape == x.shape == y.shape:
        yield from _softmax(x, y, v)
    if v.shape == y.shape and y.ndim <= DEEPEST:
        yield from _normalised(name, n, arrays, v)
    yield from _attention(name, arrays, masks, v)


def _softmax_along(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _softmax_slope(p: np.ndarray, v: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(p * (v - (v * p).sum(axis=axis, keepdims=True)))


def _softmax(x: np.ndarray, y: np.ndarray, v: np.ndarray) -> Candidates:
    for axis in range(x.ndim):
        p = _softmax_along(x, axis)
        for what, right in (("softmax", p), ("log softmax", np.log(p))):
            if not np.allclose(right, y, SAME, SAME):
                continue
            for other in range(x.ndim):
                q = _softmax_along(x, other)
                log = v - q * v.sum(axis=other, keepdims=True)
                slope = _softmax_slope(q, v, other) if what == "softmax" else log
                text = f"the forward is a {what} along axis {axis}, the backward is along axis "
                yield f"{text}{other}", slope
            yield f"the sum of dy is missing in the {what}", v - p
            yield f"the gradient of the {what} has a wrong sign inside", v + p


def _normalised(name: str, n: np.ndarray, arrays: Arrays, v: np.ndarray) -> Candidates:
    """Layer norm, batch norm, RMS norm and the like: y = gain (x - mean) / std + bias."""
    y = arrays["y"]
    for role, x in arrays.items():
        if role == "y" or x.shape != y.shape or x.size < 3:
            continue
        parameters = _parameters(arrays, role, y.shape)
        gains = [p for p in parameters if name in (role, p[0])]
        subsets = (combinations(range(y.ndim), count) for count in range(1, y.ndim + 1))
        for axes, centred, (of, gain) in product(chain(*subsets), (True, False), gains):
            centre = centred * x.mean(axis=axes, keepdims=True)
            if (r := _scale(x - centre, y, gain, parameters, axes)) is None:
                continue
            if name == role:
                yield from _norm_of_x(n, x, centre, r, gain, of, y, v, axes)
            else:
                summed = tuple(i for i, length in enumerate(gain.shape) if length < x.shape[i])
                for text, z in ((MOVED, x - centre), (PLAIN, x), (OUTPUT, y)):
                    yield text, (v * z).sum(axis=summed).reshape(n.shape)
            return


def _parameters(arrays: Arrays, role: str, shape: tuple[int, ...]) -> list[tuple[str, np.ndarray]]:
    """A gain of 1, and the inputs that may be gain or bias, along the axes on which they fit."""
    found = [("", np.ones([1] * len(shape)))]
    for other, x in arrays.items():
        if other in ("y", role) or x.size < 2 or x.ndim > len(shape) or len(found) > 2 * MOST:
            continue
        for after in range(len(shape) - x.ndim + 1) if x.ndim == 1 else [0]:
            z = x.reshape((1,) * (len(shape) - x.ndim - after) + x.shape + (1,) * after)
            if all(one in (1, two) for one, two in zip(z.shape, shape, strict=True)):
                found.append((other, z))
    return found


def _scale(
    c: np.ndarray,
    y: np.ndarray,
    gain: np.ndarray,
    parameters: list[tuple[str, np.ndarray]],
    axes: tuple[int, ...],
) -> np.ndarray | None:
    """1 / std, if y is gain c / std + one of the parameters; None if it is not.

    std^2 may have an epsilon, or another ddof, and std an epsilon.
    """
    s = gain * c
    square = (s * s).mean(axis=axes, keepdims=True)
    length = c.size // square.size
    if length < 3 or not square.all():
        return None
    for _, bias in [("", 0 * y), *parameters[1:]]:
        r = ((y - bias) * s).mean(axis=axes, keepdims=True) / square
        if not np.allclose(s * r + bias, y, SAME, SAME) or not (r > 0).all():
            continue
        var = (c * c).mean(axis=axes, keepdims=True)
        for left in (1 / r**2 - var, 1 / r - np.sqrt(var), 1 / r**2 - var * length / (length - 1)):
            if np.ptp(left) <= 1e-6 * var.max() and -1e-6 * var.max() <= left.min() <= var.max():
                return np.asarray(r)
    return None


def _norm_of_x(
    n: np.ndarray,
    x: np.ndarray,
    centre: np.ndarray,
    r: np.ndarray,
    gain: np.ndarray,
    of: str,
    y: np.ndarray,
    v: np.ndarray,
    axes: tuple[int, ...],
) -> Candidates:
    """Wrong gradients of x, for what it is normalised by."""
    h, moved, length = (x - centre) * r, bool(centre.any()), x.size // r.size
    mean = partial(np.mean, axis=axes, keepdims=True)
    var = mean((x - centre) ** 2)
    ddof = length / (length - 1)
    over = ("axes " if len(axes) > 1 else "axis ") + ", ".join(map(str, axes))
    where = f"the normalisation over {over}: "
    d = v * gain

    def terms(d: np.ndarray, over: tuple[int, ...] = axes) -> tuple[np.ndarray, np.ndarray]:
        m = d.mean(axis=over, keepdims=True) if moved else 0 * d
        return m, h * (d * h).mean(axis=over, keepdims=True)

    M, V = terms(d)
    # by a ddof, or by an epsilon beside std, the term of the variance has a factor
    for share in (np.ones_like(r), ddof * np.ones_like(r), 1 / (r * np.sqrt(var))):
        right = r * (d - M - share * V)
        if np.abs(right - n).max() <= CLOSE * np.abs(n).max():
            break
    else:
        return
    V, unbiased = share * V, bool((share == ddof).all())
    what = "variance" if moved else "mean square"
    yield f"{where}the {what} term is missing, as if it were constant", r * (d - M)
    yield f"{where}the {what} term is a sum, not a mean", r * (d - M - length * V)
    yield f"{where}the {what} term has the wrong sign", r * (d - M + V)
    by, not_by = (length, length - 1) if unbiased else (length - 1, length)
    text = f"the {what} term is divided by {by}, not by {not_by}"
    yield f"{where}{text}", r * (d - M - V * not_by / by)
    if moved:
        yield f"{where}the mean term is missing, as if it were constant", r * (d - V)
        text = "the mean and variance terms are missing, as if both were constant"
        yield f"{where}{text}", r * d
        yield f"{where}the mean term is a sum, not a mean", r * (d - length * M - V)
        yield f"{where}both terms are sums, not means", r * (d - length * (M + V))
        yield f"{where}the mean term has the wrong sign", r * (d + M - V)
    if of:
        m, s = terms(v)
        s = share * s
        yield f"{where}the gain {of} is missing", r * (v - m - s)
        yield f"{where}the gain {of} is applied after the means, not before", gain * r * (v - m - s)
        yield f"{where}the gain {of} and the {what} term are missing", r * (v - m)
        yield f"{where}the gain {of} and the mean and variance terms are missing", r * v
    yield f"{where}the factor 1 / std is missing", right / r
    yield f"{where}the factor 1 / std is applied twice", right * r
    for count in range(1, x.ndim + 1):
        for other in combinations(range(x.ndim), count):
            m, s = terms(d, other)
            text = ", ".join(map(str, other))
            yield f"{where}backward takes means over axis {text}", r * (d - m - share * s)
    for text, z in ((MOVED, x - centre), (PLAIN, x), (OUTPUT, y)):
        yield f"{where}{text}", r * (d - M - share * z * mean(d * z))
        yield f"{where}{text}", r * (d - M - share * z * mean(d * h))


def _attention(name: str, arrays: Arrays, masks: Arrays, v: np.ndarray) -> Candidates:
    for q, k, values, gradient_of in _roles(arrays) if v.ndim >= 2 else ():
        if name in gradient_of:
            for text, *slopes in _attends(q, k, values, arrays["y"], masks, v):
                yield text, gradient_of[name](*slopes)


def _roles(arrays: Arrays) -> Iterator[tuple]:
    """Queries, keys and values; by name of input, its gradient as a function of theirs.

    They are inputs, or an input times a matrix each, to which a bias may be added.
    """
    some = {n: x for n, x in arrays.items() if n != "y" and x.ndim >= 2}
    for three in permutations(list(some)[:MOST], 3):
        direct = {n: (lambda *slopes, i=i: slopes[i]) for i, n in enumerate(three)}
        yield *(some[n] for n in three), direct
    biases = [n for n, b in arrays.items() if b.ndim == 1]
    for name, x in some.items():
        if x.shape[:-1] != arrays["y"].shape[:-1]:
            continue
        matrices = [n for n, W in some.items() if W.ndim == 2 and len(W) == x.shape[-1]]
        matrices = [n for n in matrices if n != name][:PROJECTIONS]
        own = dict(zip(matrices, biases, strict=False)) if len(biases) >= len(matrices) else {}
        for three, of in product(permutations(matrices, 3), ({}, own) if own else ({},)):
            W, b = [some[n] for n in three], [arrays[of[n]] if n in of else 0.0 for n in three]
            if any(np.size(c) not in (1, B.shape[1]) for B, c in zip(W, b, strict=True)):
                continue

            def of_x(*slopes: np.ndarray, W: list[np.ndarray] = W) -> np.ndarray:
                return np.asarray(sum(d @ B.T for d, B in zip(slopes, W, strict=True)))

            parts: dict[str, Callable[..., np.ndarray]] = {name: of_x}
            for i, n in enumerate(three):
                parts[n] = lambda *slopes, i=i, x=x: _rows(x).T @ _rows(slopes[i])
                if n in of:
                    parts[of[n]] = lambda *slopes, i=i: _rows(slopes[i]).sum(axis=0)
            yield *(x @ B + c for B, c in zip(W, b, strict=True)), parts


def _attends(
    q: np.ndarray, k: np.ndarray, values: np.ndarray, y: np.ndarray, masks: Arrays, dy: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Wrong gradients of all three, if y is their attention, with a mask or without."""
    if q.shape[-1] != k.shape[-1] or k.shape[:-1] != values.shape[:-1]:
        return
    if y.shape != (*q.shape[:-1], values.shape[-1]) or q.shape[:-2] != k.shape[:-2]:
        return
    root = 1 / math.sqrt(q.shape[-1])
    shape = (*q.shape[:-1], k.shape[-2])
    causal = np.tril(np.ones(shape[-2:], dtype=bool))
    kept = [("", np.ones_like(causal)), ("causal mask", causal)]
    for name, mask in masks.items():
        what = name if "mask" in name else f"mask {name}"
        kept += [(what, m) for a in (mask, mask[..., None, :]) for m in (a, ~a)]
    for scale, (of, keep) in product((root, 1.0), kept):
        if not _broadcasts(keep.shape, shape):
            continue
        scores = scale * q @ _T(k)
        whole, p = _softmax_along(scores, -1), _softmax_along(np.where(keep, scores, -np.inf), -1)
        if not np.allclose(p @ values, y, SAME, SAME):
            continue
        right = _softmax_slope(p, dy @ _T(values), -1)
        dv = _T(p) @ dy
        if scale != 1:
            yield "the scale of the scores is missing in backward", right @ k, _T(right) @ q, dv
        for text, ds in _inside(p, dy @ _T(values)):
            for more, factor in (("", scale), (" (and the scale is missing)", 1.0)):
                yield text + more, factor * ds @ k, factor * _T(ds) @ q, dv
        if of:
            ds = scale * _softmax_slope(whole, dy @ _T(values), -1)
            yield f"the {of} is missing in backward", ds @ k, _T(ds) @ q, _T(whole) @ dy


def _inside(p: np.ndarray, dp: np.ndarray) -> Candidates:
    """Wrong gradients of the scores that a softmax has made p of."""
    yield "the inner softmax is summed over the wrong axis", _softmax_slope(p, dp, -2)
    yield "the sum of the inner softmax is missing", p * dp
    yield "only the diagonal of the inner softmax is used", p * (1 - p) * dp
    yield "the inner softmax is missing in backward", dp


def _T(a: np.ndarray) -> np.ndarray:
    return np.swapaxes(a, -1, -2)


def _rows(a: np.ndarray) -> np.ndarray:
    return a.reshape(-1, a.shape[-1])


def _broadcasts(small: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    pairs = zip(reversed(small), reversed(shape), strict=False)
    return len(small) <= len(shape) and all(one in (1, two) for one, two in pairs)
