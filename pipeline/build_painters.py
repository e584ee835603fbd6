"""Painters of annotated video and of evidence, with the shapes of the rules that a config has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from vidan.pipeline.annotate import Annotator
from vidan.pipeline.build import directions_of
from vidan.pipeline.build_rules import RuleBuilder
from vidan.pipeline.config.rules import LineConfig, QueueConfig, SpeedConfig, ZoneConfig
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.drawing import LineShape, QueueShape, ZoneShape
from vidan.pipeline.speed_labels import SpeedShape
from vidan.pipeline.stills import StillPainter


def annotator_maker(config: RunConfig, stream: str, class_names: Sequence[str]) -> Callable[[int, int], Annotator]:
    """A function that gives the painter of a stream for the (height, width) of its pictures."""

    def make_annotator(height: int, width: int) -> Annotator:
        shapes = _shapes_of(RuleBuilder(config, class_names, stream, width, height))
        return Annotator(
            height,
            width,
            class_names=class_names,
            lines=shapes.lines,
            zones=shapes.zones,
            queues=shapes.queues,
            speeds=shapes.speeds,
            trail_seconds=config.output.video.trail_seconds if config.output.video else 0.0,
        )

    return make_annotator


def evidence_painters(config: RunConfig, class_names: Sequence[str]) -> dict[str, Callable[[int, int], StillPainter]]:
    """By stream, a function that gives the painter of its evidence for the (height, width) of its pictures."""

    def make_painter(stream: str, height: int, width: int) -> StillPainter:
        shapes = _shapes_of(RuleBuilder(config, class_names, stream, width, height))
        areas = [(queue.name, queue.polygon) for queue in shapes.queues]
        areas += [(speed.name, tuple((x, y) for x, y in speed.area.exterior.coords[:-1])) for speed in shapes.speeds]
        zones = [*shapes.zones, *(ZoneShape(name, (ring,)) for name, ring in areas)]
        return StillPainter(height, width, lines=shapes.lines, zones=zones)

    return {stream.name: partial(make_painter, stream.name) for stream in config.streams}


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What is drawn of a stream's rules."""

    lines: list[LineShape] = field(default_factory=list)
    zones: list[ZoneShape] = field(default_factory=list)
    queues: list[QueueShape] = field(default_factory=list)
    speeds: list[SpeedShape] = field(default_factory=list)


def _shapes_of(builder: RuleBuilder) -> _Shapes:
    shapes = _Shapes()
    for name, rule in builder.watching.items():
        match rule:
            case LineConfig():
                shapes.lines.append(LineShape(name, rule.points, directions_of(rule)))
            case ZoneConfig():
                shapes.zones.append(ZoneShape(name, rule.parts, rule.holes))
            case QueueConfig():
                shapes.queues.append(QueueShape(name, rule.polygon, rule.points or ()))
            case SpeedConfig():
                shapes.speeds.append(builder.speed_shape(name, rule))
    return shapes
