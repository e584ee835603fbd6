"""How fast objects are right now, as text for their boxes."""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from shapely import Polygon

from vidan.pipeline.calibration import UNITS, Calibration, SpeedUnit
from vidan.pipeline.frame import CountedFrame
from vidan.pipeline.geometry import Anchor, anchors_of
from vidan.pipeline.speedometer import Speedometer

_HELD_SECONDS = 0.5  # a label that changes in every frame cannot be read


@dataclass(frozen=True, slots=True)
class SpeedShape:
    """An area where speed is measured, as it is drawn.

    Attributes:
        name: Of the rule.
        area: In pixels.
        calibration: From pixels to metres.
        window: Seconds over which one reading is taken.
        unit: In which speeds are shown.
        anchor: Point of the box at which an object touches the ground.
    """

    name: str
    area: Polygon
    calibration: Calibration
    window: float
    unit: SpeedUnit
    anchor: Anchor


class SpeedLabels:
    """The speeds that one speed rule reads, for a picture."""

    def __init__(self, shape: SpeedShape) -> None:
        self.shape = shape
        self._speedometer = Speedometer(shape.calibration, shape.window)
        self._labels: dict[int, tuple[float, str]] = {}

    def watch(self, counted: CountedFrame) -> None:
        """Takes note of a frame that the rules have seen."""
        tracks, now = counted.tracks[counted.tracks.observed], counted.stamp.pts_seconds
        points = anchors_of(tracks.xyxy, self.shape.anchor)
        is_inside = shapely.intersects_xy(self.shape.area, points)
        inside = tracks.track_id[is_inside].tolist()
        self._speedometer.note(inside, now, points[is_inside])
        for track_id in {*tracks.ended, *tracks.track_id[~is_inside].tolist()}:
            self._speedometer.forget(track_id)
            self._labels.pop(track_id, None)
        for track_id in inside:
            if track_id not in self._labels or now - self._labels[track_id][0] >= _HELD_SECONDS:
                self._read(track_id, now)

    def of(self, track_id: int) -> str | None:
        """Such as ``49 km/h``; None where nothing is known."""
        return self._labels.get(track_id, (0.0, None))[1]

    def _read(self, track_id: int, now: float) -> None:
        reading = self._speedometer.read(track_id)
        if reading is not None:
            unit = self.shape.unit
            digits = 1 if unit == "m/s" else 0
            self._labels[track_id] = now, f"{reading.speed * UNITS[unit]:.{digits}f} {unit}"
