"""Watches who enters, leaves and stays in an area, and whether it gets too full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, MultiPolygon, Polygon

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Stamp
from vidan.pipeline.geometry import Anchor, anchors_of
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
        shapely.prepare(polygon)
        self._anchor = anchor
        self._overlap = overlap
        self._settle = settle
        self._loiter_after = loiter_after
        self._capacity_max = capacity_max
        self._events = EventMaker(name, class_names, class_ids)
        self._visitors: dict[int, _Visitor] = {}
        self._inside_now = 0
        self._updates = 0

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """What this frame makes certain about entries, exits, stays and capacity, by time and then by track."""
        self._updates += 1
        points = anchors_of(tracks.xyxy, self._anchor)
        shares = self._shares_inside(tracks.xyxy, points).tolist()
        events: list[Event] = []
        for sighting, share in zip(sight(self._updates, stamp, tracks, points), shares, strict=True):
            visitor = self._visitors.get(sighting.track_id)
            if visitor is None:
                visitor = self._visitors[sighting.track_id] = self._welcome(sighting, share)
            else:
                events += self._move(visitor, sighting, share)
            events += self._decide(visitor, stamp.pts_seconds)
        for track_id in tracks.ended:
            events += self._end(track_id, stamp.pts_seconds)
        return self._with_capacity(in_order(events))

    def _shares_inside(self, xyxy: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) how much of each object is inside, 0..1; without `overlap` only its anchor matters, so 0 or 1."""
        if self._overlap is None:
            return shapely.intersects_xy(self._polygon, points).astype(np.float64)
        boxes = shapely.box(*xyxy.astype(np.float64).T)
        shares = shapely.covers(self._polygon, boxes).astype(np.float64)
        cut = shapely.intersects(self._polygon, boxes) & (shares == 0)
        inside = shapely.area(shapely.intersection(self._polygon, boxes[cut]))
        shares[cut] = inside / np.maximum(shapely.area(boxes[cut]), np.finfo(np.float64).tiny)
        return shares

    def _is_inside(self, share: float) -> bool:
        return share >= (self._overlap or 1)

    def _welcome(self, sighting: Sighting, share: float) -> _Visitor:
        visitor = _Visitor(sighting, share)
        if self._is_inside(share):
            visitor.stay = _Stay(EventKind.ZONE_APPEARED, Moment.at(sighting))
        return visitor

    def _move(self, visitor: _Visitor, sighting: Sighting, share: float) -> list[Event]:
        """Notes a change of sides, or takes one back that did not last."""
        events: list[Event] = []
        if self._is_inside(share) != self._is_inside(visitor.share):
            moment = Moment.between(visitor.last, sighting, self._boundary(visitor, sighting, share))
            if visitor.turn is not None and moment.pts_seconds - visitor.turn.pts_seconds >= self._settle:
                events += self._commit_turn(visitor)
            visitor.turn = moment if visitor.turn is None else None
        visitor.last, visitor.share = sighting, share
        return events

    def _boundary(self, visitor: _Visitor, sighting: Sighting, share: float) -> float:
        """How far along the step to this sighting, 0..1, the object came in for good, or first went out."""
        if self._overlap is not None:
            return (self._overlap - visitor.share) / (share - visitor.share)
        is_coming = self._is_inside(share)
        ends = [visitor.last.point, sighting.point]
        inner, outer = np.array(ends[::-1] if is_coming else ends)
        meetings = shapely.get_coordinates(LineString([inner, outer]).intersection(self._outline))
        reaches = np.hypot(*(meetings - inner).T) / np.hypot(*(outer - inner))
        marks = np.unique([0.0, *np.minimum(reaches, 1.0), 1.0])
        middles = inner + (marks[:-1, None] + marks[1:, None]) / 2 * (outer - inner)
        is_inside = [*shapely.intersects_xy(self._polygon, middles).tolist(), False]
        fraction = float(marks[is_inside.index(False)])
        return 1 - fraction if is_coming else fraction

    def _decide(self, visitor: _Visitor, now: float) -> list[Event]:
        events: list[Event] = []
        if visitor.turn is not None and now - visitor.turn.pts_seconds >= self._settle:
            events += self._commit_turn(visitor)
        stay = visitor.stay
        if stay is not None:
            if stay.judged is None and now - stay.began.pts_seconds >= self._settle:
                events += self._announce(stay, visitor.last)
            events += self._loiter(stay, visitor.last, now if visitor.turn is None else visitor.turn.pts_seconds)
        return events

    def _end(self, track_id: int, now: float) -> list[Event]:
        """Forgets a track: what it did last is believed, and if it was inside it vanishes."""
        visitor = self._visitors.pop(track_id, None)
        if visitor is None:
            return []
        events = self._commit_turn(visitor)
        events += self._close(visitor, EventKind.ZONE_VANISHED, Moment(now, visitor.last.point, visitor.last))
        self._events.forget(track_id)
        return events

    def _commit_turn(self, visitor: _Visitor) -> list[Event]:
        """Believes the last change of sides, if there is one: it ends a stay or begins one."""
        turn, visitor.turn = visitor.turn, None
        if turn is None:
            return []
        if visitor.stay is not None:
            return self._close(visitor, EventKind.ZONE_LEFT, turn)
        visitor.stay = _Stay(EventKind.ZONE_ENTERED, turn)
        return self._announce(visitor.stay, visitor.last)

    def _close(self, visitor: _Visitor, kind: EventKind, moment: Moment) -> list[Event]:
        """Ends the stay, if there is one."""
        stay, visitor.stay = visitor.stay, None
        if stay is None:
            return []
        events = [] if stay.judged else self._announce(stay, visitor.last)
        events += self._loiter(stay, visitor.last, moment.pts_seconds)
        return events + self._tell(stay, kind, moment, dwell=moment.pts_seconds - stay.began.pts_seconds)

    def _announce(self, stay: _Stay, last: Sighting) -> list[Event]:
        stay.judged = last
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
    """What is known of one track.

    Attributes:
        last: Where it was last seen.
        share: How much of it was inside then.
        stay: The stay that is believed to go on, None while the track is believed to be outside.
        turn: When it changed sides, while that is not believed yet.
    """

    last: Sighting
    share: float
    stay: _Stay | None = None
    turn: Moment | None = None
