"""Set up before NumPy is imported: public names that are imported on first access, and the number
of cores that a process's linear algebra (BLAS) may use."""

import os
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

QUOTA = "/sys/fs/cgroup/cpu.max"  # CPU quota of a container, on Linux
AUTO = "auto"  # as many workers as usable cores
# read when NumPy loads its BLAS: OpenBLAS, which its wheels contain, or another
VARIABLES = (
    "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)  # fmt: skip


def importer(
    package: str, homes: Mapping[str, str], modules: Collection[str] = ()
) -> Callable[[str], Any]:
    """A package's `__getattr__` (PEP 562) for the names in homes, each with the module that defines
    it, and for modules of the package itself."""

    def import_name(name: str) -> Any:
        if name in modules:
            return import_module(f".{name}", package)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return import_name


def usable_cores() -> int:
    """The number of cores that this process may use, within the quota of a container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with suppress(OSError, ValueError), open(QUOTA) as file:
        quota, period = map(int, file.read().split())  # "max" is no number: there is no quota
        return max(1, min(cores or 1, quota // period))
    return cores or 1


def threads(n: int) -> dict[str, str]:
    """The variables that give a process n BLAS threads, to be set before it imports NumPy."""
    return dict.fromkeys(VARIABLES, str(n))
