"""Rules around a rule: they say when, how often and in which direction its events count. The rest are near misses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from vidan.pipeline.events import ALERT_KINDS, Event, EventKind, event_id
from vidan.pipeline.frame import Stamp
from vidan.pipeline.rules.near_misses import Reason
from vidan.pipeline.rules.sightings import Ordinals
from vidan.pipeline.schedule import Schedule
from vidan.pipeline.stages import Rule, is_dismissing
from vidan.trackers import Tracks


class ScheduledRule:
    """Counts only while a schedule is open: to the rule, nothing exists outside of it.

    When the schedule opens, the tracks that are there begin; when it closes, they end at the last frame within. So who
    stays in a zone over night has vanished in the evening and appears in the morning, everybody who came has gone,
    and no event lies outside. What a second rule of the same kind sees while it is closed becomes near misses with
    the reason `schedule`.

    Args:
        make: Gives a fresh rule.
        schedule: When it is open.
    """

    def __init__(self, make: Callable[[], Rule], schedule: Schedule) -> None:
        self._rules = {True: make(), False: make()}
        self._schedule = schedule
        self._ordinals = Ordinals()
        self._present: set[int] = set()
        self._last: tuple[Stamp, bool] | None = None

    @property
    def name(self) -> str:
        return self._rules[True].name

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """The rule's events, or near misses in their place.

        Raises:
            ValueError: If the frame has no wall-clock time.
        """
        if stamp.utc is None:
            raise ValueError(
                f"rule {self.name!r} has a schedule, but nobody knows when stream {stamp.stream!r} was taken"
            )
        is_open = self._schedule.is_open(stamp.utc)
        events: list[Event] = []
        if self._last is not None and self._last[1] != is_open:
            events += self._ask(*self._last, Tracks.empty(ended=tuple(sorted(self._present))))
            self._present.clear()
        self._last = stamp, is_open
        events += self._ask(stamp, is_open, tracks)
        self._present.update(tracks.track_id.tolist())
        self._present.difference_update(tracks.ended)
        for track_id in tracks.ended:
            self._ordinals.forget(track_id)
        return events

    def dismiss(self, stamp: Stamp, dismissed: Tracks) -> list[Event]:
        """The rule's near misses among tracklets that were never confirmed, while the schedule is open."""
        told = [self._renamed(event) for event in _dismiss(self._rules[True], stamp, dismissed)]
        for track_id in dismissed.ended:
            self._ordinals.forget(track_id)
        return told if self._last is not None and self._last[1] else []

    def _ask(self, stamp: Stamp, is_open: bool, tracks: Tracks) -> list[Event]:
        """What the rule for this state says, numbered here, for a track may begin in it more than once."""
        events = self._rules[is_open].update(stamp, tracks)
        if not is_open:
            events = [
                _demote(event, Reason.SCHEDULE)
                for event in events
                if event.track_id is not None and event.kind is not EventKind.NEAR_MISS
            ]
        return [self._renamed(event) for event in events]

    def _renamed(self, event: Event) -> Event:
        ordinal = self._ordinals.next(event.kind, event.track_id)
        return replace(event, id=event_id(event.stream, event.rule, event.kind, event.track_id, ordinal))


class CoolingRule:
    """Raises no alert for what has raised the same one less than `cooldown` seconds before.

    That is the same track, so that no second vehicle goes free because of a first one; only for a crowd, which has no
    track, it is the rule as a whole. The return of a crowd below its limit is told if the rise above it was.

    Args:
        rule: Whose alerts are meant; its other events pass.
        cooldown: Seconds, at least 0, from one alert that was raised to the next.
    """

    def __init__(self, rule: Rule, cooldown: float) -> None:
        self._rule = rule
        self._cooldown = cooldown
        self._raised: dict[int | None, dict[EventKind, float]] = {}
        self._told_rise = False

    @property
    def name(self) -> str:
        return self._rule.name

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """The rule's events, with near misses in the place of alerts that come too soon."""
        events = [
            event if self._may_raise(event) else _demote(event, Reason.COOLDOWN)
            for event in self._rule.update(stamp, tracks)
        ]
        for track_id in tracks.ended:
            self._raised.pop(track_id, None)
        return events

    def dismiss(self, stamp: Stamp, dismissed: Tracks) -> Sequence[Event]:
        return _dismiss(self._rule, stamp, dismissed)

    def _may_raise(self, event: Event) -> bool:
        if event.kind not in ALERT_KINDS:
            return True
        if event.kind is EventKind.CAPACITY_CLEARED:
            return self._told_rise
        raised = self._raised.setdefault(event.track_id, {})
        may_raise = event.pts_seconds - raised.get(event.kind, float("-inf")) >= self._cooldown
        if may_raise:
            raised[event.kind] = event.pts_seconds
        if event.kind is EventKind.CAPACITY_EXCEEDED:
            self._told_rise = may_raise
        return may_raise


class OneWayRule:
    """Counts the crossings of a line in one direction only.

    Args:
        rule: Of the line.
        direction: Display name of the direction that counts.
    """

    def __init__(self, rule: Rule, direction: str) -> None:
        self._rule = rule
        self._direction = direction

    @property
    def name(self) -> str:
        return self._rule.name

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        """The rule's events, with near misses in the place of crossings the other way."""
        told = self._rule.update(stamp, tracks)
        return [event if self._may_count(event) else _demote(event, Reason.DIRECTION) for event in told]

    def dismiss(self, stamp: Stamp, dismissed: Tracks) -> Sequence[Event]:
        return _dismiss(self._rule, stamp, dismissed)

    def _may_count(self, event: Event) -> bool:
        return event.kind is not EventKind.LINE_CROSSED or event.details["direction"] == self._direction


def _dismiss(rule: Rule, stamp: Stamp, dismissed: Tracks) -> Sequence[Event]:
    """What a rule says to tracklets that were never confirmed, if it is one that does."""
    return rule.dismiss(stamp, dismissed) if is_dismissing(rule) else []


def _demote(event: Event, reason: Reason) -> Event:
    """The near miss that is told instead of an event, under the id that the event would have had."""
    return replace(
        event,
        kind=EventKind.NEAR_MISS,
        details={"reason": reason.value, "missed": event.kind.value, **event.details},
    )
