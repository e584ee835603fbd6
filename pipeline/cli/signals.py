"""Ctrl-C and SIGTERM: the first asks for a stop that saves everything, the second aborts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C and SIGTERM only ask for a stop; the second one aborts. Gives what says whether one was asked for.

    The handler sets a plain variable, for it may come while this thread holds any lock.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    is_stopped = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopped
        if is_stopped:
            raise KeyboardInterrupt
        is_stopped = True

    before = {number: signal.signal(number, ask) for number in signals}
    try:
        yield lambda: is_stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
