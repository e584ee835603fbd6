"""Painters of annotated video and of evidence, with the shapes of the rules that a config has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vidan.pipeline.annotate import Annotator
from vidan.pipeline.build import directions_of
from vidan.pipeline.build_rules import RuleBuilder
from vidan.pipeline.config.rules import LineConfig, QueueConfig, SpeedConfig, ZoneConfig
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.drawing import LineShape, QueueShape, ZoneShape
from vidan.pipeline.speed_labels import SpeedShape
from vidan.pipeline.stills import StillPainter


class Painters:
    """Makes the painters of a run, and tells them when the rules have changed.

    Args:
        config: Of the run.
        class_names: Of the detector.
    """

    def __init__(self, config: RunConfig, class_names: Sequence[str]) -> None:
        self._config = config
        self._class_names = class_names
        self._changes: list[Callable[[], None]] = []  # one for each painter that there is

    def change(self, config: RunConfig) -> None:
        """All that is painted from now on shows the rules of this config."""
        self._config = config
        for change in tuple(self._changes):
            change()

    def annotator(self, stream: str, height: int, width: int) -> Annotator:
        """What paints the annotated video of a stream with pictures of this size."""
        shapes = self._shapes(stream, height, width)
        annotator = Annotator(
            height,
            width,
            class_names=self._class_names,
            lines=shapes.lines,
            zones=shapes.zones,
            queues=shapes.queues,
            speeds=shapes.speeds,
            trail_seconds=self._config.output.video.trail_seconds if self._config.output.video else 0.0,
        )

        def change() -> None:
            shapes = self._shapes(stream, height, width)
            annotator.change(lines=shapes.lines, zones=shapes.zones, queues=shapes.queues, speeds=shapes.speeds)

        self._changes.append(change)
        return annotator

    def still_painter(self, stream: str, height: int, width: int) -> StillPainter:
        """What paints the evidence of a stream with pictures of this size."""
        shapes = self._shapes(stream, height, width)
        painter = StillPainter(height, width, lines=shapes.lines, zones=shapes.areas)

        def change() -> None:
            shapes = self._shapes(stream, height, width)
            painter.change(lines=shapes.lines, zones=shapes.areas)

        self._changes.append(change)
        return painter

    def _shapes(self, stream: str, height: int, width: int) -> _Shapes:
        return _shapes_of(RuleBuilder(self._config, self._class_names, stream, width, height))


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What is drawn of a stream's rules."""

    lines: list[LineShape] = field(default_factory=list)
    zones: list[ZoneShape] = field(default_factory=list)
    queues: list[QueueShape] = field(default_factory=list)
    speeds: list[SpeedShape] = field(default_factory=list)

    @property
    def areas(self) -> list[ZoneShape]:
        """Zones, and all else that is drawn as one."""
        areas = [(queue.name, queue.polygon) for queue in self.queues]
        areas += [(speed.name, tuple((x, y) for x, y in speed.area.exterior.coords[:-1])) for speed in self.speeds]
        return [*self.zones, *(ZoneShape(name, (ring,)) for name, ring in areas)]


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
