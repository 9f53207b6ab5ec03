"""`check_torch`: PyTorch functions and modules, as differentiated by its autograd."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import InputError, hidden
from .. import trees
from ..checker import check
from ..report import Report
from .arguments import mapped, named, stand_in

__tracebackhide__ = hidden

COMPLEX = {"float64": "complex128", "float32": "complex64"}


def check_torch(
    f: Callable[..., Any], arguments: Any, *, dtype: Any = "float64", device: Any = None,
    **options: Any,
) -> Report:  # fmt: skip
    """Check the gradients that PyTorch's autograd computes for a function or a module.

    f is a torch.autograd.Function or its `apply`, any function of tensors, or a module, whose
    parameters are checked too. It runs in float64; code for float32 only can be checked with
    dtype="float32", less sharply. Inputs and outputs may be nested. Tensors keep the memory layouts
    that `check` tries, so a backward that assumes contiguous ones is caught. If some inputs require
    a gradient, the others are constants.

    arguments  tensors: a tuple, a single one, or a dict by name
    device     where f runs, such as "cuda"; by default the device of the first tensor
    options    of `check`
    """
    import torch

    dtype = str(dtype).removeprefix("torch.")
    if dtype not in COMPLEX:
        raise InputError(f"dtype must be float64 or float32, got {dtype}")
    real, complex_ = getattr(torch, dtype), getattr(torch, COMPLEX[dtype])
    module = f if isinstance(f, torch.nn.Module) else None
    function = getattr(f, "__self__", f)  # the Function, where f is its `apply`
    is_function = isinstance(function, type)
    call: Callable[..., Any] = getattr(function, "apply", f) if is_function else f
    theirs = getattr(function, "forward", f)
    takes_context = is_function and "setup_context" not in vars(function)
    arguments = tuple(arguments) if isinstance(arguments, list) and is_function else arguments
    start = named(theirs, arguments, skip=int(takes_context))
    by_name = isinstance(arguments, Mapping) and start.keys() == arguments.keys()
    by_name = by_name and not is_function
    start = mapped(lambda a: torch.as_tensor(a) if isinstance(a, np.ndarray) else a, start)
    tensors = {path: a for path, a in trees.walk(start) if isinstance(a, torch.Tensor)}
    if not tensors:
        raise InputError("check_torch takes tensors, in a tuple if there are several")
    try:
        device = torch.empty(0, device=device or next(iter(tensors.values())).device).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={device!r} cannot be used: {error}") from None
    constants = []
    if wanted := [path for path, a in tensors.items() if a.requires_grad]:
        constants = [n for n, a in tensors.items() if n not in wanted and a.is_floating_point()]
        tensors = {path: tensors[path] for path in wanted}

    def tensor(a: Any) -> Any:
        a = torch.as_tensor(a, device=device)
        return a.to(complex_) if a.is_complex() else a.to(real) if a.is_floating_point() else a

    start = mapped(lambda a: tensor(a.detach()) if isinstance(a, torch.Tensor) else a, start)

    def array(a: Any) -> Any:
        return a.detach().resolve_conj().cpu().numpy() if isinstance(a, torch.Tensor) else a

    parameters = {}
    if module is not None:
        module = deepcopy(module).to(device=device, dtype=real)
        parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        if clash := parameters.keys() & tensors.keys():
            raise InputError(f"{min(clash)} is the name of an input and of a parameter")
        tensors |= parameters

    def run(moved: Mapping[str, Any]) -> Any:
        values = trees.rebuild(start, moved)
        args, keywords = ((), values) if by_name else (tuple(values.values()), {})
        if module is None:
            return call(*args, **keywords)
        state = {n: b.clone() for n, b in module.named_buffers()}  # as some are written to
        state |= {n: moved[n] for n in parameters}
        return torch.func.functional_call(module, state, args, keywords)

    written: set[str] = set()  # inputs that f writes into, unknown to autograd

    def graph(by_path: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The output, and the tensors that it may depend on."""
        moved = mapped(tensor, by_path)
        sources = {n: a for n, a in moved.items() if a.is_floating_point() or a.is_complex()}
        for a in sources.values():
            a.requires_grad_(True)
        with torch.enable_grad():
            # copies, of the same layout, as what requires a gradient must not be written into
            copies = {n: _copy(torch, a) for n, a in sources.items()}
            nodes = {n: a.grad_fn for n, a in copies.items()}  # a declared write replaces it
            out = run({**moved, **copies})
        kept = [n for n in copies if copies[n].grad_fn is nodes[n]]
        written.update(n for n in kept if not _same(torch, copies[n], sources[n]))
        return out, sources

    def forward(**by_path: Any) -> Any:
        return mapped(array, graph(by_path)[0])

    def backward(dy: Any, /, **by_path: Any) -> dict[str, Any]:
        out, sources = graph(by_path)
        parts = zip(trees.walk(out), trees.walk(dy), strict=True)
        used = [(y, tensor(d)) for (_, y), (_, d) in parts if getattr(y, "requires_grad", False)]
        if not used:
            return {n: np.zeros_like(by_path[n]) for n in sources}
        ys, dys = zip(*used, strict=True)
        found = torch.autograd.grad(ys, list(sources.values()), dys, allow_unused=True)
        return dict(zip(sources, map(array, found), strict=True))

    name = getattr(function, "__name__", type(function).__name__)
    stand_in(forward, f"{name}.forward", theirs)
    stand_in(backward, f"{name}.backward", getattr(function, "backward", theirs))
    inputs = {n: array(tensor(a.detach())) for n, a in tensors.items()}
    if is_function:
        backward.hint = "check ctx.needs_input_grad"  # type: ignore[attr-defined]
    report = check(forward, backward, inputs, **{"name": name, **options})
    if written:
        text = f"the forward writes into its arguments: {', '.join(sorted(written))}"
        return Report(report.name, violations=(text,), notes=report.notes)
    if report.random and module is not None:
        text = f"{report.random}, and disable dropout with module.eval()"
        report = replace(report, random=text)
    if constants:
        text = f"held constant, as others require a gradient: {', '.join(constants)}"
        report = replace(report, notes=(*report.notes, text))
    return report


def _copy(torch: Any, a: Any) -> Any:
    return torch.empty_strided(a.size(), a.stride(), dtype=a.dtype, device=a.device).copy_(a)


def _same(torch: Any, a: Any, b: Any) -> bool:
    return bool(torch.isclose(a, b, rtol=0, atol=0, equal_nan=True).all())
