"""ioutrack-rs: SORT and ByteTrack in Rust.

Its own defaults forget a track after one missed frame; as with the others, a second without a sighting ends one here.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np

REQUIREMENTS = ["ioutrack-rs>=0.4", "numpy"]


class Ioutrack:
    def __init__(self, kind: str, fps: float, size: tuple[int, int]) -> None:
        self._tracker = getattr(importlib.import_module("ioutrack"), kind)(max_age=round(fps))

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        return np.column_stack([xyxy, confidence]).astype(np.float32)

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update(wrapped, return_all=False)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        answer = np.asarray(answer)
        return answer[:, 4], answer[:, :4]


TRACKERS = {"ioutrack-rs ByteTrack": partial(Ioutrack, "ByteTrack"), "ioutrack-rs SORT": partial(Ioutrack, "Sort")}
