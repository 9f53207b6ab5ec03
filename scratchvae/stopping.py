"""Ctrl-C, and SIGTERM, which a scheduler sends before it kills: both stop a run, which is kept."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_once() -> Iterator[None]:
    """The first signal raises KeyboardInterrupt, with its number; until the end, more do nothing.

    So nothing disturbs the one who keeps what there is. Only a main thread receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        for other in SIGNALS:
            signal.signal(other, lambda number, frame: None)
        raise KeyboardInterrupt(number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def exit_code(stop: KeyboardInterrupt) -> int:
    """What a shell calls it: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (stop.args[0] if stop.args else signal.SIGINT)
