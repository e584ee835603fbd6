"""Detects and tracks in a sample of each stream, or reads what a run has stored, and judges the config by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vidan.pipeline.build import build_detector, describe_rules, lane_maker
from vidan.pipeline.build_rules import rules_of, zone_area
from vidan.pipeline.config.rules import LineConfig, ZoneConfig
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.control import Control
from vidan.pipeline.drawing import LineShape, ZoneShape
from vidan.pipeline.engine.run import Engine
from vidan.pipeline.engine.stream import Stream
from vidan.pipeline.errors import SourceError, cannot_write
from vidan.pipeline.frame import Frame
from vidan.pipeline.job import open_streams
from vidan.pipeline.observe.hours import told_of, within
from vidan.pipeline.observe.pace import judge_frame_rate, judge_size, judge_tracks
from vidan.pipeline.observe.picture import paint_observation
from vidan.pipeline.observe.places import LineToJudge, ZoneToJudge, judge_line, judge_zone
from vidan.pipeline.observe.suggest import Suggestion, suggest_lines
from vidan.pipeline.observe.trails import Sample, TrailCollector
from vidan.pipeline.observe.verdict import Verdict
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.tracks import read_tracks
from vidan.pipeline.stages import Sink, Source, SourceHealth
from vidan.pipeline.telemetry import StageTimes


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What a sample of one stream says about its config.

    Attributes:
        sample: The sample.
        verdicts: On the stream as a whole, then on its rules in the order of the config.
        suggestions: Lines across flows that no line of the config counts well.
        served: How many of the moving tracks the config's lines count well.
        picture: (H, W, 3) uint8 RGB of all that.
    """

    sample: Sample
    verdicts: tuple[Verdict, ...]
    suggestions: tuple[Suggestion, ...]
    served: int
    picture: NDArray[np.uint8]


def observe_config(
    config: RunConfig,
    seconds: float,
    observers: Sequence[Callable[[Sequence[Stream]], Sink]] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> list[Observation]:
    """Detects and tracks the first seconds of each stream, and judges the config by what moves there.

    Args:
        config: The config.
        seconds: Of stream time.
        observers: Each gives one more sink, from the streams.
        stopped: Says whether a stop was asked for; what was seen up to then is judged.

    Raises:
        SourceError: If a source cannot be opened or breaks.
        WeightsError: If the weights cannot be used.
        ConfigError: If this machine cannot run the detector as configured.
    """
    streams = open_streams(config)
    for stream in streams:
        stream.source = _Head(stream.source, seconds)
    detector = build_detector(config.detector)
    collector = TrailCollector(detector.class_names, config.tracker.new_confidence)
    Engine(
        streams,
        detector,
        lane_maker(config, detector.class_names, StageTimes()),
        [collector, *(observe(streams) for observe in observers)],
        batch=config.detector.batch,
        control=Control(stopped),
    ).run()
    broken = [str(stream.error) for stream in streams if stream.error is not None]
    if broken:
        raise SourceError("\n".join(broken))
    return _judge_all(config, detector.class_names, detector.image_size, collector)


def observe_run(folder: Path) -> list[Observation]:
    """Judges the config of a finished run by the tracks that it has stored.

    Raises:
        SourceError: If the folder is none of a run, or its run.json cannot be read.
        PipelineError: If its tracks cannot be read.
    """
    run = RunFolder(folder)
    try:
        record = json.loads(run.manifest.read_text(encoding="utf-8"))
        config = RunConfig.model_validate(record["config"])
        height, width = record["detector"]["image_size"]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise SourceError(f"{folder} is no folder of a finished run: {run.manifest.name} {_reason(error)}") from error
    tracks = read_tracks(run.tracks)
    collector = TrailCollector(tracks.class_names)
    for frame in tracks:
        collector.add(frame.counted, frame.height, frame.width)
    return _judge_all(config, tracks.class_names, (height, width), collector)


def write_picture(path: Path, observation: Observation) -> None:
    """Writes the picture of an observation as PNG.

    Raises:
        SinkError: If it cannot be written.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(observation.picture, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise cannot_write("the picture", path, error) from error


class _Head:
    """The first seconds of a source."""

    def __init__(self, source: Source, seconds: float) -> None:
        self._source = source
        self._seconds = seconds
        self.name = source.name
        self.live = source.live

    @property
    def health(self) -> SourceHealth:
        return self._source.health

    def describe(self) -> dict[str, Any]:
        return self._source.describe()

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            if frame.stamp.pts_seconds >= self._seconds:
                return
            yield frame

    def close(self) -> None:
        self._source.close()


def _judge_all(
    config: RunConfig, class_names: Sequence[str], network_size: tuple[int, int], collector: TrailCollector
) -> list[Observation]:
    samples = collector.samples()
    return [
        _judge(config, class_names, network_size, samples[stream.name])
        for stream in config.streams
        if stream.name in samples
    ]


def _judge(config: RunConfig, class_names: Sequence[str], network_size: tuple[int, int], sample: Sample) -> Observation:
    labels = {
        info.name: frozenset(info.classes)
        for info in describe_rules(config, class_names)
        if info.stream == sample.stream
    }
    verdicts: list[Verdict] = []
    lines: list[LineShape] = []
    zones: list[ZoneShape] = []
    crossed: set[int] = set()  # tracks that have a good line, whether or not it counts at that time
    for name, rule in rules_of(config, sample.stream).items():
        seen = sample if rule.schedule is None else within(sample, rule.schedule.build())
        match rule.in_pixels(sample.width, sample.height):
            case LineConfig(points=points, anchor=anchor, directions=ways):
                line = LineToJudge(name, np.array(points), anchor, labels[name])
                verdict = judge_line(line, seen)
                crossed |= verdict.served if seen is sample else judge_line(line, sample).served
                lines.append(LineShape(name, points, (ways.in_name, ways.out_name)))
            case ZoneConfig(anchor=anchor, overlap=overlap) as zone:
                verdict = judge_zone(ZoneToJudge(name, zone_area(zone), anchor, overlap, labels[name]), seen)
                zones.append(ZoneShape(name, zone.parts, zone.holes))
            case _:
                continue
        verdicts.append(verdict if seen is sample else told_of(verdict, seen, sample))
    served = frozenset[int]().union(*(verdict.served for verdict in verdicts))
    suggestions = suggest_lines(sample.trails, sample.width, sample.height, frozenset(crossed))
    picture = paint_observation(sample, lines, zones, {one.name: one for one in verdicts}, suggestions)
    whole = (judge_tracks(sample), judge_frame_rate(sample), judge_size(sample, network_size))
    moving = {trail.track_id for trail in sample.trails if trail.is_moving}
    return Observation(sample, (*whole, *verdicts), suggestions, len(served & moving), picture)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror})"
    return f"is damaged, or of another vidan ({type(error).__name__})"
