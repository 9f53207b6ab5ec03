"""The gradient of a function, found without its backward and without `scratchvae`.

By the complex step, which rounds but does not cancel, where the forward carries complex numbers
through; else by central differences extrapolated by Ridders' tableau, which estimates its error.
"""

import warnings

import numpy as np

MOST = 60  # entries of an input that are looked at
STEP = 1e-30  # of the complex step
AGREE = (
    1e-4  # the complex step is believed if differences agree so far: abs() loses what it carries
)
ROUNDING = 1e-11  # of a gradient by the complex step, relative to its largest entry
REFUSALS = (  # of complex numbers, or of their conversion, by NumPy, PyTorch, JAX or plain Python
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError,
    ValueError, Warning,
)  # fmt: skip


def gradient(f, inputs, name, dy):
    """(entries, derivatives of sum(dy * f) by these entries of an input, their error, method).

    The error is an absolute one.
    """
    x = inputs[name]
    entries = np.arange(x.size)
    if x.size > MOST:
        entries = np.sort(np.random.default_rng(5).choice(x.size, MOST, replace=False))

    def loss(moved):
        return (dy * np.asarray(f(**{**inputs, name: moved}))).sum()

    y = np.asarray(f(**inputs))
    rounding = np.finfo(y.dtype if y.dtype.kind == "f" else float).eps * np.abs(dy * y).sum()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.array([_ridders(loss, x, i, rounding) for i in entries]).reshape(-1, 2)
        value, error = found[:, 0], found[:, 1].max(initial=0)
        size = np.abs(value).max(initial=0)
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            exact = np.array([_complex_step(loss, x, i) for i in entries])
        except REFUSALS:  # foreign code that meets complex numbers
            exact = np.array([np.nan])
    if exact.shape == value.shape and np.abs(exact - value).max(initial=0) <= AGREE * size + error:
        return entries, exact, ROUNDING * np.abs(exact).max(initial=0), "complex step"
    return entries, value, error, "Ridders"


def _complex_step(loss, x, i):
    moved = x.astype(complex)
    moved.flat[i] += 1j * STEP
    return complex(loss(moved)).imag / STEP


def _ridders(loss, x, i, rounding):
    """(derivative, estimated error) of loss by the entry i of x; NaN where it has none.

    The least of many estimates is too small: what rounding adds at that step is added to it.
    """
    best, least, rows = np.nan, np.inf, []
    h = 0.02 * max(abs(x.flat[i]), 0.1)
    for _ in range(14):
        row = [_difference(loss, x, i, h)]
        for k, above in enumerate(rows[-1][:6] if rows else ()):
            row.append(row[k] + (row[k] - above) / (4.0 ** (k + 1) - 1))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - above)) + rounding / h
            if error < least:
                best, least = row[-1], error
        rows.append(row)
        h /= 2
    return best, least


def _difference(loss, x, i, h):
    try:
        low, high = x.copy(), x.copy()
        low.flat[i] -= h
        high.flat[i] += h
        return float(loss(high) - loss(low)) / float(high.flat[i] - low.flat[i])
    except (ArithmeticError, ValueError, AssertionError, np.linalg.LinAlgError):
        return np.nan
