"""The one place where a config becomes objects. Everything below takes plain keywords and knows no config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import shapely
from shapely import LineString, MultiPolygon, Polygon

from vidan.detector import WeightsCard, YoloDetector, load_detector, read_card, resolve_weights
from vidan.pipeline.annotate import Annotator
from vidan.pipeline.config.schema import (
    DetectorConfig,
    ImagesSourceConfig,
    LineConfig,
    RuleConfig,
    RunConfig,
    StreamConfig,
    VideoSourceConfig,
    ZoneConfig,
)
from vidan.pipeline.drawing import LineShape, ZoneShape
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.frame import Frame
from vidan.pipeline.picture_watch import PictureWatch
from vidan.pipeline.report.summary import RuleInfo
from vidan.pipeline.rules.bridge import Bridge
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.zone import ZoneRule
from vidan.pipeline.sources.images import ImageFolderSource
from vidan.pipeline.sources.video import VideoSource
from vidan.pipeline.stages import Rule
from vidan.pipeline.telemetry import StageTimes
from vidan.trackers import ByteTracker, FixedLagSmoother, Tracker


def find_weights(config: DetectorConfig) -> tuple[Path, WeightsCard]:
    """The weights file that a config means, and what it says about itself.

    Raises:
        WeightsError: If there is none, or it cannot be read.
    """
    path = resolve_weights(config.weights)
    return path, read_card(path)


def build_detector(config: DetectorConfig) -> YoloDetector:
    """The detector, loaded and warm.

    Raises:
        ConfigError: If the machine lacks the runtime, device or precision that is asked for.
        WeightsError: If the weights cannot be used.
    """
    try:
        detector = load_detector(
            resolve_weights(config.weights),
            runtime=config.runtime,
            device=config.device,
            precision=config.precision,
            image_size=config.image_size,
            batch=config.batch,
            confidence=config.confidence,
            nms_iou=config.nms_iou,
            max_detections=config.max_detections,
            classes=config.classes,
        )
        detector.warm_up()
    except ValueError as error:
        raise ConfigError(f"detector: {error}") from error
    return detector


def build_source(stream: StreamConfig) -> VideoSource | ImageFolderSource:
    """The opened source of a stream.

    Raises:
        SourceError: If it cannot be opened.
    """
    match stream.source:
        case VideoSourceConfig(path=paths, start_time=start_time, stride=stride, max_fps=max_fps):
            return VideoSource(stream.name, paths, start_time=start_time, stride=stride, max_fps=max_fps)
        case ImagesSourceConfig(path=path, fps=fps, start_time=start_time, stride=stride, max_fps=max_fps):
            return ImageFolderSource(stream.name, path, fps=fps, start_time=start_time, stride=stride, max_fps=max_fps)


def build_watch(stream: StreamConfig) -> PictureWatch | None:
    """What looks out for frozen and dark pictures of a stream; None where that is switched off."""
    health = stream.health
    if health is None:
        return None
    return PictureWatch(frozen_seconds=health.frozen_seconds, dark_level=health.dark_level)


def lane_maker(config: RunConfig, class_names: Sequence[str], times: StageTimes) -> Callable[[Frame], Lane]:
    """A function that gives the lane of a stream for the first frame of it: its size turns fractions into pixels."""

    def make_lane(frame: Frame) -> Lane:
        rules = rules_of(config, frame.stamp.stream)
        return Lane(
            tracker=_build_tracker(config, class_names),
            smoother=FixedLagSmoother(config.tracker.smooth_seconds),
            rules=[
                _build_rule(name, rule.in_pixels(frame.width, frame.height), config, class_names)
                for name, rule in rules.items()
            ],
            times=times,
        )

    return make_lane


def annotator_maker(config: RunConfig, stream: str, class_names: Sequence[str]) -> Callable[[int, int], Annotator]:
    """A function that gives the painter of a stream for the (height, width) of its pictures."""

    def make_annotator(height: int, width: int) -> Annotator:
        rules = {name: rule.in_pixels(width, height) for name, rule in rules_of(config, stream).items()}
        return Annotator(
            height,
            width,
            class_names=class_names,
            lines=[
                LineShape(name, line.points, (line.directions.in_name, line.directions.out_name))
                for name, line in rules.items()
                if isinstance(line, LineConfig)
            ],
            zones=[
                ZoneShape(name, zone.parts, zone.holes) for name, zone in rules.items() if isinstance(zone, ZoneConfig)
            ],
            trail_seconds=config.output.video.trail_seconds if config.output.video else 0.0,
        )

    return make_annotator


def describe_rules(config: RunConfig, class_names: Sequence[str]) -> list[RuleInfo]:
    """Every rule on every stream, as summaries need to know it."""
    kept = config.detector.classes or class_names
    infos: list[RuleInfo] = []
    for stream in config.streams:
        for name, rule in rules_of(config, stream.name).items():
            counted = kept if rule.classes is None else _expand(rule.classes, config)
            classes = tuple(label for label in class_names if label in counted and label in kept)
            match rule:
                case LineConfig():
                    directions = (rule.directions.in_name, rule.directions.out_name)
                    infos.append(RuleInfo(stream.name, name, "line", classes, directions))
                case ZoneConfig():
                    infos.append(RuleInfo(stream.name, name, "zone", classes, every_seconds=rule.every))
    return infos


def rules_of(config: RunConfig, stream: str) -> dict[str, RuleConfig]:
    """The rules that watch a stream, by name, in the order of the config."""
    wanted = next(candidate.rules for candidate in config.streams if candidate.name == stream)
    return {name: rule for name, rule in config.rules.items() if wanted is None or name in wanted}


def warn_of_unseen_rules(config: RunConfig, stream: str, width: int, height: int) -> list[str]:
    """A sentence for each rule of a stream that lies wholly outside its pictures, where nothing can ever be seen."""
    picture = shapely.box(0, 0, width, height)
    shapes = {name: shape_of(rule.in_pixels(width, height)) for name, rule in rules_of(config, stream).items()}
    return [
        f"rule {name} lies wholly outside the picture of {width}×{height} pixels, so it counts nothing: "
        "check its coordinates"
        for name, shape in shapes.items()
        if not shape.intersects(picture)
    ]


def shape_of(rule: RuleConfig) -> LineString | Polygon | MultiPolygon:
    """Where a rule looks, in the unit of its coordinates."""
    return LineString(rule.points) if isinstance(rule, LineConfig) else _area(rule)


def _build_tracker(config: RunConfig, class_names: Sequence[str]) -> Tracker:
    tracker = config.tracker
    groups = {
        class_names.index(label): number
        for number, labels in enumerate(config.class_groups.values())
        for label in labels
    }
    return ByteTracker(
        high_confidence=tracker.high_confidence,
        low_confidence=tracker.low_confidence,
        new_confidence=tracker.new_confidence,
        confirm_frames=tracker.confirm_frames,
        lost_after_seconds=tracker.lost_after_seconds,
        class_groups=groups,
    )


def _build_rule(name: str, rule: RuleConfig, config: RunConfig, class_names: Sequence[str]) -> Rule:
    """A rule whose shape is in pixels already."""
    class_ids = None
    if rule.classes is not None:
        class_ids = frozenset(class_names.index(label) for label in _expand(rule.classes, config))
    match rule:
        case LineConfig():
            return LineRule(
                name=name,
                points=rule.points,
                class_names=class_names,
                class_ids=class_ids,
                anchor=rule.anchor,
                hysteresis=rule.hysteresis,
                settle=rule.settle,
                policy=rule.policy,
                bridge=rule.bridge and Bridge(seconds=rule.bridge.seconds, distance=rule.bridge.distance),
                direction_names=(rule.directions.in_name, rule.directions.out_name),
            )
        case ZoneConfig():
            return ZoneRule(
                name=name,
                polygon=_area(rule),
                class_names=class_names,
                class_ids=class_ids,
                anchor=rule.anchor,
                overlap=rule.overlap,
                settle=rule.settle,
                loiter_after=rule.loiter and rule.loiter.after,
                capacity_max=None if rule.capacity is None else rule.capacity.max,
            )


def _area(zone: ZoneConfig) -> Polygon | MultiPolygon:
    parts = shapely.union_all([Polygon(part) for part in zone.parts])
    holes = shapely.union_all([Polygon(hole) for hole in zone.holes])
    area = parts.difference(holes)
    assert isinstance(area, Polygon | MultiPolygon)  # the config was checked: the holes leave something
    return area


def _expand(labels: Sequence[str], config: RunConfig) -> list[str]:
    """Names of classes, with groups replaced by their members."""
    return [member for label in labels for member in config.class_groups.get(label, (label,))]
