"""report.xlsx, read by another library: the sums hold, and no name becomes a formula."""

from __future__ import annotations

import sys
from pathlib import Path

import openpyxl
import pytest

from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.errors import SinkError
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.report import workbook
from vidan.pipeline.report.intervals import StreamSpan
from vidan.pipeline.report.recorded import RecordedRun
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import summarize
from vidan.pipeline.report.workbook import write_workbook
from vidan.pipeline.run_folder import RunFolder

EVIL = '=HYPERLINK("http://x","y")'


def a_run(folder: Path, name: str = "gate", crossings: int = 5, gaps: tuple[Gap, ...] = ()) -> RecordedRun:
    events = [
        Event(f"{i:016x}", EventKind.LINE_CROSSED, "door", name, i, EVIL, 7.0 * i, None, i, (1.0, 2.0),
              details={"direction": "@in", "certainty": "seen"})
        for i in range(crossings)
    ]  # fmt: skip
    rules = [RuleInfo("door", name, "line", (EVIL,), ("@in", "-out"))]
    summary = summarize(events, rules, [StreamSpan("door", 60.0, gaps=gaps)], 10.0)
    return RecordedRun(RunFolder(folder), {}, summary, events)


def test_the_sums_of_all_sheets_hold(tmp_path: Path) -> None:
    path = tmp_path / "report.xlsx"
    write_workbook(path, a_run(tmp_path))
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == [
        *("totals", "counts", "occupancy", "queues", "flows", "speeds", "events", "near misses"),
    ]
    totals = list(book["totals"].iter_rows(values_only=True))
    assert totals[0][5:] == ("count", "seen", "interpolated", "bridged")
    assert totals[1] == ("door", "gate", "line", EVIL, "@in", 5, 5, 0, 0)
    assert sum(int(str(row[9])) for row in book["counts"].iter_rows(min_row=2, values_only=True)) == 5
    assert book["events"].max_row == 6
    assert not list(tmp_path.glob("*.partial"))


def test_a_count_is_empty_where_nobody_looked(tmp_path: Path) -> None:
    write_workbook(tmp_path / "report.xlsx", a_run(tmp_path, gaps=(Gap(40.0, 50.0, GapReason.FROZEN),)))
    _, *rows = openpyxl.load_workbook(tmp_path / "report.xlsx")["counts"].iter_rows(values_only=True)
    outwards = [(row[9], *row[13:]) for row in rows if row[4] == "-out"]
    assert outwards[4:] == [(None, 0, 10, 0, "frozen 10.000 s"), (0, 10, 10, 0, "")]
    write_workbook(tmp_path / "blind.xlsx", a_run(tmp_path, crossings=0, gaps=(Gap(0.0, 60.0, GapReason.DARK),)))
    _, *rows = openpyxl.load_workbook(tmp_path / "blind.xlsx")["totals"].iter_rows(values_only=True)
    assert all(number is None for row in rows for number in row[5:])


@pytest.mark.parametrize("name", [EVIL, "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_name_becomes_a_formula(tmp_path: Path, name: str) -> None:
    write_workbook(tmp_path / "report.xlsx", a_run(tmp_path, name))
    found = 0
    for sheet in openpyxl.load_workbook(tmp_path / "report.xlsx"):
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f"
                if cell.value == name:
                    found += 1
                    assert cell.quotePrefix
    assert found


def test_more_rows_than_a_sheet_takes_go_to_further_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_ROWS", 20)
    write_workbook(tmp_path / "report.xlsx", a_run(tmp_path, crossings=45))
    book = openpyxl.load_workbook(tmp_path / "report.xlsx")
    assert [book[name].max_row for name in ("events", "events 2", "events 3")] == [21, 21, 6]


def test_what_is_in_the_way_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SinkError, match="cannot write the workbook"):
        write_workbook(tmp_path / "no" / "report.xlsx", a_run(tmp_path))
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(SinkError, match=r"pip install 'vidan\[excel\]'"):
        write_workbook(tmp_path / "report.xlsx", a_run(tmp_path))
