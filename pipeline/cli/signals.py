"""Ctrl-C and SIGTERM: the first asks for a stop that saves everything, the second aborts. SIGHUP: read rules again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vidan.pipeline.control import Control


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


@contextmanager
def reload_on_hangup(control: Control) -> Iterator[None]:
    """Within, SIGHUP asks for the rules to be read again; where there is no such signal (Windows), nothing does."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        yield
        return
    before = signal.signal(hangup, lambda number, frame: control.reload())
    try:
        yield
    finally:
        signal.signal(hangup, before)
