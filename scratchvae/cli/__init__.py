"""The command line: the commands, their options and the settings of a run.

Each command is a function of the same name in `train.py`, `look.py`, `anomaly.py` or `verify.py`.
`options.py` lists them, and `parser.py` has their options. Only this folder uses argparse, and no
other folder imports it. No mathematics, no figure and no file format belongs here.
"""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from ..errors import RED, CheckpointWarning, DataWarning, InputError, NonFiniteError, tinted, warn
from . import options, threads


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code: 2 after an error, 130 after Ctrl-C."""
    try:
        return _run(argv)
    except BrokenPipeError:  # the reader of the output closed the pipe
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
    print(f"{options.PROG}: {error_in_red} {' '.join(message.split())}", file=sys.stderr)
    return 2


def _run(argv: Sequence[str] | None) -> int:
    line = sys.argv[1:] if argv is None else argv
    threads.limit(line)
    completes = "_ARGCOMPLETE" in os.environ and find_spec("argcomplete")  # on Tab, by the shell
    words = os.environ["COMP_LINE"].split() if completes else line
    if any(word in options.COMMANDS for word in words):
        from . import parser  # lazily: it imports the models, and with them NumPy

        top = parser.parser()
    else:  # --help, --version, an error, or the name of a command to be completed
        top, _ = options.without_options()
    if completes:
        import argcomplete

        argcomplete.autocomplete(top)
    arguments = top.parse_args(line)
    arguments.argv = list(line)
    module = import_module(f".{arguments.module}", __name__)  # lazily: --help needs none of them
    with warnings.catch_warnings():
        for kind in (CheckpointWarning, DataWarning):
            warnings.simplefilter("always", kind)
        once = cache(warn)  # data that are scaled for each picture are warned of once
        warnings.showwarning = lambda message, *where, **more: once(str(message))
        code: int = getattr(module, arguments.command)(arguments) or 0  # most return nothing
    try:
        sys.stdout.flush()
    except OSError as error:  # output that could not be written is an error
        raise OSError(error.errno, error.strerror, "standard output") from None
    return code
