"""Measures how fast tracks pass over calibrated ground, and tells who is too fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

from vidan.pipeline.calibration import UNITS, Calibration, SpeedUnit
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Stamp
from vidan.pipeline.geometry import Anchor, anchors_of
from vidan.pipeline.rules.near_misses import Reason
from vidan.pipeline.rules.sightings import EventMaker, Moment, Sighting, in_order, sight
from vidan.pipeline.speedometer import Reading, Speedometer
from vidan.trackers import Tracks

_READINGS_PER_WINDOW = 4  # windows that overlap more tell nothing new
_LEAST_COVER = 0.5  # share of the window that a pass must last to be measured at all


class SpeedRule:
    """The speed of every pass through an area: the median of readings, each over the last `window` seconds.

    A pass lasts from the first to the last sighting inside; whoever comes back within `window` is still on it. It is
    told when it is over, unless it was shorter than half the window: that is no measurement but a near miss. Sightings
    that were only filled in between others are not measured. `speeding` is told once per pass, as soon as a reading
    is above the limit by more than its error.

    The pass carries the median of its readings' errors: readings overlap, and a calibration errs the same way in all of
    them, so more readings make it no smaller.

    Args:
        name: Of the rule.
        calibration: From pixels to metres.
        area: In pixels, where speed is measured.
        class_names: Of the detector.
        class_ids: Classes to count; None for all.
        anchor: Point of the box at which an object touches the ground.
        window: Seconds over which one reading is taken, above 0.
        smoothing: Half window in seconds of the smoother that the tracks come from.
        unit: In which speeds are told.
        limit: In that unit; None: no limit.

    Raises:
        ValueError: If the area is empty or the window not above 0.
    """

    def __init__(
        self,
        *,
        name: str,
        calibration: Calibration,
        area: Polygon | MultiPolygon,
        class_names: Sequence[str],
        class_ids: frozenset[int] | None = None,
        anchor: Anchor = "bottom_center",
        window: float = 1.0,
        smoothing: float = 0.0,
        unit: SpeedUnit = "km/h",
        limit: float | None = None,
    ) -> None:
        if area.is_empty or window <= 0:
            raise ValueError(f"speed {name!r} needs an area and a window above 0 s, got {area.wkt}, {window}")
        self.name = name
        self._area = area
        shapely.prepare(area)
        self._anchor: Anchor = anchor
        self._window = window
        self._unit = unit
        self._factor = UNITS[unit]
        self._limit = limit
        self._speedometer = Speedometer(calibration, window, smoothing)
        self._events = EventMaker(name, class_names, class_ids)
        self._passes: dict[int, _Pass] = {}
        self._updates = 0

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """Who is too fast in this frame, and the passes that it ends, by time and then by track."""
        self._updates += 1
        tracks = tracks[tracks.observed]
        points = anchors_of(tracks.xyxy, self._anchor)
        is_inside = shapely.intersects_xy(self._area, points)
        inside = tracks[is_inside]
        self._speedometer.note(inside.track_id.tolist(), stamp.pts_seconds, points[is_inside])
        events: list[Event] = []
        for sighting in sight(self._updates, stamp, inside, points[is_inside]):
            events += self._follow(sighting)
        for track_id in tracks.track_id[~is_inside].tolist():
            passing = self._passes.get(track_id)
            if passing is not None and stamp.pts_seconds - passing.last.pts_seconds > self._window:
                events += self._end(track_id)
        for track_id in tracks.ended:
            events += self._end(track_id)
            self._events.forget(track_id)
        return in_order(events)

    def _follow(self, sighting: Sighting) -> list[Event]:
        """Takes a reading where one is due; the event of a pass that it shows to be too fast."""
        passing = self._passes.setdefault(sighting.track_id, _Pass(sighting, sighting))
        passing.last = sighting
        now = sighting.pts_seconds
        if now - passing.read_at < self._window / _READINGS_PER_WINDOW:
            return []
        reading = self._speedometer.read(sighting.track_id)
        if reading is None:
            return []
        passing.read_at = now
        passing.readings.append(reading)
        speed, error = (value * self._factor for value in reading)
        if self._limit is None or passing.was_too_fast or speed - error <= self._limit:
            return []
        if not self._events.counts(sighting):
            return []
        passing.was_too_fast = True
        details = {"speed": speed, "error": error, "limit": self._limit, "unit": self._unit}
        return [self._events.of_track(EventKind.SPEEDING, Moment.at(sighting), sighting, **details)]

    def _end(self, track_id: int) -> list[Event]:
        """Tells a pass and forgets it."""
        passing = self._passes.pop(track_id, None)
        if passing is None:
            return []
        late = self._speedometer.read(track_id, self._window * _LEAST_COVER) if not passing.readings else None
        readings = passing.readings or [reading for reading in (late,) if reading is not None]
        self._speedometer.forget(track_id)
        if not self._events.counts(passing.last):
            return []
        moment = Moment.at(passing.last)
        if not readings:
            return [self._events.near_miss(Reason.SHORT, moment, passing.last)]
        speeds, errors = (np.array(values) * self._factor for values in zip(*readings, strict=True))
        details = {
            "speed": float(np.median(speeds)),
            "error": float(np.median(errors)),
            "max": float(speeds.max()),
            "unit": self._unit,
            "seconds": passing.last.pts_seconds - passing.first.pts_seconds,
        }
        return [self._events.of_track(EventKind.SPEED_MEASURED, moment, passing.last, **details)]


@dataclass(slots=True)
class _Pass:
    """What is known of one track in the area.

    Attributes:
        first: Where it was first seen inside.
        last: Where it was last seen inside.
        readings: Its speeds so far.
        read_at: When the last one was taken.
        was_too_fast: True once that has been told.
    """

    first: Sighting
    last: Sighting
    readings: list[Reading] = field(default_factory=list)
    read_at: float = -np.inf
    was_too_fast: bool = False
