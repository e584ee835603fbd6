"""Rows of a summary -> tables as people read them: totals, journeys, near misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidan.pipeline.report.counts import CERTAINTIES, CountRow
from vidan.pipeline.report.measures import FlowRow
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import Summary


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Totals of one rule.

    Attributes:
        directions: Heads of the columns.
        rows: (class, one count per direction, sum); the last row adds the others up. None where nobody looked.
        certainties: How many of all are seen, interpolated, bridged; empty for zones, and where nobody looked.
    """

    directions: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int | None, ...], int | None], ...]
    certainties: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, counts: Sequence[CountRow]) -> RuleTable:
        cells: Counter[tuple[str, str]] = Counter()
        for row in counts:
            if not row.is_unknown:
                cells[row.label, row.direction] += row.count
        directions = tuple(dict.fromkeys(row.direction for row in counts))
        labels = dict.fromkeys(row.label for row in counts)
        rows = [(label, tuple(cells.get((label, direction)) for direction in directions)) for label in labels]
        rows = [(label, numbers) for label, numbers in rows if any(numbers) or len(rows) <= 4]  # 80 classes, 3 seen
        totals = tuple(_sum(row[1][i] for row in rows) for i in range(len(directions)))
        split = [row.certainties for row in counts if row.certainties is not None and not row.is_unknown]
        return cls(
            directions=directions,
            rows=tuple((label, numbers, _sum(numbers)) for label, numbers in [*rows, ("all", totals)]),
            certainties=tuple((name, sum(row[i] for row in split)) for i, name in enumerate(CERTAINTIES) if split),
        )

    @property
    def total(self) -> int | None:
        return self.rows[-1][2]


@dataclass(frozen=True, slots=True)
class FlowMatrix:
    """Journeys from rows to columns.

    Attributes:
        places: Heads of the columns.
        rows: (origin, one (count, share of the largest cell) per destination, sum); the last row adds the others up.
    """

    places: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, float], ...], int], ...]

    @classmethod
    def of(cls, flows: Sequence[FlowRow]) -> FlowMatrix:
        cells: Counter[tuple[str, str]] = Counter()
        for row in flows:
            cells[row.origin, row.destination] += row.count
        places = tuple(dict.fromkeys(place for row in flows for place in (row.origin, row.destination)))
        most = max(cells.values(), default=0) or 1
        rows = [(origin, tuple((cells[origin, to], cells[origin, to] / most) for to in places)) for origin in places]
        totals = tuple((sum(row[1][i][0] for row in rows), 0.0) for i in range(len(places)))
        return cls(
            places, tuple((name, numbers, sum(n for n, _ in numbers)) for name, numbers in [*rows, ("all", totals)])
        )


@dataclass(frozen=True, slots=True)
class NearMissTable:
    """How often a rule nearly counted.

    Attributes:
        reasons: Heads of the columns.
        rows: (rule, one count per reason, sum).
    """

    reasons: tuple[str, ...]
    rows: tuple[tuple[RuleInfo, tuple[int, ...], int], ...]

    @classmethod
    def of(cls, summary: Summary) -> NearMissTable:
        reasons = tuple(sorted({reason for _, reason, _ in summary.near_misses}))
        cells = {(rule, reason): count for rule, reason, count in summary.near_misses}
        rules = dict.fromkeys(rule for rule, _, _ in summary.near_misses)
        rows = ((rule, tuple(cells.get((rule, reason), 0) for reason in reasons)) for rule in rules)
        return cls(reasons, tuple((rule, numbers, sum(numbers)) for rule, numbers in rows))


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Of those that are known; None if none is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
