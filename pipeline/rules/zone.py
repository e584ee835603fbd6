"""Watches who enters, leaves and stays in an area, and whether it gets too full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Stamp
from vidan.pipeline.geometry import GRID, Anchor, anchors_of
from vidan.pipeline.rules.lookout import Lookout
from vidan.pipeline.rules.near_misses import REACH, Reason, in_heights
from vidan.pipeline.rules.sightings import EventMaker, Moment, Sighting, in_order, sight
from vidan.trackers import Tracks

_COMING = (EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED)
_GOING = (EventKind.ZONE_LEFT, EventKind.ZONE_VANISHED)


class ZoneRule:
    """Stays of tracks in a polygon: each begins with an entry or an appearance and ends with an exit or a vanishing.

    An object is inside while its anchor is in the polygon or on its boundary (that of a hole too), or, with `overlap`,
    while at least that share of its box is. A change of sides is believed once it has lasted for `settle` seconds, or
    when the track ends before that; the event carries the moment of the boundary. A change back within `settle` undoes
    it. What a track begins with needs no proof: if it is first seen inside, its stay begins there, however short.
    Nothing is decided about a track while it is lost; its dwell goes on. A track that ends inside vanishes, with its
    last box, at the time when the tracker gave it up.

    The class is judged when a stay is announced, `settle` seconds after it began or at its end, and holds for all of
    it. So for every class and at all times: entered + appeared − left − vanished = inside now, which is the number
    that capacity is about.

    Args:
        name: Of the rule.
        polygon: In pixels; holes and several parts allowed.
        class_names: Of the detector.
        class_ids: Classes to count; None for all.
        anchor: Point of the box at which an object stands.
        overlap: Share of the box that must be inside, above 0 and up to 1; None: the anchor must be.
        settle: Seconds, at least 0.
        loiter_after: Seconds after which a stay raises one event; None: never.
        capacity_max: Tracks that may be inside; the rise above raises one event, the return another. None: any number.
        lookout: Gives the lookout of an anchor; the rules of a lane share theirs.

    Raises:
        ValueError: If the polygon is empty or not valid, or another argument is out of its range.
    """

    def __init__(
        self,
        *,
        name: str,
        polygon: Polygon | MultiPolygon,
        class_names: Sequence[str],
        class_ids: frozenset[int] | None = None,
        anchor: Anchor = "bottom_center",
        overlap: float | None = None,
        settle: float = 0.3,
        loiter_after: float | None = None,
        capacity_max: int | None = None,
        lookout: Callable[[Anchor], Lookout] = Lookout,
    ) -> None:
        if polygon.is_empty or not polygon.is_valid:
            raise ValueError(f"zone {name!r}: {shapely.is_valid_reason(polygon)}; got {polygon.wkt}")
        if overlap is not None and not 0 < overlap <= 1:
            raise ValueError(f"zone {name!r}: overlap must be above 0 and at most 1, got {overlap}")
        if settle < 0:
            raise ValueError(f"zone {name!r}: settle must not be negative, got {settle}")
        self.name = name
        self._polygon = polygon
        self._outline = polygon.boundary
        self._bounds = polygon.bounds
        self._anchor: Anchor = anchor
        self._lookout = lookout(anchor)
        self._index = self._lookout.add_area(polygon)
        self._overlap = overlap
        self._settle = settle
        self._loiter_after = loiter_after
        self._capacity_max = capacity_max
        self._events = EventMaker(name, class_names, class_ids)
        self._visitors: dict[int, _Visitor] = {}
        self._met: set[int] = set()  # tracks that have been inside, in part at least
        self._young: dict[int, list[Sighting]] = {}
        self._inside_now = 0

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """What this frame makes certain about entries, exits, stays and capacity, by time and then by track."""
        view = self._lookout.look(stamp, tracks)
        shares = self._shares(view.inside[self._index], tracks)
        events: list[Event] = []
        if shares or self._visitors:
            for sighting in self._lookout.seen(shares.keys() | self._visitors.keys()):
                events += self._follow(sighting, view.before[sighting.row], shares.get(sighting.track_id, 0.0))
        for track_id in tracks.ended:
            events += self._end(track_id, stamp.pts_seconds)
        return self._with_capacity(in_order(events)) if events else []

    def dismiss(self, stamp: Stamp, dismissed: Tracks) -> list[Event]:
        """Near misses of tracklets that were seen inside and never confirmed."""
        points = anchors_of(dismissed.xyxy, self._anchor)
        is_inside = shapely.intersects_xy(self._polygon, points)
        shares = self._shares(dismissed.track_id[is_inside].tolist(), dismissed)
        for sighting in sight(0, stamp, dismissed, points):
            if self._is_inside(shares.get(sighting.track_id, 0.0)):
                self._young.setdefault(sighting.track_id, []).append(sighting)
        found = [self._young.pop(track_id) for track_id in dismissed.ended if track_id in self._young]
        near_misses = in_order(
            [
                self._events.near_miss(Reason.YOUNG, Moment.at(seen[0]), seen[-1], frames=len(seen))
                for seen in found
                if self._events.counts(seen[-1])
            ]
        )
        for track_id in dismissed.ended:
            self._events.forget(track_id)
        return near_misses

    def _shares(self, inside: Iterable[int], tracks: Tracks) -> dict[int, float]:
        """By track, how much of it is inside, 0..1, for those of which something is.

        Without `overlap` only anchors matter: the tracks whose anchors are `inside` are, and a share is 0 or 1.
        """
        if self._overlap is None:
            return dict.fromkeys(inside, 1.0)
        boxes = shapely.box(*tracks.xyxy.astype(np.float64).T)
        shares = shapely.covers(self._polygon, boxes).astype(np.float64)
        cut = shapely.intersects(self._polygon, boxes) & (shares == 0)
        cut_off = shapely.area(shapely.intersection(self._polygon, boxes[cut]))
        shares[cut] = cut_off / np.maximum(shapely.area(boxes[cut]), np.finfo(np.float64).tiny)
        met = shares > 0
        return dict(zip(tracks.track_id[met].tolist(), shares[met].tolist(), strict=True))

    def _is_inside(self, share: float) -> bool:
        return share >= (self._overlap or 1)

    def _follow(self, sighting: Sighting, before: Sighting | None, share: float) -> list[Event]:
        """Takes a track that is inside, or was, from where it was last seen to where it stands now."""
        visitor = self._visitors.get(sighting.track_id)
        if visitor is None:
            visitor = self._visitors[sighting.track_id] = _Visitor()
            self._met.add(sighting.track_id)
        events: list[Event] = []
        if before is not None:
            events += self._move(visitor, before, sighting, share)
        elif self._is_inside(share):
            visitor.stay = _Stay(EventKind.ZONE_APPEARED, Moment.at(sighting))
        visitor.share = share
        events += self._decide(visitor, sighting)
        if visitor.is_gone:
            del self._visitors[sighting.track_id]
        return events

    def _move(self, visitor: _Visitor, before: Sighting, sighting: Sighting, share: float) -> list[Event]:
        """Notes a change of sides, or takes one back that did not last."""
        if self._is_inside(share) == self._is_inside(visitor.share):
            return []
        events: list[Event] = []
        moment = Moment.between(before, sighting, self._boundary(visitor.share, before, sighting, share))
        if visitor.turn is not None and moment.pts_seconds - visitor.turn.pts_seconds >= self._settle:
            events += self._commit_turn(visitor, before)
        turn, visitor.turn = visitor.turn, moment if visitor.turn is None else None
        if turn is not None and visitor.stay is None and self._events.counts(sighting):
            seconds = moment.pts_seconds - turn.pts_seconds
            events.append(self._events.near_miss(Reason.SETTLE, turn, sighting, inside=seconds))
        return events

    def _boundary(self, share_before: float, before: Sighting, sighting: Sighting, share: float) -> float:
        """How far along the step to this sighting, 0..1, the object came in for good, or first went out."""
        if self._overlap is not None:
            return (self._overlap - share_before) / (share - share_before)
        is_coming = self._is_inside(share)
        ends = [before.point, sighting.point]
        inner, outer = np.array(ends[::-1] if is_coming else ends)
        meetings = shapely.get_coordinates(shapely.intersection(shapely.linestrings([inner, outer]), self._outline))
        reaches = np.hypot(*(meetings - inner).T) / np.hypot(*(outer - inner))
        marks = np.unique([0.0, *np.minimum(reaches, 1.0), 1.0])
        middles = inner + (marks[:-1, None] + marks[1:, None]) / 2 * (outer - inner)
        is_inside = [*shapely.intersects_xy(self._polygon, middles).tolist(), False]
        fraction = float(marks[is_inside.index(False)])
        return 1 - fraction if is_coming else fraction

    def _decide(self, visitor: _Visitor, sighting: Sighting) -> list[Event]:
        events: list[Event] = []
        now = sighting.pts_seconds
        if visitor.turn is not None and now - visitor.turn.pts_seconds >= self._settle:
            events += self._commit_turn(visitor, sighting)
        stay = visitor.stay
        if stay is not None:
            if stay.judged is None and now - stay.began.pts_seconds >= self._settle:
                events += self._announce(stay, sighting)
            events += self._loiter(stay, sighting, now if visitor.turn is None else visitor.turn.pts_seconds)
        return events

    def _end(self, track_id: int, now: float) -> list[Event]:
        """Forgets a track: what it did last is believed, and if it was inside it vanishes."""
        last = self._lookout.last(track_id)
        if last is None:
            return []
        visitor = self._visitors.pop(track_id, None)
        events: list[Event] = []
        if visitor is not None:
            events += self._commit_turn(visitor, last)
            events += self._close(visitor, EventKind.ZONE_VANISHED, Moment(now, last.point, last), last)
        elif track_id not in self._met and self._events.counts(last):
            events += self._break_nearby(last)
        self._met.discard(track_id)
        self._events.forget(track_id)
        return events

    def _break_nearby(self, last: Sighting) -> list[Event]:
        """The near miss of a track that was never inside, if it began or ended near the zone."""
        first = self._lookout.first(last.track_id) or last
        if not (self._may_reach(first) or self._may_reach(last)):
            return []
        places = shapely.points([first.point, last.point])
        began, ended = map(in_heights, shapely.distance(self._polygon, places).tolist(), (first, last))
        if min(began, ended) > REACH:
            return []
        end, distance, sighting = ("began", began, first) if began < ended else ("ended", ended, last)
        return [self._events.near_miss(Reason.BROKE, Moment.at(sighting), last, distance=distance, end=end)]

    def _may_reach(self, sighting: Sighting) -> bool:
        """False for most tracks that are farther away than `REACH`, without asking the polygon."""
        (left, top, right, bottom), (x, y) = self._bounds, sighting.point
        reach = REACH * max(sighting.height, GRID) + GRID  # the grid is for the rounding of distances
        return left - reach <= x <= right + reach and top - reach <= y <= bottom + reach

    def _commit_turn(self, visitor: _Visitor, last: Sighting) -> list[Event]:
        """Believes the last change of sides, if there is one: it ends a stay or begins one."""
        turn, visitor.turn = visitor.turn, None
        if turn is None:
            return []
        if visitor.stay is not None:
            return self._close(visitor, EventKind.ZONE_LEFT, turn, last)
        visitor.stay = _Stay(EventKind.ZONE_ENTERED, turn)
        return self._announce(visitor.stay, last)

    def _close(self, visitor: _Visitor, kind: EventKind, moment: Moment, last: Sighting) -> list[Event]:
        """Ends the stay, if there is one."""
        stay, visitor.stay = visitor.stay, None
        if stay is None:
            return []
        events = [] if stay.judged else self._announce(stay, last)
        events += self._loiter(stay, last, moment.pts_seconds)
        return events + self._tell(stay, kind, moment, dwell=moment.pts_seconds - stay.began.pts_seconds)

    def _announce(self, stay: _Stay, last: Sighting) -> list[Event]:
        stay.judged = last
        if not self._events.counts(last):
            return [self._events.near_miss(Reason.CLASS, stay.began, last)]
        return self._tell(stay, stay.kind, stay.began)

    def _loiter(self, stay: _Stay, last: Sighting, until: float) -> list[Event]:
        """One event per announced stay, as soon as it has lasted long enough."""
        after = self._loiter_after
        if after is None or stay.has_loitered or stay.judged is None or until - stay.began.pts_seconds < after:
            return []
        stay.has_loitered = True
        return self._tell(
            stay, EventKind.LOITERING, Moment(stay.began.pts_seconds + after, last.point, last), dwell=after
        )

    def _tell(self, stay: _Stay, kind: EventKind, moment: Moment, **details: float) -> list[Event]:
        """The event, unless the stay was announced with a class that does not count."""
        if stay.judged is None or not self._events.counts(stay.judged):
            return []
        return [self._events.of_track(kind, moment, stay.judged, **details)]

    def _with_capacity(self, events: Sequence[Event]) -> list[Event]:
        """The events, each followed by what it did to the capacity."""
        if self._capacity_max is None:
            return list(events)
        followed: list[Event] = []
        for event in events:
            followed.append(event)
            before = self._inside_now
            self._inside_now += (event.kind in _COMING) - (event.kind in _GOING)
            if before == self._capacity_max < self._inside_now:
                followed.append(self._events.of_rule(EventKind.CAPACITY_EXCEEDED, event, count=self._inside_now))
            elif before > self._capacity_max == self._inside_now:
                followed.append(self._events.of_rule(EventKind.CAPACITY_CLEARED, event, count=self._inside_now))
        return followed


@dataclass(slots=True)
class _Stay:
    """A time inside.

    Attributes:
        kind: How it began, ZONE_ENTERED or ZONE_APPEARED.
        began: When and where.
        judged: The sighting whose class it was announced with; None until then.
        has_loitered: True once it has lasted `loiter_after`.
    """

    kind: EventKind
    began: Moment
    judged: Sighting | None = None
    has_loitered: bool = False


@dataclass(slots=True)
class _Visitor:
    """What is known of a track that is inside, in part at least, or may be believed to be.

    Attributes:
        share: How much of it was inside when it was last seen.
        stay: The stay that is believed to go on, None while the track is believed to be outside.
        turn: When it changed sides, while that is not believed yet.
    """

    share: float = 0.0
    stay: _Stay | None = None
    turn: Moment | None = None

    @property
    def is_gone(self) -> bool:
        """True if it is wholly outside, and that is believed: its stay, if there was one, is over."""
        return not self.share and self.turn is None
