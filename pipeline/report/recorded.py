"""A finished run as its folder tells it: everything that a report shows, so that it can be drawn again a year later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vidan.pipeline.errors import SourceError
from vidan.pipeline.events import Event
from vidan.pipeline.report.charts import gaps_of
from vidan.pipeline.report.intervals import StreamSpan
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import Summary, summarize
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.files import read_events


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What a run left behind.

    Attributes:
        folder: Where the rest of it is: pictures, tracks, heatmaps.
        manifest: As it stands in run.json.
        summary: Of the logs.
        events: The event log, in its order.
        near_misses: The log of near misses, in its order.
    """

    folder: RunFolder
    manifest: Mapping[str, Any]
    summary: Summary
    events: Sequence[Event]
    near_misses: Sequence[Event] = ()

    @property
    def title(self) -> str:
        return self.folder.path.resolve().name


def read_run(path: Path) -> RecordedRun:
    """The run in a folder.

    Raises:
        SourceError: If there is none, or a file of it cannot be read; the message names the file.
    """
    folder = RunFolder(path)
    manifest = _read_manifest(folder)
    events = list(read_events(folder.events))
    near_misses = list(read_events(folder.near_misses)) if folder.near_misses.exists() else []
    try:
        rules = [_rule_from_record(record) for record in manifest["rules"]]
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
    return asdict(rule)


def _rule_from_record(record: Mapping[str, Any]) -> RuleInfo:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    return RuleInfo(**fields)


def _span_from_record(record: Mapping[str, Any]) -> StreamSpan:
    start_utc = record["start_utc"]
    return StreamSpan(
        record["name"],
        record["seconds"],
        record["seconds_expected"],
        None if start_utc is None else datetime.fromisoformat(start_utc),
        tuple((start, end) for start, end, _ in gaps_of(record)),
    )


def _read_manifest(folder: RunFolder) -> Mapping[str, Any]:
    try:
        manifest = json.loads(folder.manifest.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError(f"{folder.path} is no folder of a run: there is no {folder.manifest.name} in it") from error
    except OSError as error:
        raise SourceError(f"cannot read {folder.manifest}: {error.strerror}") from error
    except ValueError as error:
        raise SourceError(f"{folder.manifest} is no JSON: {error}") from error
    if not isinstance(manifest, Mapping):
        raise SourceError(f"{folder.manifest} is no manifest of a run")
    return manifest
