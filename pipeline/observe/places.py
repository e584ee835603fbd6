"""Judges the places of lines and zones by the trails of a sample. Pure functions; every verdict has its figure.

Distances are in heights of the object's own box, so that near and far objects are measured alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from vidan.pipeline.geometry import Anchor, Polyline
from vidan.pipeline.observe.trails import Sample, Trail
from vidan.pipeline.observe.verdict import Finding, Kind, Verdict

NEAR_HEIGHTS = 1.0  # a trail that comes so near to a line is one that the line could have to do with
FEWEST = 3  # trails, below which nothing is said about their shares and angles
LOOSE_SHARE = 0.5  # of the moving trails near a line, that may begin or end there
PARALLEL_DEGREES = 30.0  # between line and motion; below, jitter decides about the side


@dataclass(frozen=True, slots=True, eq=False)
class LineToJudge:
    """A counting line of a config.

    Attributes:
        name: Of the rule.
        points: (V, 2) pixels.
        anchor: Point of the box at which an object stands.
        labels: Classes that it counts.
    """

    name: str
    points: NDArray[np.float64]
    anchor: Anchor
    labels: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class ZoneToJudge:
    """A zone of a config.

    Attributes:
        name: Of the rule.
        area: In pixels.
        anchor: Point of the box at which an object stands.
        overlap: Share of the box that must be inside, instead of the anchor.
        labels: Classes that it counts.
    """

    name: str
    area: Polygon | MultiPolygon
    anchor: Anchor
    overlap: float | None
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Approach:
    """How one trail meets a line.

    Attributes:
        track_id: Of the trail.
        nearest: Smallest distance from the line, in heights.
        crosses: True if it goes through the line.
        loose: True if it begins or ends within `NEAR_HEIGHTS` of the line, in the middle of the sample.
        degrees: Angle between line and motion near the line, 0..90; None where it hardly moves there.
    """

    track_id: int
    nearest: float
    crosses: bool
    loose: bool
    degrees: float | None

    @property
    def is_near(self) -> bool:
        return self.crosses or self.nearest <= NEAR_HEIGHTS

    @property
    def is_counted_well(self) -> bool:
        """True if the line is a good place to count this trail."""
        return self.crosses and not self.loose and (self.degrees is None or self.degrees >= PARALLEL_DEGREES)


def approach(trail: Trail, points: NDArray[np.float64], anchor: Anchor) -> Approach:
    """How a trail meets the polyline through (V, 2) points."""
    line = Polyline(points)
    feet = trail.anchors(anchor)
    distances = line.distances(feet) / trail.heights
    through = [passage for passage in line.passages(feet[:-1], feet[1:]) if passage.beyond is None]
    loose = (trail.begins and distances[0] <= NEAR_HEIGHTS) or (trail.ends and distances[-1] <= NEAR_HEIGHTS)
    return Approach(
        trail.track_id, float(distances.min()), bool(through), bool(loose), _degrees_at(line, feet, distances, trail)
    )


def judge_line(line: LineToJudge, sample: Sample) -> Verdict:
    """What the trails of a sample say about a line."""
    trails = [trail for trail in sample.trails if trail.label in line.labels]
    approaches = [approach(trail, line.points, line.anchor) for trail in trails]
    near = [one for one in approaches if one.is_near]
    crossing = [one for one in near if one.crosses]
    moving = [one for one, trail in zip(approaches, trails, strict=True) if one.is_near and trail.is_moving]
    loose = [one for one in moving if one.loose]
    angles = [one.degrees for one in near if one.degrees is not None]
    nearest = min((one.nearest for one in approaches), default=None)
    degrees = float(np.median(angles)) if angles else None
    figures = {
        "tracks": len(trails),
        "near": len(near),
        "near_moving": len(moving),
        "crossing": len(crossing),
        "loose": len(loose),
        "nearest_heights": nearest,
        "degrees": degrees,
    }
    angle = "" if degrees is None else f", at {degrees:.0f}° to their motion"
    summary = f"{len(crossing)} of {len(trails)} tracks cross it{angle}"
    findings: list[Finding] = []
    if trails and not near:
        text = f"no track comes nearer than {nearest:.1f} of its heights: the line cannot be reached; move it"
        findings.append(Finding(Kind.UNREACHED, text))
    elif trails and not crossing:
        text = f"no track crosses it; the nearest comes within {nearest:.1f} of its heights: move or lengthen it"
        findings.append(Finding(Kind.UNCROSSED, text))
    if len(moving) >= FEWEST and len(loose) > LOOSE_SHARE * len(moving):
        findings.append(_loose_ends(line, len(loose), len(moving), sample, trails))
    if len(angles) >= FEWEST and degrees is not None and degrees < PARALLEL_DEGREES:
        text = f"it runs along the motion ({degrees:.0f}° between them), so that jitter decides: turn it across"
        findings.append(Finding(Kind.PARALLEL, text))
    served = frozenset(one.track_id for one in near if one.is_counted_well)
    return Verdict(line.name, "line", summary, figures, tuple(findings), served)


def judge_zone(zone: ZoneToJudge, sample: Sample) -> Verdict:
    """What the trails of a sample say about a zone."""
    trails = [trail for trail in sample.trails if trail.label in zone.labels]
    inside = [trail for trail in trails if _is_inside(trail, zone).any()]
    whole = [trail for trail in inside if not trail.begins or not _is_inside(trail, zone)[0]]
    figures = {"tracks": len(trails), "inside": len(inside), "entering": len(whole)}
    summary = f"{len(inside)} of {len(trails)} tracks come into it"
    findings: list[Finding] = []
    if trails and not inside:
        distance = min(float(shapely.distance(_points(trail, zone), zone.area).min()) for trail in trails)
        text = f"it never fills: the nearest track stays {distance:.0f} px away; move it to where objects stand"
        findings.append(Finding(Kind.EMPTY, text))
    return Verdict(zone.name, "zone", summary, figures, tuple(findings))


def _loose_ends(line: LineToJudge, loose: int, near: int, sample: Sample, trails: Sequence[Trail]) -> Finding:
    """Whether it is the picture's edge where trails begin and end, or something in the middle of the picture."""
    height = float(np.median([trail.height for trail in trails]))
    x, y = line.points.T
    to_edge = np.min([x, sample.width - x, y, sample.height - y], axis=0)
    share = f"{loose} of the {near} moving tracks near it begin or end within their height of it"
    if to_edge.max() < 1.5 * height:
        text = f"it lies at the picture's edge: {share}, before they have crossed; move it further into the picture"
        return Finding(Kind.NEAR_EDGE, text)
    text = f"{share}: something hides them there, or tracks break; move it to where they are seen on both sides"
    return Finding(Kind.BROKEN, text)


def _degrees_at(
    line: Polyline, feet: NDArray[np.float64], distances: NDArray[np.float64], trail: Trail
) -> float | None:
    """Angle between a line and the way through the band of `NEAR_HEIGHTS` around it."""
    band = np.flatnonzero(distances <= NEAR_HEIGHTS)
    if not len(band):
        return None
    way = feet[band[-1]] - feet[band[0]]
    if np.hypot(*way) < trail.height / 2:
        return None
    middle = feet[band[np.argmin(distances[band])]]
    start, end = min(
        pairwise(line.vertices), key=lambda segment: shapely.LineString(segment).distance(shapely.Point(middle))
    )
    along = end - start
    cosine = abs(way @ along) / (np.hypot(*way) * np.hypot(*along))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def _is_inside(trail: Trail, zone: ZoneToJudge) -> NDArray[np.bool_]:
    """(N,) as the zone's rule would see it, less its patience."""
    if zone.overlap is None:
        return shapely.contains_xy(zone.area, trail.anchors(zone.anchor))
    boxes = shapely.box(*trail.xyxy.T.astype(np.float64))
    return shapely.area(shapely.intersection(boxes, zone.area)) >= zone.overlap * np.maximum(shapely.area(boxes), 1e-9)


def _points(trail: Trail, zone: ZoneToJudge) -> NDArray[np.object_]:
    return np.asarray(shapely.points(trail.anchors(zone.anchor)))
