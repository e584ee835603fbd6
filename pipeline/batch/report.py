"""One page over all cameras of a batch: totals side by side, by day, what was seen of each, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from vidan.pipeline.batch.tally import Tally, days_of
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.report.charts import CHART_WIDTH, coverage, coverage_chart, duration

MOST_DAYS = 62  # columns of a table that people still read; batch.json has all


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table: a camera (or a rule in a direction), its numbers, and their sum.

    Attributes:
        name: What the row is about.
        cells: A count and its share of the largest one, per column; None: nobody looked.
        total: Sum of the row; None: nobody looked at any time.
    """

    name: str
    cells: tuple[tuple[int, float] | None, ...]
    total: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows against columns.

    Attributes:
        columns: Heads.
        lines: In their order.
        has_sums: Whether the columns are of a kind, so that their sum means something.
    """

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    has_sums: bool


@dataclass(frozen=True, slots=True)
class RuleTables:
    """What is shown of a rule.

    Attributes:
        name: Of the rule.
        cameras: Its cameras against its directions.
        days: Cameras and directions against days; None where no day is known.
    """

    name: str
    cameras: Comparison
    days: Comparison | None


def write_batch_report(path: Path, record: Mapping[str, Any], tallies: Sequence[Tally]) -> None:
    """Writes report.html.

    Args:
        path: File to write.
        record: As it stands in batch.json.
        tallies: Of all cameras.

    Raises:
        SinkError: If it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vidan.pipeline.batch", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "percent": lambda share: f"{share:.1%}"}
    streams = [
        (camera, camera["stream"] and (*coverage(camera["stream"]), coverage_chart(camera["stream"])))
        for camera in record["cameras"]
    ]
    seen = sum(covered[0] for _, covered in streams if covered)
    promised = sum(covered[1] for _, covered in streams if covered)
    page = environment.get_template("batch.html.j2").render(
        title=path.parent.name,
        style=files("vidan.pipeline.report").joinpath("report.css").read_text(encoding="utf-8"),
        record=record,
        streams=streams,
        seen=seen,
        share=seen / promised if promised else None,
        events=sum(tally.count or 0 for tally in tallies),
        rules=compare(tallies),
        zone=record["timezone"] or "UTC",
        plot_width=CHART_WIDTH,
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise cannot_write("the report", path, error) from error


def compare(tallies: Sequence[Tally]) -> list[RuleTables]:
    """Cameras, directions and days of each rule, all classes together; as many days as a page holds."""
    days = tuple(days_of(tallies)[:MOST_DAYS])
    tables: list[RuleTables] = []
    for rule in dict.fromkeys(tally.rule for tally in tallies):
        own = [tally for tally in tallies if tally.rule == rule]
        directions = tuple(dict.fromkeys(tally.direction for tally in own))
        cameras = tuple(dict.fromkeys(tally.camera for tally in own))
        by_camera = {
            camera: [_add(t.count for t in own if t.camera == camera and t.direction == way) for way in directions]
            for camera in cameras
        }
        by_day = {
            f"{camera} · {way}": [
                _add(t.by_day.get(day) for t in own if t.camera == camera and t.direction == way) for day in days
            ]
            for camera in cameras
            for way in directions
        }
        is_line = own[0].type == "line"  # who passes it, passes it once; a zone is entered and left
        tables.append(
            RuleTables(
                rule,
                Comparison(directions, _lines(by_camera, adds_up=True), is_line),
                Comparison(days, _lines(by_day, adds_up=is_line), True) if days else None,
            )
        )
    return tables


def _lines(rows: Mapping[str, Sequence[int | None]], *, adds_up: bool) -> tuple[Line, ...]:
    """The rows, and where it means something one behind them that adds them up."""
    largest = max((number or 0 for numbers in rows.values() for number in numbers), default=0) or 1
    table = dict(rows)
    if adds_up and len(table) > 1:
        table["all"] = [_add(column) for column in zip(*rows.values(), strict=True)]
    return tuple(
        Line(
            name,
            tuple(None if number is None else (number, min(1.0, number / largest)) for number in numbers),
            _add(numbers),
        )
        for name, numbers in table.items()
    )


def _add(numbers: Any) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
