"""The detector on a thread of its own: a batch is handed in, and asked for later."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from vidan.detector import Detections, Detector
from vidan.pipeline.frame import Frame
from vidan.pipeline.telemetry import Telemetry


class Batch:
    """Frames, and what is found in them.

    Attributes:
        frames: In the order in which they were taken.
        submitted: When they were handed to the detector, monotonic.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self.submitted = time.monotonic()
        self._done = threading.Event()
        self._found: Sequence[Detections] = ()
        self._failure: Exception | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """True once the detector is done with it."""
        return self._done.wait(timeout)

    def found(self) -> Sequence[Detections]:
        """One per frame; waits for them.

        Raises:
            Exception: What the detector failed with.
        """
        self._done.wait()
        if self._failure is not None:
            raise self._failure
        return self._found

    def _detect(self, detector: Detector) -> None:
        try:
            self._found = detector.detect(self.frames)
        except Exception as error:  # carried to the thread that asks for what was found
            self._failure = error
        self._done.set()


class Detecting:
    """Works through batches in their order. A daemon: one that hangs in a driver does not keep a process alive.

    Args:
        detector: Used by this thread alone.
        telemetry: Is told how long it took.
    """

    def __init__(self, detector: Detector, telemetry: Telemetry) -> None:
        self._detector = detector
        self._telemetry = telemetry
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="detect", daemon=True)
        self._thread.start()

    def submit(self, frames: Sequence[Frame]) -> Batch:
        batch = Batch(frames)
        self._batches.put(batch)
        return batch

    def close(self, timeout: float | None = None) -> None:
        """Ends the thread after the batches that it has; waits for so long at most."""
        self._batches.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        for batch in iter(self._batches.get, None):
            # The network computes in threads and devices of its own.
            with self._telemetry.times.busy("detect", time.perf_counter):
                batch._detect(self._detector)
            self._telemetry.batches += 1
            self._telemetry.batch_frames += len(batch.frames)
