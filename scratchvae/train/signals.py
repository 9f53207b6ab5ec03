"""Ctrl-C, and SIGTERM, which a scheduler sends before it kills: they stop a run, which is kept."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# and SIGHUP, which comes when a terminal is closed
SIGNALS = (signal.SIGINT, signal.SIGTERM, *filter(None, [getattr(signal, "SIGHUP", None)]))
PATIENCE = 2.0  # seconds in which one more signal is taken for the same


@contextmanager
def handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Within, the handler gets the signals that are not ignored (by nohup, or a script's "&").

    In a thread, which receives none, nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, other in before.items():
            signal.signal(number, other or signal.SIG_DFL)


@contextmanager
def stoppable() -> Iterator[None]:
    """Within, a signal raises KeyboardInterrupt with its number, and a hasty second one nothing."""
    last = -PATIENCE

    def stop(number: int, frame: Any) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= PATIENCE:
            raise KeyboardInterrupt(number)

    with handling(stop):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within, signals do nothing: for the one who keeps what there is."""
    with handling(lambda number, frame: None):
        yield


def exit_code(stop: KeyboardInterrupt) -> int:
    """What a shell calls it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (stop.args[0] if stop.args else signal.SIGINT)
