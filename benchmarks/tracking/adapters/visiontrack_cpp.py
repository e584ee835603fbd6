"""visiontrack-cpp: ByteTrack in C++, with its defaults, and with what the authors of ByteTrack set."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np

REQUIREMENTS = ["visiontrack-cpp>=0.1.1"]


class VisiontrackCpp:
    def __init__(self, settings: dict[str, Any], fps: float, size: tuple[int, int]) -> None:
        package = importlib.import_module("visiontrack_cpp")
        self._tracker = package.ByteTracker(package.TrackerConfig(**settings))

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        return xyxy.astype(np.float64), confidence.astype(np.float64)

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update(*wrapped)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        return answer[0], answer[1]


PAPER = {"high_score_thresh": 0.6, "new_track_thresh": 0.7, "match_iou_thresh": 0.1, "n_init": 1}

TRACKERS = {
    "visiontrack-cpp": partial(VisiontrackCpp, {}),
    "visiontrack-cpp, paper": partial(VisiontrackCpp, PAPER),
}
