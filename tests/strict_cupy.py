"""A strict double of CuPy, for machines without a GPU: NumPy inside, CuPy's refusals outside.

It refuses what CuPy refuses (implicit conversion to NumPy, NumPy arrays and lists as operands) and,
being strict, some things that CuPy only makes slow: NumPy functions of its arrays, NumPy scalars as
operands, a `matmul` into memory that is not contiguous. It counts what waits for the device.
Install it with `monkeypatch.setitem(sys.modules, "cupy", strict_cupy)`.
"""

import operator
from collections import Counter

import numpy as np

counts = Counter()  # "sync": values read by the host; "upload": arrays sent to the device

uint8, uint32, uint64, int64, float32, float64 = (
    np.dtype(name) for name in ("uint8", "uint32", "uint64", "int64", "float32", "float64")
)
FUNCTIONS = (
    "abs add all any arange asfortranarray broadcast_to concatenate cos divide empty equal exp "
    "expm1 eye finfo full full_like greater isfinite less log log1p matmul max maximum mean min "
    "minimum multiply negative ones ones_like repeat roll sign sin sqrt square subtract sum tanh "
    "where zeros zeros_like"
).split()


def is_available():
    return True


class ndarray:
    __array_ufunc__ = None  # NumPy's functions refuse it

    def __init__(self, host):
        self._host = host

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __iter__(self):
        raise TypeError("iteration over a device array: one slow transfer an element")

    def __len__(self):
        return len(self._host)

    def __getattr__(self, name):
        if name in ("shape", "dtype", "ndim", "size", "nbytes"):
            return getattr(self._host, name)
        if name == "T":
            return ndarray(self._host.T)
        if name in (
            "sum",
            "mean",
            "max",
            "min",
            "all",
            "any",
            "reshape",
            "astype",
            "copy",
            "fill",
            "argmax",
        ):
            return lambda *args, **kwargs: _call(getattr(self._host, name), args, kwargs)
        raise AttributeError(f"the double of CuPy has no ndarray.{name}")

    def get(self):
        counts["sync"] += 1
        return np.array(self._host)

    def item(self):
        return self.get().item()

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return bool(self.get())

    def __getitem__(self, key):
        return ndarray(np.asarray(self._host[_key(key)]))

    def __setitem__(self, key, value):
        self._host[_key(key)] = _host(value)


def _binary(op):
    def method(self, other):
        return _call(op, (self, other), {})

    def reflected(self, other):
        return _call(op, (other, self), {})

    return method, reflected


def _inplace(op):
    def method(self, other):
        before = self._host
        self._host = op(before, _host(other))
        assert self._host is before or before.ndim == 0, "an in-place operation moved the array"
        return self

    return method


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "matmul",
    "pow",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
):
    _op = getattr(operator, _name, None) or getattr(operator, f"{_name}_")
    _forward, _reflected = _binary(_op)
    setattr(ndarray, f"__{_name}__", _forward)
    setattr(ndarray, f"__r{_name}__", _reflected)

    setattr(ndarray, f"__i{_name}__", _inplace(getattr(operator, f"i{_name}")))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ndarray, f"__{_name}__", _binary(getattr(operator, _name))[0])
ndarray.__hash__ = None
ndarray.__neg__ = lambda self: _call(operator.neg, (self,), {})
ndarray.__abs__ = lambda self: _call(operator.abs, (self,), {})


def _host(value):
    """What is inside an operand, or TypeError for what CuPy or this double refuses."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"Unsupported type {type(value)}: a NumPy value among device arrays")
    if isinstance(value, list):  # a tuple is a shape
        raise TypeError(f"Unsupported type {type(value)}: a sequence among device arrays")
    return value


def _key(key):
    if isinstance(key, tuple):
        return tuple(_key(part) for part in key)
    inner = _host(key)
    if isinstance(inner, np.ndarray) and inner.dtype == bool:
        counts["sync"] += 1  # how many elements are picked is known on the device only
    return inner


def _wrap(result):
    if isinstance(result, (np.ndarray, np.generic)):
        return ndarray(np.asarray(result))
    return result


def _call(function, args, kwargs):
    out = kwargs.get("out")
    args = [_host(a) for a in args]
    kwargs = {name: _host(a) if name != "axis" else a for name, a in kwargs.items()}
    result = function(*args, **kwargs)
    return out if out is not None else _wrap(result)


def _make(name):
    function = getattr(np, name)

    def call(*args, **kwargs):
        if name == "concatenate":
            return ndarray(np.concatenate([_host(a) for a in args[0]], **kwargs))
        if name == "finfo":
            return np.finfo(*args)
        if name in ("empty", "zeros", "ones", "full", "eye"):
            return ndarray(function(*args, **kwargs))
        out = kwargs.get("out")
        if out is not None and not isinstance(out, ndarray):
            raise TypeError("return arrays must be of ArrayType")
        if name == "matmul" and out is not None:
            a, b = (_host(a) for a in args)
            if not out._host.flags.c_contiguous or out.dtype != np.result_type(a, b):
                raise TypeError("matmul into such an array goes through a copy")
        return _call(function, args, kwargs)

    return call


for _name in FUNCTIONS:
    globals()[_name] = _make(_name)


def asarray(a, dtype=None):
    """CuPy's one explicit way to the device; a device array stays what it is."""
    if isinstance(a, ndarray):
        return a if dtype is None else a.astype(dtype)
    counts["upload"] += 1
    return ndarray(np.array(a, dtype=dtype))
