"""Journeys, speeds and queues from the log: zero-filled, and the sums hold."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.events import Event, EventKind, event_id
from vidan.pipeline.report.intervals import StreamSpan
from vidan.pipeline.report.measures import write_flows_csv, write_queue_csv
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import Summary, summarize

TRIPS = RuleInfo("door", "trips", "flow", ("person", "car"), (), places=("west", "yard", "east"))
ROAD = RuleInfo("door", "road", "speed", ("car",), (), unit="km/h", limit=50.0)
TILL = RuleInfo("door", "till", "queue", ("person",), (), every_seconds=1.0)


def event(rule: RuleInfo, kind: EventKind, seconds: float, label: str | None = "person", **details: object) -> Event:
    name = event_id("door", rule.name, kind, 1, round(seconds * 1e6))
    return Event(name, kind, "door", rule.name, 1, label, seconds, None, 0, details=details)


def summary_of(events: list[Event], seconds: float = 20.0, gaps: tuple[Gap, ...] = ()) -> Summary:
    return summarize(events, [TRIPS, ROAD, TILL], [StreamSpan("door", seconds, None, None, gaps)], 10.0)


places = st.sampled_from(TRIPS.places)
trips = st.builds(
    lambda origin, destination, label: event(
        TRIPS, EventKind.FLOW_COMPLETED, 1.0, label, origin=origin, destination=destination
    ),
    places,
    places,
    st.sampled_from(["person", "car", "dog"]),
)


@settings(max_examples=50, deadline=None)
@given(events=st.lists(trips, max_size=30))
def test_the_cells_of_a_matrix_add_up_to_its_events(events: list[Event]) -> None:
    rows = summary_of(events).flows
    assert sum(row.count for row in rows) == len(events)
    assert {(row.origin, row.destination) for row in rows} == {(a, b) for a in TRIPS.places for b in TRIPS.places}
    by_class = Counter[str | None]()
    for row in rows:
        by_class[row.label] += row.count
    assert +by_class == Counter(one.label for one in events)


def test_speeds_are_metres_per_second_whatever_the_unit() -> None:
    kind = EventKind.SPEED_MEASURED
    fast = event(ROAD, EventKind.SPEEDING, 1.0, speed=72.0)
    [speeds] = summary_of([event(ROAD, kind, 3.0, speed=72.0), event(ROAD, kind, 1.0, speed=36.0), fast]).speeds
    assert speeds.metres_per_second == pytest.approx((10, 20))
    assert (speeds.unit, speeds.limit) == ("km/h", 50.0)
    assert summary_of([fast]).alerts == ((ROAD, EventKind.SPEEDING, 1),)


def test_a_queue_is_sampled_and_waits_stand_where_they_ended() -> None:
    events = [
        event(TILL, EventKind.QUEUE_CHANGED, 2.0, length=3),
        event(TILL, EventKind.QUEUE_CHANGED, 7.0, length=1),
        event(TILL, EventKind.QUEUE_SERVED, 9.0, wait=6.0),
        event(TILL, EventKind.QUEUE_SERVED, 9.5, wait=2.0),
        event(TILL, EventKind.QUEUE_ABANDONED, 12.0, wait=4.0),
    ]
    first, second = summary_of(events).queues
    assert (first.samples, first.minimum, first.mean, first.maximum) == (10, 0, pytest.approx(1.8), 3)
    assert (first.waits, first.abandoned) == ((2.0, 6.0), ())
    assert (second.minimum, second.maximum, second.waits, second.abandoned) == (1, 1, (), (4.0,))


def test_tables_have_a_line_per_cell_and_per_interval(tmp_path: Path) -> None:
    events = [
        event(TRIPS, EventKind.FLOW_COMPLETED, 1.0, origin="west", destination="east"),
        event(TILL, EventKind.QUEUE_SERVED, 9.0, wait=6.0),
    ]
    summary = summary_of(events)
    write_flows_csv(tmp_path / "flows.csv", summary.flows)
    write_queue_csv(tmp_path / "queue.csv", summary.queues)
    flows, queue = (list(csv.DictReader((tmp_path / name).open())) for name in ("flows.csv", "queue.csv"))
    assert len(flows) == 3 * 3 * 2
    [cell] = [row for row in flows if row["count"] != "0"]
    assert (cell["origin"], cell["destination"], cell["class"]) == ("west", "east", "person")
    assert [(row["served"], row["mean_wait"], row["longest_wait"]) for row in queue] == [
        ("1", "6.0", "6.0"),
        ("0", "", ""),
    ]


def test_where_nobody_looked_nothing_is_counted_as_zero(tmp_path: Path) -> None:
    summary = summary_of([], gaps=(Gap(0.0, 10.0, GapReason.DARK),))
    write_queue_csv(tmp_path / "queue.csv", summary.queues)
    dark, light = csv.DictReader((tmp_path / "queue.csv").open())
    assert (dark["served"], dark["abandoned"], dark["gap_reasons"]) == ("", "", "dark 10.000 s")
    assert (light["served"], light["abandoned"], light["gap_reasons"]) == ("0", "0", "")
    assert not summary.unseen
    blind = summary_of([], gaps=(Gap(0.0, 20.0, GapReason.DARK),))
    assert blind.unseen == {TRIPS, ROAD, TILL}
    write_flows_csv(tmp_path / "flows.csv", blind.flows, blind.unseen)
    assert {row["count"] for row in csv.DictReader((tmp_path / "flows.csv").open())} == {""}
