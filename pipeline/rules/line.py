"""Counts the tracks that cross a line, in each direction, once they have really crossed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Stamp
from vidan.pipeline.geometry import GRID, Anchor, Passage, Polyline, anchors_of
from vidan.pipeline.rules.bridge import Bridge
from vidan.pipeline.rules.sightings import EventMaker, Moment, Sighting, in_order, sight
from vidan.trackers import Tracks

Policy = Literal["every", "once", "net"]


class LineRule:
    """Crossings of a directed polyline, committed once the track is well beyond it.

                 · hysteresis ·
         a ───────────────────────────► b        from the right hand of someone walking from a to b
                 · hysteresis ·                  to the left hand is `in`; back is `out`

    A crossing is pending until the track stands at least `hysteresis` away from the line, or for `settle` seconds
    crosses nothing more, or ends. A crossing back cancels a pending one, and so does a way back around an end of
    the line that stays within the hysteresis of that end; further out, a way around is no crossing and no return.
    Standing on the line decides nothing, and nothing is decided about a track while it is lost. So reversing time
    swaps in and out, and a track that trembles within the hysteresis counts at most for having ended on another side.

    Args:
        name: Of the rule.
        points: (V, 2) pixels, two or more.
        class_names: Of the detector.
        class_ids: Classes to count, by the vote at the commitment; None for all.
        anchor: Point of the box at which an object stands.
        hysteresis: Box heights, at least 0.
        settle: Seconds, at least 0; 0 commits a crossing at the first frame beyond the line.
        policy: `every` crossing; each track `once` per direction; `net`: at the track's end, and only if it ended on
            another side than it began, the crossing after which it never came back.
        bridge: Joins two tracks into one crossing where one ended before the line and the other began behind it.
        direction_names: What `in` and `out` are called in the events; they must differ.

    Raises:
        ValueError: If the line has no length, or another argument is out of its range.
    """

    def __init__(
        self,
        *,
        name: str,
        points: ArrayLike,
        class_names: Sequence[str],
        class_ids: frozenset[int] | None = None,
        anchor: Anchor = "bottom_center",
        hysteresis: float = 0.1,
        settle: float = 1.0,
        policy: Policy = "every",
        bridge: Bridge | None = None,
        direction_names: tuple[str, str] = ("in", "out"),
    ) -> None:
        if hysteresis < 0 or settle < 0:
            raise ValueError(f"line {name!r}: hysteresis and settle must not be negative, got {hysteresis}, {settle}")
        if direction_names[0] == direction_names[1]:
            raise ValueError(f"line {name!r}: both directions are called {direction_names[0]!r}")
        self.name = name
        self._line = Polyline(points)
        self._anchor = anchor
        self._hysteresis = hysteresis
        self._settle = settle
        self._policy = policy
        self._bridge = bridge
        self._direction_names = direction_names
        self._events = EventMaker(name, class_names, class_ids)
        self._walkers: dict[int, _Walker] = {}
        self._updates = 0

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """The crossings that are certain as of this frame, by time and then by track."""
        self._updates += 1
        seen = sight(self._updates, stamp, tracks, anchors_of(tracks.xyxy, self._anchor))
        events = self._walk(seen)
        events += self._decide(seen)
        if self._bridge is not None:
            begun = [sighting for sighting in seen if sighting.track_id in self._walkers]
            for last, first in self._bridge.join(stamp.pts_seconds, begun, tracks.ended):
                events += self._step([(self._walkers[first.track_id], last, first)], bridged=True)
        for track_id in tracks.ended:
            events += self._end(track_id)
        return in_order(events)

    def _walk(self, seen: Sequence[Sighting]) -> list[Event]:
        """Takes every known track from where it was last seen to where it stands now."""
        known = [
            (self._walkers[sighting.track_id], sighting) for sighting in seen if sighting.track_id in self._walkers
        ]
        events = self._step([(walker, walker.last, sighting) for walker, sighting in known])
        for walker, sighting in known:
            walker.last = sighting
        return events

    def _step(self, steps: Sequence[tuple[_Walker, Sighting, Sighting]], bridged: bool = False) -> list[Event]:
        """Notes what lies on these ways from sighting to sighting; a crossing that had settled before is committed."""
        if not steps:
            return []
        before, after = (np.array([step[end].point for step in steps]) for end in (1, 2))
        events: list[Event] = []
        for passage in self._line.passages(before, after):
            walker, start, stop = steps[passage.row]
            near = self._hysteresis * (start.height + stop.height) / 2
            if passage.beyond is not None and passage.beyond > near:
                continue
            moment = Moment.between(start, stop, passage.fraction)
            if walker.has_settled(moment.pts_seconds, self._settle):
                events += self._commit(walker)
            seen = stop.update - start.update == 1 and start.is_observed and stop.is_observed
            certainty = "bridged" if bridged else "seen" if seen else "interpolated"
            walker.take(passage, moment, certainty)
        return events

    def _decide(self, seen: Sequence[Sighting]) -> list[Event]:
        """Commits what this frame makes certain, and welcomes new tracks where they first stand off the line."""
        undecided = [s for s in seen if (walker := self._walkers.get(s.track_id)) is None or walker.is_undecided]
        if not undecided:
            return []
        events: list[Event] = []
        distances = self._line.distances(np.array([sighting.point for sighting in undecided])).tolist()
        for sighting, distance in zip(undecided, distances, strict=True):
            walker, now = self._walkers.get(sighting.track_id), sighting.pts_seconds
            is_off = distance >= GRID
            if walker is None:
                if is_off:
                    self._walkers[sighting.track_id] = _Walker(sighting)
                continue
            if is_off:
                walker.off = now
            if walker.has_settled(now, self._settle) or (is_off and distance >= self._hysteresis * sighting.height):
                events += self._commit(walker)
            if not is_off:
                walker.linger(sighting)
        return events

    def _end(self, track_id: int) -> list[Event]:
        """Forgets a track; a crossing that is still pending counts, unless it ended on the line itself."""
        walker = self._walkers.pop(track_id, None)
        if walker is None:
            return []
        events: list[Event] = []
        if walker.pending and self._line.distances(np.array([walker.last.point]))[0] >= GRID:
            events += self._commit(walker)
        events += self._announce(walker, walker.net[:1])
        self._events.forget(track_id)
        return events

    def _commit(self, walker: _Walker) -> list[Event]:
        crossings = walker.settle()
        if self._policy != "net":
            return self._announce(walker, crossings)
        for crossing in crossings:
            _cancel_or_add(walker.net, crossing)
        return []

    def _announce(self, walker: _Walker, crossings: Sequence[_Crossing]) -> list[Event]:
        events: list[Event] = []
        for crossing in crossings:
            counted_before = self._policy == "once" and crossing.sign in walker.counted
            if counted_before or not self._events.counts(walker.last):
                continue
            walker.counted.add(crossing.sign)
            details = {
                "direction": self._direction_names[0 if crossing.sign > 0 else 1],
                "certainty": crossing.certainty,
                "segment": crossing.segment,
            }
            events.append(self._events.of_track(EventKind.LINE_CROSSED, crossing.moment, walker.last, **details))
        return events


@dataclass(frozen=True, slots=True)
class _Crossing:
    sign: int
    segment: int
    moment: Moment
    certainty: str


@dataclass(slots=True)
class _Walker:
    """What is known of one track.

    Attributes:
        last: Where it was last seen.
        pending: Crossings that are not certain yet, all in one direction.
        around: Passages around an end of the line, in less those out, since the last commitment.
        since: Time of its last passage, or when it last stood on the line with something pending.
        off: When it was last seen off the line with something pending.
        counted: Signs of the crossings already announced.
        net: For the policy of this name: committed crossings that no later one has undone, all in one direction.
    """

    last: Sighting
    pending: list[_Crossing] = field(default_factory=list)
    around: int = 0
    since: float = -np.inf
    off: float = -np.inf
    counted: set[int] = field(default_factory=set)
    net: list[_Crossing] = field(default_factory=list)

    @property
    def is_undecided(self) -> bool:
        return bool(self.pending or self.around)

    def has_settled(self, now: float, settle: float) -> bool:
        """True if it passed nothing for the last `settle` seconds and was seen off the line in that time."""
        return self.since <= self.off and now - self.since >= settle

    def take(self, passage: Passage, moment: Moment, certainty: str) -> None:
        if passage.beyond is None:
            _cancel_or_add(self.pending, _Crossing(passage.sign, passage.segment, moment, certainty))
        else:
            self.around += passage.sign
        self.since = max(self.since, moment.pts_seconds)

    def linger(self, sighting: Sighting) -> None:
        """Stays on the line: a crossing is none until the line is left."""
        self.since = sighting.pts_seconds
        if self.pending:
            self.pending[-1] = replace(self.pending[-1], moment=Moment.at(sighting))

    def settle(self) -> list[_Crossing]:
        """The crossings that hold now that nothing is pending any more: those that no way around an end has undone."""
        undone = max(0, -self.around * self.pending[0].sign) if self.pending else 0
        crossings = self.pending[undone:]
        self.pending, self.around = [], 0
        return crossings


def _cancel_or_add(crossings: list[_Crossing], crossing: _Crossing) -> None:
    """A crossing back undoes the last one; so all in the list have one direction."""
    if crossings and crossings[-1].sign != crossing.sign:
        crossings.pop()
    else:
        crossings.append(crossing)
