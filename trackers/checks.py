"""Detections that no tracker can follow are refused before they do harm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.reach import SIZES, reach_of

_FARTHEST = 1e9  # pixels; beyond it there is no picture, and areas overflow


def checked_reach(detections: Detections) -> NDArray[np.float32]:
    """(7, N) `reach_of` the detections of one frame.

    Raises:
        ValueError: If a box is inside out, not finite or farther away than any picture is large, a confidence not
            within 0..1, or an embedding not finite.
    """
    xyxy, confidence, embedding = detections.xyxy, detections.confidence, detections.embedding
    if len(xyxy) == 0:
        return reach_of(xyxy)
    if embedding is not None and not np.isfinite(embedding).all():
        raise ValueError("an embedding of these detections is not finite")
    if _least(xyxy) > -_FARTHEST and _most(xyxy) < _FARTHEST and _least(confidence) >= 0 and _most(confidence) <= 1:
        reach = reach_of(xyxy)
        if _least(reach[SIZES]) >= 0:
            return reach
    is_right = (np.abs(xyxy) < _FARTHEST).all(axis=1) & (xyxy[:, :2] <= xyxy[:, 2:]).all(axis=1)
    is_right &= (confidence >= 0) & (confidence <= 1)
    wrong = int(is_right.argmin())
    raise ValueError(
        f"detection {wrong} is no box with a confidence: a tracker needs finite left <= right, top <= bottom and a "
        f"confidence of 0 to 1; got {xyxy[wrong].tolist()}, {float(confidence[wrong])}"
    )


def _least(values: NDArray[np.float32]) -> float:
    """The smallest of some values, or nan where there is one; a tenth of what `min` costs for a few."""
    return values.item(values.argmin())


def _most(values: NDArray[np.float32]) -> float:
    return values.item(values.argmax())
