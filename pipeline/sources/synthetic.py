"""Shapes on known paths, with exact truth: for tests and measurements, where a camera would leave doubts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.sources.clock import StreamClock
from vidan.pipeline.stages import SourceHealth
from vidan.trackers import Tracks

BACKGROUND = (96, 104, 96)


@dataclass(frozen=True, slots=True)
class MovingShape:
    """A coloured shape that moves evenly from waypoint to waypoint, and is there between the first and the last.

    Attributes:
        waypoints: (seconds, x, y) of its centre in pixels, in order of time.
        width: Pixels.
        height: Pixels.
        color: RGB, 0..255.
        shape: How it is painted; its box is the same.
        class_id: What it is an example of.

    Raises:
        ValueError: If there is no waypoint, or their times do not grow.
    """

    waypoints: Sequence[tuple[float, float, float]]
    width: int = 24
    height: int = 48
    color: tuple[int, int, int] = (220, 60, 40)
    shape: Literal["rectangle", "ellipse"] = "rectangle"
    class_id: int = 0

    def __post_init__(self) -> None:
        times = [seconds for seconds, _, _ in self.waypoints]
        if not times or any(later <= earlier for earlier, later in pairwise(times)):
            raise ValueError(f"a shape needs waypoints whose times grow, got times {times}")

    def box(self, seconds: float) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom in whole pixels, also outside of the picture; None when the shape is not there."""
        times, xs, ys = np.asarray(self.waypoints, float).T
        if not times[0] <= seconds <= times[-1]:
            return None
        left = round(float(np.interp(seconds, times, xs)) - self.width / 2)
        top = round(float(np.interp(seconds, times, ys)) - self.height / 2)
        return left, top, left + self.width, top + self.height


class SyntheticSource:
    """A stream of painted shapes; the same arguments always give the same pixels. It may be read again and again.

    Args:
        name: Of the stream.
        shapes: What moves, the later ones in front. Their number from 1 is their track id in `truth`.
        size: Height and width in pixels.
        fps: Pictures per second.
        seconds: Length of the stream.
        start_time: Wall-clock time of the first picture (timezone-aware).
    """

    live = False

    def __init__(
        self,
        name: str,
        shapes: Sequence[MovingShape],
        *,
        size: tuple[int, int] = (240, 320),
        fps: float = 10.0,
        seconds: float = 10.0,
        start_time: datetime | None = None,
    ) -> None:
        self._name = name
        self._shapes = tuple(shapes)
        self.height, self.width = size
        self._fps = fps
        self._count = round(seconds * fps)
        self._clock = StreamClock(start_time)
        self._health = SourceHealth(expected=self._count, duration_seconds=self._count / fps)
        self._closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def health(self) -> SourceHealth:
        return self._health

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            if self._closed:
                return
            seconds = index / self._fps
            self._health.decoded += 1
            self._health.delivered += 1
            stamp = Stamp(self._name, index, seconds, self._clock.utc(seconds))
            yield Frame(stamp, self.height, self.width, lambda seconds=seconds: self._paint(seconds))

    def close(self) -> None:
        """Ends the stream; may be called twice, and while another thread reads."""
        self._closed = True

    def describe(self) -> dict[str, Any]:
        """What is painted, in plain values for the manifest."""
        return {
            "type": "synthetic",
            "width": self.width,
            "height": self.height,
            "fps": self._fps,
            "frames": self._count,
            "shapes": len(self._shapes),
        }

    def truth(self, index: int) -> Tracks:
        """Where the shapes are in a frame, as a perfect tracker would say it.

        Boxes end at the edges of the picture. Shapes wholly outside have none, those behind others have theirs whole.
        """
        rows = [
            (number, clipped, shape.class_id)
            for number, shape in enumerate(self._shapes, start=1)
            if (clipped := self._visible(shape, index / self._fps)) is not None
        ]
        return Tracks(
            np.array([number for number, _, _ in rows], np.int64),
            np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4),
            np.ones(len(rows), np.float32),
            np.array([class_id for _, _, class_id in rows], np.int64),
            np.ones(len(rows), np.float32),
            np.ones(len(rows), np.bool_),
            np.ones(len(rows), np.bool_),
        )

    def _visible(self, shape: MovingShape, seconds: float) -> tuple[int, int, int, int] | None:
        """The part of its box that lies in the picture, None for nothing."""
        if (box := shape.box(seconds)) is None:
            return None
        left, top, right, bottom = max(box[0], 0), max(box[1], 0), min(box[2], self.width), min(box[3], self.height)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _paint(self, seconds: float) -> NDArray[np.uint8]:
        image = np.full((self.height, self.width, 3), BACKGROUND, np.uint8)
        for shape in self._shapes:
            whole, visible = shape.box(seconds), self._visible(shape, seconds)
            if whole is None or visible is None:
                continue
            left, top, right, bottom = visible
            region = image[top:bottom, left:right]
            if shape.shape == "rectangle":
                region[:] = shape.color
            else:
                y, x = np.ogrid[top:bottom, left:right]
                across = (x + 0.5 - (whole[0] + whole[2]) / 2) / (shape.width / 2)
                down = (y + 0.5 - (whole[1] + whole[3]) / 2) / (shape.height / 2)
                region[across**2 + down**2 <= 1] = shape.color
        return image
