"""What an event log leaves open where its stream broke off: stays without an end, crowds and queues that never went.

A lane that ends in order closes all of it. Where it could not, for its process was killed or its rules failed, the same
is said in its place from what was told, as of the last moment that anybody knows of. So what is inside a zone is never
carried on for ever by tracks that no one sees any more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from vidan.pipeline.engine.numbering import Numbering
from vidan.pipeline.events import Event, EventKind, event_id

_COMING = (EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED)
_GOING = (EventKind.ZONE_LEFT, EventKind.ZONE_VANISHED)


class OpenEnds:
    """Follows the events of one stream."""

    def __init__(self) -> None:
        self._stays: dict[tuple[str, int], Event] = {}
        self._crowds: dict[str, Event] = {}
        self._queues: dict[str, Event] = {}

    def note(self, event: Event) -> None:
        """Takes in the next event of the log."""
        match event.kind:
            case EventKind.CAPACITY_EXCEEDED:
                self._crowds[event.rule] = event
            case EventKind.CAPACITY_CLEARED:
                self._crowds.pop(event.rule, None)
            case EventKind.QUEUE_CHANGED if event.details["length"]:
                self._queues[event.rule] = event
            case EventKind.QUEUE_CHANGED:
                self._queues.pop(event.rule, None)
        if event.track_id is None:
            return
        if event.kind in _COMING:
            self._stays[event.rule, event.track_id] = event
        elif event.kind in _GOING:
            self._stays.pop((event.rule, event.track_id), None)

    def close(self, pts_seconds: float, frame: int, numbering: Numbering) -> list[Event]:
        """The events that end all of it, and forgets it.

        Args:
            pts_seconds: The last moment of the stream that anybody knows of.
            frame: Index of its last frame.
            numbering: Of the stream; it gives ids to events without a track.
        """

        def ending(event: Event, kind: EventKind, **details: object) -> Event:
            passed = timedelta(seconds=pts_seconds - event.pts_seconds)
            return replace(
                event,
                kind=kind,
                pts_seconds=pts_seconds,
                utc=event.utc and event.utc + passed,
                frame=frame,
                point=None,
                box=None,
                confidence=None,
                details=details,
            )

        events = [
            replace(
                ending(event, EventKind.ZONE_VANISHED, dwell=pts_seconds - event.pts_seconds, cut_off=True),
                id=event_id(event.stream, rule, EventKind.ZONE_VANISHED, track_id, 0),
            )
            for (rule, track_id), event in self._stays.items()
        ]
        events += [
            _numbered(ending(event, EventKind.CAPACITY_CLEARED, count=0, cut_off=True), numbering)
            for event in self._crowds.values()
        ]
        events += [
            _numbered(ending(event, EventKind.QUEUE_CHANGED, length=0, cut_off=True), numbering)
            for event in self._queues.values()
        ]
        self._stays.clear()
        self._crowds.clear()
        self._queues.clear()
        return events


def _numbered(event: Event, numbering: Numbering) -> Event:
    return replace(event, id=numbering.next_id(event.stream, event.rule, event.kind))
