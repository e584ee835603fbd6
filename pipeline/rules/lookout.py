"""Looks at each frame once for all rules of a stream, and tells each of them which few tracks it need think about.

Most tracks are far from most lines and outside most zones, and calling numpy for one rule costs as much as for all of
them. So what can be said of all tracks and all rules together is computed here, in arrays; a rule then follows the
tracks near its line, or in its zone, one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from vidan.pipeline.frame import Stamp
from vidan.pipeline.geometry import GRID, Anchor, Polyline, Polylines, anchors_of
from vidan.pipeline.rules.sightings import Sighting, sight
from vidan.trackers import Tracks


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One frame.

    Attributes:
        update: Number of the look, from 1.
        stamp: Of the frame.
        tracks: All tracks of the frame.
        now: The sighting of each.
        before: The sighting before that of each, in whatever frame it was; None where the track is new.
        distances: (N, L) pixels to each line that is watched.
        near: For each line the rows of the tracks that may have met it or come within its reach in this step.
        inside: For each area the rows of the tracks whose anchor is in it or on its boundary.
    """

    update: int
    stamp: Stamp
    tracks: Tracks
    now: Sequence[Sighting]
    before: Sequence[Sighting | None]
    distances: NDArray[np.float64]
    near: Sequence[Sequence[int]]
    inside: Sequence[Sequence[int]]


class Lookout:
    """Where the tracks of one stream stand, frame by frame. Rules with the same anchor share one.

    Args:
        anchor: Point of the box at which an object stands.
    """

    def __init__(self, anchor: Anchor) -> None:
        self._anchor: Anchor = anchor
        self._lines: list[Polyline] = []
        self._reaches: list[float] = []
        self._areas: list[Polygon | MultiPolygon] = []
        self._updates = 0
        self._view: View | None = None
        self._first: dict[int, Sighting] = {}
        self._last: dict[int, Sighting] = {}

    def add_line(self, line: Polyline, reach: float) -> int:
        """Watches a line, up to `reach` box heights from it; its index in the views."""
        self._lines.append(line)
        self._reaches.append(reach)
        self._polylines = Polylines(self._lines)
        return len(self._lines) - 1

    def add_area(self, area: Polygon | MultiPolygon) -> int:
        """Watches an area; its index in the views."""
        shapely.prepare(area)
        self._areas.append(area)
        return len(self._areas) - 1

    def look(self, stamp: Stamp, tracks: Tracks) -> View:
        """The view of a frame: made for the first rule that asks, and the same for those after it."""
        if self._view is None or self._view.stamp is not stamp or self._view.tracks is not tracks:
            self._view = self._see(stamp, tracks)
        return self._view

    def first(self, track_id: int) -> Sighting | None:
        """Where a track was first seen; None if it never was, or ended before this frame."""
        return self._first.get(track_id)

    def last(self, track_id: int) -> Sighting | None:
        """Where a track was last seen, as of the last look; None if it never was, or ended before this frame."""
        return self._last.get(track_id)

    def seen(self, track_ids: Iterable[int]) -> list[int]:
        """The rows of those of these tracks that are in the frame of the last look."""
        sightings = (self._last.get(track_id) for track_id in track_ids)
        return [sighting.row for sighting in sightings if sighting is not None and sighting.update == self._updates]

    def _see(self, stamp: Stamp, tracks: Tracks) -> View:
        for track_id in () if self._view is None else self._view.tracks.ended:
            self._first.pop(track_id, None)
            self._last.pop(track_id, None)
        self._updates += 1
        points = anchors_of(tracks.xyxy, self._anchor)
        now = sight(self._updates, stamp, tracks, points)
        before = [self._last.get(sighting.track_id) for sighting in now]
        for sighting, earlier in zip(now, before, strict=True):
            self._last[sighting.track_id] = sighting
            if earlier is None:
                self._first[sighting.track_id] = sighting
        distances, near = self._near_lines(points, now, before)
        return View(self._updates, stamp, tracks, now, before, distances, near, self._in_areas(points))

    def _near_lines(
        self, points: NDArray[np.float64], now: Sequence[Sighting], before: Sequence[Sighting | None]
    ) -> tuple[NDArray[np.float64], list[list[int]]]:
        """(N, L) distances, and for each line the rows of the tracks whose step may have led into its reach."""
        if not self._lines or not now:
            return np.zeros((len(now), len(self._lines))), [[] for _ in self._lines]
        distances = self._polylines.distances(points)
        starts = [earlier or sighting for sighting, earlier in zip(now, before, strict=True)]
        from_x, from_y, from_height = np.array([(*start.point, start.height) for start in starts]).T
        step = np.hypot(points[:, 0] - from_x, points[:, 1] - from_y)
        height = np.maximum([sighting.height for sighting in now], from_height)
        # The way to the line is at most the step away from where it ends. The grid is for the rounding of both.
        is_near = distances <= step[:, None] + np.outer(height, self._reaches) + GRID
        return distances, _rows_of_columns(is_near)

    def _in_areas(self, points: NDArray[np.float64]) -> list[list[int]]:
        if not self._areas:
            return []
        return _rows_of_columns(shapely.intersects_xy(np.array(self._areas), points[:, :1], points[:, 1:]))


def _rows_of_columns(mask: NDArray[np.bool_]) -> list[list[int]]:
    """For each column of (N, M) the rows where it is True, ascending."""
    found: list[list[int]] = [[] for _ in range(mask.shape[1])]
    for row, column in zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True):
        found[column].append(row)
    return found
