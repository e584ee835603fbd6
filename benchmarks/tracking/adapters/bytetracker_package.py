"""bytetracker: the original ByteTrack in a package, with the thresholds of the authors' demonstration.

It pins versions of torch and lap that no current Python has, so it is installed without its dependencies, beside newer
ones.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

REQUIREMENTS = ["--no-deps bytetracker>=0.3.2", "lap>=0.5.12", "numpy", "scipy", "torch"]


class PackagedByteTrack:
    def __init__(self, fps: float, size: tuple[int, int]) -> None:
        self._make_tensor = importlib.import_module("torch").from_numpy
        tracker = importlib.import_module("bytetracker").BYTETracker
        self._tracker = tracker(track_thresh=0.5, track_buffer=30, match_thresh=0.8, frame_rate=fps)

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        return self._make_tensor(np.column_stack([xyxy, confidence, np.zeros(len(xyxy), np.float32)]))

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update(wrapped, None)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(answer, np.float64).reshape(-1, 7)
        return rows[:, 4], rows[:, :4]


TRACKERS = {"bytetracker": PackagedByteTrack}
