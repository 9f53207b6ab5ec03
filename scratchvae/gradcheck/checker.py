"""`check`: compare a hand-written backward with finite differences of its forward."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..errors import InputError, check_seed, finite_number, hidden
from . import contract, trees
from .leaf import leaves
from .numerics import direction
from .pair import Changed, Pair, Raised
from .question import Question, closely
from .report import FAIL, GOOD, Report
from .rounding import rounding

__tracebackhide__ = hidden

CONSTANT = "constant"  # of treat_as
CONVENTIONS = {"pytorch": False, "jax": True}  # whether complex gradients are conjugated


class Options(NamedTuple):
    """Options of `check`, described there."""

    seed: int
    upstream: float
    strict: bool
    forward_accuracy: float
    accept: float
    treat_as: Mapping[str, Callable[..., Any] | str]


def check(
    f: Callable[..., Any],
    f_backward: Callable[..., Any],
    inputs: Mapping[str, Any],
    *,
    wrt: Iterable[str] | None = None,
    seed: int = 0,
    batch: Iterable[str] = (),
    upstream: float = 1.0,
    strict: bool = False,
    forward_accuracy: float = 0.0,
    accept: float = 0.0,
    ignore: Iterable[str] = (),
    treat_as: Mapping[str, Callable[..., Any] | str] | None = None,
    complex_gradients: str = "pytorch",
    name: str = "",
) -> Report:
    """Check a hand-written backward against finite differences; no tolerance is needed.

    f(**inputs) returns an output y. f_backward(dy, ...) receives the arguments that it names:
    inputs, `y`, and, if f returns (y, cache), `cache`. It returns one gradient, a tuple in
    the order of its keyword-only `d*` arguments (else of the forward's floating-point inputs), or a
    dict by input name. A gradient of None means zero; an input without a gradient is held constant.
    Inputs, outputs and gradients may be nested dicts, lists and tuples: dy has the structure of y,
    each gradient that of its input, and "layers.0.W" names an array within the input `layers`.

    inputs    arrays by name, NumPy's or CuPy's; anything but a floating-point or complex array is
              passed through and has no gradient
    wrt       inputs whose gradients are checked; by default all that backward returns
    seed      of the upstream gradient and the directions, which also depend on each input's name
    upstream  size of the random upstream gradient
    batch     inputs whose first axis is the batch: batch sizes 1 and 0 are checked too
    strict    gradients that share memory with an argument or with one another, and functions that
              fail for an empty batch, violate the contract instead of causing a note
    forward_accuracy
              relative accuracy of the forward's output, for solvers and other approximations
    accept    a relative error of at most this is ACCEPTED, not FAIL
    ignore    inputs whose gradients are returned but not checked
    treat_as  gradients that deliberately differ from the forward's, by input name: "constant" for a
              stop-gradient, which must be zero; for a straight-through estimator the function,
              called like f, whose gradient is returned instead
    complex_gradients
              convention for complex gradients, upstream ones included: "pytorch"
              (dL/dRe z + i dL/dIm z) or "jax" (its conjugate)

    Gradients are judged in float64. The float32 gradients of float32 inputs are then compared with
    the float64 ones. Exceptions of the functions are reported. Raises InputError if there is
    nothing to check.
    """
    finite_number(upstream, "upstream", above=0)
    finite_number(forward_accuracy, "forward_accuracy")
    finite_number(accept, "accept")
    if accept >= 1:
        raise InputError(f"accept must be a relative error below 1, got {accept}")
    check_seed(seed)
    if complex_gradients not in CONVENTIONS:
        raise InputError(f"complex_gradients must be pytorch or jax, got {complex_gradients!r}")
    wanted = None if wrt is None or isinstance(wrt, str) else tuple(wrt)
    if wanted == ():
        raise InputError(f"{name or 'check'}: wrt is empty, so there is nothing to check")
    if treat_as is not None and not isinstance(treat_as, Mapping):
        raise InputError(f"treat_as must map input names to functions, got {treat_as!r}")
    treated = dict(treat_as or {})
    for key, treatment in treated.items():
        if not callable(treatment) and treatment != CONSTANT:
            raise InputError(
                f'treat_as of {key} must be "constant" or a function, got {treatment!r}'
            )

    how = Options(seed, upstream, strict, forward_accuracy, accept, treated)

    def checked(convention: str) -> tuple[Pair, Report]:
        pair = Pair(f, f_backward, inputs, name, wanted, CONVENTIONS[convention])
        some = {"wrt": wrt or (), "batch": batch, "ignore": ignore, "treat_as": treated}
        paths = {what: _paths(pair, what, names) for what, names in some.items()}
        twice = [n for name in treated for n in trees.under([name], pair.given)]
        if bad := [n for n in twice if n in paths["ignore"] or twice.count(n) > 1]:
            raise InputError(f"ignore and treat_as name {bad[0]} more than once: keep one")
        try:
            return pair, _checked(pair, how, paths["batch"], paths["ignore"])
        except Raised as error:
            return pair, Report(pair.name, raised=str(error), notes=tuple(pair.notes))

    with np.errstate(all="ignore"), warnings.catch_warnings():
        # large steps may overflow in the forward; the result shows it
        warnings.simplefilter("ignore")
        pair, report = checked(complex_gradients)
        if report.verdict == FAIL and pair.has_complex:
            (other,) = CONVENTIONS.keys() - {complex_gradients}
            if checked(other)[1].verdict in GOOD:
                text = f"right in the other convention: pass complex_gradients={other!r}"
                bad = (x if x.verdict in GOOD else replace(x, message=text) for x in report.leaves)
                report = replace(report, leaves=tuple(bad))
    if pair.twofold and report.verdict not in GOOD and not hasattr(f_backward, "under_test"):
        text = f"{pair.name} returns two outputs, so dy has two parts; if the second is a cache, "
        text += f"give {pair.back} an argument named cache"
        report = replace(report, notes=(*report.notes, text))
    return report


def _paths(pair: Pair, what: str, names: Iterable[str]) -> tuple[str, ...]:
    """The paths of the selected arrays. Raises InputError for an unknown name."""
    bad = isinstance(names, str) or [n for n in names if not trees.under([n], pair.given)]
    if bad:
        some = ", ".join(dict.fromkeys([*pair.tree, *pair.given]))
        raise InputError(f"{what} must be a list of names among {some}, got {names!r}")
    found = trees.under(names, pair.given)
    if what == "batch" and (bad := [n for n in found if not pair.given[n].ndim]):
        raise InputError(f"batch: {bad[0]} is a scalar and has no first axis")
    if what == "wrt" and (bad := [n for n in found if n in pair.endless]):
        raise InputError(f"{pair.name}: the input {bad[0]} contains NaN or infinity")
    return found


def _checked(pair: Pair, how: Options, batch: tuple[str, ...], ignored: tuple[str, ...]) -> Report:
    y, report = _forward(pair)
    if report is not None:
        return report
    accuracy = max(how.forward_accuracy, _half_precision(pair, y))
    dy = how.upstream * _upstream(y, how.seed)
    asked = Question(pair, dy, how.seed, accuracy, how.accept)
    gradients, violations = _contract(asked, how.strict)
    if not gradients:
        if not violations:
            raise InputError(f"{pair.back} returns no gradient: is its return missing?")
        return Report(pair.name, violations=tuple(violations), notes=tuple(pair.notes))
    constants = [n for n, treatment in how.treat_as.items() if treatment == CONSTANT]
    constant = trees.under(constants, pair.floats)
    wrt = [n for n in (gradients if pair.wrt is None else pair.wrt) if n not in ignored]
    wanted = [n for n in trees.under(how.treat_as, pair.floats) if n not in ignored]
    if lost := [
        n for n in dict.fromkeys([*wrt, *wanted]) if n not in {*gradients, *constant, *pair.broken}
    ]:
        violations.append(f"{pair.back} returns no {contract.names(lost)}")
    wrt = [n for n in wrt if n in gradients]
    if not wrt and not lost:
        raise InputError(f"{pair.name}: every gradient is ignored, so there is nothing to check")
    treated = trees.under(how.treat_as, wrt)
    for name, treatment in how.treat_as.items():
        if callable(treatment) and pair.of(treatment).forward(pair.inputs).shape != y.shape:
            raise InputError(f"treat_as: the function for {name} has a different output shape")
    found = leaves(asked, gradients, [n for n in wrt if n not in treated])
    right = tuple(leaf.name for leaf in found if leaf.verdict in GOOD)
    for name, treatment in how.treat_as.items():
        paths = trees.under([name], wrt)
        found += leaves(asked.treating(paths, treatment), gradients, paths)
        text = getattr(treatment, "__name__", f"a {CONSTANT}")
        is_what = "is checked as the gradient of" if paths else "is not returned, as for"
        pair.notes.append(f"d{name} {is_what} {text}")
    violations += _batches(asked, right, batch, how.strict)
    for n in pair.floats:
        if pair.given[n].size > 1 and bool((pair.given[n] == 1).all()):
            text = f"{n} is 1 at all {pair.given[n].size} entries, which hides a missing factor {n}"
            pair.notes.append(text)
    if ignored:
        pair.notes.append(f"ignored: {', '.join(ignored)}")
    if pair.endless:
        pair.notes.append(f"held constant, as not finite: {', '.join(pair.endless)}")
    if unchecked := [n for n in pair.floats if n not in {*wrt, *ignored, *constant, *pair.broken}]:
        pair.notes.append(f"not checked: {', '.join(unchecked)}")
    return Report(pair.name, found, tuple(violations), notes=tuple(pair.notes))


def _forward(pair: Pair) -> tuple[Array, Report | None]:
    """The output, and a report if the forward writes into its inputs or is random."""
    y, wrote, note = contract.locked(lambda: pair.forward(pair.inputs), pair.inputs, "the forward")
    pair.notes.extend(filter(None, [note]))
    if wrote:
        return y, Report(pair.name, violations=(wrote,))
    if not np.array_equal(to_numpy(y), to_numpy(pair.forward(pair.inputs)), equal_nan=True):
        text = "the forward returns other values when called again: pass the noise as an argument"
        return y, Report(pair.name, random=text)
    if not bool(array_module(y).isfinite(y).all()):
        raise InputError(f"{pair.name} returns NaN or infinity at these inputs: choose others")
    if y.dtype != "float64" and any(pair.given[n].dtype == "float64" for n in pair.floats):
        pair.notes.append(f"the forward computes in {y.dtype}, though its inputs are float64")
    return y, None


def _half_precision(pair: Pair, y: Array) -> float:
    """The relative accuracy of a forward that computes in half precision, else 0.

    Its outputs give it away: all are float16 numbers, here and nearby.
    """
    near = {n: 0.99 * x if n in pair.floats else x for n, x in pair.inputs.items()}
    try:
        moved = pair.forward(near)
    except Raised:
        return 0.0
    if moved.shape != y.shape or not bool((moved != y).any()):
        return 0.0
    if not all(bool((a.astype("float16") == a).all()) for a in (y, moved)):
        return 0.0
    pair.notes.append("the forward computes in float16: its outputs are no more precise")
    return float(np.finfo(np.float16).eps)


def _upstream(y: Array, seed: int) -> Array:
    """A random normal upstream gradient: a constant one would let errors cancel."""
    xp = array_module(y)
    return xp.asarray(np.random.default_rng([seed, 1]).standard_normal(y.shape), dtype=y.dtype)


def _contract(asked: Question, strict: bool) -> tuple[dict[str, Array], list[str]]:
    """Gradients by name, in float64, and violations; no gradients if they cannot be compared."""
    pair, low = asked.pair, asked.pair.given
    low_y = pair.forward(low)
    low_dy = asked.dy.astype(low_y.dtype)
    # an input may be called y or dy itself
    given = {"y": low_y, "dy": low_dy, **low}
    given |= {f"the {n} of the call": a for n, a in (("y", low_y), ("dy", low_dy)) if n in low}
    gradients, wrote, note = contract.locked(
        lambda: pair.returned(low_dy, low, low_y), given, "the backward"
    )
    pair.notes.extend(filter(None, [note]))
    violations = [wrote] if wrote else []
    if pair.changed and not wrote:
        violations = [f"the backward writes into its arguments: {', '.join(pair.changed)}"]
    pair.writes = bool(violations)
    if gradients is None:
        return {}, violations
    violations += contract.shapes(gradients, low)
    pair.broken = {n for n, g in gradients.items() if list(contract.shapes({n: g}, low))}
    gradients = {n: g for n, g in gradients.items() if n not in pair.broken}
    pair.first = set(gradients)
    if not gradients:
        return {}, violations
    violations += contract.dtypes(gradients, low)
    (violations if strict else pair.notes).extend(contract.aliases(gradients, given))
    gradients = {n: g.copy() for n, g in gradients.items()}
    pair.coarse = {
        n: float(np.finfo(g.dtype).eps)
        for n, g in gradients.items()
        if g.dtype.kind == "f" and g.dtype.itemsize < pair.given[n].dtype.itemsize
    }

    def rounded(name: str) -> Array:
        exact = pair.backward(asked.dy, pair.inputs)
        lost, _ = rounding(pair, pair.inputs, name, asked.dy, exact[name], asked.seed)
        return lost * (np.finfo(gradients[name].dtype).eps / np.finfo(lost.dtype).eps)

    found = contract.behaviour(pair, low, low_dy, gradients, rounded, asked.accuracy)
    try:
        for kind, text in found:
            (pair.notes if kind == contract.NOTE else violations).append(text)
            if kind == contract.ADDS_UP:
                return {}, violations
    except Changed as error:
        return {}, [*violations, str(error)]
    exact = asked.gradients(pair.inputs)
    for n, g in exact.items() if asked.dy.dtype == "float64" else ():
        # dy has more digits, and so has what is linear in it
        known = n in pair.coarse or pair.given[n].dtype != "float64"
        if not known and bool(g.any()) and bool((g.astype("float32") == g).all()):
            pair.coarse[n] = float(np.finfo(np.float32).eps)
            pair.notes.append(f"d{n} is no more precise than float32: the backward computes in it")
    return exact, violations


def _batches(
    asked: Question, wrt: tuple[str, ...], batch: tuple[str, ...], strict: bool
) -> list[str]:
    """Violations for a batch of one example and for an empty batch."""
    pair = asked.pair
    violations: list[str] = []
    for B, what in ((1, "a batch of one"), (0, "an empty batch")) if batch else ():
        inputs = {n: x[:B] if n in batch else x for n, x in pair.inputs.items()}
        try:
            y = pair.forward(inputs)
            there = replace(asked, dy=_upstream(y, asked.seed))
            gradients = pair.returned(there.dy, inputs, y)
        except Raised as error:
            # reshape(B, -1) fails for B = 0, and few are ever given an empty batch
            (violations if B or strict else pair.notes).append(f"fails for {what}: {error}")
            continue
        violations += [f"{text}, for {what}" for text in contract.shapes(gradients, inputs)]
        for name in wrt if not violations else ():
            if inputs[name].size:
                claim = there.claim(name, gradients[name], inputs)
                found = closely(claim, direction(inputs[name], name, asked.seed))
                if found.wrong and not found.kink:
                    violations.append(f"d{name} is wrong for {what}")
    return violations
