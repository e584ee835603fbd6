"""One thread that reads one source ahead into a bounded queue: a file waits, a camera drops its oldest."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from vidan.pipeline.coverage import DropLedger
from vidan.pipeline.frame import Frame
from vidan.pipeline.stages import Source

CAPACITY = 8
"""Frames of a file that are read ahead, at most; each holds a whole picture."""

LIVE_CAPACITY = 4
"""Frames of a camera that may wait, at most."""

STALE_SECONDS = 0.05
"""A camera's frame that has waited for longer is dropped when there is a newer one. What comes in a burst is kept."""

JOIN_SECONDS = 5.0
"""How long the end of a camera's thread is waited for; a file's thread ends with its next picture."""

_logger = logging.getLogger(__name__)


class Reader:
    """Reads a source until it ends, breaks or is told to stop.

    Args:
        source: Is iterated once, by the reader's thread; `close` closes it.
        bell: Is rung whenever a frame comes in or the stream ends.
        drops: Is told the frames of a live source that nobody took in time.
        priority: Of the stream among others that are live.
        capacity: Frames in the queue, at most; None: as many as suit the source.
        clock: Monotonic seconds.

    Attributes:
        busy_seconds: CPU seconds of the thread so far, which decoded the pictures.
        arrivals: Frames that have come in so far.
        heard: When the newest frame came, monotonic; when the reader was started, before the first.
    """

    def __init__(
        self,
        source: Source,
        bell: threading.Event,
        drops: DropLedger,
        *,
        priority: float = 1.0,
        capacity: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.priority = priority
        self.busy_seconds = 0.0
        self.arrivals = 0
        self.heard = clock()
        self._bell = bell
        self._drops = drops
        self._capacity = capacity or (LIVE_CAPACITY if source.live else CAPACITY)
        self._clock = clock
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
    def waiting(self) -> int:
        """Frames in the queue at this moment."""
        return len(self._frames)

    @property
    def finished(self) -> bool:
        """True when no frame is queued and none will come."""
        with self._room:
            return self._ended and not self._frames

    @property
    def failure(self) -> Exception | None:
        """Why the stream ended early, when it broke; its last frames may still be queued.

        Anything but a `SourceError` is a bug, not a broken stream.
        """
        return self._failure

    def start(self) -> None:
        self.heard = self._clock()
        self._thread.start()

    def take(self) -> Frame | None:
        """The oldest frame in the queue that is worth it, or None if there is none at this moment."""
        with self._room:
            if self.live:
                stale = self._clock() - STALE_SECONDS
                while len(self._frames) > 1 and self._frames[0].arrived < stale:
                    self._drop()
            frame = self._frames.popleft() if self._frames else None
            self._room.notify()
        return frame

    def close(self) -> None:
        """Ends the thread, also where it waits at a full queue, and closes the source.

        A camera's thread that does not end is left behind: it hangs in a library, and nothing waits for it.
        """
        with self._room:
            self._stopped = True
            self._room.notify()
        self.source.close()
        if self._thread.ident is not None:
            self._thread.join(JOIN_SECONDS if self.live else None)
            if self._thread.is_alive():
                _logger.warning("stream %s: its reader does not end and is left behind", self.name)

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
        frame.arrived = self._clock()
        with self._room:
            if self.live and len(self._frames) == self._capacity:
                self._drop()
            while len(self._frames) == self._capacity and not self._stopped:
                self._room.wait()
            if self._stopped:
                return False
            self._frames.append(frame)
            self.arrivals += 1
            self.heard = frame.arrived
        self._bell.set()
        return True

    def _drop(self) -> None:
        self._drops.note_dropped(self._frames.popleft().stamp.pts_seconds)
