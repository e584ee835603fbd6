"""Whether frames come fast enough for the objects: boxes that do not overlap from frame to frame are hard to follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidan.trackers.tracks import Tracks

FAST_IOU = 0.4
"""Overlap (IoU) of a box with that of the next frame, which nine of ten steps should exceed.

Measured with ByteTrack over eight sequences (MOT15, MOT17; every 1st to 30th frame; perfect detections): it keeps 93 %
of the identities at an overlap of 0.6 to 0.7, 90 % at 0.4 to 0.5, 80 % at 0.3 to 0.4, 39 % at 0.2 to 0.3, and 3 % below
0.1."""

_FAST_SHARE = 0.1  # of all steps
_FEWEST_STEPS = 100  # before anything is said
_BINS = 100


class Pace:
    """Sums up the overlaps of one stream's tracks from frame to frame, in constant memory."""

    def __init__(self) -> None:
        self._last = Tracks.empty()
        self._steps = np.zeros(_BINS, np.int64)  # by IoU, from 0 to 1

    def note(self, tracks: Tracks) -> None:
        """Takes in a tracker's answer to the next frame."""
        here = tracks[tracks.confirmed]
        _, now, before = np.intersect1d(here.track_id, self._last.track_id, assume_unique=True, return_indices=True)
        overlaps = paired_iou(here.xyxy[now], self._last.xyxy[before])
        self._steps += np.bincount(np.minimum(overlaps * _BINS, _BINS - 1).astype(np.int64), minlength=_BINS)
        self._last = here

    @property
    def problem(self) -> str | None:
        """What is wrong, in words with the figure; None if the frames suffice, or nothing can be said yet."""
        steps = int(self._steps.sum())
        fast = int(self._steps[: round(FAST_IOU * _BINS)].sum())
        if steps < _FEWEST_STEPS or fast <= _FAST_SHARE * steps:
            return None
        return (
            f"objects move too far from frame to frame: {fast / steps:.0%} of their boxes overlap by less than "
            f"{FAST_IOU:.0%} with the box before, and tracks break; more frames per second would help "
            "(see stride, max_fps, the camera)"
        )


def paired_iou(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) IoU of the boxes of the same row, (N, 4) each; 0 for two that are empty."""
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    common = sides.clip(0).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return (common / np.maximum(areas[0] + areas[1] - common, 1e-9)).astype(np.float64)
