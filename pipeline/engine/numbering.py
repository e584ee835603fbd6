"""Where the numbers of a stream stand: of its tracks, and of the events that are about no track.

A lane begins to count at one. Where it follows another one, of the same run or of one that was resumed, its numbers go
on where those of the other ended, so that no id is ever used twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from vidan.pipeline.events import Event, EventKind, event_id
from vidan.trackers import Tracks


@dataclass(slots=True)
class Numbering:
    """The numbers that one stream has used so far.

    Attributes:
        last_track: The highest id of a track.
        told: Events without a track, by rule and kind; what was told as a near miss instead counts as what it missed.
    """

    last_track: int = 0
    told: Counter[tuple[str, EventKind]] = field(default_factory=Counter)

    def note_tracks(self, tracks: Tracks) -> None:
        if len(tracks):
            self.last_track = max(self.last_track, int(tracks.track_id[-1]))

    def note(self, event: Event) -> None:
        """Takes in an event that stands in a log."""
        if event.track_id is None:
            self.told[event.rule, _kind(event)] += 1
        else:
            self.last_track = max(self.last_track, event.track_id)

    def next_id(self, stream: str, rule: str, kind: EventKind) -> str:
        """The id of the next event of this kind that is about no track."""
        self.told[rule, kind] += 1
        return event_id(stream, rule, kind, None, self.told[rule, kind])

    def renumbered(self, events: Iterable[Event]) -> list[Event]:
        """What the rules of one lane said, those without a track with the next ids of the stream."""
        return [
            event
            if event.track_id is not None
            else replace(event, id=self.next_id(event.stream, event.rule, _kind(event)))
            for event in events
        ]


def shifted(tracks: Tracks, by: int) -> Tracks:
    """The same tracks under ids that are higher by so much."""
    if by == 0:
        return tracks
    return replace(tracks, track_id=tracks.track_id + by, ended=tuple(track_id + by for track_id in tracks.ended))


def later_id(event: str, generation: int) -> str:
    """The id of an event of a rule that took the place of another one of the same name, for the n-th time."""
    return hashlib.sha256(f"{event}\0{generation}".encode()).hexdigest()[:16]


def _kind(event: Event) -> EventKind:
    return EventKind(event.details.get("missed", event.kind))
