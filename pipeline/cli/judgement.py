"""What `vidan eval counts` shows: errors of sums, or of single events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from vidan.pipeline.events import Event
from vidan.pipeline.report.accuracy import (
    MIN_INTERVALS,
    compare_counts,
    compare_events,
)
from vidan.pipeline.report.accuracy_records import count_record, event_record
from vidan.pipeline.report.manual import Countable, ManualCount, ManualEvent, Movement

_MOST_ROWS = 40  # of the list of what differs; the rest is in --json
_ALL = "all"


class CountJudgement:
    """Manual counts per interval against the events of a run."""

    def __init__(self, manual: Sequence[ManualCount], log: Sequence[Event], countable: Countable) -> None:
        self._accuracies = compare_counts(manual, log, countable.groups)
        self._countable = countable

    @property
    def worst_error(self) -> float:
        """The largest WAPE."""
        return max(accuracy.wape for accuracy in self._accuracies)

    def tables(self) -> Iterator[RenderableType]:
        """Errors per rule and direction, and the intervals that differ."""
        errors = ("error*", "error %*", "95 %*", "WAPE %*", "GEH*", "GEH < 5*")
        table = _table("source", "rule", "direction", "manual*", "counted*", *errors)
        for accuracy in self._accuracies:
            movement, interval = accuracy.movement, accuracy.confidence_interval()
            table.add_row(
                *map(Text, (movement.source, movement.rule, movement.direction or _ALL)),
                str(accuracy.manual),
                str(accuracy.counted),
                f"{accuracy.error:+d}",
                _percent(accuracy.relative_error, "+.1f"),
                "–" if interval is None else f"{_percent(interval[0], '+.1f')} to {_percent(interval[1], '+.1f')}",
                _percent(accuracy.wape),
                f"{accuracy.geh:.1f}",
                f"{sum(cell.geh < 5 for cell in accuracy.cells)}/{len(accuracy.cells)}",
            )
        yield table
        yield ""
        yield (
            "95 %: of the relative error, by bootstrap over intervals "
            f"(from {MIN_INTERVALS} of them); GEH: of hourly volumes, √(2(C−M)²/(C+M))"
        )
        if not_asked := _not_asked([accuracy.movement for accuracy in self._accuracies], self._countable):
            yield not_asked
        yield from self._beyond_the_recording()
        yield from self._differences()

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values; what is infinite is null."""
        return {"movements": [count_record(accuracy) for accuracy in self._accuracies]}

    def _beyond_the_recording(self) -> Iterator[str]:
        """Says where nobody could have been counted: that is no error of the counting."""
        for source, seconds in self._countable.seconds.items():
            own = [accuracy for accuracy in self._accuracies if accuracy.movement.source == source]
            late = {end for accuracy in own for _, end in accuracy.intervals if end > seconds + 1}
            if late:
                yield f"{source} was recorded for {seconds:.1f} s only; manual intervals go on to {max(late):g} s"

    def _differences(self) -> Iterator[RenderableType]:
        cells = [cell for accuracy in self._accuracies for cell in accuracy.cells]
        wrong = sorted((cell for cell in cells if cell.error), key=lambda cell: -abs(cell.error))
        yield ""
        yield f"{len(wrong)} of {len(cells)} intervals differ" + (", the largest error first:" if wrong else "")
        if wrong:
            yield ""
            numbers = ("start*", "end*", "manual*", "counted*", "error*", "GEH*")
            table = _table("source", "rule", "direction", "class", *numbers)
            for cell in wrong[:_MOST_ROWS]:
                manual, movement = cell.manual, cell.manual.movement
                table.add_row(
                    *_names(movement),
                    *(f"{manual.start:g}", f"{manual.end:g}", str(manual.count), str(cell.counted)),
                    *(f"{cell.error:+d}", f"{cell.geh:.1f}"),
                )
            yield table
            yield from _rest(len(wrong))


class EventJudgement:
    """Manual events against those of a run, one to one."""

    def __init__(
        self,
        manual: Sequence[ManualEvent],
        log: Sequence[Event],
        countable: Countable,
        tolerance: float,
        start: float,
        end: float,
    ) -> None:
        watched = [event for event in manual if start <= event.seconds < end]
        watched_log = [event for event in log if start <= event.pts_seconds < end]
        self._accuracies = compare_events(watched, watched_log, countable.groups, tolerance)
        self._countable = countable
        self._tolerance = tolerance

    @property
    def worst_error(self) -> float:
        """The largest share of wrong events."""
        return max((accuracy.wrong for accuracy in self._accuracies), default=0.0)

    def tables(self) -> Iterator[RenderableType]:
        """Errors per rule, direction and class, and the events that differ."""
        sums = ("manual*", "counted*", "true*", "missed*", "false*", "double*")
        table = _table("source", "rule", "direction", "class", *sums, "found %*", "95 %*", "right %*", "late s*")
        for accuracy in self._accuracies:
            low, high = accuracy.recall_interval()
            delay = accuracy.median_delay
            sizes = map(len, (accuracy.true, accuracy.missed, accuracy.false, accuracy.double))
            table.add_row(
                *_names(accuracy.movement),
                *map(str, (accuracy.manual, accuracy.counted, *sizes)),
                _percent(accuracy.recall),
                f"{_percent(low)} to {_percent(high)}",
                _percent(accuracy.precision),
                "" if delay is None else f"{delay:+.2f}",
            )
        yield table
        yield ""
        yield (
            f"matched one to one within ± {self._tolerance:g} s; found: true of manual, 95 % by Wilson's score "
            "interval; right: true of counted; late: median"
        )
        if not_asked := _not_asked([accuracy.movement for accuracy in self._accuracies], self._countable):
            yield not_asked
        yield from self._differences()

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values; what is infinite is null."""
        records = [event_record(accuracy) for accuracy in self._accuracies]
        return {"tolerance": self._tolerance, "movements": records}

    def _differences(self) -> Iterator[RenderableType]:
        wrong: list[tuple[float, str, Movement, int | None, int | None]] = []
        for accuracy in self._accuracies:
            wrong += [(seconds, "missed", accuracy.movement, None, None) for seconds in accuracy.missed]
            for kind, events in (("false", accuracy.false), ("double", accuracy.double)):
                wrong += [(e.pts_seconds, kind, accuracy.movement, e.track_id, e.frame) for e in events]
        if wrong:
            yield ""
            table = _table("time*", "", "source", "rule", "direction", "class", "track*", "frame*")
            for seconds, kind, movement, track, frame in sorted(wrong, key=lambda row: row[:2])[:_MOST_ROWS]:
                numbers = ("" if number is None else str(number) for number in (track, frame))
                table.add_row(f"{seconds:.2f}", kind, *_names(movement), *numbers)
            yield table
            yield from _rest(len(wrong))


def _table(*titles: str) -> Table:
    """A table without lines; columns whose titles end with * hold numbers."""
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for title in titles:
        table.add_column(title.removesuffix("*"), justify="right" if title.endswith("*") else "left")
    return table


def _names(movement: Movement) -> list[Text]:
    names = movement.source, movement.rule, movement.direction or _ALL, movement.label or _ALL
    return [Text(name) for name in names]


def _percent(share: float, form: str = ".1f") -> str:
    return f"{100 * share:{form}}" if isfinite(share) else "∞"


def _rest(number: int) -> Iterator[str]:
    if number > _MOST_ROWS:
        yield f"and {number - _MOST_ROWS} more, which --json has"


def _not_asked(movements: Sequence[Movement], countable: Countable) -> str | None:
    """Which directions of the rules that were watched have no line in the manual counts."""
    asked: dict[tuple[str, str], set[str | None]] = {}
    for movement in movements:
        asked.setdefault((movement.source, movement.rule), set()).add(movement.direction)
    missing = [
        f"{source} {rule} {direction}"
        for (source, rule), directions in asked.items()
        if None not in directions
        for direction in sorted(countable.directions[source, rule] - directions)
    ]
    return f"not compared, for the manual counts have no line of it: {', '.join(missing)}" if missing else None
