"""Tables of manual counts: forms that are read, and what is said about wrong ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from vidan.pipeline.errors import ConfigError
from vidan.pipeline.report.manual import Countable, ManualCount, ManualEvent, Movement, read_manual

COUNTS = "source,rule,class,direction,start,end,count\n"
EVENTS = "source,rule,class,direction,time\n"
COUNTABLE = Countable(
    directions={("yard", "gate"): frozenset({"in", "out"}), ("yard", "lot"): frozenset({"entered", "left"})},
    classes={("yard", "gate"): frozenset({"person", "car"}), ("yard", "lot"): frozenset({"person"})},
    groups={"vehicle": frozenset({"car"})},
    start_utc={"yard": datetime(2026, 5, 1, 8, tzinfo=UTC)},
    seconds={"yard": 60.0},
)


@pytest.fixture
def read(tmp_path: Path):
    def read_text(text: str, countable: Countable = COUNTABLE) -> tuple[list[ManualCount], list[ManualEvent]]:
        path = tmp_path / "manual.csv"
        path.write_text(text, encoding="utf-8")
        return read_manual(path, countable)

    return read_text


def test_seconds_and_clock_times_mean_the_same(read) -> None:
    counts, events = read(COUNTS + "yard,gate,person,in,10,70,3\n")
    assert counts == [ManualCount(Movement("yard", "gate", "person", "in"), 10, 70, 3)]
    assert events == []
    assert read(COUNTS + "yard,gate,person,in,2026-05-01T10:00:10+02:00,2026-05-01T08:01:10Z,3\n")[0] == counts


def test_events_have_one_time_each(read) -> None:
    movement = Movement("yard", "lot", None, "entered")
    assert read(EVENTS + "yard,lot,,entered,1.5\nyard,lot,,entered,1.5\n") == ([], [ManualEvent(movement, 1.5)] * 2)


def test_spreadsheets_may_use_semicolons_bom_spaces_capitals_and_more_columns(read) -> None:
    text = "\ufeffRule; Source ;Class;Direction;Start;End;Count;Remark\r\ngate;;vehicle;;0;1; 2 ;rain\r\n;;;;;;;\r\n"
    assert read(text)[0] == [ManualCount(Movement("yard", "gate", "vehicle", None), 0, 1, 2)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (COUNTS, "has no line below its titles"),
        ("source,rule,start,end,count\n", "no column class, direction"),
        (COUNTS + "yrd,gate,,in,0,1,1\n", r":2: no stream 'yrd' in the run \(did you mean 'yard'\?\)"),
        (
            COUNTS + "yard,gat,,in,0,1,1\n",
            r":2: no rule 'gat' in the run \(did you mean 'gate'\?\); there is gate",
        ),
        (COUNTS + "yard,lot,,in,0,1,1\n", ":2: no direction of lot 'in'"),
        (COUNTS + "yard,lot,car,left,0,1,1\n", ":2: no class of lot 'car'"),
        (COUNTS + "yard,gate,,in,5,5,1\n", ":2: start 5 is not before end 5"),
        (COUNTS + "yard,gate,,in,nan,5,1\n", ":2: nan is no time"),
        (COUNTS + "yard,gate,,in,noon,5,1\n", ":2: 'noon' is no time"),
        (COUNTS + "yard,gate,,in,2026-05-01T10:00,5,1\n", ":2: 2026-05-01T10:00 has no offset"),
        (COUNTS + "yard,gate,,in,0,5,1.5\n", ":2: count '1.5' is no whole number"),
        (COUNTS + "yard,gate,,in,0,5\n", ":2: count '' is no whole number"),
        (COUNTS + "yard,gate,,in,0,5,1\nyard,gate,,in,4,6,1\n", ":3: counts again a part of the time that line 2"),
        (COUNTS + "yard,gate,,in,0,5,1\nyard,gate,,,0,5,1\n", "rule gate of yard: name the direction in all"),
        (EVENTS + "yard,gate,,in,1\nyard,gate,car,in,2\n", "rule gate of yard: name the class in all"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(read, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read(text)


def test_all_problems_are_told_at_once(read) -> None:
    with pytest.raises(ConfigError) as caught:
        read(COUNTS + "yard,gate,,in,0,1,x\nyard,gate,,in,0,1,1\nyard,gate,,up,0,1,1\n")
    assert [line.split(": ")[0].rpartition(":")[2] for line in str(caught.value).splitlines()] == ["2", "4"]


def test_clock_times_need_a_run_with_a_clock(read) -> None:
    blind = Countable(COUNTABLE.directions, COUNTABLE.classes, {}, {"yard": None}, {"yard": 60.0})
    with pytest.raises(ConfigError, match="the run knows no clock"):
        read(EVENTS + "yard,gate,,in,2026-05-01T10:00:10Z\n", blind)
