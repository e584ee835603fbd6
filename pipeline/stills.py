"""Paints the picture that proves one event: its line or zone, the object's box and way so far, what happened, when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.drawing import (
    INK,
    LINE_COLOUR,
    WHITE,
    ZONE_COLOUR,
    Brush,
    Point,
    ZoneTint,
    track_colour,
)
from vidan.pipeline.events import Event, format_utc
from vidan.pipeline.frame import Stamp
from vidan.pipeline.shapes import Shapes

_NO_SHAPES = Shapes()
_TOLD = {"direction": "", "certainty": "", "count": "", "dwell": " s"}  # details that the caption names, with units


class StillPainter:
    """Paints evidence onto pictures of one stream.

    Args:
        height: Of the pictures, in pixels.
        width: Of the pictures, in pixels.
        shapes: Of this stream.
    """

    def __init__(self, height: int, width: int, shapes: Shapes = _NO_SHAPES) -> None:
        self._height, self._width = height, width
        self._brush = Brush(height, width)
        self.change(shapes)

    def change(self, shapes: Shapes) -> None:
        """Knows these shapes from now on; any thread may say so."""
        self._shapes = shapes.lines, tuple(ZoneTint(area, self._height, self._width) for area in shapes.areas)

    def paint(
        self,
        picture: NDArray[np.uint8],
        event: Event,
        stamp: Stamp,
        boxes: Mapping[int, Sequence[float]],
        path: Sequence[Point],
    ) -> None:
        """Paints into `picture`, (H, W, 3) uint8 RGB.

        Args:
            picture: The copy of a frame at or near the event.
            event: What is to be proved.
            stamp: Of that frame, which is not always that of the event.
            boxes: xyxy in pixels by track: the event's, or everybody's where it is about no single one.
            path: Where the event's track has been up to then, oldest first, in pixels.
        """
        brush = self._brush
        lines, zones = self._shapes
        for zone in zones:
            if zone.shape.name == event.rule:
                zone.tint(picture)
                brush.ring(picture, zone.outlines, ZONE_COLOUR)
                brush.text(picture, event.rule, zone.label_at, ZONE_COLOUR)
        for line in lines:
            if line.name == event.rule:
                brush.line(picture, line, LINE_COLOUR)
                brush.text(picture, event.rule, line.points[0], LINE_COLOUR)
        colour = WHITE if event.track_id is None else track_colour(event.track_id)
        brush.path(picture, path, INK, brush.stroke * 2 + 1)
        brush.path(picture, path, colour, brush.stroke)
        for track_id, xyxy in boxes.items():
            brush.box(picture, xyxy, track_colour(track_id))
            brush.text(picture, str(track_id), (xyxy[0], xyxy[1]), track_colour(track_id), above=True)
        if event.point is not None:
            brush.dot(picture, event.point, INK)
            brush.dot(picture, event.point, colour, radius=brush.stroke + 1)
        for row, text in enumerate(reversed(caption(event, stamp))):
            bottom = picture.shape[0] - row * brush.row_height
            brush.text(picture, text, (0.0, float(bottom)), INK, above=True)


def caption(event: Event, stamp: Stamp) -> tuple[str, str]:
    """What happened to whom, and when and where it is written down."""
    details = [_with_unit(event.details[key], unit) for key, unit in _TOLD.items() if key in event.details]
    who = [] if event.track_id is None else [f"track {event.track_id}", *([event.label] if event.label else [])]
    what = " ".join([event.rule + ":", event.kind.value.replace("_", " "), *details])
    minutes, seconds = divmod(round(event.pts_seconds, 2), 60)
    when = [f"{int(minutes) // 60:d}:{int(minutes) % 60:02d}:{seconds:05.2f}"]
    if event.utc is not None:
        when.append(format_utc(event.utc)[:22].replace("T", " ") + " UTC")
    late = stamp.pts_seconds - event.pts_seconds
    picture = f"picture {stamp.index}" + (f" ({late:+.2f} s)" if abs(late) >= 0.005 else "")
    return "   ".join([what, *who]), "   ".join([*when, picture, f"event {event.id}"])


def _with_unit(value: object, unit: str) -> str:
    return (f"{value:.1f}" if isinstance(value, float) else str(value)) + unit
