"""The command line: the commands, their options and the settings of a run.

A command is the function of its name in `train.py`, `look.py`, `anomaly.py` or `verify.py`, and
`parser.py` says which. This is the only room that knows argparse; no mathematics, no figure and no
file format belongs here, and no other room imports it.
"""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from ..errors import RED, CheckpointWarning, InputError, NonFiniteError, tinted, warn
from . import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 2 after an error of the user, 130 after Ctrl-C."""
    try:
        return _run(argv)
    except BrokenPipeError:  # whatever read our output has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (InputError, NonFiniteError) as error:
        message = str(error)
    except MemoryError as error:
        message = f"not enough memory ({error}): choose smaller sizes, or fewer examples"
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}: check the path, its permissions and the disk"
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    error_in_red = tinted("error:", RED, sys.stderr)
    print(f"{parser.PROG}: {error_in_red} {' '.join(message.split())}", file=sys.stderr)
    return 2


def _run(argv: Sequence[str] | None) -> int:
    top = parser.parser()
    if "_ARGCOMPLETE" in os.environ and find_spec("argcomplete"):  # the shell asks on Tab
        import argcomplete

        argcomplete.autocomplete(top)
    arguments = top.parse_args(argv)
    module = import_module(f".{arguments.module}", __name__)  # on use: --help needs none of them
    with warnings.catch_warnings():
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = lambda message, *where, **more: warn(str(message))
        code: int = getattr(module, arguments.command)(arguments)
    try:
        sys.stdout.flush()
    except OSError as error:  # output that could not be written is an error
        raise OSError(error.errno, error.strerror, "standard output") from None
    return code
