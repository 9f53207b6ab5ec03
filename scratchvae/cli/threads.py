"""`--threads N`: the threads of the linear algebra (BLAS), whose library reads their number from
the environment when NumPy loads it."""

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import InputError
from .options import count

VARIABLES = (  # OpenBLAS, which NumPy's wheels contain, and the others that NumPy may be built with
    "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)  # fmt: skip


def environment(n: int) -> dict[str, str]:
    """The variables that give a process n threads, to be set before it imports NumPy."""
    return dict.fromkeys(VARIABLES, str(n))


def limit(line: Sequence[str]) -> None:
    """Set the variables for `--threads N` in the line, before NumPy is imported.

    The parser of the whole line imports NumPy, for the options of the models; it is that which
    refuses a value that is not a number. Raises InputError if NumPy is loaded already.
    """
    only = argparse.ArgumentParser(add_help=False)
    only.add_argument("--threads", nargs="?")
    given = only.parse_known_args(line)[0].threads
    try:
        wanted = {} if given is None else environment(count(given))
    except argparse.ArgumentTypeError:
        return
    if "numpy" in sys.modules and not wanted.items() <= os.environ.items():
        raise InputError(
            f"--threads {given} comes too late, because NumPy is loaded: set OPENBLAS_NUM_THREADS "
            "in the environment instead"
        )
    os.environ.update(wanted)
