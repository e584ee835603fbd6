"""Pulse: notices that the engine hangs, which then cannot say so: a sink that waits for a dead disk, a deadlock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from vidan.pipeline.telemetry import Snapshot, StreamSnapshot

PATIENCE_SECONDS = 60.0
FRESH_SECONDS = 5.0  # so young must the newest frame of a camera be to say that frames come


class Pulse:
    """Gives snapshots, with one more thing that hangs where cameras bring frames and none of them is analysed.

    Args:
        snapshot: Gives the run at this moment, as the engine tells it.
        patience_seconds: How long that may last.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._snapshot = snapshot
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._analysed = -1
        self._moved_at = 0.0

    def __call__(self) -> Snapshot:
        run = self._snapshot()
        analysed = sum(stream.analysed for stream in run.streams)
        with self._lock:
            if analysed != self._analysed or not any(map(_brings_frames, run.streams)):
                self._analysed, self._moved_at = analysed, self._clock()
            silence = self._clock() - self._moved_at
        if silence <= self._patience_seconds:
            return run
        return replace(run, stalled=(*run.stalled, f"frames come, and none was analysed for {silence:.0f} s"))


def _brings_frames(stream: StreamSnapshot) -> bool:
    age = stream.seconds_since_frame
    return stream.live and stream.state == "playing" and age is not None and age < FRESH_SECONDS
