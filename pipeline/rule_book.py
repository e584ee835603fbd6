"""The rules of a run as they are now: built for each stream, and read again from the config while the run goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vidan.pipeline.build import build_lane, describe_rules
from vidan.pipeline.build_rules import RuleBuilder
from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.numbering import Numbering
from vidan.pipeline.events import Event
from vidan.pipeline.frame import Frame
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.report.recorded import rule_to_record
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.telemetry import Telemetry

_OF_RULES = ("rules", "calibration")  # of a stream
_logger = logging.getLogger(__name__)


class RuleBook:
    """Gives lanes their rules.

    Of a config that is read again, only the rules are taken: `rules`, `class_groups` as far as rules count them, and
    the rules and the calibration of each stream. What else has changed is told, and waits for the next start.

    Args:
        loaded: The config that the run began with.
        class_names: Of the detector.
        telemetry: Of the run; each lane gets that of its stream.
        numberings: Of the streams, by name.
        reread: Reads the config file again.
        gone: Rules of earlier sessions of the run, whose events stand in its log.
    """

    def __init__(
        self,
        loaded: Loaded[RunConfig],
        class_names: Sequence[str],
        telemetry: Telemetry,
        numberings: Mapping[str, Numbering],
        reread: Callable[[], Loaded[RunConfig]],
        gone: Sequence[RuleInfo] = (),
    ) -> None:
        self.loaded = loaded
        self.manifest: Manifest | None = None  # is told of every change
        self.changed: Callable[[RunConfig], None] | None = None  # likewise
        self._config = loaded.config
        self._class_names = class_names
        self._telemetry = telemetry
        self._numberings = numberings
        self._reread = reread
        self._builders: dict[str, RuleBuilder] = {}
        self._known = {(rule.stream, rule.name): rule for rule in (*gone, *self._describe())}

    @property
    def infos(self) -> list[RuleInfo]:
        """All rules that the run has or had, those it has first."""
        now = {(rule.stream, rule.name): rule for rule in self._describe()}
        return [*now.values(), *(rule for key, rule in self._known.items() if key not in now)]

    def lane(self, frame: Frame) -> Lane:
        """The lane of a stream, from its first frame."""
        stream = frame.stamp.stream
        builder = RuleBuilder(self._config, self._class_names, stream, frame.width, frame.height)
        self._builders[stream] = builder
        numbering, telemetry = self._numberings[stream], self._telemetry.stream(stream)
        return build_lane(self._config, self._class_names, builder, numbering, telemetry)

    def reload(self) -> None:
        """Reads the rules again.

        Raises:
            ConfigError: If the config is wrong; nothing has changed then.
            WeightsError: Likewise.
        """
        loaded = self._reread()
        for key in _changed(_without_rules(self.loaded.effective), _without_rules(loaded.effective)):
            _logger.warning("only rules are read again: what has changed under `%s` waits for the next start", key)
        wanted = {stream.name: stream for stream in loaded.config.streams}
        streams = tuple(
            stream.model_copy(update={key: getattr(wanted[stream.name], key) for key in _OF_RULES})
            if stream.name in wanted
            else stream
            for stream in self._config.streams
        )
        self._config = self._config.model_copy(
            update={"rules": loaded.config.rules, "class_groups": loaded.config.class_groups, "streams": streams}
        )
        self.loaded = loaded
        self._known |= {(rule.stream, rule.name): rule for rule in self._describe()}
        if self.changed is not None:
            self.changed(self._config)
        if self.manifest is not None:
            self.manifest.config = loaded.effective
            self.manifest.config_sha256 = loaded.sha256
            self.manifest.rules = [rule_to_record(rule) for rule in self.infos]
            self.manifest.sessions[-1].reloads.append((datetime.now(UTC), loaded.sha256))

    def change(self, stream: str, lane: Lane) -> list[Event]:
        """Gives a lane the rules that are there now; what those say that go, and those that come."""
        before = self._builders[stream]
        builder = before.with_config(self._config)
        self._builders[stream] = builder
        if lane.second_look is not None:
            lane.second_look.change_rules(builder.build())
        return lane.change_rules(builder.rebuild({rule.name: rule for rule in lane.rules}, before))

    def _describe(self) -> list[RuleInfo]:
        return describe_rules(self._config, self._class_names)


def _without_rules(config: Mapping[str, Any]) -> dict[str, Any]:
    streams = [{key: value for key, value in stream.items() if key not in _OF_RULES} for stream in config["streams"]]
    return {key: value for key, value in config.items() if key not in ("rules", "class_groups")} | {"streams": streams}


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [key for key in now if before.get(key) != now[key]]
