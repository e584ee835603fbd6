"""Points, lines and outlines as they are written in a config: fractions of the frame or pixels, never both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, TypeAlias

import shapely
from pydantic import AfterValidator, Field, Strict
from shapely import LineString, Polygon
from shapely.validation import explain_validity

from vidan.pipeline.geometry import REACH

Coordinate: TypeAlias = Annotated[float, Strict(), Field(ge=-REACH, le=REACH)]
Point: TypeAlias = tuple[Coordinate, Coordinate]


def in_fractions(points: Iterable[Point]) -> bool:
    """True where all coordinates lie within 0..1 and so are fractions of width and height, not pixels."""
    return all(0 <= value <= 1 for point in points for value in point)


def to_pixels(points: Sequence[Point], width: int, height: int) -> tuple[Point, ...]:
    """Points given as fractions of the frame, in pixels of a frame of this size."""
    return tuple((x * width, y * height) for x, y in points)


def check_one_unit(points: Sequence[Point]) -> None:
    """Refuses fractions and pixels in one shape.

    Raises:
        ValueError: If the points are pixels, yet one coordinate is a broken number below 1.
    """
    if in_fractions(points):
        return
    for point in points:
        if any(0 < abs(value) < 1 for value in point):
            beyond = next(point for point in points if not in_fractions([point]))
            raise ValueError(
                f"mixes fractions {_show(point)} with pixels {_show(beyond)}; "
                "fractions of the frame all lie within 0..1, pixels are whole numbers or above 1"
            )


def check_holes(parts: Sequence[Sequence[Point]], holes: Sequence[Sequence[Point]]) -> None:
    """Refuses holes that reach out of the zone, or leave nothing of it.

    Raises:
        ValueError: With the number of the hole, from 1.
    """
    zone = shapely.union_all([Polygon(part) for part in parts])
    for number, hole in enumerate(holes, start=1):
        if not zone.covers(Polygon(hole)):
            raise ValueError(f"hole {number} reaches out of the zone")
    if zone.difference(shapely.union_all([Polygon(hole) for hole in holes])).area == 0:
        raise ValueError("the holes leave nothing of the zone")


def _check_line(points: tuple[Point, ...]) -> tuple[Point, ...]:
    check_one_unit(points)
    for start, end in pairwise(points):
        if start == end:
            raise ValueError(f"has a segment of zero length: {_show(start)} stands twice in a row")
    if not LineString(points).is_simple:
        raise ValueError("the line crosses or touches itself, so it has no two sides")
    return points


def _check_ring(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """The outline without a repeated closing point."""
    if points[0] == points[-1]:
        points = points[:-1]
    if len(set(points)) < 3:
        raise ValueError("needs at least 3 different points")
    check_one_unit(points)
    outline = Polygon(points)
    if outline.convex_hull.area == 0:
        raise ValueError("has no area: all its points lie on one line")
    if not outline.is_valid:
        reason, _, place = explain_validity(outline).partition("[")
        x, y = (float(value) for value in place.rstrip("]").split())
        raise ValueError(f"is no valid outline: {reason.lower()} near {_show((x, y))}")
    return points


def _show(point: Point) -> str:
    return f"[{point[0]:g}, {point[1]:g}]"


Polyline: TypeAlias = Annotated[tuple[Point, ...], Field(min_length=2), AfterValidator(_check_line)]
"""Two or more points, in the order in which the line is drawn."""

Ring: TypeAlias = Annotated[tuple[Point, ...], Field(min_length=3), AfterValidator(_check_ring)]
"""Three or more points around an area; the last is joined to the first."""
