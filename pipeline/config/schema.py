"""The whole language of a run config on one page: every key, its unit, its default and its limits.

A text under a field is its description: in editors through `json_schema`, in docs/config.md, and here. What depends on
the file itself, paths beside it and `{config}`, is filled in by validation when the context is the file's `Path`;
names that point elsewhere (rules of a stream, classes) are checked by `load_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from vidan.pipeline.calibration import Calibration, SpeedUnit
from vidan.pipeline.config.shapes import Point, Polyline, Ring, check_holes, check_one_unit, in_fractions, to_pixels
from vidan.pipeline.config.values import (
    ClockTime,
    DatabaseUrl,
    Device,
    FilePath,
    FilePaths,
    ImageSize,
    Label,
    Labels,
    Number,
    PositiveSeconds,
    RunFolder,
    Seconds,
    Share,
    StreamName,
    Switch,
    TimeZone,
    UniqueLabels,
    UtcTime,
    WeightsName,
    Whole,
)
from vidan.pipeline.geometry import Anchor
from vidan.pipeline.schedule import WEEKDAYS, Schedule, Weekday, Window


class Model(BaseModel):
    """Base of all: unknown keys are errors, values are never bent into another type, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def _blame(*keys: str | int, message: str) -> ValidationError:
    """A problem between several values, to be shown at one of them."""
    problem = PydanticCustomError("value_error", "{error}", {"error": message})
    return ValidationError.from_exception_data("config", [InitErrorDetails(type=problem, loc=keys, input=None)])


def _off_or_settings(value: Any) -> Any:
    """``false`` as None, ``true`` as settings of which all have their defaults."""
    if isinstance(value, bool):
        return {} if value else None
    if value is None or isinstance(value, (Mapping, BaseModel)):
        return value
    raise ValueError("should be true, false or a mapping of settings")


# --- from pictures to tracks ------------------------------------------------------------------------------------------


class DetectorConfig(Model):
    """What finds the objects in a picture."""

    weights: WeightsName = "demo"
    """`demo` (comes with vidan), a name from `vidan weights list`, or the path of a .safetensors file."""

    runtime: Literal["auto", "openvino", "torch"] = "auto"
    """What computes the network; `auto` takes torch on a GPU and OpenVINO on a CPU."""

    device: Device = "auto"
    """Where it computes: `auto`, `cpu`, `cuda` or `cuda:N`."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the network; `auto` takes the fastest that the device has."""

    image_size: ImageSize | None = None
    """Pixels to which pictures are letterboxed: N or [height, width], multiples of 32; null: as the weights say."""

    batch: Annotated[Whole, Field(ge=1, le=1024)] = 8
    """Pictures per call of the network, at most."""

    confidence: Share = 0.1
    """Lowest score, 0..1, of a detection that the tracker is shown (ByteTrack makes use of the low ones)."""

    nms_iou: Annotated[Number, Field(gt=0, le=1)] = 0.6
    """Overlap (IoU, 0..1) above which the weaker of two boxes of one class is dropped."""

    max_detections: Annotated[Whole, Field(ge=1)] = 300
    """Detections kept per picture, at most: those with the highest scores."""

    classes: Labels | None = None
    """Names of the classes to keep; null: all that the weights know."""


class StitchConfig(Model):
    """A second look at tracks, some seconds late, before the rules count."""

    gap_seconds: Seconds = 2.5
    """Longest time in which nobody saw an object and two tracks are still joined."""

    fill_seconds: Seconds = 0.7
    """Longest gap in a track that is filled with boxes on a straight line."""


class _TrackerConfig(Model):
    """What all trackers have in common."""

    high_confidence: Annotated[Number, Field(gt=0, le=1)] = 0.3
    """Score, 0..1, from which detections take part in the first round of association."""

    new_confidence: Share = 0.4
    """Score, 0..1, from which a detection that fits no track starts one."""

    confirm_frames: Annotated[Whole, Field(ge=1)] = 3
    """Frames in a row with a match after which a track is believed."""

    confirm_seconds: PositiveSeconds = 0.15
    """Seconds between two matches after which a track is believed too, on cameras of few frames per second."""

    lost_after_seconds: PositiveSeconds = 2.5
    """Seconds without a match after which a track ends."""

    smooth_seconds: Seconds = 0.4
    """Half window in seconds of the smoothing of counted positions, which delays them as much; 0: off."""

    camera_motion: Literal["none", "flow", "ecc"] = "none"
    """How a moving camera is followed: not, by optical flow, or by correlation (for pictures without corners)."""

    stitch: Annotated[
        StitchConfig | None, BeforeValidator(_off_or_settings, json_schema_input_type=bool | StitchConfig | None)
    ] = None
    """True or settings: joins tracks whose ends fit and fills short gaps before the rules count, which makes them later
    by some seconds; for recorded footage."""


class _TwoRoundsConfig(_TrackerConfig):
    low_confidence: Share = 0.1
    """Score, 0..1, from which detections take part in the second round."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low_confidence > self.high_confidence:
            raise _blame("low_confidence", message=f"is above high_confidence ({self.high_confidence:g})")
        return self


class ByteTrackConfig(_TwoRoundsConfig):
    """What joins the detections of one stream to tracks: ByteTrack, which continues tracks by unsure detections too."""

    type: Literal["bytetrack"] = "bytetrack"
    """Which tracker."""


class SortConfig(_TrackerConfig):
    """What joins detections to tracks: SORT, by motion and overlap of the sure detections alone."""

    type: Literal["sort"]
    """Which tracker."""


class OcSortConfig(_TrackerConfig):
    """What joins detections to tracks: OC-SORT, SORT that also heeds directions and where a track was last seen."""

    type: Literal["ocsort"]
    """Which tracker."""


class BotSortConfig(_TwoRoundsConfig):
    """What joins detections to tracks: BoT-SORT, ByteTrack for a camera that moves."""

    type: Literal["botsort"]
    """Which tracker."""

    camera_motion: Literal["none", "flow", "ecc"] = "flow"
    """How a moving camera is followed: not, by optical flow, or by correlation (for pictures without corners)."""


def _tracker_of_no_type(value: Any) -> Any:
    return {"type": "bytetrack", **value} if isinstance(value, dict) else value


TrackerConfig: TypeAlias = Annotated[
    ByteTrackConfig | SortConfig | OcSortConfig | BotSortConfig,
    Field(discriminator="type"),
    BeforeValidator(_tracker_of_no_type),
]


# --- the ground -------------------------------------------------------------------------------------------------------


class CalibrationPointConfig(Model):
    """A point of the ground that is known on the picture."""

    image: Point
    """[x, y] on the picture: a fraction of width and height if those of all points are within 0..1, else pixels."""

    ground: tuple[Number, Number]
    """[x, y] on the ground in metres; origin and axes are free (a corner of the road, or map coordinates)."""


class KnownLengthConfig(Model):
    """A straight line whose length on the ground is known."""

    points: Annotated[Polyline, Field(max_length=2)]
    """Its two ends, [x, y] each: fractions of width and height if all are within 0..1, else pixels."""

    metres: Annotated[Number, Field(gt=0)]
    """Its length on the ground in metres."""


class CalibrationConfig(Model):
    """Where on the ground, in metres, the things on the picture stand."""

    points: Annotated[tuple[CalibrationPointConfig, ...], Field(min_length=4, max_length=32)] | None = None
    """Four or more points, no three of four on one line; from the fifth on, the fit shows its own error."""

    line: KnownLengthConfig | None = None
    """One known length, instead of `points`: for cameras that look straight down, or motion along this line."""

    accuracy: Annotated[Number, Field(ge=0)] | None = None
    """Standard error of the given metres, in metres; null: as the fit shows. It enters the ± of every speed."""

    @model_validator(mode="after")
    def _check_fit(self) -> Self:
        if (self.points is None) == (self.line is None):
            raise _blame("points", message="a calibration needs either `points` or `line`, and not both")
        try:
            check_one_unit(self._image)
            self.build()
        except ValueError as error:
            raise _blame("line" if self.points is None else "points", message=str(error)) from error
        return self

    @property
    def _image(self) -> tuple[Point, ...]:
        return self.line.points if self.line else tuple(point.image for point in self.points or ())

    @property
    def outline(self) -> tuple[Point, ...]:
        """Points around the area that is calibrated; none where that is the whole picture."""
        return () if self.points is None else self._image

    def build(self) -> Calibration:
        """The calibration, in the unit of its points."""
        if self.line is not None:
            start, end = self.line.points
            return Calibration.from_length(start, end, self.line.metres, self.accuracy or 0.0)
        return Calibration.from_points(self._image, [point.ground for point in self.points or ()], self.accuracy)

    def in_pixels(self, width: int, height: int) -> Self:
        """The same calibration for frames of this size, with its points in pixels."""
        if not in_fractions(self._image):
            return self
        pixels = to_pixels(self._image, width, height)
        if self.line is not None:
            return self.model_copy(update={"line": self.line.model_copy(update={"points": pixels})})
        points = zip(self.points or (), pixels, strict=True)
        return self.model_copy(
            update={"points": tuple(point.model_copy(update={"image": image}) for point, image in points)}
        )


# --- streams ----------------------------------------------------------------------------------------------------------


class _RecordedConfig(Model):
    """What all recorded sources have in common."""

    start_time: UtcTime | None = None
    """When the first picture was taken, ISO 8601 with Z or an offset; null: as the file says, if it does."""

    stride: Annotated[Whole, Field(ge=1)] = 1
    """Every `stride`-th picture is analysed; 1: all."""

    max_fps: Annotated[Number, Field(gt=0)] | None = None
    """Pictures per second that are analysed, at most; null: all."""


class VideoSourceConfig(_RecordedConfig):
    """Video files."""

    type: Literal["video"]
    """Which kind of source."""

    path: FilePaths
    """A file, a pattern such as `*.mp4`, or a list of them, played one after another as one stream."""


class ImagesSourceConfig(_RecordedConfig):
    """Pictures in a folder, in the order of their names."""

    type: Literal["images"]
    """Which kind of source."""

    path: FilePath
    """A folder, or a pattern such as `cam/*.jpg`."""

    fps: Annotated[Number, Field(gt=0)] = 10.0
    """Pictures per second at which they were taken."""


SourceConfig: TypeAlias = Annotated[VideoSourceConfig | ImagesSourceConfig, Field(discriminator="type")]


def _source_of_path(value: Any) -> Any:
    return {"type": "video", "path": value} if isinstance(value, str | list) else value


class PictureHealthConfig(Model):
    """Which pictures show nothing: their time counts as not observed. Tracks and rules go on all the same.

    Noise makes every picture of a living camera a new one, so that a still scene is not frozen; a drawn film may be.
    """

    frozen_seconds: PositiveSeconds | None = 30.0
    """Seconds without a new picture after which a stream has been frozen all that time; null: never."""

    dark_level: Annotated[Number, Field(ge=0, lt=255)] | None = 20.0
    """Brightness, 0..255, that no more than 5 % of a dark picture exceed (a black one, a covered lens); null: never."""


class StreamConfig(Model):
    """One camera or file, with a tracker and rules of its own."""

    name: StreamName
    """Unique name; files are named after it, so letters, digits, - and _ only."""

    source: Annotated[
        SourceConfig, BeforeValidator(_source_of_path, json_schema_input_type=str | list[str] | SourceConfig)
    ]
    """Where the pictures come from; a bare path, or a list of them, stands for `{type: video, path: ...}`."""

    rules: UniqueLabels | None = None
    """Names of the rules that watch this stream, [] for none; null: all of them."""

    calibration: CalibrationConfig | None = None
    """Of this camera, for all speed rules that have none of their own."""

    health: Annotated[
        PictureHealthConfig | None,
        BeforeValidator(_off_or_settings, json_schema_input_type=bool | PictureHealthConfig | None),
    ] = Field(default_factory=PictureHealthConfig)
    """When its pictures count as frozen or dark, or false for never."""


# --- rules ------------------------------------------------------------------------------------------------------------


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
            raise _blame("out", message="both directions have the same name")
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
            raise _blame("polygon", message="a zone needs either `polygon` or `polygons`, and not both")
        rings = [*self.parts, *self.holes]
        try:
            check_one_unit([point for ring in rings for point in ring])
            if self.holes:
                check_holes(self.parts, self.holes)
        except ValueError as error:
            raise _blame("holes" if self.holes else "polygons", message=str(error)) from error
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
            raise _blame("line", message="a queue needs either `line` or `points`, and not both")
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

# --- what is written --------------------------------------------------------------------------------------------------


class VideoOutputConfig(Model):
    """The annotated video of each stream."""

    codec: Literal["h264"] = "h264"
    """Video codec; every browser plays h264."""

    crf: Annotated[Whole, Field(ge=0, le=51)] = 26
    """Constant rate factor, 0 (lossless) to 51; six more halve the file, about."""

    trail_seconds: Seconds = 2.0
    """Seconds of its past that are drawn behind an object."""


class TracksOutputConfig(Model):
    """Every track in every frame, from which changed rules can be counted again."""

    partitioned: Switch = False
    """A folder of files by stream and day (UTC), tracks/source=NAME/day=DATE/, instead of the one tracks.parquet."""


class DatabaseOutputConfig(Model):
    """Where events go besides the log; docs/database.md describes the tables."""

    url: DatabaseUrl | None = None
    """`postgresql://USER:PASSWORD@HOST/NAME`, or `sqlite:///FILE` for several runs in one file; null: events.sqlite."""


class ClipsConfig(Model):
    """A short video of each event."""

    seconds: PositiveSeconds = 3.0
    """Seconds before and after the event."""


class EvidenceConfig(Model):
    """What shows that an event happened: `evidence/EVENT.jpg`, and `evidence/EVENT.mp4` if asked."""

    stills: Switch = True
    """Whether a picture of each event is written, of those that become known while the last seconds are remembered."""

    clips: Annotated[
        ClipsConfig | None,
        BeforeValidator(_off_or_settings, json_schema_input_type=bool | ClipsConfig | None),
    ] = None
    """Settings of a short video of each event, or false for none."""

    limit: Annotated[Whole, Field(ge=1)] = 1000
    """Events with evidence, at most: first those not plainly `seen`, then a sample of the others drawn by event id."""

    rules: UniqueLabels | None = None
    """Only events of these rules; null means of all."""


class OutputConfig(Model):
    """What a run writes, and where."""

    model_config = ConfigDict(revalidate_instances="always")  # so that the default learns the config's path, too

    folder: RunFolder = Field(default="runs/{config}", validate_default=True)
    """Folder of the run; `{config}` is the name of the config file without its ending."""

    interval_seconds: Annotated[Number, Field(ge=0.001, le=31_536_000)] = 60.0
    """Length of the intervals of counts.csv, seconds."""

    video: Annotated[
        VideoOutputConfig | None,
        BeforeValidator(_off_or_settings, json_schema_input_type=bool | VideoOutputConfig | None),
    ] = Field(default_factory=VideoOutputConfig)
    """Settings of the annotated video, or false for none."""

    evidence: Annotated[
        EvidenceConfig | None,
        BeforeValidator(_off_or_settings, json_schema_input_type=bool | EvidenceConfig | None),
    ] = Field(default_factory=EvidenceConfig)
    """Settings of pictures and clips that show the events, or false for none."""

    tracks: Annotated[
        TracksOutputConfig | None,
        BeforeValidator(_off_or_settings, json_schema_input_type=bool | TracksOutputConfig | None),
    ] = Field(default_factory=TracksOutputConfig)
    """Settings of the stored tracks, from which changed rules can be counted again, or false for none."""

    report: Switch = True
    """Whether report.html is written."""

    database: Annotated[
        DatabaseOutputConfig | None,
        BeforeValidator(_off_or_settings, json_schema_input_type=bool | DatabaseOutputConfig | None),
    ] = Field(default_factory=DatabaseOutputConfig)
    """The database that gets the events, too: by default a SQLite file in the folder of the run; false: none."""


class RunConfig(Model):
    """A run: which streams are watched, by which rules, and what is written."""

    detector: DetectorConfig = Field(default_factory=DetectorConfig)
    """What finds the objects."""

    class_groups: Mapping[Label, Labels] = Field(default_factory=dict)
    """Classes that count together under a name and may swap within a track, such as `vehicle: [car, truck, bus]`."""

    tracker: TrackerConfig = Field(default_factory=ByteTrackConfig)
    """What joins detections to tracks."""

    streams: Annotated[tuple[StreamConfig, ...], Field(min_length=1)]
    """The cameras or files, at least one."""

    rules: Mapping[Label, RuleConfig] = Field(default_factory=dict)
    """What is counted, by name."""

    output: OutputConfig = Field(default_factory=OutputConfig, validate_default=True)
    """What is written, and where."""

    @field_validator("class_groups")
    @classmethod
    def _check_groups_apart(cls, groups: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        owner: dict[str, str] = {}
        for group, classes in groups.items():
            for index, name in enumerate(classes):
                if owner.setdefault(name, group) != group:
                    raise _blame(group, index, message=f"is in group '{owner[name]}' already; a class has one group")
        return groups


class _PlainSchema(GenerateJsonSchema):
    """Without titles, which only repeat the names of the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a run config, with which editors complete, explain and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RunConfig.model_json_schema(schema_generator=_PlainSchema),
    }
