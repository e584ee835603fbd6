"""edgefirst-tracker: ByteTrack in Rust, with its defaults; it takes time in nanoseconds and names tracks by UUID."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

REQUIREMENTS = ["edgefirst-tracker>=0.38", "numpy"]


class Edgefirst:
    def __init__(self, fps: float, size: tuple[int, int]) -> None:
        self._tracker = importlib.import_module("edgefirst.tracker").ByteTrack()
        self._ids: dict[str, int] = {}

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        return xyxy, confidence, np.zeros(len(xyxy), np.uintp), round(seconds * 1e9)

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update(*wrapped)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        tracked = [track for track in answer if track is not None]
        ids = [self._ids.setdefault(str(track.uuid), len(self._ids) + 1) for track in tracked]
        return np.array(ids, int), np.array([track.tracked_location for track in tracked]).reshape(-1, 4)


TRACKERS = {"edgefirst-tracker": Edgefirst}
