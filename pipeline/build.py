"""Where a config becomes objects: detector, lanes, heatmaps; `build_sources`, `build_rules` and others stand beside.

Everything below takes plain keywords and knows no config.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import shapely

from vidan.detector import WeightsCard, YoloDetector, load_detector, read_card, resolve_weights
from vidan.pipeline.build_rules import RuleBuilder, class_ids_of, class_names_of, rules_of
from vidan.pipeline.config.rules import FlowConfig, HeatmapConfig, LineConfig, QueueConfig, SpeedConfig, ZoneConfig
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.tracking import BotSortConfig, ByteTrackConfig, DetectorConfig, OcSortConfig, SortConfig
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.numbering import Numbering
from vidan.pipeline.engine.second_look import SecondLook
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.heatmap import HeatmapSink
from vidan.pipeline.telemetry import StageTimes, StreamTelemetry, Telemetry
from vidan.trackers import (
    BotSortTracker,
    ByteTracker,
    CameraMotion,
    FixedLagSmoother,
    OcSortTracker,
    SortTracker,
    Stitcher,
    Tracker,
)


def find_weights(config: DetectorConfig) -> tuple[Path, WeightsCard]:
    """The weights file that a config means, and what it says about itself.

    Raises:
        WeightsError: If there is none, or it cannot be read.
    """
    path = resolve_weights(config.weights)
    return path, read_card(path)


def build_detector(config: DetectorConfig, *, threads: int | None = None) -> YoloDetector:
    """The detector, loaded and warm.

    Args:
        config: What it should be.
        threads: For a network on the CPU; None for all cores.

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
            threads=threads,
        )
        detector.warm_up()
    except ValueError as error:
        raise ConfigError(f"detector: {error}") from error
    return detector


def lane_maker(config: RunConfig, class_names: Sequence[str], times: StageTimes) -> Callable[[Frame], Lane]:
    """A function that gives the lane of a stream for the first frame of it: its size turns fractions into pixels."""
    telemetry = Telemetry(times)

    def make_lane(frame: Frame) -> Lane:
        stream = frame.stamp.stream
        builder = RuleBuilder(config, class_names, stream, frame.width, frame.height)
        return build_lane(config, class_names, builder, Numbering(), telemetry.stream(stream))

    return make_lane


def build_lane(
    config: RunConfig,
    class_names: Sequence[str],
    builder: RuleBuilder,
    numbering: Numbering,
    telemetry: StreamTelemetry,
) -> Lane:
    """The lane of the stream of a builder."""
    stitcher = _build_stitcher(config, class_names)
    return Lane(
        tracker=_build_tracker(config, class_names),
        camera=None if config.tracker.camera_motion == "none" else CameraMotion(config.tracker.camera_motion),
        smoother=FixedLagSmoother(config.tracker.smooth_seconds),
        rules=builder.build(),
        second_look=None
        if stitcher is None
        else SecondLook(stitcher, FixedLagSmoother(config.tracker.smooth_seconds), builder.build()),
        numbering=numbering,
        telemetry=telemetry,
    )


def build_heatmaps(
    config: RunConfig, class_names: Sequence[str], folder: RunFolder, goes_on: Collection[str] = ()
) -> list[HeatmapSink]:
    """A sink for each heatmap of each stream; those of streams that go on begin with what lies there."""
    return [
        HeatmapSink(
            folder.heatmap(stream, name),
            stream=stream,
            rule=rule_name,
            columns=rule.columns,
            class_ids=class_ids_of(rule, config, class_names),
            anchor=rule.anchor,
            schedule=rule.schedule and rule.schedule.build(),
            goes_on=stream in goes_on,
        )
        for (stream, rule_name), name in heatmap_names(config).items()
        if isinstance(rule := config.rules[rule_name], HeatmapConfig)
    ]


def heatmap_names(config: RunConfig) -> dict[tuple[str, str], str | None]:
    """(stream, rule) of each heatmap -> what tells its file from others of the stream; None for the only one."""
    names: dict[tuple[str, str], str | None] = {}
    for stream in config.streams:
        rules = [name for name, rule in rules_of(config, stream.name).items() if isinstance(rule, HeatmapConfig)]
        names |= {(stream.name, rule): rule if len(rules) > 1 else None for rule in rules}
    return names


def late_seconds(config: RunConfig) -> float:
    """How long after it happened an event may be committed: what the tracker and the rules wait for, added up."""
    tracker = config.tracker
    waits = [0.0]
    for rule in config.rules.values():
        match rule:
            case LineConfig():
                waits.append(rule.settle + (rule.bridge.seconds if rule.bridge else 0.0))
            case ZoneConfig():
                waits.append(rule.settle)
            case QueueConfig():
                waits.append(rule.patience)
            case SpeedConfig():
                waits.append(rule.window)
    stitch = tracker.stitch
    stitching = 0.0 if stitch is None else stitch.gap_seconds + stitch.fill_seconds + tracker.lost_after_seconds
    confirming = 1.0
    return stitching + confirming + tracker.smooth_seconds + tracker.lost_after_seconds + max(waits)


# until a track is confirmed


def describe_rules(config: RunConfig, class_names: Sequence[str]) -> list[RuleInfo]:
    """Every rule on every stream, as summaries need to know it; heatmaps have files of their own."""
    kept = config.detector.classes or class_names
    infos: list[RuleInfo] = []
    for stream in config.streams:
        for name, rule in rules_of(config, stream.name).items():
            counted = class_names_of(rule, config) or kept
            classes = tuple(label for label in class_names if label in counted and label in kept)
            make = partial(RuleInfo, stream.name, name, schedule=rule.schedule and rule.schedule.build())
            match rule:
                case LineConfig():
                    infos.append(make("line", classes, directions_of(rule)))
                case ZoneConfig():
                    infos.append(make("zone", classes, every_seconds=rule.every))
                case SpeedConfig():
                    infos.append(make("speed", classes, (), unit=rule.unit, limit=rule.limit))
                case FlowConfig():
                    infos.append(make("flow", classes, (), places=rule.places))
                case QueueConfig():
                    infos.append(make("queue", classes, (), every_seconds=rule.every))
    return infos


def warn_of_unseen_rules(config: RunConfig, stream: str, width: int, height: int) -> list[str]:
    """A sentence for each rule of a stream that lies wholly outside its pictures, where nothing can ever be seen."""
    picture = shapely.box(0, 0, width, height)
    builder = RuleBuilder(config, (), stream, width, height)
    areas = {name: builder.area_of(rule) for name, rule in builder.watching.items()}
    return [
        f"rule {name} lies wholly outside the picture of {width}×{height} pixels, so it counts nothing: "
        "check its coordinates"
        for name, area in areas.items()
        if area is not None and not area.intersects(picture)
    ]


def rules_without_clock(config: RunConfig, stream: str) -> list[str]:
    """A sentence for each rule of a stream of unknown time that has a schedule, and so cannot tell when it counts."""
    return [
        f"rule {name} has a schedule, but nothing says when this was recorded: give the stream's source a start_time"
        for name, rule in rules_of(config, stream).items()
        if rule.schedule is not None
    ]


def directions_of(line: LineConfig) -> tuple[str, ...]:
    """Display names of the directions that a line counts."""
    names = {"in": line.directions.in_name, "out": line.directions.out_name}
    return tuple(names.values()) if line.count == "both" else (names[line.count],)


def _build_tracker(config: RunConfig, class_names: Sequence[str]) -> Tracker:
    tracker = config.tracker
    common = {
        "high_confidence": tracker.high_confidence,
        "new_confidence": tracker.new_confidence,
        "confirm_frames": tracker.confirm_frames,
        "confirm_seconds": tracker.confirm_seconds,
        "lost_after_seconds": tracker.lost_after_seconds,
        "class_groups": _class_groups(config, class_names),
    }
    match tracker:
        case ByteTrackConfig():
            return ByteTracker(low_confidence=tracker.low_confidence, **common)
        case BotSortConfig():
            return BotSortTracker(low_confidence=tracker.low_confidence, **common)
        case SortConfig():
            return SortTracker(**common)
        case OcSortConfig():
            return OcSortTracker(**common)


def _build_stitcher(config: RunConfig, class_names: Sequence[str]) -> Stitcher[Stamp] | None:
    tracker = config.tracker
    stitch = tracker.stitch
    if stitch is None:
        return None
    two_rounds = isinstance(tracker, ByteTrackConfig | BotSortConfig)
    return Stitcher(
        gap_seconds=stitch.gap_seconds,
        fill_seconds=stitch.fill_seconds,
        lost_after_seconds=tracker.lost_after_seconds,
        high_confidence=tracker.high_confidence,
        low_confidence=tracker.low_confidence if two_rounds else tracker.high_confidence,
        class_groups=_class_groups(config, class_names),
    )


def _class_groups(config: RunConfig, class_names: Sequence[str]) -> dict[int, int]:
    """Class id -> number of its group; those of no group are not in it."""
    return {
        class_names.index(label): number
        for number, labels in enumerate(config.class_groups.values())
        for label in labels
    }
