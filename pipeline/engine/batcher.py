"""Fills one batch from many streams, fairly and within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from vidan.pipeline.frame import Frame

BUDGET_SECONDS = 0.05
"""How long the first frame of a batch waits for others."""

POLL_SECONDS = 0.1
"""How long it takes at most until a request to stop is noticed."""


class FrameQueue(Protocol):
    """What the batcher needs of a reader."""

    @property
    def live(self) -> bool: ...

    @property
    def finished(self) -> bool: ...

    def take(self) -> Frame | None: ...


class Bell(Protocol):
    """Rings when a queue has changed: a `threading.Event`."""

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Batcher:
    """Takes one frame at a time, always from the stream that was served longest ago, until a batch is full.

    Files take strict turns in the order of `queues`, however fast they are read: while one has no frame, those behind
    it wait with it, so the order of their frames is always the same. A live stream without a frame is passed over.

    Args:
        queues: One per stream, in the order of the config.
        size: Frames in a batch, at most.
        bell: Rings when one of the queues has changed.
        stopped: Says whether a stop was asked for; then a batch is given out as it is.
        budget_seconds: From the first frame of a batch until it is given out, full or not.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        queues: Sequence[FrameQueue],
        size: int,
        bell: Bell,
        *,
        stopped: Callable[[], bool] = lambda: False,
        budget_seconds: float = BUDGET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting = list(queues)  # served longest ago first
        self._size = size
        self._bell = bell
        self._stopped = stopped
        self._budget_seconds = budget_seconds
        self._clock = clock

    def next_batch(self) -> list[Frame]:
        """The next frames, at least one; none when all streams have ended, or after a stop."""
        batch: list[Frame] = []
        deadline = float("inf")
        while len(batch) < self._size and not self._stopped():
            self._bell.clear()  # before the queues are asked, so that a frame which comes in later rings again
            frame = self._take()
            if frame is None:
                patience = deadline - self._clock()
                if not self._waiting or patience <= 0:
                    break
                self._bell.wait(min(patience, POLL_SECONDS))
                continue
            if not batch:
                deadline = self._clock() + self._budget_seconds
            batch.append(frame)
        return batch

    def _take(self) -> Frame | None:
        """A frame of the first stream that has one and may be asked; streams that have ended are left out for good."""
        file_is_late = False
        for queue in tuple(self._waiting):
            if file_is_late and not queue.live:
                continue
            frame = queue.take()
            if frame is not None:
                self._waiting.remove(queue)
                self._waiting.append(queue)
                return frame
            if queue.finished:
                self._waiting.remove(queue)
            elif not queue.live:
                file_is_late = True
        return None
