"""What a rule saw of a track in one frame, and the events it makes of what it saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.events import Event, EventKind, event_id
from vidan.pipeline.frame import Stamp
from vidan.trackers import Tracks


class Sighting(NamedTuple):
    """One track in one frame, and where it stands.

    Attributes:
        update: Number of the rule's update: 1 apart means adjacent frames, whatever was skipped by the source.
        stamp: Of the frame.
        tracks: All tracks of the frame.
        row: Which of them this is.
        track_id: Its id.
        point: x, y in pixels of its anchor.
        height: Of the box, in pixels.
    """

    update: int
    stamp: Stamp
    tracks: Tracks
    row: int
    track_id: int
    point: tuple[float, float]
    height: float

    @property
    def pts_seconds(self) -> float:
        return self.stamp.pts_seconds

    @property
    def class_id(self) -> int:
        return int(self.tracks.class_id[self.row])

    @property
    def is_observed(self) -> bool:
        """False where a gap of the track was filled."""
        return bool(self.tracks.observed[self.row])


def sight(update: int, stamp: Stamp, tracks: Tracks, points: NDArray[np.float64]) -> list[Sighting]:
    """The sightings of one frame, in the order of its tracks; points (N, 2) are their anchors."""
    places = zip(*points.T.tolist(), strict=True)
    heights = (tracks.xyxy[:, 3] - tracks.xyxy[:, 1]).tolist()
    shared = repeat(update), repeat(stamp), repeat(tracks)
    return list(map(Sighting, *shared, count(), tracks.track_id.tolist(), places, heights))


class Moment(NamedTuple):
    """When and where something happened to a track.

    Attributes:
        pts_seconds: When.
        point: x, y in pixels.
        witness: First sighting at or after it; the last sighting of all where none came after.
    """

    pts_seconds: float
    point: tuple[float, float]
    witness: Sighting

    @classmethod
    def at(cls, sighting: Sighting) -> Moment:
        return cls(sighting.pts_seconds, sighting.point, sighting)

    @classmethod
    def between(cls, before: Sighting, after: Sighting, fraction: float) -> Moment:
        """The moment when the straight and even walk from one sighting to the next has gone this far, 0..1."""
        (x, y), (end_x, end_y) = before.point, after.point
        return cls(
            before.pts_seconds + fraction * (after.pts_seconds - before.pts_seconds),
            (x + fraction * (end_x - x), y + fraction * (end_y - y)),
            after if fraction > 0 else before,
        )


class EventMaker:
    """Makes the events of one rule, each with the ordinal that its id needs.

    Args:
        rule: Name of the rule.
        class_names: Of the detector.
        class_ids: Classes that the rule counts, None for all.
    """

    def __init__(self, rule: str, class_names: Sequence[str], class_ids: frozenset[int] | None) -> None:
        self._rule = rule
        self._class_names = tuple(class_names)
        self._class_ids = class_ids
        self._made = Ordinals()

    def counts(self, judged: Sighting) -> bool:
        """True if the class that the track had won by this sighting is one that the rule counts."""
        return self._class_ids is None or judged.class_id in self._class_ids

    def of_track(self, kind: EventKind, moment: Moment, judged: Sighting, **details: Any) -> Event:
        """The event of a track at a moment; its class is the one that the vote had reached at `judged`."""
        stamp, tracks, row = moment.witness.stamp, moment.witness.tracks, moment.witness.row
        left, top, right, bottom = tracks.xyxy[row].tolist()
        since_frame = timedelta(seconds=moment.pts_seconds - stamp.pts_seconds)
        return Event(
            id=self._next_id(stamp.stream, kind, judged.track_id),
            kind=kind,
            stream=stamp.stream,
            rule=self._rule,
            track_id=judged.track_id,
            label=self._class_names[judged.class_id],
            pts_seconds=moment.pts_seconds,
            utc=None if stamp.utc is None else stamp.utc + since_frame,
            frame=stamp.index,
            point=moment.point,
            box=(left, top, right, bottom),
            confidence=float(tracks.confidence[row]),
            details={**details, "class_share": float(judged.tracks.class_share[judged.row])},
        )

    def near_miss(self, reason: str, moment: Moment, judged: Sighting, **details: Any) -> Event:
        """What was not counted, and why."""
        return self.of_track(EventKind.NEAR_MISS, moment, judged, reason=str(reason), **details)

    def of_rule(self, kind: EventKind, cause: Event, **details: Any) -> Event:
        """The event that another event brought about for the rule as a whole: it has no track, place or class."""
        return Event(
            id=self._next_id(cause.stream, kind, None),
            kind=kind,
            stream=cause.stream,
            rule=self._rule,
            track_id=None,
            label=None,
            pts_seconds=cause.pts_seconds,
            utc=cause.utc,
            frame=cause.frame,
            details=details,
        )

    def of_event(self, kind: EventKind, cause: Event, judged: Sighting, **details: Any) -> Event:
        """What the event of another rule means to this one: it has the same moment, place and box."""
        return replace(
            cause,
            id=self._next_id(cause.stream, kind, judged.track_id),
            kind=kind,
            rule=self._rule,
            label=self._class_names[judged.class_id],
            details={**details, "class_share": float(judged.tracks.class_share[judged.row])},
        )

    def of_stream(self, kind: EventKind, stamp: Stamp, pts_seconds: float, **details: Any) -> Event:
        """What is true of the stream from a moment on, as its frame at or after that moment shows."""
        return Event(
            id=self._next_id(stamp.stream, kind, None),
            kind=kind,
            stream=stamp.stream,
            rule=self._rule,
            track_id=None,
            label=None,
            pts_seconds=pts_seconds,
            utc=None if stamp.utc is None else stamp.utc + timedelta(seconds=pts_seconds - stamp.pts_seconds),
            frame=stamp.index,
            details=details,
        )

    def forget(self, track_id: int) -> None:
        self._made.forget(track_id)

    def _next_id(self, stream: str, kind: EventKind, track_id: int | None) -> str:
        return event_id(stream, self._rule, kind, track_id, self._made.next(kind, track_id))


class Ordinals(dict[int | None, Counter[EventKind]]):
    """How many events of each kind one rule has made, per track: the next one has the next number, from 1."""

    def next(self, kind: EventKind, track_id: int | None) -> int:
        made = self.setdefault(track_id, Counter())
        made[kind] += 1
        return made[kind]

    def forget(self, track_id: int) -> None:
        self.pop(track_id, None)


def in_order(events: Sequence[Event]) -> list[Event]:
    """By time, then by track; what happened to a track at one moment stays as it is."""
    return sorted(events, key=lambda event: (event.pts_seconds, event.track_id or 0))
