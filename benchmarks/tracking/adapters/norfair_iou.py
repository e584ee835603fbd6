"""Norfair with the IoU distance and the threshold (0.7) of its demonstrations for bounding boxes."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

REQUIREMENTS = ["norfair>=2.3"]


class Norfair:
    def __init__(self, fps: float, size: tuple[int, int]) -> None:
        norfair = importlib.import_module("norfair")
        self._make_detection = norfair.Detection
        self._tracker = norfair.Tracker(distance_function="iou", distance_threshold=0.7)

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        corners, scores = xyxy.reshape(-1, 2, 2).astype(np.float64), np.repeat(confidence[:, None], 2, axis=1)
        return [self._make_detection(points, scores=score) for points, score in zip(corners, scores, strict=True)]

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update(wrapped)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        ids = np.array([tracked.id for tracked in answer], int)
        return ids, np.array([tracked.estimate.reshape(4) for tracked in answer]).reshape(-1, 4)


TRACKERS = {"norfair IoU": Norfair}
