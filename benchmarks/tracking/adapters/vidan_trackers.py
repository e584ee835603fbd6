"""vidan's own trackers; a new one is one more line in `MAKERS`. They get boxes alone, so nobody knows of the camera."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from vidan.detector import Detections
from vidan.trackers import BotSortTracker, ByteTracker, OcSortTracker, SortTracker, Tracker, Tracks

REQUIREMENTS: list[str] = []


class VidanTracker:
    """Confirmed rows of `Tracker.update`, as soon as they are known."""

    def __init__(self, make_tracker: Callable[[], Tracker], fps: float, size: tuple[int, int]) -> None:
        self._tracker = make_tracker()

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> tuple[Detections, float]:
        return Detections(xyxy, confidence, np.zeros(len(xyxy), np.int64)), seconds

    def update(self, wrapped: tuple[Detections, float]) -> Tracks:
        return self._tracker.update(*wrapped)

    def unwrap(self, tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
        return tracks.track_id[tracks.confirmed], tracks.xyxy[tracks.confirmed]


MAKERS: dict[str, Callable[[], Tracker]] = {
    "vidan ByteTrack": ByteTracker,
    "vidan SORT": SortTracker,
    "vidan OC-SORT": OcSortTracker,
    "vidan BoT-SORT": BotSortTracker,
}
"""What makes a fresh tracker; the rules of vidan are run on these, too."""

TRACKERS: dict[str, Any] = {name: partial(VidanTracker, maker) for name, maker in MAKERS.items()}
