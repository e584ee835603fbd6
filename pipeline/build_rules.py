"""The rules of a config become objects, for one stream and the size of its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TypeAlias, assert_never

import shapely
from shapely import LineString, MultiPolygon, Polygon

from vidan.pipeline.config.rules import (
    FlowConfig,
    HeatmapConfig,
    LineConfig,
    QueueConfig,
    RuleConfig,
    SpeedConfig,
    ZoneConfig,
)
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.streams import StreamConfig
from vidan.pipeline.geometry import Anchor
from vidan.pipeline.rules.bridge import Bridge
from vidan.pipeline.rules.conditions import CoolingRule, OneWayRule, ScheduledRule
from vidan.pipeline.rules.flow import FlowRule
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.lookout import Lookout
from vidan.pipeline.rules.queue import QueueRule
from vidan.pipeline.rules.speed import SpeedRule
from vidan.pipeline.rules.zone import ZoneRule
from vidan.pipeline.speed_labels import SpeedShape
from vidan.pipeline.stages import Rule

FindLookout: TypeAlias = Callable[[Anchor], Lookout]


def rules_of(config: RunConfig, stream: str) -> dict[str, RuleConfig]:
    """The rules that watch a stream, by name, in the order of the config."""
    wanted = _stream_of(config, stream).rules
    return {name: rule for name, rule in config.rules.items() if wanted is None or name in wanted}


def class_names_of(rule: RuleConfig, config: RunConfig) -> list[str] | None:
    """Names of the classes that a rule counts, with groups replaced by their members; None for all."""
    if rule.classes is None:
        return None
    return [member for label in rule.classes for member in config.class_groups.get(label, (label,))]


def class_ids_of(rule: RuleConfig, config: RunConfig, class_names: Sequence[str]) -> frozenset[int] | None:
    """The same classes as the detector numbers them."""
    names = class_names_of(rule, config)
    return None if names is None else frozenset(class_names.index(name) for name in names)


class RuleBuilder:
    """Makes the rules of one stream.

    Args:
        config: Of the run.
        class_names: Of the detector.
        stream: Name of the stream.
        width: Of its pictures, in pixels.
        height: Likewise.
    """

    def __init__(self, config: RunConfig, class_names: Sequence[str], stream: str, width: int, height: int) -> None:
        self._config = config
        self._class_names = class_names
        self._stream = stream
        self._width = width
        self._height = height
        self._calibration = _stream_of(config, stream).calibration
        self._rules = {name: self._in_pixels(rule) for name, rule in config.rules.items()}
        self.watching = {name: self._rules[name] for name in rules_of(config, stream)}
        """The rules of this stream with their shapes in pixels, those of speed with their calibration."""

    def with_config(self, config: RunConfig) -> RuleBuilder:
        """The builder of the same stream's rules in another config."""
        return RuleBuilder(config, self._class_names, self._stream, self._width, self._height)

    def build(self) -> list[Rule]:
        """All of them in the order of the config, fresh; a heatmap is no rule but a sink."""
        return self.rebuild({}, self)

    def rebuild(self, there: Mapping[str, Rule], builder: RuleBuilder) -> list[Rule]:
        """The same, with those among them that are there already and would not be built otherwise now.

        Args:
            there: By name.
            builder: Of those.
        """
        lookout = cache(Lookout)  # one per anchor
        rules = {name: rule for name, rule in self.watching.items() if not isinstance(rule, HeatmapConfig)}
        return [
            there[name]
            if name in there and builder._nature_of(name) == self._nature_of(name)
            else self._build(name, rule, lookout)
            for name, rule in rules.items()
        ]

    def _nature_of(self, name: str) -> tuple[object, ...]:
        """Everything that a rule of `watching` depends on."""
        rule = self.watching[name]
        others: Sequence[str] = ()
        match rule:
            case FlowConfig():
                others = rule.places
            case QueueConfig() if rule.line is not None:
                others = (rule.line,)
        return rule, class_ids_of(rule, self._config, self._class_names), *(self._rules[other] for other in others)

    def area_of(self, rule: RuleConfig) -> LineString | Polygon | MultiPolygon | None:
        """Where a rule of `watching` looks; None for one that has no place."""
        match rule:
            case LineConfig():
                return LineString(rule.points)
            case ZoneConfig():
                return zone_area(rule)
            case QueueConfig():
                return Polygon(rule.polygon)
            case SpeedConfig():
                return self._speed_area(rule)
        return None

    def speed_shape(self, name: str, rule: SpeedConfig) -> SpeedShape:
        """A speed rule of `watching` as pictures show it."""
        assert rule.calibration is not None  # the config was checked
        return SpeedShape(name, self._speed_area(rule), rule.calibration.build(), rule.window, rule.unit, rule.anchor)

    def _in_pixels(self, rule: RuleConfig) -> RuleConfig:
        if isinstance(rule, SpeedConfig) and rule.calibration is None:
            rule = rule.model_copy(update={"calibration": self._calibration})
        return rule.in_pixels(self._width, self._height)

    def _build(self, name: str, rule: RuleConfig, lookout: FindLookout) -> Rule:
        if rule.schedule is None:
            return self._build_unscheduled(name, rule, lookout)
        # Tracks end for it when it closes, and for no other rule: so it needs eyes of its own.
        return ScheduledRule(lambda: self._build_unscheduled(name, rule, cache(Lookout)), rule.schedule.build())

    def _build_unscheduled(self, name: str, rule: RuleConfig, lookout: FindLookout) -> Rule:
        bare = self._build_bare(name, rule, class_ids_of(rule, self._config, self._class_names), lookout)
        match rule:
            case LineConfig(count="in"):
                return OneWayRule(bare, rule.directions.in_name)
            case LineConfig(count="out"):
                return OneWayRule(bare, rule.directions.out_name)
            case ZoneConfig() | SpeedConfig() if rule.cooldown > 0:
                return CoolingRule(bare, rule.cooldown)
        return bare

    def _build_bare(self, name: str, rule: RuleConfig, class_ids: frozenset[int] | None, lookout: FindLookout) -> Rule:
        """A rule without the conditions of when, how often and which way."""
        match rule:
            case LineConfig():
                return LineRule(
                    name=name,
                    points=rule.points,
                    class_names=self._class_names,
                    class_ids=class_ids,
                    anchor=rule.anchor,
                    hysteresis=rule.hysteresis,
                    settle=rule.settle,
                    policy=rule.policy,
                    bridge=rule.bridge and Bridge(seconds=rule.bridge.seconds, distance=rule.bridge.distance),
                    direction_names=(rule.directions.in_name, rule.directions.out_name),
                    lookout=lookout,
                )
            case ZoneConfig():
                return ZoneRule(
                    name=name,
                    polygon=zone_area(rule),
                    class_names=self._class_names,
                    class_ids=class_ids,
                    anchor=rule.anchor,
                    overlap=rule.overlap,
                    settle=rule.settle,
                    loiter_after=rule.loiter and rule.loiter.after,
                    capacity_max=None if rule.capacity is None else rule.capacity.max,
                    lookout=lookout,
                )
            case SpeedConfig():
                assert rule.calibration is not None  # the config was checked
                return SpeedRule(
                    name=name,
                    calibration=rule.calibration.build(),
                    area=self._speed_area(rule),
                    class_names=self._class_names,
                    class_ids=class_ids,
                    anchor=rule.anchor,
                    window=rule.window,
                    smoothing=self._config.tracker.smooth_seconds,
                    unit=rule.unit,
                    limit=rule.limit,
                )
            case FlowConfig():
                places = {place: self._build_bare(place, self._rules[place], None, lookout) for place in rule.places}
                return FlowRule(name=name, places=places, class_names=self._class_names, class_ids=class_ids)
            case QueueConfig():
                return self._build_queue(name, rule, class_ids, lookout)
            case HeatmapConfig():
                raise ValueError(f"{name!r} is a heatmap, which is a sink")
        assert_never(rule)

    def _build_queue(
        self, name: str, rule: QueueConfig, class_ids: frozenset[int] | None, lookout: FindLookout
    ) -> QueueRule:
        line = self._line_of(rule)
        area = Polygon(rule.polygon)
        is_in = _lies_on_right(area, line.points)
        return QueueRule(
            name=name,
            zone=ZoneRule(name=name, polygon=area, class_names=self._class_names, anchor=rule.anchor, lookout=lookout),
            line=self._build_bare(name, line, None, lookout),
            direction=line.directions.in_name if is_in else line.directions.out_name,
            class_names=self._class_names,
            class_ids=class_ids,
            anchor=rule.anchor,
            slow=rule.slow,
            every=rule.every,
            patience=rule.patience,
        )

    def _line_of(self, rule: QueueConfig) -> LineConfig:
        """The line of a queue: its own, or that of another rule."""
        if rule.line is None:
            assert rule.points is not None  # the config was checked
            return LineConfig(type="line", points=rule.points, anchor=rule.anchor)
        line = self._rules[rule.line]
        assert isinstance(line, LineConfig)  # the config was checked
        return line

    def _speed_area(self, rule: SpeedConfig) -> Polygon:
        """The polygon of a rule, else what its calibration spans, else the whole picture."""
        assert rule.calibration is not None  # the config was checked
        if rule.polygon is not None:
            return Polygon(rule.polygon)
        if rule.calibration.outline:
            hull = shapely.MultiPoint(rule.calibration.outline).convex_hull
            assert isinstance(hull, Polygon)  # the calibration was checked: its points are not on one line
            return hull
        return shapely.box(0, 0, self._width, self._height)


def _stream_of(config: RunConfig, name: str) -> StreamConfig:
    return next(stream for stream in config.streams if stream.name == name)


def zone_area(zone: ZoneConfig) -> Polygon | MultiPolygon:
    """Where a zone looks, in the unit of its coordinates."""
    parts = shapely.union_all([Polygon(part) for part in zone.parts])
    holes = shapely.union_all([Polygon(hole) for hole in zone.holes])
    area = parts.difference(holes)
    assert isinstance(area, Polygon | MultiPolygon)  # the config was checked: the holes leave something
    return area


def _lies_on_right(area: Polygon, line: Sequence[tuple[float, float]]) -> bool:
    """True where an area's middle is on the right hand of someone who walks along the segment nearest to it."""
    middle = area.representative_point()
    (ax, ay), (bx, by) = min(pairwise(line), key=lambda segment: LineString(segment).distance(middle))
    return (bx - ax) * (middle.y - ay) - (by - ay) * (middle.x - ax) > 0
