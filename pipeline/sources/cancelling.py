"""FFmpeg calls that another thread can cancel.

FFmpeg asks ten times a second whether to go on waiting (`AVIOInterruptCB`), and PyAV answers by its time-outs alone: it
has no word for "stop now". It reads the time from a name of its own module, so that is where the answer is given: for
the thread of a cancelled call, every look at the clock is an eternity after the one before. This is a hack. A method of
PyAV's containers that interrupts them would replace it; should that name be gone one day, a cancelled call goes on
until its time-outs.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

import av.container.core

_ETERNITY = 1e9  # seconds; longer than any time-out


class Cancellable:
    """A block of FFmpeg calls of one thread; `cancel` ends them from any other, within about a tenth of a second.

    A call that is cancelled raises an `FFmpegError`; so do all later ones within the block. Calls need a time-out, for
    without one FFmpeg does not ask.
    """

    def __init__(self) -> None:
        self._thread: int | None = None
        self._is_cancelled = False

    def __enter__(self) -> Cancellable:
        with _lock:
            self._thread = threading.get_ident()
            if self._is_cancelled:
                _cancelled[self._thread] = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _lock:
            if self._thread is not None:
                _cancelled.pop(self._thread, None)
            self._thread = None

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled

    def cancel(self) -> None:
        """Ends the calls; may come before the block is entered, after it is left, and twice."""
        with _lock:
            self._is_cancelled = True
            if self._thread is not None:
                _cancelled.setdefault(self._thread, time.monotonic())


class _Clock:
    """What PyAV takes for the module `time`."""

    @staticmethod
    def monotonic() -> float:
        thread = threading.get_ident()
        if thread in _cancelled:
            _cancelled[thread] += _ETERNITY  # PyAV counts from its last look, so each must be later than the others
            return _cancelled[thread]
        return time.monotonic()


_lock = threading.Lock()
_cancelled: dict[int, float] = {}  # identity of a thread -> the time that it was told last

_pyav: Any = av.container.core  # no type checker knows of the name
if hasattr(_pyav, "time"):
    _pyav.time = _Clock()
