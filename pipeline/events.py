"""An event: what a rule noticed. One flat record, one JSON line, one CSV row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from sys import intern
from typing import Any


class EventKind(StrEnum):
    LINE_CROSSED = "line_crossed"
    ZONE_ENTERED = "zone_entered"
    ZONE_LEFT = "zone_left"
    ZONE_APPEARED = "zone_appeared"
    ZONE_VANISHED = "zone_vanished"
    LOITERING = "loitering"
    CAPACITY_EXCEEDED = "capacity_exceeded"
    CAPACITY_CLEARED = "capacity_cleared"
    SPEED_MEASURED = "speed_measured"
    SPEEDING = "speeding"
    FLOW_COMPLETED = "flow_completed"
    QUEUE_CHANGED = "queue_changed"
    QUEUE_SERVED = "queue_served"
    QUEUE_ABANDONED = "queue_abandoned"
    NEAR_MISS = "near_miss"  # not counted, and why: it has a log of its own


_FIELDS = frozenset(
    ("id", "event", "source", "rule", "track", "class", "time", "utc", "frame", "point", "box", "confidence")
)  # of a record; all others are details

ALERT_KINDS = (EventKind.LOITERING, EventKind.CAPACITY_EXCEEDED, EventKind.CAPACITY_CLEARED, EventKind.SPEEDING)
"""Those that call for somebody."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a rule noticed about a track (or, without a track, about itself).

    Attributes:
        id: 16 hex digits, from `event_id`: the same input and config give the same ids.
        kind: What happened.
        stream: Name of the stream; ``source`` in the log.
        rule: Name of the rule.
        track_id: The track, or None where the event is about no single one.
        label: Class name of the track by its vote, or None.
        pts_seconds: When it happened (interpolated between frames), seconds from the stream's first frame.
        utc: The same moment as wall-clock time, when known.
        frame: Index of the first frame at or after that moment in which the track was observed.
        point: x, y in source pixels, where it happened, or None.
        box: left, top, right, bottom in source pixels in `frame` (smoothed), or None.
        confidence: Of the detection in `frame`, or None.
        details: What the kind needs: direction, certainty, dwell, class_share, count, ...; plain JSON values.
    """

    id: str
    kind: EventKind
    stream: str
    rule: str
    track_id: int | None
    label: str | None
    pts_seconds: float
    utc: datetime | None
    frame: int
    point: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def event_id(stream: str, rule: str, kind: EventKind, track_id: int | None, ordinal: int) -> str:
    """16 hex digits that name the `ordinal`-th event (from 1) of this kind, rule and track."""
    key = "\0".join((stream, rule, kind.value, "" if track_id is None else str(track_id), str(ordinal)))
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def to_record(event: Event) -> dict[str, Any]:
    """The event as plain JSON values in the order of the log; times to 1 us, pixels to 0.01."""
    record: dict[str, Any] = {
        "id": event.id,
        "event": event.kind.value,
        "source": event.stream,
        "rule": event.rule,
        "track": event.track_id,
        "class": event.label,
        "time": round(event.pts_seconds, 6),
        "utc": None if event.utc is None else format_utc(event.utc),
        "frame": event.frame,
        "point": None if event.point is None else [round(float(v), 2) for v in event.point],
        "box": None if event.box is None else [round(float(v), 2) for v in event.box],
        "confidence": None if event.confidence is None else round(float(event.confidence), 4),
    }
    for key, value in event.details.items():
        record[key] = round(value, 6) if isinstance(value, float) else value
    return record


def from_record(record: Mapping[str, Any]) -> Event:
    """The event that `to_record` wrote.

    Texts that many events have in common are held once: a report reads 100 000 of them into memory.

    Raises:
        ValueError: If a field is missing or of the wrong kind.
    """
    try:
        utc, point, box, label = (record[key] for key in ("utc", "point", "box", "class"))
        return Event(
            id=record["id"],
            kind=EventKind(record["event"]),
            stream=intern(record["source"]),
            rule=intern(record["rule"]),
            track_id=record["track"],
            label=None if label is None else intern(label),
            pts_seconds=float(record["time"]),
            utc=None if utc is None else datetime.fromisoformat(utc),
            frame=int(record["frame"]),
            point=None if point is None else (point[0], point[1]),
            box=None if box is None else (box[0], box[1], box[2], box[3]),
            confidence=record["confidence"],
            details={
                intern(key): intern(value) if isinstance(value, str) else value
                for key, value in record.items()
                if key not in _FIELDS
            },
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not an event record ({type(error).__name__}: {error}): {dict(record)!r}") from error


def format_utc(utc: datetime) -> str:
    """ISO 8601 with milliseconds and Z, as it stands in every file vidan writes."""
    return utc.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
