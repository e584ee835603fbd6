"""Accuracies as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from vidan.pipeline.events import Event
from vidan.pipeline.report.accuracy import CountAccuracy, EventAccuracy
from vidan.pipeline.report.manual import Movement


def count_record(accuracy: CountAccuracy) -> dict[str, Any]:
    """A movement with its intervals; what is infinite is null."""
    interval = accuracy.confidence_interval()
    record = _movement_record(accuracy.movement)
    record |= {"manual": accuracy.manual, "counted": accuracy.counted, "error": accuracy.error}
    record |= {
        "relative_error": _finite(accuracy.relative_error),
        "interval_95": None if interval is None else [_finite(bound) for bound in interval],
        "wape": _finite(accuracy.wape),
        "geh": _finite(accuracy.geh),
    }
    record["intervals"] = [
        {
            "class": cell.manual.movement.label,
            "start": cell.manual.start,
            "end": cell.manual.end,
            "manual": cell.manual.count,
            "counted": cell.counted,
            "error": cell.error,
            "geh": _finite(cell.geh),
        }
        for cell in accuracy.cells
    ]
    return record


def event_record(accuracy: EventAccuracy) -> dict[str, Any]:
    """A movement with every event that was true, missed, false or double; what is infinite is null."""

    def of_events(events: Sequence[Event]) -> list[dict[str, Any]]:
        return [{"id": event.id, "time": event.pts_seconds, "track": event.track_id} for event in events]

    record = _movement_record(accuracy.movement)
    record |= {"manual": accuracy.manual, "counted": accuracy.counted, "wrong": _finite(accuracy.wrong)}
    record |= {
        "recall": accuracy.recall,
        "recall_interval_95": list(accuracy.recall_interval()),
        "precision": accuracy.precision,
        "median_delay": accuracy.median_delay,
        "true": [{"manual_time": time} | of_events([event])[0] for time, event in accuracy.true],
        "missed": list(accuracy.missed),
        "false": of_events(accuracy.false),
        "double": of_events(accuracy.double),
    }
    return record


def _movement_record(movement: Movement) -> dict[str, Any]:
    return {"source": movement.source, "rule": movement.rule, "direction": movement.direction, "class": movement.label}


def _finite(value: float) -> float | None:
    return round(value, 6) if isfinite(value) else None
