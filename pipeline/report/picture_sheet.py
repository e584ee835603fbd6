"""Many small pictures with boxes on one sheet, to look a data set or the mistakes of a detector in the face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.detector import Letterbox
from vidan.pipeline.drawing import INK, Brush, Colour
from vidan.pipeline.errors import cannot_write

TILE_HEIGHT, TILE_WIDTH = 270, 360
COLUMNS = 4
_CAPTION_HEIGHT = 22
_HEAD_HEIGHT = 30
_GAP = 6
_GROUND: Colour = (38, 41, 46)
_MOST_LABELS = 8  # boxes of a tile that still have room for words
_LETTERS = 520  # side of the picture for which a brush writes letters of the height of a caption


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box on a tile.

    Attributes:
        xyxy: In pixels of the picture.
        colour: Of its outline.
        label: Written above it where there is room; may be empty.
    """

    xyxy: Sequence[float]
    colour: Colour
    label: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a sheet.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: In the order in which they are drawn.
        caption: A line below it.
    """

    image: NDArray[np.uint8]
    boxes: Sequence[DrawnBox]
    caption: str


def draw_sheet(title: str, legend: Mapping[str, Colour], tiles: Iterable[Tile]) -> NDArray[np.uint8]:
    """The sheet, (H, W, 3) uint8 RGB: a title, what the colours mean, and the tiles in rows."""
    cells = [_draw_tile(tile) for tile in tiles]
    rows = -(-len(cells) // COLUMNS)
    width = COLUMNS * (TILE_WIDTH + _GAP) + _GAP
    head = _draw_head(title, legend, width)
    cell_height = TILE_HEIGHT + _CAPTION_HEIGHT
    sheet = np.full((len(head) + rows * (cell_height + _GAP) + _GAP, width, 3), INK, np.uint8)
    sheet[: len(head)] = head
    for index, cell in enumerate(cells):
        row, column = divmod(index, COLUMNS)
        top, left = len(head) + _GAP + row * (cell_height + _GAP), _GAP + column * (TILE_WIDTH + _GAP)
        sheet[top : top + cell_height, left : left + TILE_WIDTH] = cell
    return sheet


def write_sheet(path: Path, sheet: NDArray[np.uint8]) -> None:
    """Writes a sheet as PNG.

    Raises:
        SinkError: If it cannot be written.
    """
    encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise cannot_write("the picture", path, error) from error


def _draw_tile(tile: Tile) -> NDArray[np.uint8]:
    height, width = tile.image.shape[:2]
    fit = Letterbox.fit((height, width), (TILE_HEIGHT, TILE_WIDTH), auto=False)
    cell = np.full((TILE_HEIGHT + _CAPTION_HEIGHT, TILE_WIDTH, 3), _GROUND, np.uint8)
    top, left = fit.top_left
    picture = cell[top : top + fit.scaled[0], left : left + fit.scaled[1]]
    shrinking = cv2.INTER_AREA if fit.ratio < 1 else cv2.INTER_LINEAR
    picture[:] = cv2.resize(tile.image, (fit.scaled[1], fit.scaled[0]), interpolation=shrinking)
    brush = Brush(_LETTERS, _LETTERS)
    for box in tile.boxes:
        brush.box(picture, [fit.ratio * side for side in box.xyxy], box.colour)
    if len(tile.boxes) <= _MOST_LABELS:
        for box in tile.boxes:
            if box.label:
                brush.text(
                    picture, box.label, (fit.ratio * box.xyxy[0], fit.ratio * box.xyxy[1]), box.colour, above=True
                )
    brush.text(cell, brush.shortened(tile.caption, TILE_WIDTH), (0, TILE_HEIGHT), _GROUND)
    return cell


def _draw_head(title: str, legend: Mapping[str, Colour], width: int) -> NDArray[np.uint8]:
    """The title, and below it a patch of each colour with its meaning, in as many lines as that takes."""
    brush = Brush(_LETTERS, _LETTERS)
    lines: list[list[tuple[str, Colour]]] = [[]]
    used = 0
    for name, colour in legend.items():
        needed = brush.width_of(name) + _GAP
        if used + needed > width - 2 * _GAP:
            lines.append([])
            used = 0
        lines[-1].append((name, colour))
        used += needed
    head = np.full((_HEAD_HEIGHT + (brush.row_height + _GAP) * len(lines), width, 3), INK, np.uint8)
    Brush(_LETTERS + 150, _LETTERS + 150).text(head, title, (_GAP, _GAP), INK)
    for number, line in enumerate(lines):
        left = _GAP
        for name, colour in line:
            brush.text(head, name, (left, _HEAD_HEIGHT + (brush.row_height + _GAP) * number), colour)
            left += brush.width_of(name) + _GAP
    return head
