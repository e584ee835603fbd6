"""A finished run as its folder tells it: everything that a report shows, so that it can be drawn again a year later."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from vidan.pipeline.config.rules import ScheduleConfig
from vidan.pipeline.coverage import Drops
from vidan.pipeline.errors import SourceError
from vidan.pipeline.events import Event
from vidan.pipeline.past_run import PastRun
from vidan.pipeline.report.charts import gaps_of
from vidan.pipeline.report.intervals import StreamSpan
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import Summary, summarize
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.files import EventLog

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What a run left behind.

    Attributes:
        folder: Where the rest of it is: pictures, tracks, heatmaps.
        manifest: As it stands in run.json.
        summary: Of the logs.
        events: The event log, in its order; it is gone through several times.
        near_misses: The log of near misses, in its order; likewise.
    """

    folder: RunFolder
    manifest: Mapping[str, Any]
    summary: Summary
    events: Iterable[Event]
    near_misses: Iterable[Event] = ()

    @property
    def origin(self) -> RunFolder:
        """The folder with the tracks and pictures: this one, or for a replay that of the run that it counted again.

        Where both were moved together, it is as far from here as it was. A run that is gone, or gave its folder to
        another one, has left nothing: then it is this one.
        """
        replayed = self.manifest.get("replayed_from")
        if replayed is None:
            return self.folder
        way = os.path.relpath(replayed["folder"], Path(self.manifest["config"]["output"]["folder"]).parent)
        for path in (Path(replayed["folder"]), Path(os.path.normpath(self.folder.path.parent / way))):
            with suppress(SourceError):
                run = PastRun.open(path)
                if run.id == replayed["run"]:
                    return run.folder
        _logger.warning(
            "the run that was counted again is no longer in %s: the report lacks its scenes, ways and pictures",
            replayed["folder"],
        )
        return self.folder

    @property
    def title(self) -> str:
        return self.folder.path.resolve().name


def read_run(path: Path) -> RecordedRun:
    """The run in a folder.

    Raises:
        SourceError: If there is none, or a file of it cannot be read; the message names the file.
    """
    run = PastRun.open(path)
    folder, manifest = run.folder, run.record
    events, near_misses = EventLog(folder.events), EventLog(folder.near_misses, optional=True)
    try:
        rules = rules_of_record(manifest)
        spans = [_span_from_record(record) for record in manifest["streams"]]
        interval_seconds = float(manifest["config"]["output"]["interval_seconds"])
        summary = summarize(events, rules, spans, interval_seconds, near_misses=near_misses)
    except KeyError as error:
        raise SourceError(
            f"{folder.manifest} has no {error}, so its report cannot be drawn: it was written by an older vidan, "
            "or the run did not come to its end"
        ) from error
    except (TypeError, ValueError) as error:
        raise SourceError(f"{folder.manifest} does not fit to the logs beside it: {error}") from error
    return RecordedRun(folder, manifest, summary, events, near_misses)


def rule_to_record(rule: RuleInfo) -> dict[str, Any]:
    """A rule as it is described in run.json."""
    record = {field.name: getattr(rule, field.name) for field in fields(rule)}
    return record | {"schedule": rule.schedule and rule.schedule.to_record()}


def rules_of_record(manifest: Mapping[str, Any]) -> list[RuleInfo]:
    """The rules as a run.json describes them.

    Raises:
        KeyError, TypeError, ValueError: If it has them in another form.
    """
    return [_rule_from_record(record) for record in manifest["rules"]]


def _rule_from_record(record: Mapping[str, Any]) -> RuleInfo:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    if (schedule := record.get("schedule")) is not None:
        values["schedule"] = ScheduleConfig.model_validate(schedule).build()
    return RuleInfo(**values)


def _span_from_record(record: Mapping[str, Any]) -> StreamSpan:
    start_utc = record["start_utc"]
    return StreamSpan(
        record["name"],
        record["seconds"],
        record["seconds_expected"],
        None if start_utc is None else datetime.fromisoformat(start_utc),
        tuple(gaps_of(record)),
        tuple(Drops(*drops) for drops in record["drops"]),
    )
