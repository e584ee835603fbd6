"""Watches a queue before a line: how long it is, and how long each one waits in it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor, hypot, inf

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Stamp
from vidan.pipeline.geometry import Anchor, anchors_of
from vidan.pipeline.rules.near_misses import Reason
from vidan.pipeline.rules.sightings import EventMaker, Sighting, in_order, sight
from vidan.pipeline.stages import Rule
from vidan.trackers import Tracks

_MOVED_OVER = 1.0  # seconds over which a track's movement is judged
_CLOCK = 1e-6  # seconds; times are sums of floats


class QueueRule:
    """Waits in a zone before a line, and the number of those who wait.

    A wait begins with entering the zone, or appearing in it. It ends *served* with the crossing of the line, if that
    happens in the zone or within `patience` after leaving it; it ends *abandoned* at the moment of leaving otherwise.
    Who comes back within `patience` never left. Who comes over the line from behind does not wait, whatever he does in
    the zone. A track that is lost for good inside ends neither way: a near miss.

    In the queue are those in the zone and not yet served who stand or creep: whose place a second ago is nearer than
    `slow` box heights, whatever way they took. Their number is sampled at every multiple of `every` seconds, as of the
    first frame at or after it, and told where it has changed; that nobody is left in the zone is told at once.

    Args:
        name: Of the rule.
        zone: A rule of its own that tells entries and exits of every class.
        line: A rule of its own that tells the crossings of every class.
        direction: Its display name for crossings away from the zone, with which one is served.
        class_names: Of the detector.
        class_ids: Classes to count; None for all.
        anchor: Point of the box at which an object stands.
        slow: Box heights per second below which a track stands or creeps, above 0.
        every: Seconds between two samples, above 0.
        patience: Seconds, at least 0.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        *,
        name: str,
        zone: Rule,
        line: Rule,
        direction: str,
        class_names: Sequence[str],
        class_ids: frozenset[int] | None = None,
        anchor: Anchor = "bottom_center",
        slow: float = 0.3,
        every: float = 1.0,
        patience: float = 2.0,
    ) -> None:
        if slow <= 0 or every <= 0 or patience < 0:
            raise ValueError(f"queue {name!r}: {slow=} and {every=} must be above 0, {patience=} not below")
        self.name = name
        self._zone = zone
        self._line = line
        self._direction = direction
        self._anchor: Anchor = anchor
        self._slow = slow
        self._every = every
        self._patience = patience
        self._events = EventMaker(name, class_names, class_ids)
        self._trails: defaultdict[int, deque[tuple[float, float, float]]] = defaultdict(deque)
        self._last: dict[int, Sighting] = {}
        self._visits: dict[int, _Visit] = {}
        self._sampled = -1
        self._told = 0
        self._updates = 0

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """The waits that are over as of this frame, and the length of the queue if it has changed."""
        self._updates += 1
        for sighting in sight(self._updates, stamp, tracks, anchors_of(tracks.xyxy, self._anchor)):
            self._last[sighting.track_id] = sighting
            self._remember(sighting)
        for event in self._zone.update(stamp, tracks):
            self._come_or_go(event)
        for event in self._line.update(stamp, tracks):
            if event.kind is EventKind.LINE_CROSSED and event.track_id is not None:
                self._visits.setdefault(event.track_id, _Visit()).crossings.append(event)
        events: list[Event] = []
        for track_id in list(self._visits):
            events += self._decide(track_id, stamp.pts_seconds, track_id in tracks.ended)
        for track_id in tracks.ended:
            self._last.pop(track_id, None)
            self._trails.pop(track_id, None)
            self._visits.pop(track_id, None)
            self._events.forget(track_id)
        return in_order(events) + self._sample(stamp)

    def _remember(self, sighting: Sighting) -> None:
        now = sighting.pts_seconds
        trail = self._trails[sighting.track_id]
        trail.append((now, *sighting.point))
        while len(trail) > 1 and trail[1][0] <= now - _MOVED_OVER + _CLOCK:
            trail.popleft()

    def _come_or_go(self, event: Event) -> None:
        if event.track_id is None:
            return
        visit = self._visits.setdefault(event.track_id, _Visit())
        match event.kind:
            case EventKind.ZONE_ENTERED | EventKind.ZONE_APPEARED:
                visit.came = visit.came or event
                visit.went = None
            case EventKind.ZONE_LEFT | EventKind.ZONE_VANISHED:
                visit.went = event

    def _decide(self, track_id: int, now: float, has_ended: bool) -> list[Event]:
        """The event of a wait that is over; a visit is forgotten when nothing can become of it any more."""
        visit = self._visits[track_id]
        came, went = visit.came, visit.went
        if came is None:  # a zone believes an entry late, so a crossing may be told before it
            visit.crossings = [crossing for crossing in visit.crossings if now - crossing.pts_seconds <= self._patience]
            if not visit.crossings:
                del self._visits[track_id]
            return []
        until = inf if went is None else went.pts_seconds + self._patience
        for crossing in visit.crossings:
            if crossing.details["direction"] != self._direction:
                self._visits[track_id] = _Visit()  # nobody waits on the way back
                return []
            if came.pts_seconds <= crossing.pts_seconds <= until:
                return self._close(track_id, EventKind.QUEUE_SERVED, crossing)
        if went is None or (now <= until and not has_ended):
            return []
        if went.kind is EventKind.ZONE_VANISHED:
            return self._close(track_id, EventKind.NEAR_MISS, went, reason=Reason.VANISHED.value)
        return self._close(track_id, EventKind.QUEUE_ABANDONED, went)

    def _close(self, track_id: int, kind: EventKind, end: Event, **details: str) -> list[Event]:
        """Ends a wait with the event that ended it."""
        came, judged = self._visits.pop(track_id).came, self._last[track_id]
        if came is None or not self._events.counts(judged):
            return []
        wait = end.pts_seconds - came.pts_seconds
        saw_beginning = came.kind is EventKind.ZONE_ENTERED
        return [self._events.of_event(kind, end, judged, **details, wait=wait, saw_beginning=saw_beginning)]

    def _sample(self, stamp: Stamp) -> list[Event]:
        """The new length of the queue, where a sample is due and shows one."""
        number = floor(stamp.pts_seconds / self._every + _CLOCK)
        is_due, self._sampled = number > self._sampled, number
        length = sum(self._is_waiting(track_id, visit) for track_id, visit in self._visits.items())
        if length == self._told or (self._visits and not is_due):
            return []
        self._told = length
        seconds = number * self._every if is_due else stamp.pts_seconds
        return [self._events.of_stream(EventKind.QUEUE_CHANGED, stamp, seconds, length=length)]

    def _is_waiting(self, track_id: int, visit: _Visit) -> bool:
        """True for one who is in the zone, not served yet, and hardly moves."""
        judged = self._last[track_id]
        (began, x, y), (now, end_x, end_y) = self._trails[track_id][0], self._trails[track_id][-1]
        if visit.came is None or visit.went is not None or now - began < _MOVED_OVER - _CLOCK:
            return False
        moved = hypot(end_x - x, end_y - y) / (now - began)
        return moved < self._slow * judged.height and self._events.counts(judged)


@dataclass(slots=True)
class _Visit:
    """What is known of one track in the zone.

    Attributes:
        came: The event with which it came.
        went: The event with which it left, while it may still turn out to be served or to come back.
        crossings: Its crossings of the line.
    """

    came: Event | None = None
    went: Event | None = None
    crossings: list[Event] = field(default_factory=list)
