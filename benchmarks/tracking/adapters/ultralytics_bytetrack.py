"""ultralytics' ByteTrack with its bytetrack.yaml.

AGPL-3.0: it is only run here, in an environment and a process of its own; nothing of it is imported by vidan.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

REQUIREMENTS = ["ultralytics>=8.4", "lap>=0.5.12"]


class UltralyticsByteTrack:
    def __init__(self, fps: float, size: tuple[int, int]) -> None:
        utils = importlib.import_module("ultralytics.utils")
        checks = importlib.import_module("ultralytics.utils.checks")
        settings = utils.YAML.load(checks.check_yaml("bytetrack.yaml"))
        module = importlib.import_module("ultralytics.trackers.byte_tracker")
        self._tracker = module.BYTETracker(utils.IterableSimpleNamespace(**settings))
        self._make_boxes = importlib.import_module("ultralytics.engine.results").Boxes
        self._shape = (size[1], size[0])

    def wrap(self, xyxy: np.ndarray, confidence: np.ndarray, seconds: float) -> Any:
        return self._make_boxes(np.column_stack([xyxy, confidence, np.zeros(len(xyxy), np.float32)]), self._shape)

    def update(self, wrapped: Any) -> Any:
        return self._tracker.update(wrapped)

    def unwrap(self, answer: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(answer, np.float64).reshape(-1, 8)
        return rows[:, 4], rows[:, :4]


TRACKERS = {"ultralytics ByteTrack": UltralyticsByteTrack}
