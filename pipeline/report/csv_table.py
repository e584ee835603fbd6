"""What all tables of a run share: how they are written, and the columns that say when and how much was seen."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from vidan.pipeline.errors import cannot_write
from vidan.pipeline.events import format_utc
from vidan.pipeline.report.intervals import Interval

WHEN = ("start", "end", "start_utc", "end_utc")
COVERAGE = ("observed_seconds", "expected_seconds", "dropped_frames", "gap_reasons")


def when(interval: Interval) -> tuple[float | str, ...]:
    """The columns of `WHEN`."""
    utcs = (interval.start_utc, interval.end_utc)
    return interval.start, interval.end, *("" if utc is None else format_utc(utc) for utc in utcs)


def coverage(interval: Interval) -> tuple[float, float, int, str]:
    """The columns of `COVERAGE`."""
    lost = "; ".join(f"{reason} {seconds:.3f} s" for reason, seconds in interval.lost_seconds)
    return round(interval.observed_seconds, 3), round(interval.expected_seconds, 3), interval.dropped_frames, lost


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table in UTF-8 with commas.

    Raises:
        SinkError: If it cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as error:
        raise cannot_write("the table", path, error) from error
