"""What differs between the events of two runs: which appeared, which vanished, which moved."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vidan.pipeline.events import Event, to_record

TOLERANCE_SECONDS = 0.5

Pair: TypeAlias = tuple[Event, Event]


@dataclass(frozen=True, slots=True)
class Moved:
    """One event in both runs, but not the same in all.

    Attributes:
        before: In the first run.
        after: In the second.
        changed: Keys of the log whose values differ.
    """

    before: Event
    after: Event
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Total:
    """How many events there are of a rule and direction (for what has no direction: a kind) in each run."""

    source: str
    rule: str
    what: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Two logs, compared.

    Attributes:
        same: How many events are the same.
        moved: Those that are in both but differ, in the order of the first log.
        vanished: Those that only the first has, in its order.
        appeared: Those that only the second has, in its order.
        totals: Per source, rule and direction, by name.
    """

    same: int
    moved: tuple[Moved, ...]
    vanished: tuple[Event, ...]
    appeared: tuple[Event, ...]
    totals: tuple[Total, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.moved or self.vanished or self.appeared)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values; events as they stand in the log."""
        return {
            "identical": self.is_empty,
            "same": self.same,
            "totals": [{key: getattr(total, key) for key in Total.__slots__} for total in self.totals],
            "moved": [
                {"before": to_record(moved.before), "after": to_record(moved.after), "changed": list(moved.changed)}
                for moved in self.moved
            ],
            "vanished": [to_record(event) for event in self.vanished],
            "appeared": [to_record(event) for event in self.appeared],
        }


def compare(
    before: Iterable[Event], after: Iterable[Event], *, tolerance_seconds: float = TOLERANCE_SECONDS
) -> Difference:
    """Finds for every event of one log its like in the other.

    Those of one id and nearly one time are paired first; then, among the rest, those of one source, rule, kind and
    direction whose times are near: of one track before others, the nearest before the next. An id alone does not pair:
    it counts the events of a track, so one that vanishes gives its id to the next.

    Args:
        before: The first log.
        after: The second.
        tolerance_seconds: How far apart the times of a pair may be.
    """
    before, after = list(before), list(after)
    by_id = {event.id: event for event in after}
    pairs = [
        (event, like)
        for event in before
        if (like := by_id.get(event.id)) is not None and _alike(event, like, tolerance_seconds)
    ]
    rest_before, rest_after = _rest(before, after, pairs)
    pairs += _near_pairs(rest_before, rest_after, tolerance_seconds)
    rest_before, rest_after = _rest(before, after, pairs)

    moved = {event.id: Moved(event, like, changed) for event, like in pairs if (changed := _changed_keys(event, like))}
    return Difference(
        same=len(pairs) - len(moved),
        moved=tuple(moved[event.id] for event in before if event.id in moved),
        vanished=tuple(rest_before),
        appeared=tuple(rest_after),
        totals=_totals(before, after),
    )


def what_happened(event: Event) -> str:
    """The direction of a crossing, else the kind of the event."""
    return str(event.details.get("direction", event.kind.value))


def _key(event: Event) -> tuple[str, str, str, str]:
    return event.stream, event.rule, event.kind.value, what_happened(event)


def _alike(one: Event, other: Event, tolerance_seconds: float) -> bool:
    return _key(one) == _key(other) and abs(one.pts_seconds - other.pts_seconds) <= tolerance_seconds


def _rest(before: Sequence[Event], after: Sequence[Event], pairs: Sequence[Pair]) -> tuple[list[Event], list[Event]]:
    """What is in no pair yet."""
    paired_before, paired_after = {event.id for event, _ in pairs}, {like.id for _, like in pairs}
    return (
        [event for event in before if event.id not in paired_before],
        [event for event in after if event.id not in paired_after],
    )


def _near_pairs(before: Sequence[Event], after: Sequence[Event], tolerance_seconds: float) -> list[Pair]:
    candidates: dict[tuple[str, str, str, str], list[Event]] = defaultdict(list)
    for event in after:
        candidates[_key(event)].append(event)
    possible = [
        (event.track_id != like.track_id, abs(event.pts_seconds - like.pts_seconds), event, like)
        for event in before
        for like in candidates[_key(event)]
        if _alike(event, like, tolerance_seconds)
    ]
    taken: set[tuple[str, str]] = set()
    pairs: list[Pair] = []
    for _, _, event, like in sorted(possible, key=lambda candidate: candidate[:2]):
        if taken.isdisjoint(ends := {("before", event.id), ("after", like.id)}):
            taken |= ends
            pairs.append((event, like))
    return pairs


def _changed_keys(before: Event, after: Event) -> tuple[str, ...]:
    """Keys of the log that differ, the id apart: it follows from the others."""
    one, other = to_record(before), to_record(after)
    return tuple(key for key in {**one, **other} if key != "id" and one.get(key) != other.get(key))


def _totals(before: Iterable[Event], after: Iterable[Event]) -> tuple[Total, ...]:
    counts = [Counter((event.stream, event.rule, what_happened(event)) for event in log) for log in (before, after)]
    return tuple(Total(*key, counts[0][key], counts[1][key]) for key in sorted(counts[0] | counts[1]))
