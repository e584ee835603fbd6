"""Fills one batch from many streams, fairly and within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from vidan.pipeline.engine.share import Share, in_need
from vidan.pipeline.frame import Frame

BUDGET_SECONDS = 0.05
"""How long the first frame of a batch waits for others, where there are only files."""

POLL_SECONDS = 0.1
"""How long it takes at most until a request to stop is noticed."""

IDLE_SECONDS = 0.25
"""How long cameras that bring nothing are waited for at a time."""


class FrameQueue(Protocol):
    """What the batcher needs of a reader."""

    @property
    def live(self) -> bool: ...

    @property
    def priority(self) -> float: ...

    @property
    def arrivals(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def finished(self) -> bool: ...

    def take(self) -> Frame | None: ...


class Bell(Protocol):
    """Rings when a queue has changed: a `threading.Event`."""

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Batcher:
    """Takes one frame at a time until a batch is full, or has waited for long enough.

    Files take strict turns in the order of `queues`, however fast they are read: while one has no frame, those behind
    it wait with it, so the order of their frames is always the same.

    Cameras come first, but leave files one place in a batch. Each gives one frame to a batch at most, its newest, in
    the order of need (`in_need`). A batch waits for cameras that have no frame, as long as the budget lasts and none
    that it has already been given has the next one.

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
        self._files = [queue for queue in queues if not queue.live]  # served longest ago first
        self._cameras = [_Camera(queue, clock) for queue in queues if queue.live]
        self._size = size
        self._bell = bell
        self._stopped = stopped
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._is_turn_of_files = False  # matters where a batch has one place only

    @property
    def is_over(self) -> bool:
        """True when no frame will come from anywhere."""
        return not self._files and not self._cameras

    def replace(self, old: FrameQueue, new: FrameQueue) -> None:
        """Takes the frames of a camera from another queue from now on."""
        self._cameras = [camera for camera in self._cameras if camera.queue is not old]
        self._cameras.append(_Camera(new, self._clock))

    def next_batch(self, *, wait: bool = True) -> list[Frame]:
        """The next frames.

        Without cameras at least one, until all streams have ended, or a stop. With cameras also none, if nothing came
        for `IDLE_SECONDS`.

        Args:
            wait: Whether to wait for frames at all.
        """
        batch: list[Frame] = []
        self._is_turn_of_files = not self._is_turn_of_files
        for camera in self._cameras:
            camera.begin()
        deadline = self._clock() + IDLE_SECONDS if self._cameras else float("inf")
        while len(batch) < self._size and not self._stopped():
            self._bell.clear()  # before the queues are asked, so that a frame which comes in later rings again
            frame = self._take(len(batch))
            if frame is None:
                patience = deadline - self._clock()
                if self.is_over or not wait or patience <= 0 or (batch and self._is_time()):
                    break
                self._bell.wait(min(patience, POLL_SECONDS))
                continue
            if not batch:
                deadline = self._clock() + self._budget_seconds
            batch.append(frame)
        return batch

    def _take(self, taken: int) -> Frame | None:
        """The next frame for a batch that has so many; streams that have ended are left out for good."""
        self._cameras = [camera for camera in self._cameras if not camera.queue.finished]
        is_last_place = taken == self._size - 1 and (self._size > 1 or self._is_turn_of_files)
        if is_last_place and self._cameras and (frame := self._take_of_files()):
            return frame
        there = [camera for camera in self._cameras if camera.has_given or camera.queue.waiting]
        for camera in in_need(there):
            if not camera.has_given and (frame := camera.take()) is not None:
                return frame
        return self._take_of_files()

    def _take_of_files(self) -> Frame | None:
        while self._files:
            frame = self._files[0].take()
            if frame is not None:
                self._files.append(self._files.pop(0))
                return frame
            if not self._files[0].finished:
                return None
            self._files.pop(0)
        return None

    def _is_time(self) -> bool:
        """True if waiting for more would keep something waiting, or nothing more can come, where there are cameras."""
        if not self._cameras:
            return False
        return any(camera.queue.waiting for camera in self._cameras) or (
            not self._files and all(camera.has_given for camera in self._cameras)
        )


class _Camera:
    """A queue of a live stream.

    Attributes:
        has_given: True if the batch that is being filled has a frame of it.
    """

    def __init__(self, queue: FrameQueue, clock: Callable[[], float]) -> None:
        self.queue = queue
        self.share = Share(queue.priority, clock)
        self.has_given = False

    def begin(self) -> None:
        """A new batch begins."""
        self.has_given = False
        self.share.note_arrivals(self.queue.arrivals)

    def take(self) -> Frame | None:
        frame = self.queue.take()
        if frame is not None:
            self.has_given = True
            self.share.note_served()
        return frame
