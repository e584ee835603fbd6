"""Gaps between two sightings of a track, and the boxes that are put into them once both sides are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vidan.trackers.tracks import Tracks


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """Between two sightings of a track, each a single row."""

    from_seconds: float
    to_seconds: float
    before: Tracks
    after: Tracks

    def row(self, pts_seconds: float) -> Tracks:
        """The box at a moment in it, on the straight line from one side to the other."""
        share = (pts_seconds - self.from_seconds) / (self.to_seconds - self.from_seconds)
        return replace(
            self.before,
            track_id=self.after.track_id,  # the name of the earlier one may be forgotten by now
            xyxy=self.before.xyxy + (self.after.xyxy - self.before.xyxy) * np.float32(share),
            confidence=np.zeros(1, np.float32),
            observed=np.zeros(1, np.bool_),
        )


class Gaps:
    """Those that frames still to come lie in.

    Args:
        most_seconds: Longer ones are left as they are.
    """

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds
        self._gaps: list[Gap] = []
        self.rows = 0
        """How many were put into gaps so far."""

    def add(self, gap: Gap) -> None:
        """Takes note of one, if it is short enough."""
        if gap.to_seconds - gap.from_seconds <= self._most_seconds:
            self._gaps.append(gap)

    def fill(self, tracks: Tracks, pts_seconds: float) -> Tracks:
        """The next frame, with one more row for each gap that it lies in."""
        self._gaps = [gap for gap in self._gaps if gap.to_seconds > pts_seconds]
        rows = [gap.row(pts_seconds) for gap in self._gaps if gap.from_seconds < pts_seconds]
        self.rows += len(rows)
        return Tracks.concatenated([tracks, *rows], ended=tracks.ended) if rows else tracks
