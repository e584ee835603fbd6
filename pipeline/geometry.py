"""Plane geometry of boxes and lines in pixels (x right, y down), over many tracks at once.

A side must be a fact and not a rounding, or else a path through a vertex crosses twice or never. So all points are put
on a grid of 1/1024 pixel, where float64 holds every cross product exactly, and ties are broken as if all paths were
shifted by the same infinitely small step to the right and, infinitely smaller still, down ("Simulation of Simplicity",
Edelsbrunner and Mücke 1990). A shifted path runs along no segment and through no vertex, yet it never takes a way
around an end that the path itself does not touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRID = 1 / 1024
"""Pixels; exact as long as no coordinate lies beyond `REACH`."""

REACH = 32768
"""Pixels in each direction."""

Anchor: TypeAlias = Literal[
    "bottom_center",
    "center",
    "top_center",
    "left_center",
    "right_center",
    "top_left",
    "top_right",
    "bottom_left",
    "bottom_right",
]
"""The point of its box at which an object stands."""

_ANCHOR_FRACTIONS: dict[Anchor, NDArray[np.float64]] = {
    "bottom_center": np.array([0.5, 1.0]),
    "center": np.array([0.5, 0.5]),
    "top_center": np.array([0.5, 0.0]),
    "left_center": np.array([0.0, 0.5]),
    "right_center": np.array([1.0, 0.5]),
    "top_left": np.array([0.0, 0.0]),
    "top_right": np.array([1.0, 0.0]),
    "bottom_left": np.array([0.0, 1.0]),
    "bottom_right": np.array([1.0, 1.0]),
}


def anchors_of(xyxy: NDArray[np.float32], anchor: Anchor) -> NDArray[np.float64]:
    """(N, 2) this point of each box of (N, 4), on the grid."""
    corners = xyxy.astype(np.float64)
    top_left = corners[:, :2]
    return _on_grid(top_left + _ANCHOR_FRACTIONS[anchor] * (corners[:, 2:] - top_left))


class Passage(NamedTuple):
    """A step from one position to the next that changes sides of a polyline.

    Attributes:
        row: Which step.
        fraction: How far along the step, 0..1.
        segment: Index of the segment.
        sign: +1 from the right hand of someone looking along the segment to the left (`in`), -1 the other way (`out`).
        beyond: None where the step goes through the polyline. Where it goes around one of its two ends, through the
            straight continuation of the last segment, the distance from that end in pixels; this is no crossing.
    """

    row: int
    fraction: float
    segment: int
    sign: int
    beyond: float | None


class Polyline:
    """Segments from vertex to vertex, with a right-hand and a left-hand side.

    Args:
        points: (V, 2) pixels; points that repeat their predecessor are dropped. A polyline that comes back to its
            first point is closed: it has no ends.

    Raises:
        ValueError: If fewer than two different points are left, or one is not finite.
    """

    def __init__(self, points: ArrayLike) -> None:
        vertices = _on_grid(np.asarray(points, np.float64).reshape(-1, 2))
        if not np.isfinite(vertices).all():
            raise ValueError(f"a line needs finite points, got {vertices.tolist()}")
        moves = np.diff(vertices, axis=0).any(axis=1)
        vertices = np.concatenate([vertices[:1], vertices[1:][moves]])
        if len(vertices) < 2:
            raise ValueError(f"a line needs two different points, got {np.asarray(points).tolist()}")
        self.vertices: NDArray[np.float64] = vertices
        self.is_closed = bool((vertices[0] == vertices[-1]).all())
        self._edges = np.diff(vertices, axis=0)
        # Which side a point exactly on a segment's line falls to: that of the shift.
        self._ties = _right_of(self._edges)

    def sides(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., S) for (..., 2) points and each segment: positive on the right hand, negative on the left, 0 on it."""
        return _cross(self._edges, points[..., None, :] - self.vertices[:-1])

    def distances(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) pixels from each point to the nearest point of the polyline."""
        return Polylines([self]).distances(points)[:, 0]

    def passages(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> list[Passage]:
        """The changes of side on the steps from `before` to `after`, ordered by step and by place on the step.

        Going through a shared vertex is one passage, or one to and one fro. Touching is either no passage or, with the
        step that leaves again, one to and one fro. Going along the line is a passage where it is joined or where it
        is left, if the path leaves it on the other side.

        Args:
            before: (N, 2) pixels, on the grid as `anchors_of` gives them.
            after: (N, 2) likewise.
        """
        start, stop = sides = self.sides(np.array([before, after]))  # each [N,S]
        was_right, is_right = _signs(sides, self._ties)
        changes = was_right != is_right
        if not changes.any():
            return []
        steps = after - before
        # The shift of the path by (1, 0) is a shift of the vertices by (-1, 0) as the step sees them.
        vertex_sides = _signs(_cross(steps[:, None], self.vertices - before[:, None]), ~_right_of(steps)[:, None])
        through = changes & (vertex_sides[:, :-1] != vertex_sides[:, 1:])

        passages = []
        for row, segment in zip(*(axis.tolist() for axis in np.nonzero(changes)), strict=True):
            fraction = float(start[row, segment] / (start[row, segment] - stop[row, segment]))
            beyond = None
            if not through[row, segment]:
                beyond = self._beyond_end(segment, before[row] + fraction * steps[row])
                if beyond is None:
                    continue
            sign = 1 if was_right[row, segment] else -1
            passages.append(Passage(row, fraction, segment, sign, beyond))
        return sorted(passages, key=lambda passage: passage[:3])

    def _beyond_end(self, segment: int, point: NDArray[np.float64]) -> float | None:
        """Pixels from the end of the polyline to a point on the continuation of this segment, None if it has no end."""
        distances = np.hypot(*(self.vertices[segment : segment + 2] - point).T)
        nearer = segment + int(distances[1] < distances[0])
        is_end = nearer in (0, len(self.vertices) - 1) and not self.is_closed
        return float(distances.min()) if is_end else None


class Polylines:
    """Several polylines that are measured at once: for some dozens of points, calling numpy costs more than computing.

    Args:
        lines: One or more.
    """

    def __init__(self, lines: Sequence[Polyline]) -> None:
        self._starts = np.concatenate([line.vertices[:-1] for line in lines])  # [S,2]
        self._edges = np.concatenate([np.diff(line.vertices, axis=0) for line in lines])
        self._squared_lengths = (self._edges**2).sum(axis=1)
        self._ties = _right_of(self._edges)
        self._first_segments = np.cumsum([0, *(len(line.vertices) - 1 for line in lines[:-1])])  # [L]

    def distances(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, L) pixels from each point to the nearest point of each polyline."""
        edge_x, edge_y = self._edges.T
        x, y = points[:, :1] - self._starts[:, 0], points[:, 1:] - self._starts[:, 1]  # [N,S]
        along = (x * edge_x + y * edge_y) / self._squared_lengths
        along = np.minimum(np.maximum(along, 0), 1)
        x, y = x - along * edge_x, y - along * edge_y
        return np.sqrt(np.minimum.reduceat(x * x + y * y, self._first_segments, axis=1))

    def changes(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N, L) whether the step from `before` to `after` changes sides of a segment: without that, it has no passage.

        Args:
            before: (N, 2) pixels, on the grid as `anchors_of` gives them.
            after: (N, 2) likewise.
        """
        was_right, is_right = _signs(
            _cross(self._edges, np.array([before, after])[..., None, :] - self._starts), self._ties
        )
        return np.logical_or.reduceat(was_right != is_right, self._first_segments, axis=1)


def _on_grid(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.rint(points / GRID) * GRID


def _cross(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]


def _right_of(directions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """True where a shift to the right, and by far less down, leads to the right-hand side of these directions."""
    x, y = directions[..., 0], directions[..., 1]
    return (y < 0) | ((y == 0) & (x > 0))


def _signs(sides: NDArray[np.float64], ties: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True on the right hand, where 0 falls to the side that `ties` names."""
    return (sides > 0) | ((sides == 0) & ties)
