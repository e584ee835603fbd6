"""Stays in a zone: how they begin and end, how long they last, and the sums that hold for every walk."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon

from vidan.pipeline.events import EventKind, event_id
from vidan.pipeline.rules.zone import ZoneRule

SQUARE = Polygon([(0, 0), (100, 0), (100, 100), (0, 100)])
WITH_HOLE = Polygon(SQUARE.exterior, [[(40, 40), (60, 40), (60, 60), (40, 60)]])
TWO_PARTS = MultiPolygon([SQUARE, Polygon([(200, 0), (300, 0), (300, 100), (200, 100)])])


def zone(polygon: Polygon | MultiPolygon = SQUARE, **options):
    """Ten frames are one second: a change of sides settles in three frames."""
    return ZoneRule(name="yard", polygon=polygon, class_names=["person", "car"], **options)


def row(*places):
    """A path along the middle of the square, which lies between 0 and 100; None where it is not seen."""
    return [None if x is None else (x, 50) for x in places]


def story(events):
    """(what, when) of each event, without the common part of the names."""
    return [(event.kind.removeprefix("zone_"), round(event.pts_seconds, 3)) for event in events]


# --- stays ------------------------------------------------------------------------------------------------------------


def test_an_event_tells_time_place_and_evidence(walk, watch):
    entered, left = watch(zone(), walk({7: row(-30, 10, 20, 30, 40, 120, 130, 140, 150, 160)}))
    assert entered.id == event_id("camera", "yard", EventKind.ZONE_ENTERED, 7, 1)
    assert (entered.kind, entered.track_id, entered.label) == (EventKind.ZONE_ENTERED, 7, "person")
    assert (entered.pts_seconds, entered.point) == (pytest.approx(0.075), (0, 50))
    assert (entered.frame, entered.box) == (1, (-15, -50, 35, 50))
    assert entered.details == {"class_share": 0.75}
    assert (left.kind, left.pts_seconds) == (EventKind.ZONE_LEFT, pytest.approx(0.475))
    assert left.details == {"dwell": pytest.approx(0.4), "class_share": 0.75}


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param([-50] * 9, [], id="never there"),
        pytest.param([-50, *[50] * 9, *[150] * 5], [("entered", 0.05), ("left", 0.95)], id="through"),
        pytest.param([50] * 9, [("appeared", 0), ("vanished", 0.8)], id="always there"),
        pytest.param([50, 50, *[150] * 9], [("appeared", 0), ("left", 0.15)], id="begins inside, leaves at once"),
        pytest.param([*[-50] * 5, 50], [("entered", 0.45), ("vanished", 0.5)], id="ends as soon as it is inside"),
        pytest.param([*[50] * 5, 150], [("appeared", 0), ("left", 0.45)], id="ends as soon as it is outside"),
        pytest.param([-50, 50, 50, *[-50] * 9], [], id="too short a visit"),
        pytest.param([*[50] * 5, 150, 150, *[50] * 4], [("appeared", 0), ("vanished", 1.0)], id="too short an absence"),
        pytest.param([-50, *[None] * 5, 50, 50, 50], [("entered", 0.3), ("vanished", 0.8)], id="lost on the way in"),
        pytest.param([-50, 50, *[None] * 8, -50], [("entered", 0.05), ("left", 0.55)], id="lost inside, found outside"),
        pytest.param([50, 50, None, None, None], [("appeared", 0), ("vanished", 0.3)], id="lost inside, given up"),
        pytest.param([-50, -50, 0, 0, 0, 0], [("entered", 0.2), ("vanished", 0.5)], id="the boundary is inside"),
        pytest.param([50, 50, 50, 50, 100, 150], [("appeared", 0), ("left", 0.4)], id="left from the boundary"),
    ],
)
def test_a_stay_is_an_entry_or_appearance_and_an_exit_or_vanishing(walk, watch, places, expected):
    lost_after = 2 if places[-1] is None else 99
    assert story(watch(zone(), walk({1: row(*places)}, lost_after=lost_after))) == expected


def test_an_event_is_told_in_the_frame_that_makes_it_certain(walk):
    rule = zone()
    told = {s.index: rule.update(s, tracks) for s, tracks in walk({1: row(-50, *[50] * 6, *[150] * 6)})}
    assert [index for index, events in told.items() if events] == [4, 10]


def test_dwell_goes_on_while_the_track_is_lost_until_it_is_given_up(walk, watch):
    paths = {1: row(-50, *[50] * 5), 2: row(*[500] * 30)}
    entered, vanished = watch(zone(), walk(paths, lost_after=10))
    assert vanished.pts_seconds == pytest.approx(1.5)
    assert vanished.details["dwell"] == pytest.approx(1.5 - entered.pts_seconds)
    assert (vanished.frame, vanished.point) == (5, (50, 50))  # its last sighting is the evidence


def test_a_hole_is_outside_and_every_part_is_inside(walk, watch):
    through_the_hole = walk({1: row(20, *[50] * 5, *[80] * 5)})
    assert story(watch(zone(WITH_HOLE), through_the_hole)) == [
        ("appeared", 0), ("left", 0.067), ("entered", 0.533), ("vanished", 1.0),
    ]  # fmt: skip
    past_the_other_part = [50] * 4 + [350] * 4
    for places, moment in (
        (past_the_other_part, 0.3 + 0.1 * 50 / 300),
        (past_the_other_part[::-1], 0.3 + 0.1 * 250 / 300),
    ):
        moments = [time for _, time in story(watch(zone(TWO_PARTS), walk({1: row(*places)})))]
        assert round(moment, 3) in moments
    from_part_to_part = walk({1: row(*[50] * 4, *[250] * 4)})
    assert story(watch(zone(TWO_PARTS), from_part_to_part)) == [("appeared", 0), ("vanished", 0.7)]


def test_overlap_asks_for_a_share_of_the_box_instead_of_the_anchor(walk, watch):
    # The boxes are 50 wide and 100 high and stand on y = 50, so half of them at most is in the square.
    scenes = walk({1: row(*range(-60, 60, 10))})
    assert story(watch(zone(overlap=0.6), scenes)) == []
    assert story(watch(zone(overlap=0.25), scenes)) == [("entered", 0.6), ("vanished", 1.1)]
    assert story(watch(zone(overlap=0.3), scenes)) == [("entered", 0.65), ("vanished", 1.1)]


def test_a_box_without_area_is_inside_where_the_zone_covers_it(walk, watch):
    scenes = walk({1: row(50, 50), 2: row(150, 150), 3: [(50, 100)] * 2}, height=0)
    assert [event.track_id for event in watch(zone(overlap=0.5), scenes)] == [1, 3, 1, 3]


@pytest.mark.parametrize(
    ("classes", "labels"),
    [([0] * 9, [0, 0]), ([1] * 9, []), ([1, 1, 0, 0, 0, 0, 1, 1, 1], [0, 0]), ([0, 0, 1, 1, 1, 1, 1, 1, 1], [])],
)
def test_the_class_is_judged_when_the_stay_is_announced_and_holds_to_its_end(walk, watch, classes, labels):
    events = watch(zone(class_ids=frozenset({0})), walk({1: row(*[50] * 9)}, classes={1: classes}))
    assert [event.label for event in events] == [("person", "car")[label] for label in labels]


def test_events_of_one_frame_come_by_time_then_by_track_and_all_ids_differ(walk, watch):
    inside = row(-50, *[50] * 5, *[150] * 5, *[50] * 5)
    events = watch(zone(), walk({2: inside, 1: inside, 3: row(-10, *[90] * 15)}))
    assert [event.track_id for event in events] == [3, 1, 2, 1, 2, 1, 2, 1, 2, 3]
    assert len({event.id for event in events}) == len(events)


def test_a_rule_forgets_what_ended(walk, watch):
    rule = zone(capacity_max=2)
    watch(rule, walk({track: row(-50, *[50] * track, 150, 150) for track in range(1, 9)}))
    assert not rule._visitors
    assert set(rule._events._made) <= {None}


# --- loitering and capacity -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param([-50, *[50] * 14], [("entered", 0.05), ("loitering", 1.05), ("vanished", 1.4)], id="long"),
        pytest.param([-50, *[50] * 9, *[150] * 9], [("entered", 0.05), ("left", 0.95)], id="short"),
        pytest.param(
            [-50, *[50] * 5, 150, *[50] * 9],
            [("entered", 0.05), ("loitering", 1.05), ("vanished", 1.5)],
            id="a step outside does not begin a new stay",
        ),
        pytest.param([*[50] * 9, *[150] * 9], [("appeared", 0), ("left", 0.85)], id="outside, but not yet believed"),
        pytest.param(
            [*[50] * 5, *[None] * 9],
            [("appeared", 0), ("loitering", 1.0), ("vanished", 1.2)],
            id="lost in the meantime",
        ),
    ],
)
def test_loitering_is_told_once_per_stay(walk, watch, places, expected):
    events = watch(zone(loiter_after=1.0), walk({1: row(*places)}, lost_after=8))
    assert story(events) == expected
    assert [event.details["dwell"] for event in events if event.kind == EventKind.LOITERING] in ([], [1.0])


def test_every_stay_can_loiter(walk, watch):
    events = watch(zone(loiter_after=1.0), walk({1: row(*[50] * 15, *[150] * 9, *[50] * 15)}))
    assert Counter(event.kind for event in events)[EventKind.LOITERING] == 2
    assert len({event.id for event in events}) == len(events)


def test_capacity_is_told_on_the_rise_above_and_on_the_return(walk, watch):
    paths = {
        1: row(*[50] * 30),
        2: row(-50, -50, *[50] * 10, *[150] * 18),
        3: row(*[-50] * 5, *[50] * 15, *[150] * 10),
        4: row(*[-50] * 22, *[50] * 8),
    }
    events = watch(zone(capacity_max=1), walk(paths))
    told = [event for event in events if event.kind in (EventKind.CAPACITY_EXCEEDED, EventKind.CAPACITY_CLEARED)]
    assert [(event.kind.value, round(event.pts_seconds, 2), event.details) for event in told] == [
        ("capacity_exceeded", 0.15, {"count": 2}),
        ("capacity_cleared", 1.95, {"count": 1}),
        ("capacity_exceeded", 2.15, {"count": 2}),
        ("capacity_cleared", 2.9, {"count": 1}),
    ]
    assert all(event.track_id is None and event.label is None for event in told)
    assert len({event.id for event in events}) == len(events)


def test_only_counted_classes_fill_a_zone(walk, watch):
    paths = {track: row(*[50] * 6) for track in (1, 2, 3)}
    rule = zone(class_ids=frozenset({0}), capacity_max=1)
    events = watch(rule, walk(paths, classes={1: [0] * 6, 2: [1] * 6, 3: [1] * 6}))
    assert [event.kind.value for event in events] == ["zone_appeared", "zone_vanished"]


@pytest.mark.parametrize(
    "options",
    [{"polygon": Polygon()}, {"polygon": Polygon([(0, 0), (9, 9), (9, 0), (0, 9)])}, {"overlap": 0}, {"settle": -1}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="zone 'yard'"):
        zone(**options)


# --- ground truth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", ["PETS09-S2L1", "MOT17-04", "MOT17-09"])
def test_real_walks_give_the_counts_of_the_ground_truth(shared, ground_truth, watch, sequence):
    truth = json.loads((shared / "tracking" / "counts" / f"{sequence}.json").read_text())
    scenes = ground_truth(sequence, truth["fps"], truth["frames"])
    for wanted in truth["zones"]:
        events = watch(zone(Polygon(wanted["polygon"]), settle=0), scenes)
        counts = Counter(event.kind for event in events)
        assert counts[EventKind.ZONE_ENTERED] == wanted["entries"]
        assert counts[EventKind.ZONE_LEFT] == wanted["exits"]
        assert counts[EventKind.ZONE_APPEARED] == wanted["start_inside"]
        dwell = sum(event.details.get("dwell", 0) for event in events)
        # The reference gives every visit whole frames, ours end between them.
        assert dwell == pytest.approx(wanted["total_dwell_s"], abs=wanted["visits"] / truth["fps"])


def test_every_entry_and_exit_of_a_stroll_is_found_and_none_added(walk, watch):
    rng = np.random.default_rng(3)
    paths = {}
    for track in range(1, 41):
        corners = rng.uniform(-100, 200, (5, 2))
        legs = [np.linspace(a, b, 2 + int(math.dist(a, b) / 4)) for a, b in pairwise(corners)]
        paths[track] = np.round(np.concatenate(legs), 2).tolist()
    found = Counter((event.kind, event.track_id) for event in watch(zone(settle=0), walk(paths, lost_after=99)))
    expected: Counter[tuple[EventKind, int]] = Counter()
    for track, path in paths.items():
        inside = [0 <= x <= 100 and 0 <= y <= 100 for x, y in path]
        changes = Counter(pairwise(inside))
        expected[EventKind.ZONE_ENTERED, track] = changes[False, True]
        expected[EventKind.ZONE_LEFT, track] = changes[True, False]
        expected[EventKind.ZONE_APPEARED, track] = inside[0]
        expected[EventKind.ZONE_VANISHED, track] = inside[-1]
    assert expected.total() > 50
    assert found == expected


# --- laws -------------------------------------------------------------------------------------------------------------

places = st.tuples(st.integers(-6, 16), st.integers(-6, 16))
ways = st.lists(st.none() | places, min_size=1, max_size=30).filter(any)
crowds = st.dictionaries(st.integers(1, 5), ways, min_size=1, max_size=5)
triangles = st.lists(places, min_size=3, max_size=6).map(lambda corners: shapely.MultiPoint(corners).convex_hull)
areas = triangles.filter(lambda hull: hull.geom_type == "Polygon")
settle_times = st.sampled_from([0.0, 0.1571, 0.2718, 1.0414, math.inf])


@settings(deadline=None, max_examples=60)
@given(area=areas, path=ways, settle=settle_times)
def test_entries_less_exits_are_inside_at_the_end_less_inside_at_the_beginning(walk, watch, area, path, settle):
    kinds = Counter(event.kind for event in watch(zone(area, settle=settle), walk({1: path}, lost_after=99)))
    first, last = (area.covers(Point(place)) for place in (next(filter(None, path)), next(filter(None, path[::-1]))))
    assert kinds[EventKind.ZONE_APPEARED] == first
    assert kinds[EventKind.ZONE_VANISHED] == last
    assert kinds[EventKind.ZONE_ENTERED] - kinds[EventKind.ZONE_LEFT] == int(last) - int(first)


@settings(deadline=None, max_examples=40)
@given(area=areas, path=ways)
def test_without_settling_every_change_of_sides_counts(walk, watch, area, path):
    inside = [area.covers(Point(place)) for place in path if place]
    changes = Counter(pairwise(inside))
    kinds = Counter(event.kind for event in watch(zone(area, settle=0), walk({1: path}, lost_after=99)))
    assert kinds[EventKind.ZONE_ENTERED] == changes[False, True]
    assert kinds[EventKind.ZONE_LEFT] == changes[True, False]


@settings(deadline=None, max_examples=40)
@given(area=areas, crowd=crowds, settle=settle_times, limit=st.integers(0, 3), overlap=st.none() | st.just(0.3))
def test_stays_begin_before_they_end_and_capacity_follows_the_number_inside(
    walk, watch, area, crowd, settle, limit, overlap
):
    rule = zone(area, settle=settle, capacity_max=limit, overlap=overlap)
    begun: dict[int, float] = {}
    stays = defaultdict(list)
    is_exceeded = False
    for event in watch(rule, walk(crowd, height=8, lost_after=4)):
        if event.kind in (EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED):
            assert event.track_id not in begun
            begun[event.track_id] = event.pts_seconds
        elif event.kind in (EventKind.ZONE_LEFT, EventKind.ZONE_VANISHED):
            start = begun.pop(event.track_id)
            assert event.details["dwell"] == pytest.approx(event.pts_seconds - start)
            assert event.details["dwell"] >= 0
            stays[event.track_id].append((start, event.pts_seconds))
        else:
            is_exceeded = event.kind == EventKind.CAPACITY_EXCEEDED
            assert event.details["count"] == len(begun) == (limit + 1 if is_exceeded else limit)
    assert not begun
    assert not is_exceeded
    for intervals in stays.values():
        assert intervals == sorted(intervals)


@settings(deadline=None, max_examples=40)
@given(area=areas, path=ways, settle=settle_times)
def test_time_that_runs_backwards_swaps_entries_and_exits(walk, watch, area, path, settle):
    there, back = (
        Counter(event.kind for event in watch(zone(area, settle=settle), walk({1: way}, lost_after=99)))
        for way in (path, path[::-1])
    )
    assert there[EventKind.ZONE_ENTERED] == back[EventKind.ZONE_LEFT]
    assert there[EventKind.ZONE_APPEARED] == back[EventKind.ZONE_VANISHED]


@settings(deadline=None, max_examples=40)
@given(area=areas, path=ways, settle=settle_times, overlap=st.none() | st.just(0.3), scale=st.sampled_from([0.25, 8.0]))
def test_a_picture_of_another_size_has_the_same_stays_and_near_misses(
    walk, watch, missed, area, path, settle, overlap, scale
):
    larger = shapely.transform(area, lambda points: points * scale)
    farther = [place and (place[0] * scale, place[1] * scale) for place in path]
    small, large = walk({1: path}, height=8), walk({1: farther}, height=8 * scale)
    for told in (watch, missed):
        events = told(zone(area, settle=settle, overlap=overlap), small)
        scaled = told(zone(larger, settle=settle, overlap=overlap), large)
        assert [event.kind for event in events] == [event.kind for event in scaled]
        for event, other in zip(events, scaled, strict=True):
            assert other.pts_seconds == pytest.approx(event.pts_seconds)
            assert other.details == pytest.approx(event.details)
            assert other.point == pytest.approx(np.multiply(event.point, scale))
