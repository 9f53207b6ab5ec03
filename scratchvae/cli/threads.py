"""`--threads N`: the threads of the linear algebra (BLAS), whose library reads their number from
the environment when NumPy loads it."""

import argparse
import os
import sys
from collections.abc import Sequence

from .. import startup
from ..errors import InputError
from .options import count


def limit(line: Sequence[str]) -> None:
    """Set the variables for `--threads N` in the line, before NumPy is imported.

    The full parser, which refuses values that are not numbers, imports NumPy for the models'
    options. Raises InputError if NumPy is loaded already.
    """
    only = argparse.ArgumentParser(add_help=False)
    only.add_argument("--threads", nargs="?")
    given = only.parse_known_args(line)[0].threads
    try:
        wanted = {} if given is None else startup.threads(count(given))
    except argparse.ArgumentTypeError:
        return
    if "numpy" in sys.modules and not wanted.items() <= os.environ.items():
        raise InputError(
            f"--threads {given} has no effect once NumPy is loaded: set OPENBLAS_NUM_THREADS "
            "in the environment instead"
        )
    os.environ.update(wanted)
