"""Looks at each frame once for all rules of a stream, and tells each of them which few tracks it need think about.

Most tracks are far from most lines and outside most zones, and calling numpy for one rule costs as much as for all of
them. So what can be said of all tracks and all rules together is computed here, in arrays; a rule then follows the
tracks near its line, or in its zone, one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Set
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
    """One frame. Lists over tracks have one element per row of `tracks`.

    Attributes:
        stamp: Of the frame.
        tracks: All tracks of the frame.
        now: The sighting of each.
        before: The sighting before that of each, in whatever frame it was; None where the track is new.
        steps: Pixels from there to here, 0 where the track is new.
        heights: Of the boxes here and there, the larger.
        distances: For each line the pixels from it to each track.
        changes: For each line whether the step of each track changes sides of a segment of it.
        near: For each line the ids of the tracks that may have met it, or come within its reach, in this step.
        inside: For each area the ids of the tracks whose anchor is in it or on its boundary.
    """

    stamp: Stamp
    tracks: Tracks
    now: Sequence[Sighting]
    before: Sequence[Sighting | None]
    steps: Sequence[float]
    heights: Sequence[float]
    distances: Sequence[Sequence[float]]
    changes: Sequence[Sequence[bool]]
    near: Sequence[Set[int]]
    inside: Sequence[Set[int]]


class Lookout:
    """Where the tracks of one stream stand, frame by frame. Rules with the same anchor share one.

    Args:
        anchor: Point of the box at which an object stands.
    """

    def __init__(self, anchor: Anchor) -> None:
        self._anchor: Anchor = anchor
        self._lines: list[Polyline] = []
        self._reaches = np.zeros(0)  # [L]
        self._areas = np.zeros(0, object)
        self._bounds = np.zeros((0, 4))  # [Z], left, top, right, bottom of each area
        self._updates = 0
        self._view: View | None = None
        self._first: dict[int, Sighting] = {}
        self._last: dict[int, Sighting] = {}

    def add_line(self, line: Polyline, reach: float) -> int:
        """Watches a line, up to `reach` box heights from it; its index in the views."""
        self._lines.append(line)
        self._reaches = np.append(self._reaches, reach)
        self._polylines = Polylines(self._lines)
        return len(self._lines) - 1

    def add_area(self, area: Polygon | MultiPolygon) -> int:
        """Watches an area; its index in the views."""
        shapely.prepare(area)
        self._areas = np.array([*self._areas, area], object)
        self._bounds = shapely.bounds(self._areas)
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

    def seen(self, track_ids: Iterable[int]) -> list[Sighting]:
        """The sightings of those of these tracks that are in the frame of the last look."""
        sightings = map(self._last.get, track_ids)
        return [sighting for sighting in sightings if sighting is not None and sighting.update == self._updates]

    @property
    def is_deserted(self) -> bool:
        """True if all tracks have ended, as of the last look."""
        return self._view is None or self._last.keys() <= set(self._view.tracks.ended)

    def _see(self, stamp: Stamp, tracks: Tracks) -> View:
        for track_id in () if self._view is None else self._view.tracks.ended:
            self._first.pop(track_id, None)
            self._last.pop(track_id, None)
        self._updates += 1
        points = anchors_of(tracks.xyxy, self._anchor)
        now = sight(self._updates, stamp, tracks, points)
        before: list[Sighting | None] = []
        origins: list[tuple[float, float]] = []
        steps: list[float] = []
        heights: list[float] = []
        for sighting in now:
            earlier = self._last.get(sighting.track_id)
            before.append(earlier)
            if earlier is None:
                earlier = sighting
                # A row of its own: the frame's arrays may be parts of large ones, and a track may live for hours.
                alone = tracks[np.array([sighting.row])]
                self._first[sighting.track_id] = sighting._replace(tracks=alone, row=0)
            origins.append(earlier.point)
            steps.append(math.dist(earlier.point, sighting.point))
            heights.append(max(earlier.height, sighting.height))
            self._last[sighting.track_id] = sighting
        distances, changes, near = self._measure_lines(
            np.array(origins).reshape(-1, 2), points, np.array(steps), np.array(heights)
        )
        inside = self._search_areas(points)
        ids = tracks.track_id.tolist()
        return View(
            *(stamp, tracks, now, before, steps, heights, distances, changes),
            near=_ids_in(near, ids),
            inside=_ids_in(inside, ids),
        )

    def _measure_lines(
        self,
        origins: NDArray[np.float64],
        points: NDArray[np.float64],
        steps: NDArray[np.float64],
        heights: NDArray[np.float64],
    ) -> tuple[list[list[float]], list[list[bool]], NDArray[np.bool_]]:
        """For each line and track its distance, if it changed sides, and, (L, N), if it may have been near."""
        if not self._lines:
            return [], [], np.zeros((0, len(points)), np.bool_)
        changes = self._polylines.changes(origins, points).T.tolist()
        distances = self._polylines.distances(points).T  # [L,N]
        # The way to the line is at most the step away from where it ends. The grid is for the rounding of both.
        return distances.tolist(), changes, distances <= steps + self._reaches[:, None] * heights + GRID

    def _search_areas(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(Z, N) whether the anchor is in each area; only those within its bounds are looked at closely."""
        x, y = points.T
        left, top, right, bottom = self._bounds.T[..., None]  # each [Z,1]
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        areas, rows = inside.nonzero()
        inside[areas, rows] = shapely.intersects_xy(self._areas[areas], x[rows], y[rows])
        return inside


def _ids_in(mask: NDArray[np.bool_], ids: Sequence[int]) -> list[set[int]]:
    """For each row of (M, N) those of the N ids for which it is True."""
    found: list[set[int]] = [set() for _ in mask]
    for which, row in zip(*(axis.tolist() for axis in mask.nonzero()), strict=True):
        found[which].add(ids[row])
    return found
