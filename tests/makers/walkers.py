"""People who walk sideways past a camera, and trackers that watch them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vidan.detector import Detections
from vidan.trackers import BotSortTracker, ByteTracker, OcSortTracker, SortTracker, Tracker, Tracks

every_tracker = pytest.mark.parametrize("make", [ByteTracker, SortTracker, OcSortTracker, BotSortTracker])
with_low_scores = pytest.mark.parametrize("make", [ByteTracker, BotSortTracker])
Maker = type[ByteTracker | SortTracker | OcSortTracker]

FPS = 25.0
CROWD = [(100.0, 60.0, 200.0), (400.0, -50.0, 230.0), (250.0, 10.0, 210.0), (600.0, 0.0, 500.0)]
"""Of each: where from, pixels per second, bottom y."""

Person = tuple[float, float, float, int]
"""Centre x, bottom y, confidence, class; every person is 40 x 100 pixels."""


def seen(*people: Person) -> Detections:
    if not people:
        return Detections.empty()
    x, y, confidence, class_id = np.array(people, np.float64).T
    xyxy = np.stack([x - 20, y - 100, x + 20, y], axis=1)
    return Detections(xyxy.astype(np.float32), confidence.astype(np.float32), class_id.astype(np.int64))


def play(tracker: Tracker, frames: Sequence[Detections], times: Sequence[float] | None = None) -> list[Tracks]:
    times = [index / FPS for index in range(len(frames))] if times is None else times
    return [tracker.update(frame, time) for frame, time in zip(frames, times, strict=True)]


def walk(index: float, start: float, speed: float, y: float = 200.0, confidence: float = 0.9) -> Person:
    """Where somebody walking sideways with `speed` pixels per second is at frame `index`."""
    return (start + speed * index / FPS, y, confidence, 0)


def id_near(tracks: Tracks, x: float) -> int:
    centers = tracks.xyxy[:, [0, 2]].mean(axis=1)
    return int(tracks.track_id[np.abs(centers - x).argmin()])
