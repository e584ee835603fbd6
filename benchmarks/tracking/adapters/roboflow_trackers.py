"""roboflow's trackers as their documentation shows them, default settings, told the frame rate."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np

REQUIREMENTS = ["trackers>=2.6", "opencv-python-headless"]


class RoboflowTracker:
    def __init__(self, kind: str, fps: float, size: tuple[int, int]) -> None:
        package = importlib.import_module("trackers")  # theirs: vidan's is vidan.trackers
        self._make_detections = importlib.import_module("supervision").Detections
        self._tracker = getattr(package, kind)(frame_rate=fps)

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        return self._make_detections(xyxy=xyxy, confidence=confidence, class_id=np.zeros(len(xyxy), int))

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update(wrapped)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        if answer.tracker_id is None:
            return np.zeros(0, int), np.zeros((0, 4))
        tracked = answer.tracker_id >= 0  # -1: not (yet) a track
        return answer.tracker_id[tracked], answer.xyxy[tracked]


TRACKERS = {
    "trackers ByteTrack": partial(RoboflowTracker, "ByteTrackTracker"),
    "trackers SORT": partial(RoboflowTracker, "SORTTracker"),
    "trackers OC-SORT": partial(RoboflowTracker, "OCSORTTracker"),
}
