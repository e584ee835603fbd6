"""Paints one stream's results onto its pictures: boxes, trails, lines, zones and running counts.

It knows results, not rules: shapes come as plain points, counts are what the events say.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.drawing import (
    INK,
    LINE_COLOUR,
    SPEED_COLOUR,
    WHITE,
    ZONE_COLOUR,
    Brush,
    Colour,
    Plate,
    Point,
    ZoneTint,
    track_colour,
)
from vidan.pipeline.events import Event, EventKind, format_utc
from vidan.pipeline.frame import FrameResult, Stamp
from vidan.pipeline.label_places import LabelPlaces
from vidan.pipeline.shapes import Shapes
from vidan.pipeline.speed_labels import SpeedLabels
from vidan.trackers import Tracks

FLASH_SECONDS = 0.5  # a shape lights up this long after its event

_NO_SHAPES = Shapes()
_ARRIVALS = {EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED}
_DEPARTURES = {EventKind.ZONE_LEFT, EventKind.ZONE_VANISHED}


class Annotator:
    """Remembers trails, counts and who is inside, and paints them; one instance per stream.

    Args:
        height: Of the pictures, in pixels; text and strokes scale with the shorter side.
        width: Of the pictures, in pixels.
        shapes: Of this stream. Where speed is measured, it is written at the boxes.
        class_names: Of the detector.
        trail_seconds: How long a trail is; 0 draws none.
    """

    def __init__(
        self,
        height: int,
        width: int,
        shapes: Shapes = _NO_SHAPES,
        *,
        class_names: Sequence[str],
        trail_seconds: float = 2.0,
    ) -> None:
        self._height, self._width = height, width
        self._brush = Brush(height, width)
        self._places = LabelPlaces(self._brush.row_height)
        self._panel: Plate = (0, 0, 0, 0)  # where it lay in the last picture; it hardly changes
        self._class_names = class_names
        self._trail_seconds = trail_seconds
        self._trails: defaultdict[int, deque[tuple[float, Point]]] = defaultdict(deque)
        self._crossings: Counter[tuple[str, str]] = Counter()
        self._inside: defaultdict[str, set[int | None]] = defaultdict(set)
        self._waiting: dict[str, int] = {}
        self._flash_until: dict[str, float] = {}
        self._coming: Shapes | None = None
        self._show(shapes)

    def change(self, shapes: Shapes) -> None:
        """Shows these shapes from the next picture on; trails and counts stay. Any thread may say so."""
        self._coming = shapes

    def follow(self, other: Annotator) -> None:
        """Goes on with the counts of another one, which painted the stream in another size; trails begin anew."""
        self._crossings, self._inside = other._crossings, other._inside
        self._waiting = other._waiting

    def paint(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
        """Paints into `picture`, the (H, W, 3) uint8 RGB copy of ``result.frame.image``.

        Boxes are the tracker's of this very picture; trails, counts and occupancy are what the rules have seen by now,
        some tenths of a second earlier.
        """
        if self._coming is not None:
            shapes, self._coming = self._coming, None
            self._show(shapes)
        now = result.frame.stamp.pts_seconds
        for event in result.events:
            self._count(event, now)
        self._remember_trails(result, now)
        for labels in self._speeds:
            for counted in result.counted:
                labels.watch(counted)
            area = np.array(labels.shape.area.exterior.coords[:-1])
            self._brush.ring(picture, [area], self._colour_of(labels.shape.name, SPEED_COLOUR, now))
        for zone in self._zones:
            zone.tint(picture)
            self._brush.ring(picture, zone.outlines, self._colour_of(zone.shape.name, ZONE_COLOUR, now))
        for line in self._lines:
            self._brush.line(picture, line, self._colour_of(line.name, LINE_COLOUR, now))
        for queue in self._queues:
            self._brush.path(picture, queue.line, ZONE_COLOUR, self._brush.stroke + 1)
        confirmed = result.tracks[result.tracks.confirmed]
        self._draw_trails(picture, confirmed)
        for track_id, box in zip(confirmed.track_id.tolist(), confirmed.xyxy.tolist(), strict=True):
            self._brush.box(picture, box, track_colour(track_id))
        signs = self._signs(picture, result.frame.stamp)
        self._draw_labels(picture, confirmed, now, taken=[self._panel, *(plate for _, plate, _ in signs)])
        for text, plate, colour in signs:
            self._brush.write(picture, text, plate, colour)
        self._draw_panel(picture)

    def _show(self, shapes: Shapes) -> None:
        self._lines = shapes.lines
        self._queues = shapes.queues
        self._zones = [ZoneTint(zone, self._height, self._width) for zone in (*shapes.zones, *shapes.waiting_areas)]
        self._speeds = [SpeedLabels(shape) for shape in shapes.speeds]
        self._waiting = {queue.name: self._waiting.get(queue.name, 0) for queue in shapes.queues}

    def _count(self, event: Event, now: float) -> None:
        self._flash_until[event.rule] = now + FLASH_SECONDS
        if event.kind is EventKind.LINE_CROSSED:
            self._crossings[event.rule, str(event.details.get("direction"))] += 1
        elif event.kind in _ARRIVALS:
            self._inside[event.rule].add(event.track_id)
        elif event.kind in _DEPARTURES:
            self._inside[event.rule].discard(event.track_id)
        elif event.kind is EventKind.QUEUE_CHANGED:
            self._waiting[event.rule] = int(event.details["length"])

    def _remember_trails(self, result: FrameResult, now: float) -> None:
        for counted in result.counted:
            for track_id, foot in zip(counted.tracks.track_id.tolist(), _feet(counted.tracks), strict=True):
                self._trails[track_id].append((counted.stamp.pts_seconds, foot))
            for track_id in counted.tracks.ended:
                self._trails.pop(track_id, None)
        for trail in self._trails.values():
            while trail and trail[0][0] < now - self._trail_seconds:
                trail.popleft()

    def _colour_of(self, rule: str, colour: Colour, now: float) -> Colour:
        return WHITE if now < self._flash_until.get(rule, 0.0) else colour

    def _draw_trails(self, picture: NDArray[np.uint8], tracks: Tracks) -> None:
        here = dict(zip(tracks.track_id.tolist(), _feet(tracks), strict=True))
        for track_id, trail in self._trails.items():
            points = [foot for _, foot in trail]
            if points and track_id in here:
                points.append(here[track_id])
            middle = len(points) // 2
            self._brush.path(picture, points[: middle + 1], track_colour(track_id), 1)
            self._brush.path(picture, points[middle:], track_colour(track_id), self._brush.stroke)

    def _draw_labels(self, picture: NDArray[np.uint8], tracks: Tracks, now: float, taken: Sequence[Plate]) -> None:
        """Who is in which box; labels without room lie under the others, so that these can be read."""
        self._places.begin(*picture.shape[:2])
        for plate in taken:
            self._places.take(plate)
        written: list[tuple[bool, str, Plate, Colour]] = []
        for track_id, box, class_id in zip(
            tracks.track_id.tolist(), tracks.xyxy.tolist(), tracks.class_id.tolist(), strict=True
        ):
            speeds = [speed for labels in self._speeds if (speed := labels.of(track_id)) is not None]
            text = " ".join([str(track_id), self._class_names[int(class_id)], *speeds])
            plate, has_room = self._places.find(track_id, box, self._brush.size_of(text), now)
            written.append((has_room, text, plate, track_colour(track_id)))
        for _, text, plate, colour in sorted(written, key=itemgetter(0)):
            self._brush.write(picture, text, plate, colour)

    def _signs(self, picture: NDArray[np.uint8], stamp: Stamp) -> list[tuple[str, Plate, Colour]]:
        """The names of all shapes, and the clock: what is always written at the same place."""
        now = stamp.pts_seconds
        names = [(line.name, line.points[0], self._colour_of(line.name, LINE_COLOUR, now)) for line in self._lines]
        for zone in self._zones:
            name = zone.shape.name
            text = f"{name}: {self._number_in(name)}"
            names.append((text, zone.label_at, self._colour_of(name, ZONE_COLOUR, now)))
        for shape in (labels.shape for labels in self._speeds):
            left, top, *_ = min(shape.area.exterior.coords, key=lambda point: (point[1], point[0]))
            names.append((shape.name, (left, top), self._colour_of(shape.name, SPEED_COLOUR, now)))
        signs = [(text, self._brush.plate(picture, text, corner), colour) for text, corner, colour in names]
        clock = _clock(stamp)
        return [*signs, (clock, self._brush.plate(picture, clock, (0.0, float(picture.shape[0])), above=True), INK)]

    def _number_in(self, name: str) -> int:
        """How many are inside a zone, or wait in a queue."""
        return self._waiting[name] if name in self._waiting else len(self._inside[name])

    def _draw_panel(self, picture: NDArray[np.uint8]) -> None:
        rows = [
            [line.name, *(f"{way} {self._crossings[line.name, way]}" for way in line.directions)]
            for line in self._lines
        ]
        for name in (zone.shape.name for zone in self._zones):
            rows.append([name, f"{self._number_in(name)} {'waiting' if name in self._waiting else 'inside'}"])
        self._panel = self._brush.table(picture, rows) if rows else (0, 0, 0, 0)


def _clock(stamp: Stamp) -> str:
    minutes, seconds = divmod(round(stamp.pts_seconds, 1), 60)
    parts = [f"{int(minutes) // 60:d}:{int(minutes) % 60:02d}:{seconds:04.1f}", f"#{stamp.index}"]
    if stamp.utc is not None:
        parts.insert(0, format_utc(stamp.utc)[:19].replace("T", " ") + " UTC")
    return "   ".join(parts)


def _feet(tracks: Tracks) -> list[Point]:
    xyxy = tracks.xyxy
    return list(zip(((xyxy[:, 0] + xyxy[:, 2]) / 2).tolist(), xyxy[:, 3].tolist(), strict=True))
