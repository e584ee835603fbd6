"""What tables and charts need of a rule's events: sums and bare numbers, so that a log need not be held in memory."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.report.counts import COUNTED_KINDS, CountCells

_ARRIVALS = {EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED}
_DEPARTURES = {EventKind.ZONE_LEFT, EventKind.ZONE_VANISHED}


class RuleEvents:
    """The events of one rule on one stream, in any order.

    Attributes:
        kinds: How many of each.
        counts: Those of `COUNTED_KINDS`.
        arrivals: Stream seconds at which a track was in a zone from then on.
        departures: Stream seconds at which it no longer was.
        dwells: How long, in seconds, each of those that ended had been in the zone.
        journeys: Tracks by origin, destination and class.
        speeds: Of each pass, in the unit of the rule.
        lengths: Stream seconds, and how many waited in a queue from then on.
        waits: Seconds that each track had waited which was served or gave up, by interval.
    """

    def __init__(self) -> None:
        self.kinds: Counter[EventKind] = Counter()
        self.counts = CountCells()
        self.arrivals, self.departures, self.dwells, self.speeds = (array("d") for _ in range(4))
        self.journeys: Counter[tuple[str, str, str]] = Counter()
        self.lengths: list[tuple[float, int]] = []
        self.waits: dict[EventKind, defaultdict[int, array[float]]] = {
            kind: defaultdict(lambda: array("d")) for kind in (EventKind.QUEUE_SERVED, EventKind.QUEUE_ABANDONED)
        }

    def add(self, event: Event, interval: int) -> None:
        """Takes in one more.

        Args:
            event: Of this rule and stream.
            interval: Which one of the stream it falls into.

        Raises:
            KeyError: If it lacks a detail that its kind has.
        """
        kind, details = event.kind, event.details
        self.kinds[kind] += 1
        if kind in COUNTED_KINDS:
            self.counts.add(event, interval)
        if kind in _ARRIVALS:
            self.arrivals.append(event.pts_seconds)
        elif kind in _DEPARTURES:
            self.departures.append(event.pts_seconds)
            self.dwells.append(float(details["dwell"]))
        elif kind is EventKind.FLOW_COMPLETED:
            self.journeys[str(details["origin"]), str(details["destination"]), event.label or ""] += 1
        elif kind is EventKind.SPEED_MEASURED:
            self.speeds.append(details["speed"])
        elif kind is EventKind.QUEUE_CHANGED:
            self.lengths.append((event.pts_seconds, int(details["length"])))
        elif kind in self.waits:
            self.waits[kind][interval].append(float(details["wait"]))
