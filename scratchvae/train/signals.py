"""Stop a run on Ctrl-C, SIGTERM (from a scheduler) or SIGHUP (a closed terminal), and save it."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, *filter(None, [getattr(signal, "SIGHUP", None)]))
REPEAT = 2.0  # seconds after a signal in which further signals are ignored


@contextmanager
def handling(
    handler: Callable[[int, Any], None], signals: Iterable[int] = SIGNALS
) -> Iterator[None]:
    """Context manager: install the handler for signals that are not ignored.

    nohup, or "&" in a script, makes a process ignore some. Does nothing outside the main thread,
    which alone receives signals.
    """
    main = threading.current_thread() is threading.main_thread()
    handled = [n for n in signals if main and signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, other in before.items():
            signal.signal(number, other or signal.SIG_DFL)


@contextmanager
def interruptible() -> Iterator[None]:
    """Context manager: a signal raises KeyboardInterrupt with its number.

    A second signal within REPEAT seconds is ignored.
    """
    last = -REPEAT

    def stop(number: int, frame: Any) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= REPEAT:
            raise KeyboardInterrupt(number)

    with handling(stop):
        yield


def signals_ignored() -> AbstractContextManager[None]:
    """Context manager: signals are ignored while files are written."""
    return handling(lambda number, frame: None)


def exit_code(stop: KeyboardInterrupt) -> int:
    """The exit code, by the shell's convention: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (stop.args[0] if stop.args else signal.SIGINT)
