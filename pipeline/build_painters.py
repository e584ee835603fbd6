"""Painters of annotated video and of evidence, with the shapes of the rules that a config has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vidan.pipeline.annotate import Annotator
from vidan.pipeline.build import directions_of
from vidan.pipeline.build_rules import RuleBuilder
from vidan.pipeline.config.rules import LineConfig, QueueConfig, SpeedConfig, ZoneConfig
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.drawing import LineShape, QueueShape, ZoneShape
from vidan.pipeline.shapes import Shapes
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
        annotator = Annotator(
            height,
            width,
            self._shapes(stream, height, width),
            class_names=self._class_names,
            trail_seconds=self._config.output.video.trail_seconds if self._config.output.video else 0.0,
        )
        self._changes.append(lambda: annotator.change(self._shapes(stream, height, width)))
        return annotator

    def still_painter(self, stream: str, height: int, width: int) -> StillPainter:
        """What paints the evidence of a stream with pictures of this size."""
        painter = StillPainter(height, width, self._shapes(stream, height, width))
        self._changes.append(lambda: painter.change(self._shapes(stream, height, width)))
        return painter

    def _shapes(self, stream: str, height: int, width: int) -> Shapes:
        return _shapes_of(RuleBuilder(self._config, self._class_names, stream, width, height))


def _shapes_of(builder: RuleBuilder) -> Shapes:
    lines: list[LineShape] = []
    zones: list[ZoneShape] = []
    queues: list[QueueShape] = []
    speeds: list[SpeedShape] = []
    for name, rule in builder.watching.items():
        match rule:
            case LineConfig():
                lines.append(LineShape(name, rule.points, directions_of(rule)))
            case ZoneConfig():
                zones.append(ZoneShape(name, rule.parts, rule.holes))
            case QueueConfig():
                queues.append(QueueShape(name, rule.polygon, rule.points or ()))
            case SpeedConfig():
                speeds.append(builder.speed_shape(name, rule))
    return Shapes(tuple(lines), tuple(zones), tuple(queues), tuple(speeds))
