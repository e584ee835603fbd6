"""Counts journeys: from which of some places to which other a track went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Stamp
from vidan.pipeline.geometry import anchors_of
from vidan.pipeline.rules.sightings import EventMaker, Sighting, in_order, sight
from vidan.pipeline.stages import Rule
from vidan.trackers import Tracks

_MEETINGS = frozenset({EventKind.LINE_CROSSED, EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED})


class FlowRule:
    """One event per finished track that met a place: the first one is its origin, the last one its destination.

    A track meets a line by crossing it, in either direction, and a zone by entering it or by appearing in it. Who met
    only one place, or came back to the first, goes from there to there. The event stands at the moment and the point
    of the last meeting; it is told when the track has ended, for only then is it the last.

    Args:
        name: Of the rule.
        places: Rules of its own by name, which count every class: their events are the meetings.
        class_names: Of the detector.
        class_ids: Classes to count, by the vote at the track's end; None for all.
    """

    def __init__(
        self,
        *,
        name: str,
        places: Mapping[str, Rule],
        class_names: Sequence[str],
        class_ids: frozenset[int] | None = None,
    ) -> None:
        self.name = name
        self._places = dict(places)
        self._events = EventMaker(name, class_names, class_ids)
        self._journeys: dict[int, _Journey] = {}
        self._last: dict[int, Sighting] = {}
        self._updates = 0

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """The journeys that end with this frame, by time and then by track."""
        self._updates += 1
        for sighting in sight(self._updates, stamp, tracks, anchors_of(tracks.xyxy, "center")):
            self._last[sighting.track_id] = sighting
        for place, rule in self._places.items():
            for event in rule.update(stamp, tracks):
                if event.kind in _MEETINGS and event.track_id is not None:
                    self._meet(event.track_id, place, event)
        return in_order([event for track_id in tracks.ended for event in self._end(track_id)])

    def _meet(self, track_id: int, place: str, event: Event) -> None:
        """Notes a meeting; rules tell of them late, so not always in their order."""
        journey = self._journeys.setdefault(track_id, _Journey((place, event), (place, event)))
        journey.meetings += 1
        if event.pts_seconds < journey.first[1].pts_seconds:
            journey.first = place, event
        if event.pts_seconds >= journey.last[1].pts_seconds:
            journey.last = place, event

    def _end(self, track_id: int) -> list[Event]:
        judged, journey = self._last.pop(track_id, None), self._journeys.pop(track_id, None)
        if judged is None or journey is None or not self._events.counts(judged):
            return []
        (origin, departure), (destination, arrival) = journey.first, journey.last
        details = {
            "origin": origin,
            "destination": destination,
            "seconds": arrival.pts_seconds - departure.pts_seconds,
            "meetings": journey.meetings,
        }
        event = self._events.of_event(EventKind.FLOW_COMPLETED, arrival, judged, **details)
        self._events.forget(track_id)
        return [event]


@dataclass(slots=True)
class _Journey:
    """The first and the last meeting of a track so far, and how many there were."""

    first: tuple[str, Event]
    last: tuple[str, Event]
    meetings: int = 0
