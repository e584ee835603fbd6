"""Brushes and shapes of everything that vidan paints onto pictures. It knows geometry and colours, nothing of results.

Colours are RGB.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Point = tuple[float, float]
Plate = tuple[int, int, int, int]  # left, top, width and height of what lies behind a text, in pixels

WHITE: Colour = (255, 255, 255)
INK: Colour = (18, 20, 24)
LINE_COLOUR: Colour = (255, 196, 0)
ZONE_COLOUR: Colour = (0, 190, 220)
SPEED_COLOUR: Colour = (150, 220, 90)
ZONE_OPACITY = 0.18
SUBPIXEL_BITS = 3  # OpenCV takes fixed-point coordinates: eighths of a pixel


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


class ZoneTint:
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


class Brush:
    """OpenCV strokes and text in sizes that fit the picture: legible at 320 pixels and at 4K."""

    def __init__(self, height: int, width: int) -> None:
        side = min(height, width)
        self.text_height = max(8, round(side / 52))  # of a capital letter, in pixels
        self.stroke = max(1, round(side / 400))
        self._pad = max(2, self.text_height // 3)
        self._weight = max(1, round(self.text_height / 12))
        self.row_height = self.text_height + 2 * self._pad
        self._scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, self.text_height, self._weight)

    def path(self, picture: NDArray[np.uint8], points: Sequence[Point], colour: Colour, thickness: int) -> None:
        if len(points) > 1:
            fixed = [_fixed_point(np.array(points))]
            cv2.polylines(picture, fixed, False, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    def ring(self, picture: NDArray[np.uint8], rings: Sequence[NDArray[np.floating]], colour: Colour) -> None:
        fixed = [_fixed_point(ring) for ring in rings]
        cv2.polylines(picture, fixed, True, colour, self.stroke, cv2.LINE_AA, SUBPIXEL_BITS)

    def line(self, picture: NDArray[np.uint8], line: LineShape, colour: Colour) -> None:
        """A counting line, its ends, and the arrow that shows `in`."""
        self.path(picture, line.points, INK, self.stroke * 2 + 1)
        self.path(picture, line.points, colour, self.stroke + 1)
        for end in (line.points[0], line.points[-1]):
            self.dot(picture, end, colour)
        start, tip = in_arrow(line.points, self.text_height * 2.2)
        self.arrow(picture, start, tip, colour)

    def box(self, picture: NDArray[np.uint8], xyxy: Sequence[float], colour: Colour) -> None:
        left, top, right, bottom = xyxy
        self.ring(picture, [np.array(((left, top), (right, top), (right, bottom), (left, bottom)))], colour)

    def dot(self, picture: NDArray[np.uint8], centre: Point, colour: Colour, radius: int | None = None) -> None:
        radius = self.stroke * 2 + 1 if radius is None else radius
        cv2.circle(picture, (round(centre[0]), round(centre[1])), radius, colour, -1, cv2.LINE_AA)

    def arrow(self, picture: NDArray[np.uint8], start: Point, tip: Point, colour: Colour) -> None:
        begin, end = ((round(x), round(y)) for x, y in (start, tip))
        cv2.arrowedLine(picture, begin, end, INK, self.stroke * 2 + 1, cv2.LINE_AA, tipLength=0.35)
        cv2.arrowedLine(picture, begin, end, colour, self.stroke + 1, cv2.LINE_AA, tipLength=0.35)

    def text(
        self, picture: NDArray[np.uint8], text: str, corner: Point, background: Colour, above: bool = False
    ) -> None:
        """One line of text on a filled box whose top (or bottom) left is `corner`, moved into the picture."""
        self.write(picture, text, self.plate(picture, text, corner, above), background)

    def plate(self, picture: NDArray[np.uint8], text: str, corner: Point, above: bool = False) -> Plate:
        """The filled box of a text whose top (or bottom) left is `corner`, moved into the picture."""
        width, height = self.size_of(text)
        left = min(max(0, round(corner[0])), max(0, picture.shape[1] - width))
        top = round(corner[1]) - (height if above else 0)
        return left, min(max(0, top), max(0, picture.shape[0] - height)), width, height

    def write(self, picture: NDArray[np.uint8], text: str, plate: Plate, background: Colour) -> None:
        """Paints such a box with its text."""
        left, top, width, height = plate
        cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), background, -1)
        self._letters(picture, text, left + self._pad, top + self._pad, _readable_on(background))

    def size_of(self, text: str) -> tuple[int, int]:
        """Width and height that a line of text takes with its box, in pixels."""
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, self._scale, self._weight)
        return width + 2 * self._pad, self.row_height

    def width_of(self, text: str) -> int:
        """Pixels that a line of text takes with its box."""
        return self.size_of(text)[0]

    def shortened(self, text: str, width: int) -> str:
        """The text, or as much of its end as fits into so many pixels behind dots."""
        for start in range(len(text)):
            told = text if start == 0 else f"...{text[start:]}"
            if self.width_of(told) <= width:
                return told
        return ""

    def table(self, picture: NDArray[np.uint8], rows: Sequence[Sequence[str]]) -> Plate:
        """Paints rows of cells in aligned columns on a darkened field in the top left corner; that field."""
        columns = max(len(row) for row in rows)
        widths = [max(self.width_of(row[i]) for row in rows if i < len(row)) for i in range(columns)]
        row_height = self.row_height
        margin = self._pad * 2
        plate = margin, margin, margin + sum(widths), margin + row_height * len(rows)
        field = picture[margin : margin + plate[3], margin : margin + plate[2]]
        cv2.convertScaleAbs(field, field, alpha=0.35)
        for i, row in enumerate(rows):
            left = margin + self._pad
            for cell, width in zip(row, widths, strict=False):
                self._letters(picture, cell, left + self._pad, margin + self._pad * 2 + row_height * i, WHITE)
                left += width
        return plate

    def _letters(self, picture: NDArray[np.uint8], text: str, left: int, top: int, colour: Colour) -> None:
        origin = (left, top + self.text_height)
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, self._scale, colour, self._weight, cv2.LINE_AA)


def track_colour(track_id: int) -> Colour:
    """A bright colour that stays with the id: 16 hues, and ids whose hues are neighbours differ in saturation."""
    return _TRACK_COLOURS[track_id % 16]


def _bright_colour(number: int) -> Colour:
    hue = number * 7 % 16 / 16  # numbers one apart are 157 degrees apart, only those 7 or 9 apart are hue neighbours
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.8, 0.45)[number % 2], 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


_TRACK_COLOURS = [_bright_colour(number) for number in range(16)]


def in_arrow(points: Sequence[Point], length: float) -> tuple[Point, Point]:
    """Start and tip of the arrow that shows `in`: from the middle of the longest segment to its left hand."""
    (ax, ay), (bx, by) = max(pairwise(points), key=lambda s: (s[1][0] - s[0][0]) ** 2 + (s[1][1] - s[0][1]) ** 2)
    dx, dy = bx - ax, by - ay
    norm = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    middle = ((ax + bx) / 2, (ay + by) / 2)
    return middle, (middle[0] + dy / norm * length, middle[1] - dx / norm * length)  # y points down


def _fixed_point(points: NDArray[np.floating]) -> NDArray[np.int32]:
    return np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)


def _readable_on(background: Colour) -> Colour:
    red, green, blue = background
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else WHITE
