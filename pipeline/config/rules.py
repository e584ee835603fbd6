"""What is counted: one class per type of rule."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from vidan.pipeline.calibration import SpeedUnit
from vidan.pipeline.config.ground import CalibrationConfig
from vidan.pipeline.config.model import Model, blame
from vidan.pipeline.config.shapes import Polyline, Ring, check_holes, check_one_unit, in_fractions, to_pixels
from vidan.pipeline.config.values import (
    ClockTime,
    Label,
    Labels,
    Number,
    PositiveSeconds,
    Seconds,
    TimeZone,
    UniqueLabels,
    Whole,
)
from vidan.pipeline.geometry import Anchor
from vidan.pipeline.schedule import WEEKDAYS, Schedule, Weekday, Window


class WindowConfig(Model):
    """A time of day on some weekdays."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    """Weekdays on which it begins."""

    start: ClockTime = Field(alias="from")
    """When it begins, on the clock on the wall."""

    end: ClockTime = Field(alias="to")
    """When it ends, not included; where that is not after `from`, on the next day. 24:00 is the end of the day."""


class ScheduleConfig(Model):
    """When a rule counts. Outside of it nothing counts; the stream must know its time."""

    time_zone: TimeZone
    """IANA name of the place's time zone, such as Europe/Berlin; daylight saving time is taken care of."""

    windows: Annotated[tuple[WindowConfig, ...], Field(min_length=1)]
    """When it is open."""

    def build(self) -> Schedule:
        """The schedule."""
        windows = (Window(frozenset(window.days), window.start, window.end) for window in self.windows)
        return Schedule(ZoneInfo(self.time_zone), tuple(windows))


class _RuleConfig(Model):
    """What all rules have in common."""

    classes: Labels | None = None
    """Names of the classes or class groups that count; null: all."""

    schedule: ScheduleConfig | None = None
    """When it counts; null: always."""


class _PlacedRuleConfig(_RuleConfig):
    """What all rules have in common for which it matters where exactly an object is."""

    anchor: Anchor = "bottom_center"
    """The point of an object's box at which it stands."""


class DirectionsConfig(Model):
    """What the two directions across a line are called; the names must differ."""

    in_name: Label = Field(default="in", alias="in")
    """Name for crossing from the right hand to the left hand of someone who looks along the line on the picture."""

    out_name: Label = Field(default="out", alias="out")
    """Name for the other way."""

    @model_validator(mode="after")
    def _check_differ(self) -> Self:
        if self.in_name == self.out_name:
            raise blame("out", message="both directions have the same name")
        return self


class BridgeConfig(Model):
    """When two tracks, one ended before the line and one begun behind it, count as one crossing."""

    seconds: PositiveSeconds = 1.0
    """Seconds, at most, between the end of the one and the beginning of the other."""

    distance: Annotated[Number, Field(gt=0)] = 1.0
    """Distance, at most, between the two, in box heights."""


class LineConfig(_PlacedRuleConfig):
    """Counts the tracks that cross a line, by direction."""

    type: Literal["line"]
    """Which kind of rule."""

    points: Polyline
    """Two or more [x, y] in drawing order: fractions of width and height if all are within 0..1, else pixels."""

    hysteresis: Annotated[Number, Field(ge=0)] = 0.1
    """How far beyond the line a track must come to count, in box heights."""

    settle: Seconds = 1.0
    """Seconds beyond the line after which a track counts though it stays within the hysteresis."""

    policy: Literal["every", "once", "net"] = "every"
    """`every` crossing counts, each track `once` per direction, or `net`: where it ended against where it began."""

    count: Literal["both", "in", "out"] = "both"
    """Which directions count; crossings the other way are near misses."""

    bridge: BridgeConfig | None = None
    """Counts crossings by two tracks that look like one; null: off."""

    directions: DirectionsConfig = Field(default_factory=DirectionsConfig)
    """Names of the two directions."""

    def in_pixels(self, width: int, height: int) -> Self:
        """The same rule for frames of this size, with its points in pixels."""
        if not in_fractions(self.points):
            return self
        return self.model_copy(update={"points": to_pixels(self.points, width, height)})


class LoiterConfig(Model):
    """When a stay is worth an event."""

    after: PositiveSeconds
    """Seconds in the zone; one event per stay."""


class CapacityConfig(Model):
    """When a zone is too full."""

    max: Annotated[Whole, Field(ge=0)]
    """Tracks that may be inside; one event on the rise above, one on the return."""


class ZoneConfig(_PlacedRuleConfig):
    """Watches who enters, leaves and stays in an area."""

    type: Literal["zone"]
    """Which kind of rule."""

    polygon: Ring | None = None
    """Outline, three or more [x, y]: fractions of width and height if all are within 0..1, else pixels."""

    polygons: Annotated[tuple[Ring, ...], Field(min_length=1)] | None = None
    """Outlines of a zone of several parts, instead of `polygon`."""

    holes: tuple[Ring, ...] = ()
    """Outlines of areas within that do not belong to the zone."""

    overlap: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Share of the box, 0..1, that must be inside; null: the anchor must."""

    settle: Seconds = 0.3
    """Seconds inside (outside) before an entry (exit) is believed."""

    loiter: LoiterConfig | None = None
    """Raises an event for long stays; null: off."""

    capacity: CapacityConfig | None = None
    """Raises events when too many are inside; null: off."""

    cooldown: Seconds = 0.0
    """Seconds in which the same track raises no second loiter event, and the zone no second one about its capacity."""

    every: Annotated[Number, Field(ge=0.001)] = 1.0
    """Seconds between two samples of the occupancy."""

    @model_validator(mode="after")
    def _check_area(self) -> Self:
        if (self.polygon is None) == (self.polygons is None):
            raise blame("polygon", message="a zone needs either `polygon` or `polygons`, and not both")
        rings = [*self.parts, *self.holes]
        try:
            check_one_unit([point for ring in rings for point in ring])
            if self.holes:
                check_holes(self.parts, self.holes)
        except ValueError as error:
            raise blame("holes" if self.holes else "polygons", message=str(error)) from error
        return self

    @property
    def parts(self) -> tuple[Ring, ...]:
        """The outlines of all parts, whichever key they were given by."""
        return self.polygons or ((self.polygon,) if self.polygon else ())

    def in_pixels(self, width: int, height: int) -> Self:
        """The same rule for frames of this size, with its outlines in pixels."""
        if not in_fractions(point for part in self.parts for point in part):
            return self
        parts, holes = ([to_pixels(ring, width, height) for ring in rings] for rings in (self.parts, self.holes))
        return self.model_copy(update={"polygon": None, "polygons": tuple(parts), "holes": tuple(holes)})


class SpeedConfig(_PlacedRuleConfig):
    """Measures how fast tracks pass over calibrated ground, and tells who is too fast."""

    type: Literal["speed"]
    """Which kind of rule."""

    calibration: CalibrationConfig | None = None
    """From the picture to metres; null: that of the stream."""

    polygon: Ring | None = None
    """Outline of the area where speed is measured, as of a zone; null: the calibrated area."""

    window: PositiveSeconds = 1.0
    """Seconds over which one reading is taken."""

    unit: SpeedUnit = "km/h"
    """In which speeds are told."""

    limit: Annotated[Number, Field(gt=0)] | None = None
    """Speed, in this unit, above which a pass raises one event, once it is certain beyond its error; null: none."""

    cooldown: Seconds = 0.0
    """Seconds in which the same track raises no second event about the limit."""

    def in_pixels(self, width: int, height: int) -> Self:
        """The same rule for frames of this size, with its points in pixels."""
        update: dict[str, Any] = {"calibration": self.calibration and self.calibration.in_pixels(width, height)}
        if self.polygon is not None and in_fractions(self.polygon):
            update["polygon"] = to_pixels(self.polygon, width, height)
        return self.model_copy(update=update)


class FlowConfig(_RuleConfig):
    """Counts from which place to which other the tracks go (origin–destination matrix)."""

    type: Literal["flow"]
    """Which kind of rule."""

    places: Annotated[UniqueLabels, Field(min_length=2)]
    """Names of line and zone rules; what they look like and when they settle is theirs, what counts is said here."""

    def in_pixels(self, width: int, height: int) -> Self:
        """The same rule: it has no points."""
        return self


class QueueConfig(_PlacedRuleConfig):
    """Watches a queue in an area before a line: how long it is, and how long each one waits."""

    type: Literal["queue"]
    """Which kind of rule."""

    polygon: Ring
    """Outline of the area in which they wait, as of a zone."""

    line: Label | None = None
    """Name of the line rule behind which they are served."""

    points: Polyline | None = None
    """A line of its own, instead of `line`: two or more [x, y]."""

    slow: Annotated[Number, Field(gt=0)] = 0.3
    """Box heights per second below which a track stands or creeps, and so is in the queue."""

    patience: Seconds = 2.0
    """Seconds after leaving the area within which a track may cross the line, or come back, before it has given up."""

    every: Annotated[Number, Field(ge=0.001)] = 1.0
    """Seconds between two samples of the queue's length."""

    @model_validator(mode="after")
    def _check_line(self) -> Self:
        if (self.line is None) == (self.points is None):
            raise blame("line", message="a queue needs either `line` or `points`, and not both")
        return self

    def in_pixels(self, width: int, height: int) -> Self:
        """The same rule for frames of this size, with its points in pixels."""
        shapes = {key: shape for key, shape in (("polygon", self.polygon), ("points", self.points)) if shape}
        return self.model_copy(
            update={key: to_pixels(shape, width, height) for key, shape in shapes.items() if in_fractions(shape)}
        )


class HeatmapConfig(_PlacedRuleConfig):
    """Sums up where tracks spend their time, in seconds per cell of a grid."""

    type: Literal["heatmap"]
    """Which kind of rule."""

    columns: Annotated[Whole, Field(ge=1, le=1024)] = 64
    """Cells across the picture's width; they are square."""

    def in_pixels(self, width: int, height: int) -> Self:
        """The same rule: it has no points."""
        return self


RuleConfig: TypeAlias = Annotated[
    LineConfig | ZoneConfig | SpeedConfig | FlowConfig | QueueConfig | HeatmapConfig, Field(discriminator="type")
]
