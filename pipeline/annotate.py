"""Paints one stream's results onto its pictures: boxes, trails, lines, zones and running counts.

It knows results, not rules: shapes come as plain points, counts are what the events say. Colours are RGB.
"""

from __future__ import annotations

import colorsys
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.events import Event, EventKind, format_utc
from vidan.pipeline.frame import FrameResult, Stamp
from vidan.pipeline.speed_labels import SpeedLabels, SpeedShape
from vidan.trackers import Tracks

Colour = tuple[int, int, int]
Point = tuple[float, float]

WHITE: Colour = (255, 255, 255)
INK: Colour = (18, 20, 24)
LINE_COLOUR: Colour = (255, 196, 0)
ZONE_COLOUR: Colour = (0, 190, 220)
SPEED_COLOUR: Colour = (150, 220, 90)
ALERT_COLOUR: Colour = (255, 64, 48)
FLASH_SECONDS = 0.5  # a shape lights up this long after its event
ZONE_OPACITY = 0.18
SUBPIXEL_BITS = 3  # OpenCV takes fixed-point coordinates: eighths of a pixel

_ARRIVALS = {EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED}
_DEPARTURES = {EventKind.ZONE_LEFT, EventKind.ZONE_VANISHED}


@dataclass(frozen=True, slots=True)
class LineShape:
    """A counting line as it is drawn.

    Attributes:
        name: Of the rule.
        points: Two or more (x, y) in pixels, in the order of the config.
        directions: Display names of those that count: of `in` (from the right hand to the left of someone walking
            along) and `out`.
    """

    name: str
    points: tuple[Point, ...]
    directions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ZoneShape:
    """A zone as it is drawn.

    Attributes:
        name: Of the rule.
        polygons: Outer rings, each three or more (x, y) in pixels.
        holes: Rings that are cut out of them.
    """

    name: str
    polygons: tuple[tuple[Point, ...], ...]
    holes: tuple[tuple[Point, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class QueueShape:
    """A queue as it is drawn.

    Attributes:
        name: Of the rule.
        polygon: Outer ring of the area in which they wait, three or more (x, y) in pixels.
        line: Points of the line behind which they are served; none where that is the line of another rule.
    """

    name: str
    polygon: tuple[Point, ...]
    line: tuple[Point, ...] = ()


class Annotator:
    """Remembers trails, counts and who is inside, and paints them; one instance per stream.

    Args:
        height: Of the pictures, in pixels; text and strokes scale with the shorter side.
        width: Of the pictures, in pixels.
        lines: Counting lines of this stream.
        zones: Zones of this stream.
        queues: Queues of this stream.
        speeds: Areas of this stream where speed is measured; it is written at the boxes.
        class_names: Of the detector.
        trail_seconds: How long a trail is; 0 draws none.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        class_names: Sequence[str],
        lines: Sequence[LineShape] = (),
        zones: Sequence[ZoneShape] = (),
        queues: Sequence[QueueShape] = (),
        speeds: Sequence[SpeedShape] = (),
        trail_seconds: float = 2.0,
    ) -> None:
        self._brush = _Brush(height, width)
        self._class_names = class_names
        self._lines = lines
        self._queues = queues
        waiting_areas = [ZoneShape(queue.name, (queue.polygon,)) for queue in queues]
        self._zones = [_ZoneTint(zone, height, width) for zone in (*zones, *waiting_areas)]
        self._speeds = [SpeedLabels(shape) for shape in speeds]
        self._trail_seconds = trail_seconds
        self._trails: defaultdict[int, deque[tuple[float, Point]]] = defaultdict(deque)
        self._crossings: Counter[tuple[str, str]] = Counter()
        self._inside: defaultdict[str, set[int | None]] = defaultdict(set)
        self._waiting = {queue.name: 0 for queue in queues}
        self._flash_until: dict[str, float] = {}

    def paint(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
        """Paints into `picture`, the (H, W, 3) uint8 RGB copy of ``result.frame.image``.

        Boxes are the tracker's of this very picture; trails, counts and occupancy are what the rules have seen by now,
        some tenths of a second earlier.
        """
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
            self._draw_line(picture, line, self._colour_of(line.name, LINE_COLOUR, now))
        for queue in self._queues:
            self._brush.path(picture, queue.line, ZONE_COLOUR, self._brush.stroke + 1)
        confirmed = result.tracks[result.tracks.confirmed]
        self._draw_trails(picture, confirmed)
        self._draw_boxes(picture, confirmed)
        self._draw_names(picture, now)
        self._draw_panel(picture)
        self._draw_clock(picture, result.frame.stamp)

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

    def _draw_line(self, picture: NDArray[np.uint8], line: LineShape, colour: Colour) -> None:
        brush = self._brush
        brush.path(picture, line.points, INK, brush.stroke * 2 + 1)
        brush.path(picture, line.points, colour, brush.stroke + 1)
        for end in (line.points[0], line.points[-1]):
            brush.dot(picture, end, colour)
        start, tip = in_arrow(line.points, brush.text_height * 2.2)
        brush.arrow(picture, start, tip, colour)

    def _draw_trails(self, picture: NDArray[np.uint8], tracks: Tracks) -> None:
        here = dict(zip(tracks.track_id.tolist(), _feet(tracks), strict=True))
        for track_id, trail in self._trails.items():
            points = [foot for _, foot in trail]
            if points and track_id in here:
                points.append(here[track_id])
            middle = len(points) // 2
            self._brush.path(picture, points[: middle + 1], track_colour(track_id), 1)
            self._brush.path(picture, points[middle:], track_colour(track_id), self._brush.stroke)

    def _draw_boxes(self, picture: NDArray[np.uint8], tracks: Tracks) -> None:
        for track_id, box, class_id in zip(
            tracks.track_id.tolist(), tracks.xyxy.tolist(), tracks.class_id.tolist(), strict=True
        ):
            colour = track_colour(track_id)
            left, top, right, bottom = box
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            self._brush.ring(picture, [np.array(corners)], colour)
            speeds = [speed for labels in self._speeds if (speed := labels.of(track_id)) is not None]
            text = " ".join([str(track_id), self._class_names[class_id], *speeds])
            self._brush.text(picture, text, (left, top), colour, above=True)

    def _draw_names(self, picture: NDArray[np.uint8], now: float) -> None:
        for line in self._lines:
            colour = self._colour_of(line.name, LINE_COLOUR, now)
            self._brush.text(picture, line.name, line.points[0], colour)
        for zone in self._zones:
            name = zone.shape.name
            label = f"{name}: {self._number_in(name)}"
            self._brush.text(picture, label, zone.label_at, self._colour_of(name, ZONE_COLOUR, now))
        for shape in (labels.shape for labels in self._speeds):
            corner = min(shape.area.exterior.coords, key=lambda point: (point[1], point[0]))
            self._brush.text(picture, shape.name, corner[:2], self._colour_of(shape.name, SPEED_COLOUR, now))

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
        if rows:
            self._brush.table(picture, rows)

    def _draw_clock(self, picture: NDArray[np.uint8], stamp: Stamp) -> None:
        minutes, seconds = divmod(round(stamp.pts_seconds, 1), 60)
        parts = [f"{int(minutes) // 60:d}:{int(minutes) % 60:02d}:{seconds:04.1f}", f"#{stamp.index}"]
        if stamp.utc is not None:
            parts.insert(0, format_utc(stamp.utc)[:19].replace("T", " ") + " UTC")
        self._brush.text(picture, "   ".join(parts), (0.0, float(picture.shape[0])), INK, above=True)


class _ZoneTint:
    """A zone's translucent filling, prepared once: only its bounding rectangle is blended."""

    def __init__(self, shape: ZoneShape, height: int, width: int) -> None:
        self.shape = shape
        self.outlines = [np.array(ring) for ring in (*shape.polygons, *shape.holes)]
        self.label_at = min(shape.polygons[0], key=lambda point: (point[1], point[0]))
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [_fixed_point(np.array(ring)) for ring in shape.polygons], 255, shift=SUBPIXEL_BITS)
        if shape.holes:
            cv2.fillPoly(mask, [_fixed_point(np.array(ring)) for ring in shape.holes], 0, shift=SUBPIXEL_BITS)
        left, top, box_width, box_height = cv2.boundingRect(mask)
        self._window = slice(top, top + box_height), slice(left, left + box_width)
        self._mask = mask[self._window].copy()
        self._filling = np.full((box_height, box_width, 3), ZONE_COLOUR, np.uint8)

    def tint(self, picture: NDArray[np.uint8]) -> None:
        region = picture[self._window]
        height, width = region.shape[:2]  # less than the window's where a later file of the stream is smaller
        if height and width:
            blend = cv2.addWeighted(region, 1 - ZONE_OPACITY, self._filling[:height, :width], ZONE_OPACITY, 0)
            cv2.copyTo(blend, self._mask[:height, :width], region)


class _Brush:
    """OpenCV strokes and text in sizes that fit the picture: legible at 320 pixels and at 4K."""

    def __init__(self, height: int, width: int) -> None:
        side = min(height, width)
        self.text_height = max(8, round(side / 52))  # of a capital letter, in pixels
        self.stroke = max(1, round(side / 400))
        self._pad = max(2, self.text_height // 3)
        self._weight = max(1, round(self.text_height / 12))
        self._scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, self.text_height, self._weight)

    def path(self, picture: NDArray[np.uint8], points: Sequence[Point], colour: Colour, thickness: int) -> None:
        if len(points) > 1:
            fixed = [_fixed_point(np.array(points))]
            cv2.polylines(picture, fixed, False, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    def ring(self, picture: NDArray[np.uint8], rings: Sequence[NDArray[np.floating]], colour: Colour) -> None:
        fixed = [_fixed_point(ring) for ring in rings]
        cv2.polylines(picture, fixed, True, colour, self.stroke, cv2.LINE_AA, SUBPIXEL_BITS)

    def dot(self, picture: NDArray[np.uint8], centre: Point, colour: Colour) -> None:
        cv2.circle(picture, (round(centre[0]), round(centre[1])), self.stroke * 2 + 1, colour, -1, cv2.LINE_AA)

    def arrow(self, picture: NDArray[np.uint8], start: Point, tip: Point, colour: Colour) -> None:
        ends = [(round(x), round(y)) for x, y in (start, tip)]
        cv2.arrowedLine(picture, *ends, INK, self.stroke * 2 + 1, cv2.LINE_AA, tipLength=0.35)
        cv2.arrowedLine(picture, *ends, colour, self.stroke + 1, cv2.LINE_AA, tipLength=0.35)

    def text(
        self, picture: NDArray[np.uint8], text: str, corner: Point, background: Colour, above: bool = False
    ) -> None:
        """One line of text on a filled box whose top (or bottom) left is `corner`, moved into the picture."""
        width, height = self._box_of(text)
        left = min(max(0, round(corner[0])), max(0, picture.shape[1] - width))
        top = round(corner[1]) - (height if above else 0)
        top = min(max(0, top), max(0, picture.shape[0] - height))
        cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), background, -1)
        self._letters(picture, text, left + self._pad, top + self._pad, _readable_on(background))

    def table(self, picture: NDArray[np.uint8], rows: Sequence[Sequence[str]]) -> None:
        """Rows of cells in aligned columns on a darkened field in the top left corner."""
        columns = max(len(row) for row in rows)
        widths = [max(self._box_of(row[i])[0] for row in rows if i < len(row)) for i in range(columns)]
        row_height = self.text_height + 2 * self._pad
        margin = self._pad * 2
        field = picture[margin : 2 * margin + row_height * len(rows), margin : 2 * margin + sum(widths)]
        cv2.convertScaleAbs(field, field, alpha=0.35)
        for i, row in enumerate(rows):
            left = margin + self._pad
            for cell, width in zip(row, widths, strict=False):
                self._letters(picture, cell, left + self._pad, margin + self._pad * 2 + row_height * i, WHITE)
                left += width

    def _box_of(self, text: str) -> tuple[int, int]:
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, self._scale, self._weight)
        return width + 2 * self._pad, self.text_height + 2 * self._pad

    def _letters(self, picture: NDArray[np.uint8], text: str, left: int, top: int, colour: Colour) -> None:
        origin = (left, top + self.text_height)
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, self._scale, colour, self._weight, cv2.LINE_AA)


def track_colour(track_id: int) -> Colour:
    """A bright colour that stays with the id: 16 hues, and ids whose hues are neighbours differ in saturation."""
    hue = track_id * 7 % 16 / 16  # ids one apart are 157 degrees apart, only ids 7 or 9 apart are hue neighbours
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.8, 0.45)[track_id % 2], 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def in_arrow(points: Sequence[Point], length: float) -> tuple[Point, Point]:
    """Start and tip of the arrow that shows `in`: from the middle of the longest segment to its left hand."""
    (ax, ay), (bx, by) = max(pairwise(points), key=lambda s: (s[1][0] - s[0][0]) ** 2 + (s[1][1] - s[0][1]) ** 2)
    dx, dy = bx - ax, by - ay
    norm = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    middle = ((ax + bx) / 2, (ay + by) / 2)
    return middle, (middle[0] + dy / norm * length, middle[1] - dx / norm * length)  # y points down


def _feet(tracks: Tracks) -> list[Point]:
    xyxy = tracks.xyxy
    return list(zip(((xyxy[:, 0] + xyxy[:, 2]) / 2).tolist(), xyxy[:, 3].tolist(), strict=True))


def _fixed_point(points: NDArray[np.floating]) -> NDArray[np.int32]:
    return np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)


def _readable_on(background: Colour) -> Colour:
    red, green, blue = background
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else WHITE
