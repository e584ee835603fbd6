"""Tracks a few tenths of a second late: smooth, and only of tracklets that turned out to be real.

Detector boxes chatter, and at a line every chatter is a false crossing; and whether a new tracklet is an object or a
flicker shows only some frames later. Both are cured by waiting, so frames wait here once for both.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidan.trackers.tracks import Tracks

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, eq=False)
class Released(Generic[Key]):
    """One frame as it turned out.

    Attributes:
        key: What the frame was pushed with.
        tracks: Rows of the tracklets that are confirmed by now, boxes smoothed, `confirmed` True in all of them.
        observed_xyxy: (N, 4) float32, the tracker's own boxes of the same rows.
        dismissed: Rows of the tracklets that were never confirmed, boxes as the tracker gave them, `confirmed` False;
            `ended` names those of them that have no row in any later frame.
    """

    key: Key
    tracks: Tracks
    observed_xyxy: NDArray[np.float32]
    dismissed: Tracks


@dataclass(frozen=True, slots=True, eq=False)
class _Frame(Generic[Key]):
    key: Key
    pts_seconds: float
    tracks: Tracks


class FixedLagSmoother(Generic[Key]):
    """Buffers a tracker's answers and releases every frame once, in order, when enough of its future is known.

    A frame is released as soon as one `smooth_seconds` younger was pushed and no tracklet that was tentative in it is
    tentative still (one without a row in the newest frame is dead, as `ByteTracker` has it). A tracklet confirmed by
    then has its row, though it dates from before the confirmation; one that died tentative has it among those that were
    dismissed. The newest frame always waits, so that there is one to carry the last `ended`.

    Boxes are replaced by a local linear fit over the same track's boxes within ± `smooth_seconds`, weighted by an
    Epanechnikov kernel (Fan and Gijbels, Local Polynomial Modelling and Its Applications, 1996). A weighted mean would
    drag a moving box back at both ends of its track and at every gap, a line does not. The fit is linear in the boxes:
    fitting corners is fitting anchor and size.

    Args:
        smooth_seconds: Half width of the window and lag of the release; 0 leaves boxes as they are.

    Raises:
        ValueError: If `smooth_seconds` is negative.
    """

    def __init__(self, smooth_seconds: float) -> None:
        if not smooth_seconds >= 0:
            raise ValueError(f"smooth_seconds must not be negative, got {smooth_seconds}")
        self._smooth_seconds = smooth_seconds
        self._past: deque[_Frame[Key]] = deque()  # released, but still within somebody's window
        self._waiting: deque[_Frame[Key]] = deque()
        self._confirmed: set[int] = set()

    def push(self, key: Key, pts_seconds: float, tracks: Tracks) -> list[Released[Key]]:
        """Takes in the newest frame; the frames that can be released now, oldest first."""
        self._waiting.append(_Frame(key, pts_seconds, tracks))
        self._confirmed.update(tracks.track_id[tracks.confirmed].tolist())
        undecided = tracks.track_id[~tracks.confirmed]
        released = []
        while len(self._waiting) > 1 and self._is_ripe(self._waiting[0], pts_seconds, undecided):
            released.append(self._release())
        return released

    def finish(self, ended: tuple[int, ...]) -> list[Released[Key]]:
        """All frames that still wait, oldest first; the last one also carries `ended`, the ids alive to the end."""
        if self._waiting:
            last = self._waiting.pop()
            tracks = replace(last.tracks, ended=tuple(sorted({*last.tracks.ended, *ended})))
            self._waiting.append(replace(last, tracks=tracks))
        return [self._release() for _ in range(len(self._waiting))]

    def _is_ripe(self, frame: _Frame[Key], now_seconds: float, undecided: NDArray[np.int64]) -> bool:
        old_enough = now_seconds - frame.pts_seconds >= self._smooth_seconds
        return old_enough and not np.isin(frame.tracks.track_id, undecided).any()

    def _release(self) -> Released[Key]:
        frame = self._waiting[0]
        while self._past and self._past[0].pts_seconds < frame.pts_seconds - self._smooth_seconds:
            self._past.popleft()
        is_real = np.isin(frame.tracks.track_id, tuple(self._confirmed))
        tracks = frame.tracks[is_real]
        smoothed = replace(
            tracks, xyxy=self._smooth(frame.pts_seconds, tracks), confirmed=np.ones(len(tracks), np.bool_)
        )
        self._confirmed.difference_update(tracks.ended)
        self._past.append(self._waiting.popleft())
        return Released(frame.key, smoothed, tracks.xyxy, self._with_ends(frame.tracks[~is_real]))

    def _with_ends(self, dismissed: Tracks) -> Tracks:
        """These rows of the frame before those that wait, with the ids that are in none of them as `ended`."""
        if len(dismissed) == 0:
            return Tracks.empty()
        later = {track_id for frame in self._waiting for track_id in frame.tracks.track_id.tolist()}
        ended = tuple(track_id for track_id in dismissed.track_id.tolist() if track_id not in later)
        return replace(dismissed, ended=ended)

    def _smooth(self, pts_seconds: float, tracks: Tracks) -> NDArray[np.float32]:
        """(N, 4) float32 boxes of `tracks`, fitted at `pts_seconds` over what past and waiting frames know of them."""
        if self._smooth_seconds == 0 or len(tracks) == 0:
            return tracks.xyxy
        window = [
            frame
            for frame in (*self._past, *self._waiting)
            if abs(frame.pts_seconds - pts_seconds) < self._smooth_seconds
        ]
        time = np.array([(frame.pts_seconds - pts_seconds) / self._smooth_seconds for frame in window])
        time = np.repeat(time, [len(frame.tracks) for frame in window])
        track_id = np.concatenate([frame.tracks.track_id for frame in window])
        xyxy = np.concatenate([frame.tracks.xyxy for frame in window]).astype(np.float64)
        weight = (track_id == tracks.track_id[:, None]) * (1 - time**2)  # (N, M), 0 for the boxes of others
        return _fit_lines_at_zero(time, xyxy, weight).astype(np.float32)


def _fit_lines_at_zero(
    time: NDArray[np.float64], values: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What N weighted least-squares lines over time say at time 0.

    Args:
        time: (M,) in -1..1.
        values: (M, D).
        weight: (N, M) of each sample for each line; every line has a sample at time 0.

    Returns:
        (N, D). Where all samples of a line are of one time, it is their mean.
    """
    total, first, second = weight.sum(axis=1), weight @ time, weight @ time**2
    value_total, value_first = weight @ values, weight @ (time[:, None] * values)
    determinant = (total * second - first**2)[:, None]
    intercept = second[:, None] * value_total - first[:, None] * value_first
    mean = value_total / total[:, None]
    return np.divide(intercept, determinant, out=mean, where=determinant > 1e-12)
