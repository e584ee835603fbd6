"""Where lines would count most: across the main flows, where tracks are seen well on both sides.

Straight lines of twelve directions sweep over the picture. Each is worth the tracks that go through it once and
squarely, seen from more than their height before it to more than their height behind. The best one becomes a
suggestion, cut to where its tracks go through; those tracks are served, and the next best is sought for the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from vidan.pipeline.observe.trails import Trail

DIRECTIONS = 12
OFFSETS = 40
WAYPOINTS = 32  # to which every trail is thinned out
SQUARE_COSINE = 0.7  # a way through may deviate from the perpendicular by 45 degrees
GAP_HEIGHTS = 1.5  # between two ways through, in heights, within one flow
PAD_HEIGHTS = 0.5  # that a line is longer than its flow is wide, at each end
MOST_LINES = 3
FEWEST_SHARE = 0.1  # of the moving tracks that a line must serve


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A line across a flow.

    Attributes:
        name: For the config.
        points: Its two ends in pixels; the more frequent direction is `in`.
        track_ids: The tracks that go through it.
        inward: How many of them in the direction `in`.
    """

    name: str
    points: tuple[tuple[float, float], tuple[float, float]]
    track_ids: frozenset[int]
    inward: int

    def in_fractions(self, width: int, height: int) -> list[list[float]]:
        """The ends as they stand in a config."""
        return [[round(x / width, 3), round(y / height, 3)] for x, y in self.points]


def suggest_lines(
    trails: Sequence[Trail], width: int, height: int, served: Collection[int] = ()
) -> tuple[Suggestion, ...]:
    """Lines across the flows that no good line of the config counts yet, the best first.

    Args:
        trails: Of the sample.
        width: Of the pictures, in pixels.
        height: Of the pictures, in pixels.
        served: Ids of the tracks that are counted well already.
    """
    moving = [trail for trail in trails if trail.is_moving and len(trail.frame) > 1]
    least = max(2.0, FEWEST_SHARE * len(moving))
    rest = [trail for trail in moving if trail.track_id not in served]
    found: list[Suggestion] = []
    while len(rest) >= least and len(found) < MOST_LINES:
        best = max(_candidates(rest, width, height), key=lambda candidate: candidate.worth, default=None)
        if best is None or len(best.rows) < least:
            break
        suggestion = best.cut(rest, f"flow_{len(found) + 1}", width, height)
        found.append(suggestion)
        rest = [trail for trail in rest if trail.track_id not in suggestion.track_ids]
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A group of neighbouring ways through a straight line.

    Attributes:
        worth: Sum of how squarely they go through.
        normal: (2,) unit vector across the line.
        offset: Of the line from the origin, along the normal.
        along: (G,) where they go through, along the line.
        heights: (G,) of the boxes.
        rows: (G,) which trails.
        inward: (G,) whether along the normal.
    """

    worth: float
    normal: NDArray[np.float64]
    offset: float
    along: NDArray[np.float64]
    heights: NDArray[np.float64]
    rows: NDArray[np.intp]
    inward: NDArray[np.bool_]

    def cut(self, trails: Sequence[Trail], name: str, width: int, height: int) -> Suggestion:
        """The piece of the line that its trails go through, within the picture."""
        pad = PAD_HEIGHTS * float(np.median(self.heights))
        tangent = np.array([-self.normal[1], self.normal[0]])
        ends = [self.offset * self.normal + u * tangent for u in (self.along.min() - pad, self.along.max() + pad)]
        inward = int(self.inward.sum())
        piece = shapely.intersection(shapely.LineString(ends), shapely.box(0, 0, width, height))
        start, end = ((float(x), float(y)) for x, y in piece.coords)
        if 2 * inward < len(self.rows):  # a normal to the left of a line is its `in`
            start, end, inward = end, start, len(self.rows) - inward
        return Suggestion(name, (start, end), frozenset(trails[row].track_id for row in self.rows), inward)


def _candidates(trails: Sequence[Trail], width: int, height: int) -> list[_Candidate]:
    """The best group of each line of the sweep that any trail goes through."""
    ways = np.stack([_waypoints(trail) for trail in trails])  # [T,W,2]
    heights = np.array([[trail.heights[0], trail.heights[-1], trail.height] for trail in trails])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    candidates: list[_Candidate] = []
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        normal = np.array([np.cos(angle), np.sin(angle)])
        reach = corners @ normal
        for offset in np.linspace(reach.min(), reach.max(), OFFSETS + 2)[1:-1].tolist():
            candidate = _best_group(ways, heights, normal, offset)
            if candidate is not None:
                candidates.append(candidate)
    return candidates


def _best_group(
    ways: NDArray[np.float64], heights: NDArray[np.float64], normal: NDArray[np.float64], offset: float
) -> _Candidate | None:
    """Those ways through a line that lie side by side and are worth most, None if there are none."""
    beyond = ways @ normal - offset  # [T,W], positive behind the line
    changes = (beyond[:, 1:] > 0) != (beyond[:, :-1] > 0)
    margins = np.minimum(np.abs(beyond[:, 0]) / heights[:, 0], np.abs(beyond[:, -1]) / heights[:, 1])
    rows = np.flatnonzero((changes.sum(axis=1) == 1) & (margins > 1.0))
    if not len(rows):
        return None
    step = changes[rows].argmax(axis=1)
    before, after = ways[rows, step], ways[rows, step + 1]
    share = beyond[rows, step] / (beyond[rows, step] - beyond[rows, step + 1])
    wide = _after(ways[rows], step) - _before(ways[rows], step)
    cosine = (wide @ normal) / np.maximum(np.hypot(*wide.T), 1e-9)
    along = (before + share[:, None] * (after - before)) @ np.array([-normal[1], normal[0]])
    # Far from both ends of the trails is better, up to three heights; it decides only between lines that serve as many.
    worth = np.abs(cosine) + 0.1 * np.minimum(margins[rows], 3.0)
    square = np.abs(cosine) >= SQUARE_COSINE
    order = np.flatnonzero(square)[np.argsort(along[square])]
    if not len(order):
        return None
    gaps = np.diff(along[order]) > GAP_HEIGHTS * np.maximum(heights[rows[order[1:]], 2], heights[rows[order[:-1]], 2])
    group = max(np.split(order, np.flatnonzero(gaps) + 1), key=lambda group: float(worth[group].sum()))
    return _Candidate(
        float(worth[group].sum()), normal, offset, along[group], heights[rows[group], 2], rows[group], cosine[group] > 0
    )


def _before(ways: NDArray[np.float64], step: NDArray[np.intp]) -> NDArray[np.float64]:
    """(T, 2) the waypoint a little before each step, so that the direction is not that of a jitter."""
    return ways[np.arange(len(ways)), np.maximum(step - 1, 0)]


def _after(ways: NDArray[np.float64], step: NDArray[np.intp]) -> NDArray[np.float64]:
    """(T, 2) the waypoint a little after each step."""
    return ways[np.arange(len(ways)), np.minimum(step + 2, ways.shape[1] - 1)]


def _waypoints(trail: Trail) -> NDArray[np.float64]:
    """(W, 2) where it stood at evenly spread times."""
    feet = trail.anchors("bottom_center")
    times = np.linspace(trail.seconds[0], trail.seconds[-1], WAYPOINTS)
    return np.stack([np.interp(times, trail.seconds, feet[:, axis]) for axis in (0, 1)], axis=1)
