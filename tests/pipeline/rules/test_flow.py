"""Journeys from place to place: every finished track that met something makes one, whatever it met in which order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, box

from vidan.pipeline.events import EventKind
from vidan.pipeline.rules.flow import FlowRule
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.zone import ZoneRule

WEST, EAST = ((100, 0), (100, 200)), ((300, 0), (300, 200))
YARD = box(150, 0, 250, 200)


def line(name: str, points) -> LineRule:
    return LineRule(name=name, points=points, class_names=["person", "car"])


def zone(name: str, polygon: Polygon) -> ZoneRule:
    return ZoneRule(name=name, polygon=polygon, class_names=["person", "car"])


def places():
    return {"west": line("west", WEST), "yard": zone("yard", YARD), "east": line("east", EAST)}


def flow(**options) -> FlowRule:
    return FlowRule(name="trips", places=places(), class_names=["person", "car"], **options)


def row(*xs: float | None) -> list[tuple[float, float] | None]:
    return [None if x is None else (x, 100) for x in xs]


def through(*stops: float) -> list[tuple[float, float] | None]:
    """A path along the middle in steps of ten pixels, with a second at each stop."""
    xs: list[float] = [stops[0]]
    for stop in stops[1:]:
        step = 10 if stop > xs[-1] else -10
        xs += [*range(int(xs[-1]) + step, int(stop) + step, step), *[stop] * 10]
    return row(*xs)


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        pytest.param((50, 350), ("west", "east", 3), id="through everything"),
        pytest.param((350, 50), ("east", "west", 3), id="and back"),
        pytest.param((50, 120), ("west", "west", 1), id="only one line"),
        pytest.param((50, 120, 50), ("west", "west", 2), id="the same line twice"),
        pytest.param((200, 350), ("yard", "east", 2), id="begins in a zone"),
        pytest.param((50, 200), ("west", "yard", 2), id="ends in a zone"),
        pytest.param((50, 350, 200), ("west", "yard", 5), id="turns round"),
    ],
)
def test_a_journey_goes_from_the_first_to_the_last_place(walk, watch, stops, expected) -> None:
    [event] = watch(flow(), walk({3: through(*stops)}))
    assert event.kind is EventKind.FLOW_COMPLETED
    assert (event.track_id, event.rule, event.label) == (3, "trips", "person")
    assert (event.details["origin"], event.details["destination"], event.details["meetings"]) == expected


def test_who_meets_nothing_goes_nowhere(walk, watch) -> None:
    assert watch(flow(), walk({1: through(110, 140)})) == []


def test_a_journey_stands_where_it_met_its_destination(walk, watch) -> None:
    [event] = watch(flow(), walk({3: [*through(50, 350), *row(*[350] * 30)]}))
    assert event.point == pytest.approx((300, 100))
    assert event.pts_seconds == pytest.approx(2.5)
    assert event.details["seconds"] == pytest.approx(2.0)  # from 100 to 300 pixels in steps of ten, ten a second


def test_the_class_is_that_of_the_whole_life(walk, watch) -> None:
    path = through(50, 350)
    classes = {1: [0] * (len(path) - 2) + [1] * 2}
    [event] = watch(flow(class_ids=frozenset({1})), walk({1: path}, classes=classes))
    assert event.label == "car"
    assert watch(flow(class_ids=frozenset({0})), walk({1: path}, classes=classes)) == []


steps = st.none() | st.tuples(st.integers(0, 400), st.integers(-50, 250)).map(lambda place: (place[0], place[1]))
walks = st.dictionaries(st.integers(1, 6), st.lists(steps, min_size=2, max_size=25).filter(any), min_size=1)


@settings(max_examples=80, deadline=None)
@given(paths=walks)
def test_the_sum_of_all_journeys_is_the_number_of_tracks_that_met_something(walk, watch, paths) -> None:
    scenes = walk(paths)
    meetings = [(event.track_id, event) for place in places().values() for event in watch(place, scenes)]
    kinds = {EventKind.LINE_CROSSED, EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED}
    met = {track for track, event in meetings if event.kind in kinds}
    events = watch(flow(), scenes)
    assert sorted(event.track_id for event in events) == sorted(met)
    assert len({event.id for event in events}) == len(events)
    for event in events:
        times = [other.pts_seconds for track, other in meetings if track == event.track_id and other.kind in kinds]
        assert event.pts_seconds == max(times)
        assert event.details["seconds"] == pytest.approx(max(times) - min(times))


def test_a_flow_forgets_what_ended(walk, watch) -> None:
    rule = flow()
    watch(rule, walk({track: through(50, 350) for track in range(1, 9)} | {9: row(*[0] * 80)}))
    assert not rule._journeys
    assert not rule._last
    assert not rule._events._made
