"""BoxMOT's ByteTrack and OC-SORT, with their defaults.

AGPL-3.0: it is only run here, in an environment and a process of its own; nothing of it is imported by vidan.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np

REQUIREMENTS = ["boxmot>=25"]


class Boxmot:
    def __init__(self, kind: str, fps: float, size: tuple[int, int]) -> None:
        settings = {"frame_rate": fps} if kind == "ByteTrack" else {}
        self._tracker = getattr(importlib.import_module("boxmot"), kind)(**settings)

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        return np.column_stack([xyxy, confidence, np.zeros(len(xyxy), np.float32)])

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update(wrapped)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(answer, np.float64).reshape(-1, 8)
        return rows[:, 4], rows[:, :4]


TRACKERS = {"boxmot ByteTrack": partial(Boxmot, "ByteTrack"), "boxmot OC-SORT": partial(Boxmot, "OcSort")}
