"""A picture of an observation: the scene, the ways of all tracks, the config's rules, and suggested lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.drawing import (
    INK,
    LINE_COLOUR,
    ZONE_COLOUR,
    Brush,
    Colour,
    LineShape,
    Point,
    ZoneShape,
    ZoneTint,
    in_arrow,
    track_colour,
)
from vidan.pipeline.observe.suggest import Suggestion
from vidan.pipeline.observe.trails import Sample
from vidan.pipeline.observe.verdict import Verdict

BAD_COLOUR: Colour = (255, 70, 55)
SUGGESTED_COLOUR: Colour = (110, 235, 120)
SCENE_BRIGHTNESS = 0.55  # so that the trails stand out
GROUND: Colour = (60, 64, 70)  # where there is no picture of the scene
SMALLEST_SIDE = 720  # pixels; smaller pictures are enlarged, so that labels do not hide the scene


def paint_observation(
    sample: Sample,
    lines: Sequence[LineShape],
    zones: Sequence[ZoneShape],
    verdicts: Mapping[str, Verdict],
    suggestions: Sequence[Suggestion],
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB.

    Args:
        sample: Of the stream.
        lines: Of the config, in pixels of the stream.
        zones: Of the config, in pixels of the stream.
        verdicts: By name of the rule; those with findings are red and say of what kind they are.
        suggestions: Drawn dashed.
    """
    scale = max(1.0, SMALLEST_SIDE / min(sample.height, sample.width))
    picture = _scene(sample, scale)
    height, width = picture.shape[:2]
    brush = Brush(height, width)
    lines = [LineShape(line.name, _scaled(line.points, scale), line.directions) for line in lines]
    tints = [
        ZoneTint(ZoneShape(zone.name, *(_rings(rings, scale) for rings in (zone.polygons, zone.holes))), height, width)
        for zone in zones
    ]
    for tint in tints:
        tint.tint(picture)
    for trail in sample.trails:
        feet = _scaled(trail.anchors("bottom_center").tolist(), scale)
        brush.path(picture, feet, track_colour(trail.track_id), brush.stroke)
        brush.dot(picture, feet[-1], track_colour(trail.track_id))
    for tint in tints:
        brush.ring(picture, tint.outlines, _colour(verdicts, tint.shape.name, ZONE_COLOUR))
    for line in lines:
        brush.line(picture, line, _colour(verdicts, line.name, LINE_COLOUR))
    for suggestion in suggestions:
        _dashed(picture, brush, _scaled(suggestion.points, scale))
    labels = [(tint.label_at, tint.shape.name, ZONE_COLOUR) for tint in tints]
    labels += [(line.points[0], line.name, LINE_COLOUR) for line in lines]
    for corner, name, colour in labels:
        text = ", ".join([name, *(finding.kind.replace("_", " ") for finding in verdicts[name].findings)])
        brush.text(picture, text, corner, _colour(verdicts, name, colour))
    for suggestion in suggestions:
        (corner,) = _scaled(suggestion.points[:1], scale)
        brush.text(picture, suggestion.name, corner, SUGGESTED_COLOUR)
    _legend(picture, brush, sample, bool(suggestions))
    return picture


def _scene(sample: Sample, scale: float) -> NDArray[np.uint8]:
    size = round(sample.width * scale), round(sample.height * scale)
    if sample.scene is None:
        return np.full((size[1], size[0], 3), GROUND, np.uint8)
    grey = cv2.cvtColor(sample.scene, cv2.COLOR_RGB2GRAY)  # colours are for the tracks
    enlarged = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
    dimmed = cv2.convertScaleAbs(enlarged, alpha=SCENE_BRIGHTNESS)
    return cv2.cvtColor(dimmed, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


def _scaled(points: Sequence[Sequence[float]], scale: float) -> tuple[Point, ...]:
    return tuple((x * scale, y * scale) for x, y in points)


def _rings(rings: Sequence[Sequence[Point]], scale: float) -> tuple[tuple[Point, ...], ...]:
    return tuple(_scaled(ring, scale) for ring in rings)


def _colour(verdicts: Mapping[str, Verdict], name: str, colour: Colour) -> Colour:
    return BAD_COLOUR if verdicts[name].findings else colour


def _dashed(picture: NDArray[np.uint8], brush: Brush, points: Sequence[Point]) -> None:
    """A dashed line with the arrow of `in`."""
    start, end = (np.array(point) for point in points)
    length = brush.text_height * 1.2
    dashes = max(1, round(float(np.hypot(*(end - start))) / length))
    cuts = [tuple((start + (end - start) * i / dashes).tolist()) for i in range(dashes + 1)]
    for colour, thickness in ((INK, brush.stroke * 2 + 2), (SUGGESTED_COLOUR, brush.stroke + 1)):
        for i in range(0, dashes, 2):
            brush.path(picture, cuts[i : i + 2], colour, thickness)
    brush.arrow(picture, *in_arrow(points, brush.text_height * 2.2), SUGGESTED_COLOUR)


def _legend(picture: NDArray[np.uint8], brush: Brush, sample: Sample, has_suggestions: bool) -> None:
    """One line at the bottom that says what is what."""
    words = [f"{sample.stream}: {len(sample.trails)} tracks in {sample.seconds:.0f} s"]
    words += ["red: see the advice"] + ["dashed: suggested"] * has_suggestions
    brush.text(picture, "    ".join(words), (0.0, float(picture.shape[0])), INK, above=True)
