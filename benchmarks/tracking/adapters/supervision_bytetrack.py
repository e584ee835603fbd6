"""supervision's ByteTrack as its documentation shows it, default settings.

Deprecated since 0.28 in favour of `trackers` and gone from later releases, but what most counting programs run.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

REQUIREMENTS = ["supervision>=0.27,<0.28", "opencv-python-headless"]


class SupervisionByteTrack:
    def __init__(self, fps: float, size: tuple[int, int]) -> None:
        supervision = importlib.import_module("supervision")
        self._make_detections = supervision.Detections
        self._tracker = supervision.ByteTrack(frame_rate=fps)

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        return self._make_detections(xyxy=xyxy, confidence=confidence, class_id=np.zeros(len(xyxy), int))

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update_with_detections(wrapped)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        return (answer.tracker_id, answer.xyxy) if len(answer) else (np.zeros(0, int), np.zeros((0, 4)))


TRACKERS = {"supervision ByteTrack": SupervisionByteTrack}
