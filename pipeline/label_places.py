"""Where the labels of boxes go: beside each other where there is room, and not to and fro from picture to picture."""

from __future__ import annotations

from collections.abc import Sequence

from vidan.pipeline.drawing import Plate

HELD_SECONDS = 1.0  # a label that found a better place too soon could not be read
_PLACES = 6
_CELLS_PER_LABEL = 4  # in its height: labels may touch by up to one cell, which is their margin


class LabelPlaces:
    """Finds a free place at its box for one label after the other; the first one there chooses first.

    A picture is rows of cells, a row is one integer with a bit per cell, so that a label costs the same in a crowd.

    Args:
        label_height: In pixels.
    """

    def __init__(self, label_height: int) -> None:
        self._height = self._width = 0
        self._cell = max(1, label_height // _CELLS_PER_LABEL)
        self._rows: list[int] = []
        self._held: dict[int, tuple[int, float]] = {}  # by track: number of its place, and since when
        self._held_before = self._held

    def begin(self, height: int, width: int) -> None:
        """A new picture of so many pixels, in which every place is free."""
        self._height, self._width = height, width
        self._rows = [0] * (height // self._cell + 2)
        self._held_before, self._held = self._held, {}

    def take(self, plate: Plate) -> None:
        """Nothing goes here any more in this picture."""
        rows, bits = self._cells(plate)
        for row in rows:
            self._rows[row] |= bits

    def find(self, track_id: int, box: Sequence[float], size: tuple[int, int], now: float) -> tuple[Plate, bool]:
        """Takes the best free place at a box.

        Args:
            track_id: Of the box, once per picture.
            box: xyxy in pixels.
            size: Width and height of the label.
            now: Seconds of the stream.

        Returns:
            The place, and whether it was free; where none is, it is the one above the box.
        """
        held = self._held_before.get(track_id)
        if held is not None and now - held[1] < HELD_SECONDS and self._takes(plate := self._place(held[0], box, size)):
            self._held[track_id] = held
            return plate, True
        for number in range(_PLACES):
            if self._takes(plate := self._place(number, box, size)):
                self._held[track_id] = number, now
                return plate, True
        return self._place(0, box, size), False

    def _place(self, number: int, box: Sequence[float], size: tuple[int, int]) -> Plate:
        """One of the places in the picture that touch the box, best first: those that hide no part of the object.

        ::

             0        1
            +----------+
          3 |          | 2
            +----------+
             4        5
        """
        left, top, right, bottom = box
        width, height = size
        x = right if number == 2 else left - width if number == 3 else right - width if number % 2 else left
        y = top if number in (2, 3) else bottom if number > 3 else top - height
        x = min(max(0, round(x)), max(0, self._width - width))
        return x, min(max(0, round(y)), max(0, self._height - height)), width, height

    def _takes(self, plate: Plate) -> bool:
        """Takes a place that is free; False if it is not."""
        rows, bits = self._cells(plate)
        for row in rows:
            if self._rows[row] & bits:
                return False
        for row in rows:
            self._rows[row] |= bits
        return True

    def _cells(self, plate: Plate) -> tuple[range, int]:
        """The rows of a place, and the bits of its columns."""
        left, top, width, height = plate
        cell, half = self._cell, self._cell // 2
        first, end = (left + half) // cell, (left + width + half) // cell
        rows = range((top + half) // cell, min((top + height + half) // cell, len(self._rows)))
        return rows, (1 << end) - (1 << first)
