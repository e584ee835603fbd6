"""Counts the tracks that cross a line, in each direction, once they have really crossed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Stamp
from vidan.pipeline.geometry import GRID, Anchor, Polyline, anchors_of
from vidan.pipeline.rules.bridge import Bridge
from vidan.pipeline.rules.lookout import Lookout, View
from vidan.pipeline.rules.near_misses import REACH, Doubts, Reason, Visit
from vidan.pipeline.rules.sightings import EventMaker, Moment, Sighting, in_order, sight
from vidan.pipeline.rules.walker import Crossing, Walker, cancel_or_add
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
        lookout: Gives the lookout of an anchor; the rules of a lane share theirs.

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
        lookout: Callable[[Anchor], Lookout] = Lookout,
    ) -> None:
        if hysteresis < 0 or settle < 0:
            raise ValueError(f"line {name!r}: hysteresis and settle must not be negative, got {hysteresis}, {settle}")
        if direction_names[0] == direction_names[1]:
            raise ValueError(f"line {name!r}: both directions are called {direction_names[0]!r}")
        self.name = name
        self._line = Polyline(points)
        self._anchor: Anchor = anchor
        self._hysteresis = hysteresis
        self._settle = settle
        self._policy: Policy = policy
        self._bridge = bridge
        self._direction_names = direction_names
        self._events = EventMaker(name, class_names, class_ids)
        self._reach = max(REACH, hysteresis)
        self._lookout = lookout(anchor)
        self._index = self._lookout.add_line(self._line, self._reach)
        self._walkers: dict[int, Walker] = {}
        self._open: set[int] = set()  # tracks whose next sighting matters, wherever that is
        self._young: dict[int, Visit] = {}
        self._doubts = Doubts(None if bridge is None else bridge.patience)

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """The crossings and near misses that are certain as of this frame, by time and then by track."""
        view = self._lookout.look(stamp, tracks)
        events: list[Event] = []
        if near := view.near[self._index] | self._open:
            events += self._follow(view, self._lookout.seen(near))
        if self._bridge is not None:
            events += self._join(self._bridge, view)
        for track_id in tracks.ended:
            events += self._end(track_id)
        if self._doubts:
            events += self._doubts.certain(stamp.pts_seconds, is_over=self._lookout.is_deserted)
        return in_order(events)

    def dismiss(self, stamp: Stamp, dismissed: Tracks) -> list[Event]:
        """Near misses of tracklets that were seen near the line and never confirmed."""
        points = anchors_of(dismissed.xyxy, self._anchor)
        for sighting, distance in zip(
            sight(0, stamp, dismissed, points), self._line.distances(points).tolist(), strict=True
        ):
            visit = self._young.get(sighting.track_id)
            if visit is None:
                self._young[sighting.track_id] = Visit.begin(sighting, distance, is_birth=True)
            else:
                visit.add(sighting, distance)
        visits = [self._young.pop(track_id) for track_id in dismissed.ended]
        near_misses = in_order(
            [
                self._events.near_miss(
                    Reason.YOUNG, Moment.at(visit.nearest), visit.nearest, distance=visit.distance, frames=visit.frames
                )
                for visit in visits
                if visit.distance <= self._reach and self._events.counts(visit.nearest)
            ]
        )
        for track_id in dismissed.ended:
            self._events.forget(track_id)
        return near_misses

    def _follow(self, view: View, seen: Sequence[Sighting]) -> list[Event]:
        """Takes tracks that are near, or were, from where they were last seen to where they stand now."""
        distances, changes = view.distances[self._index], view.changes[self._index]
        events: list[Event] = []
        for sighting in seen:
            row = sighting.row
            before, distance = view.before[row], distances[row]
            walker = self._walkers.get(sighting.track_id)
            if walker is None:
                walker = self._walkers[sighting.track_id] = Walker(is_known=before is not None)
            is_near = distance <= self._reach * sighting.height
            if is_near:
                self._open.add(sighting.track_id)
                walker.come(sighting, distance, is_birth=before is None)
            # A step that ends farther away has surely met neither the line nor the hysteresis of its ends.
            if (
                changes[row]
                and distance <= view.steps[row] + self._hysteresis * view.heights[row] + GRID
                and walker.is_known
                and before is not None
            ):
                events += self._step([_Step(walker, before, sighting, judged=before)])
            walker.is_known = walker.is_known or distance >= GRID
            if walker.is_undecided:
                events += self._decide(walker, sighting, distance)
            if not is_near:
                self._open.discard(sighting.track_id)
                events += self._leave(walker, sighting)
        return events

    def _step(self, steps: Sequence[_Step], bridged: bool = False) -> list[Event]:
        """Notes what lies on these ways from sighting to sighting; a crossing that had settled before is committed."""
        before, after = np.array([step.start.point for step in steps]), np.array([step.stop.point for step in steps])
        events: list[Event] = []
        for passage in self._line.passages(before, after):
            walker, start, stop, judged = steps[passage.row]
            near = self._hysteresis * (start.height + stop.height) / 2
            if passage.beyond is not None and passage.beyond > near:
                continue
            moment = Moment.between(start, stop, passage.fraction)
            if walker.has_settled(moment.pts_seconds, self._settle):
                events += self._commit(walker, judged)
            seen = stop.update - start.update == 1 and start.is_observed and stop.is_observed
            certainty = "bridged" if bridged else "seen" if seen else "interpolated"
            walker.take(passage, moment, certainty)
        return events

    def _decide(self, walker: Walker, sighting: Sighting, distance: float) -> list[Event]:
        """Commits what this sighting makes certain."""
        events: list[Event] = []
        now, is_off = sighting.pts_seconds, distance >= GRID
        if is_off:
            walker.off = now
        if walker.has_settled(now, self._settle) or (is_off and distance >= self._hysteresis * sighting.height):
            events += self._commit(walker, sighting)
        if not is_off:
            walker.linger(sighting)
        return events

    def _leave(self, walker: Walker, sighting: Sighting) -> list[Event]:
        """Ends the visit of a track that has gone out of reach: a near miss, if it came for nothing."""
        visit, walker.visit = walker.visit, None
        if visit is None or visit.has_crossed or not self._events.counts(sighting):
            return []
        came_nearer = visit.nearest is not visit.first or not visit.is_birth
        if came_nearer and visit.distance <= self._hysteresis:
            moment = Moment.at(visit.nearest)
            return [self._events.near_miss(Reason.TURNED, moment, sighting, distance=visit.distance)]
        if visit.is_birth:
            self._doubt(visit, "began", visit.first, sighting)
        return []

    def _doubt(self, visit: Visit, end: str, broken: Sighting, judged: Sighting) -> None:
        near_miss = self._events.near_miss(Reason.BROKE, Moment.at(broken), judged, distance=visit.distance, end=end)
        self._doubts.add(near_miss)

    def _join(self, bridge: Bridge, view: View) -> list[Event]:
        """Notes the ways from the end of one track to the beginning of another that goes on where it ended."""
        events: list[Event] = []
        known = [s for s in view.now if (walker := self._walkers.get(s.track_id)) is None or walker.is_known]
        for last, first in bridge.join(view.stamp.pts_seconds, known, view.tracks.ended):
            walker = self._walkers.setdefault(first.track_id, Walker(is_known=True))
            events += self._step([_Step(walker, last, first, self._last(first.track_id))], bridged=True)
            self._open.add(first.track_id)
            self._doubts.dispel(last.track_id, first.track_id)
            if (ending := self._walkers.get(last.track_id)) is not None and ending.visit is not None:
                ending.visit.has_crossed = True  # under another id
        return events

    def _end(self, track_id: int) -> list[Event]:
        """Forgets a track; a crossing that is still pending counts, unless it ended on the line itself."""
        walker = self._walkers.pop(track_id, None)
        if walker is None:
            return []
        self._open.discard(track_id)
        last = self._last(track_id)
        events: list[Event] = []
        if walker.pending and self._line.distances(np.array([last.point]))[0] >= GRID:
            events += self._commit(walker, last)
        events += self._announce_net(walker, last)
        visit = walker.visit
        if visit is not None and not visit.has_crossed and self._events.counts(last):
            self._doubt(visit, "ended", last, last)
        self._events.forget(track_id)
        return events

    def _last(self, track_id: int) -> Sighting:
        last = self._lookout.last(track_id)
        assert last is not None  # a walker has been seen
        return last

    def _commit(self, walker: Walker, judged: Sighting) -> list[Event]:
        crossings = walker.settle()
        if crossings and walker.visit is not None:
            walker.visit.has_crossed = True
        if self._policy == "net":
            walker.committed += crossings
            return []
        events: list[Event] = []
        for crossing in crossings:
            is_again = self._policy == "once" and crossing.sign in walker.counted
            events.append(self._announce(crossing, judged, is_suppressed=is_again))
            if self._events.counts(judged):
                walker.counted.add(crossing.sign)
        return events

    def _announce_net(self, walker: Walker, judged: Sighting) -> list[Event]:
        """Of all crossings that were kept back, the one after which the track never came back."""
        standing: list[Crossing] = []
        for crossing in walker.committed:
            cancel_or_add(standing, crossing)
        return [
            self._announce(crossing, judged, is_suppressed=crossing not in standing[:1])
            for crossing in walker.committed
        ]

    def _announce(self, crossing: Crossing, judged: Sighting, *, is_suppressed: bool) -> Event:
        """The event of a committed crossing, or the near miss that it is by its class or by the policy."""
        direction = self._direction_names[0 if crossing.sign > 0 else 1]
        if not self._events.counts(judged):
            return self._events.near_miss(Reason.CLASS, crossing.moment, judged, direction=direction)
        if is_suppressed:
            return self._events.near_miss(
                Reason.POLICY, crossing.moment, judged, direction=direction, policy=self._policy
            )
        details = {"direction": direction, "certainty": crossing.certainty, "segment": crossing.segment}
        return self._events.of_track(EventKind.LINE_CROSSED, crossing.moment, judged, **details)


class _Step(NamedTuple):
    """A walker's way from one sighting to another, and the sighting by which its class is judged on this way."""

    walker: Walker
    start: Sighting
    stop: Sighting
    judged: Sighting
