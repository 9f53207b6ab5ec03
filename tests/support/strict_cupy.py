"""A strict double of CuPy, for machines without a GPU: NumPy inside, CuPy's refusals outside.

What CuPy would compile as CUDA C, a kernel's formula, is run as Python. A captured stream runs
nothing, as a real one, and its graph repeats what was asked for, in the same memory.

It refuses what CuPy refuses (implicit conversion to NumPy, NumPy arrays and lists as operands) and,
being strict, some things that CuPy only makes slow: NumPy functions of its arrays, NumPy scalars as
operands, a `matmul` into memory that is not contiguous. It counts what waits for the device.
Install it with `monkeypatch.setitem(sys.modules, "cupy", strict_cupy)`.
"""

import operator
import re
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

counts = Counter()  # "sync": values read by the host; "upload": arrays sent to the device
captured = None  # while a stream is captured, what its graph will run
streams = []  # that were entered, the current one last
early = False  # whether other streams run as soon as may be: after what they waited for last
late = []  # else, what they have still to run
waited = 0  # the place in `captured` of that wait

uint8, uint32, uint64, int64, float32, float64 = (
    np.dtype(name) for name in ("uint8", "uint32", "uint64", "int64", "float32", "float64")
)
FUNCTIONS = (
    "abs add all any arange argsort asfortranarray broadcast_to concatenate cos divide empty equal "
    "exp expm1 eye finfo full full_like greater isfinite less log log1p matmul max maximum mean "
    "min minimum multiply negative ones ones_like repeat roll sign sin sqrt square subtract sum "
    "tanh where zeros zeros_like"
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
        if name in ("shape", "dtype", "ndim", "size", "nbytes", "strides", "itemsize"):
            return getattr(self._host, name)
        if name == "T":
            return ndarray(self._host.T)
        if name == "data":
            return SimpleNamespace(ptr=self._host.ctypes.data)
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
            "view",
        ):

            def method(*args, **kwargs):
                if unknown := set(kwargs) & {"initial", "where"}:
                    raise TypeError(f"CuPy's ndarray.{name} has no argument {min(unknown)!r}")
                return _call(getattr(np.ndarray, name), (self, *args), kwargs)

            return method
        raise AttributeError(f"the double of CuPy has no ndarray.{name}")

    def get(self, out=None):
        _not_in_capture("a device array read by the host")
        counts["sync"] += 1
        if out is not None:
            out[...] = self._host
        return np.array(self._host) if out is None else out

    def set(self, host):
        _not_in_capture("an array sent to the device")
        counts["upload"] += 1
        self._host[...] = host

    def item(self):
        return self.get().item()

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return bool(self.get())

    def __getitem__(self, key):
        return _computed(operator.getitem, [self._host, _key(key)], {})

    def __setitem__(self, key, value):
        _launch(operator.setitem, self._host, _key(key), _host(value))


def _binary(op):
    def method(self, other):
        return _call(op, (self, other), {})

    def reflected(self, other):
        return _call(op, (other, self), {})

    return method, reflected


def _inplace(op):
    def method(self, other):
        _launch(op, self._host, _host(other))
        return self

    return method


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
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
ndarray.__matmul__ = lambda self, other: _make("matmul")(self, other)  # cuBLAS, too
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


def _launch(function, *args, **kwargs):
    """A kernel whose result lies in one of its arguments: run it, or let a graph run it."""
    global waited
    beside = streams and streams[-1] is not streams[0]
    if beside:
        counts["beside"] += 1
    if beside and not early:
        late.append(lambda: function(*args, **kwargs))
    elif beside and captured is not None:
        captured.insert(waited, lambda: function(*args, **kwargs))
        waited += 1
    elif captured is not None:
        captured.append(lambda: function(*args, **kwargs))
    else:
        function(*args, **kwargs)


def _call(function, args, kwargs):
    out = kwargs.get("out")
    args = [_host(a) for a in args]
    kwargs = {name: _host(a) if name != "axis" else a for name, a in kwargs.items()}
    if out is not None or function is np.ndarray.fill:
        _launch(function, *args, **kwargs)
        return out
    return _computed(function, args, kwargs)


def _computed(function, args, kwargs):
    """A kernel, or a view, whose result is a new array."""
    beside = streams and streams[-1] is not streams[0]
    if captured is None and not beside:
        return _wrap(function(*args, **kwargs))
    # only the shape of the result is known: what it is computed of may not be there yet
    blank = [np.zeros_like(a) if isinstance(a, np.ndarray) and i else a for i, a in enumerate(args)]
    with np.errstate(all="ignore"):
        result = function(*blank, **kwargs)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    result = np.asarray(result)
    if not np.shares_memory(result, args[0]):  # no view
        _launch(lambda: result.__setitem__(..., function(*args, **kwargs)))
    return ndarray(result)


def _not_in_capture(what):
    if captured is not None:
        raise RuntimeError(f"{what}: not permitted when the stream is capturing")


def _make(name):
    function = getattr(np, name)

    def call(*args, **kwargs):
        if name == "concatenate":
            return ndarray(np.concatenate([_host(a) for a in args[0]], **kwargs))
        if name == "finfo":
            return np.finfo(*args)
        if name in ("empty", "zeros", "ones", "full", "eye"):
            result = function(*args, **kwargs)
            if captured is not None and name != "empty":
                start = result.copy()
                captured.append(lambda: result.__setitem__(..., start))
            return ndarray(result)
        out = kwargs.get("out")
        if out is not None and not isinstance(out, ndarray):
            raise TypeError("return arrays must be of ArrayType")
        if name == "matmul":
            _not_in_capture("calling the cuBLAS API")
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
    _not_in_capture("an array sent to the device")
    counts["upload"] += 1
    return ndarray(np.array(a, dtype=dtype))


# ---------------------------------------------------------------------------- kernels and graphs


def _word(a):
    return np.asarray(a).astype(np.uint64)


C = {
    **{name: getattr(np, name) for name in "cos exp expm1 fabs log log1p sin sqrt tanh".split()},
    "max": np.maximum,
    "quotient": np.floor_divide,
    "word": _word,
    "double": np.float64,
}


def _names(params):
    """ "raw T x, uint64 k" -> [("x", "T", True), ("k", "uint64", False)]"""
    words = [param.split() for param in params.split(", ")]
    return [(w[-1], w[-2], w[0] == "raw") for w in words]


def _run(formula, names):
    """The formula as Python: a declaration converts, as it does in C."""
    text = re.sub(r"\b(word|double) (\w+) = ([^;]*)", r"\2 = \1(\3)", formula)
    exec("; ".join(part.strip() for part in text.split(";") if part.strip()), C, names)


class ElementwiseKernel:
    def __init__(self, inputs, outputs, formula, name, preamble=""):
        self.inputs, self.outputs, self.formula = _names(inputs), _names(outputs), formula

    def __call__(self, *args):
        params = self.inputs + self.outputs
        assert len(args) == len(params)
        (T,) = {a.dtype for a, (_, kind, _) in zip(args, params, strict=True)
                if kind == "T" and isinstance(a, ndarray)} or {None}  # fmt: skip
        for a, (_, kind, _) in zip(args, params, strict=True):
            if isinstance(a, ndarray) and kind != "T":
                assert a.dtype == kind, f"{a.dtype} for {kind}"
        _launch(self._compute, [_host(a) for a in args], params, T)

    def _compute(self, args, params, T):
        outs = args[len(self.inputs) :]
        shape = outs[0].shape
        size = int(np.prod(shape))
        names = {"i": np.arange(size, dtype=np.uint64).reshape(shape), "T": T and T.type}
        for a, (name, kind, raw) in zip(args, params, strict=True):
            if raw:
                names[name] = a.reshape(-1)
            elif isinstance(a, np.ndarray):
                names[name] = a
            else:
                names[name] = (T if kind == "T" else np.dtype(kind)).type(a)
        _run(self.formula, names)
        for out, (name, _, _) in zip(outs, self.outputs, strict=True):
            out[...] = names[name]


class ReductionKernel:
    def __init__(self, inputs, outputs, term, reduce, post, identity, name):
        assert (reduce, identity) == ("a + b", "0")
        self.inputs, self.term, self.post = _names(inputs), term, post

    def __call__(self, *args, out=None, axis):
        assert axis == 1
        hosts = [_host(a) for a in args]
        if out is None:
            out = ndarray(np.empty(len(args[0]), dtype=args[0].dtype))
        _launch(self._compute, hosts, out._host)
        return out

    def _compute(self, args, out):
        names = {name: a for a, (name, _, _) in zip(args, self.inputs, strict=True)}
        names["T"] = out.dtype.type
        _run(f"a = {self.term}", names)
        names["a"] = names["a"].sum(axis=1)
        _run(self.post, names)
        out[...] = names["y"]


class Stream:
    """The first that is entered runs at once; others as late as may be, when the first waits.

    Or else as early as may be, if `early` is set. A captured stream must be left as CUDA asks it.
    """

    forked = False  # whether it waited for the captured one

    def __enter__(self):
        streams.append(self)

    def __exit__(self, *error):
        assert streams.pop() is self

    def record(self):
        return self

    def wait_event(self, event):
        global waited
        if captured is not None and event is not self:
            if self is streams[0] and not event.forked:
                raise RuntimeError("cudaErrorStreamCaptureIsolation")
            self.forked = True
            if self is not streams[0]:
                waited = len(captured)
        if self is streams[0] and event is not self:
            commands, late[:] = late[:], []
            for command in commands:
                _launch(command)

    def begin_capture(self):
        global captured
        captured = []

    def end_capture(self):
        global captured, waited
        commands, captured, waited = captured, None, 0
        assert not late, "a stream forked from the captured one was not joined"
        return Graph(commands)


class Graph:
    def __init__(self, commands):
        self.commands = commands

    def launch(self):
        counts["replay"] += 1
        for command in self.commands:
            command()


class Blas:
    """In the place of `scratchvae.train.cuda_graph.Blas`."""

    def __init__(self, xp):
        self.stream = Stream()

    def multiply(self, a, b, out):
        return _call(np.matmul, (a, b), {"out": out})


@contextmanager
def _using_allocator(allocator):
    yield


cuda = SimpleNamespace(
    Stream=Stream,
    Device=lambda: SimpleNamespace(synchronize=lambda: None),
    MemoryPool=lambda: SimpleNamespace(malloc=None),
    using_allocator=_using_allocator,
    alloc_pinned_memory=bytearray,
)
