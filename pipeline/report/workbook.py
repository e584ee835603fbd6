"""A recorded run -> report.xlsx: totals, counts, occupancy, queues, journeys, speeds, events and near misses as sheets.

Texts are written as texts and never as formulas. Those that look like one (`=`, `+`, `-` or `@` in front) also carry
Excel's quote prefix, so that they do not become one when somebody edits the cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vidan.pipeline.calibration import UNITS
from vidan.pipeline.errors import SinkError, cannot_write
from vidan.pipeline.events import Event
from vidan.pipeline.report.counts import CERTAINTIES
from vidan.pipeline.report.csv_table import coverage
from vidan.pipeline.report.intervals import Interval
from vidan.pipeline.report.recorded import RecordedRun
from vidan.pipeline.report.summary import Summary

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.worksheet import Worksheet

Cell: TypeAlias = "str | float | datetime | None"

MOST_ROWS = 1_048_575  # of a sheet under its header; more go to further sheets
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
_WHEN = ("start, s", "end, s", "start, UTC", "end, UTC")
_SEEN = ("observed, s", "expected, s", "frames dropped", "not observed because")
_EVENT_HEADER = (
    *("id", "event", "source", "rule", "track", "class", "time, s", "UTC", "frame", "x", "y", "confidence"),
    *("direction", "certainty", "details"),
)


def write_workbook(path: Path, run: RecordedRun) -> None:
    """Writes report.xlsx.

    Args:
        path: File to write; an old one is replaced.
        run: What it tells of.

    Raises:
        SinkError: If it cannot be written, or XlsxWriter is not installed.
    """
    try:
        import xlsxwriter
        from xlsxwriter.exceptions import FileCreateError
    except ImportError as error:
        raise SinkError("a workbook needs XlsxWriter: pip install 'vidan[excel]'") from error
    draft = path.with_name(path.name + ".partial")
    book = xlsxwriter.Workbook(
        str(draft),
        {"constant_memory": True, "remove_timezone": True, "default_date_format": "yyyy-mm-dd hh:mm:ss.000"},
    )
    writer = _Writer(book)
    for name, header, rows in _sheets(run):
        writer.add(name, header, rows)
    try:
        book.close()
        draft.replace(path)
    except (OSError, FileCreateError) as error:
        draft.unlink(missing_ok=True)
        raise cannot_write("the workbook", path, error) from error


class _Writer:
    """Adds sheets with a bold, frozen header."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self._bold = book.add_format({"bold": True, "bottom": 1})
        self._quoted = book.add_format({"quote_prefix": True})

    def add(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """A sheet, and further ones where there are more rows than Excel takes."""
        sheet = self._sheet(name, header)
        number = 0
        for count, row in enumerate(rows):
            if count and count % MOST_ROWS == 0:
                sheet, number = self._sheet(f"{name} {count // MOST_ROWS + 1}", header), 0
            number += 1
            for column, cell in enumerate(row):
                self._put(sheet, number, column, cell)

    def _sheet(self, name: str, header: Sequence[str]) -> Worksheet:
        sheet = self._book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        for column, text in enumerate(header):
            sheet.set_column(column, column, 22 if "UTC" in text else max(10, len(text) + 2))
            sheet.write_string(0, column, text, self._bold)
        return sheet

    def _put(self, sheet: Worksheet, row: int, column: int, cell: Cell) -> None:
        if isinstance(cell, str):
            sheet.write_string(row, column, cell, self._quoted if cell.startswith(_FORMULA_SIGNS) else None)
        elif isinstance(cell, datetime):
            sheet.write_datetime(row, column, cell)
        elif cell is not None:
            sheet.write_number(row, column, cell)


def _sheets(run: RecordedRun) -> Iterable[tuple[str, Sequence[str], Iterable[Sequence[Cell]]]]:
    summary = run.summary
    header = ("source", "rule", "type", "class", "direction")
    yield "totals", (*header, "count", *CERTAINTIES), _totals(summary)
    yield (
        "counts",
        (*header, *_WHEN, "count", *CERTAINTIES, *_SEEN),
        (
            (
                *(row.rule.stream, row.rule.name, row.rule.type, row.label, row.direction, *_when(row.interval)),
                *((None,) * 4 if row.is_unknown else (row.count, *(row.certainties or (None, None, None)))),
                *coverage(row.interval),
            )
            for row in summary.counts
        ),
    )
    yield (
        "occupancy",
        ("source", "rule", *_WHEN, "samples", "minimum", "mean", "maximum", *_SEEN),
        (
            (
                *(row.rule.stream, row.rule.name, *_when(row.interval), row.samples, row.minimum, row.mean),
                *(row.maximum, *coverage(row.interval)),
            )
            for row in summary.occupancy
        ),
    )
    yield (
        "queues",
        (
            *("source", "rule", *_WHEN, "samples", "minimum", "mean", "maximum"),
            *("served", "mean wait, s", "gave up", *_SEEN),
        ),
        (
            (
                *(row.rule.stream, row.rule.name, *_when(row.interval), row.samples, row.minimum, row.mean),
                *(row.maximum, None if row.is_unknown else len(row.waits)),
                sum(row.waits) / len(row.waits) if row.waits else None,
                None if row.is_unknown else len(row.abandoned),
                *coverage(row.interval),
            )
            for row in summary.queues
        ),
    )
    yield (
        "flows",
        ("source", "rule", "from", "to", "class", "count"),
        (
            (
                *(row.rule.stream, row.rule.name, row.origin, row.destination, row.label),
                None if row.rule in summary.unseen else row.count,
            )
            for row in summary.flows
        ),
    )
    yield (
        "speeds",
        ("source", "rule", "speed", "unit", "limit"),
        (
            (speeds.rule.stream, speeds.rule.name, speed * UNITS[speeds.unit], speeds.unit, speeds.limit)
            for speeds in summary.speeds
            for speed in speeds.metres_per_second
        ),
    )
    yield "events", _EVENT_HEADER, map(_event_row, run.events)
    yield "near misses", _EVENT_HEADER, map(_event_row, run.near_misses)


def _totals(summary: Summary) -> Iterable[Sequence[Cell]]:
    """Per rule, class and direction over the whole run; no numbers where nobody looked."""
    sums: dict[tuple[str, ...], list[int]] = {}
    for row in summary.counts:
        key = row.rule.stream, row.rule.name, row.rule.type, row.label, row.direction
        own = sums.setdefault(key, [])
        if row.is_unknown:
            continue
        own += [0] * ((1 if row.certainties is None else 4) - len(own))
        for place, number in enumerate((row.count, *(row.certainties or ()))):
            own[place] += number
    return ((*key, *numbers) for key, numbers in sums.items())


def _event_row(event: Event) -> Sequence[Cell]:
    details = dict(event.details)
    direction, certainty = details.pop("direction", None), details.pop("certainty", None)
    x, y = event.point or (None, None)
    return (
        *(event.id, event.kind.value, event.stream, event.rule, event.track_id, event.label, event.pts_seconds),
        *(event.utc, event.frame, x, y, event.confidence, direction, certainty),
        ", ".join(f"{key} {value}" for key, value in details.items()),
    )


def _when(interval: Interval) -> tuple[Cell, ...]:
    return interval.start, interval.end, interval.start_utc, interval.end_utc
