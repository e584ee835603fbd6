"""One thread that reads one source ahead into a bounded queue: a file waits, a camera drops its oldest."""

from __future__ import annotations

import threading
import time
from collections import deque

from vidan.pipeline.coverage import DropLedger
from vidan.pipeline.errors import SourceError
from vidan.pipeline.frame import Frame
from vidan.pipeline.stages import Source

CAPACITY = 8
"""Frames that are read ahead, at most; each holds a whole picture."""


class Reader:
    """Reads a source until it ends, breaks or is told to stop.

    Args:
        source: Is iterated once, by the reader's thread; `close` closes it.
        bell: Is rung whenever a frame comes in or the stream ends.
        drops: Is told the frames of a live source that nobody took in time.
        capacity: Frames in the queue, at most.

    Attributes:
        busy_seconds: CPU seconds of the thread so far, which decoded the pictures.
    """

    def __init__(self, source: Source, bell: threading.Event, drops: DropLedger, capacity: int = CAPACITY) -> None:
        self.source = source
        self.busy_seconds = 0.0
        self._bell = bell
        self._drops = drops
        self._capacity = capacity
        self._frames: deque[Frame] = deque()
        self._room = threading.Condition()  # guards the queue; notified when a frame leaves it, and to stop
        self._stopped = False
        self._ended = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=f"read-{source.name}", daemon=True)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def live(self) -> bool:
        return self.source.live

    @property
    def finished(self) -> bool:
        """True when no frame is queued and none will come."""
        with self._room:
            return self._ended and not self._frames

    @property
    def error(self) -> SourceError | None:
        """Why the stream ended early, when it broke; its last frames may still be queued.

        Raises:
            Exception: If the source failed with anything but a `SourceError`: that is a bug, not a broken stream.
        """
        if self._failure is None or isinstance(self._failure, SourceError):
            return self._failure
        raise self._failure

    def start(self) -> None:
        self._thread.start()

    def take(self) -> Frame | None:
        """The oldest frame in the queue, or None if there is none at this moment."""
        with self._room:
            frame = self._frames.popleft() if self._frames else None
            self._room.notify()
        return frame

    def close(self) -> None:
        """Ends the thread, also where it waits at a full queue, and closes the source."""
        with self._room:
            self._stopped = True
            self._room.notify()
        self.source.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            for frame in self.source:
                self.busy_seconds = time.thread_time()  # counts from the start of this thread
                if not self._put(frame):
                    break
        except Exception as error:  # travels to the loop, which decides what it ends
            self._failure = error
        with self._room:
            self._ended = True
        self.busy_seconds = time.thread_time()
        self._bell.set()

    def _put(self, frame: Frame) -> bool:
        """Queues a frame, once there is room for it; False when the reader has been stopped."""
        with self._room:
            if self.live and len(self._frames) == self._capacity:
                self._drops.note_dropped(self._frames.popleft().stamp.pts_seconds)
            while len(self._frames) == self._capacity and not self._stopped:
                self._room.wait()
            if self._stopped:
                return False
            self._frames.append(frame)
        self._bell.set()
        return True
