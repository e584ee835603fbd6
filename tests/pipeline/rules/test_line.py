"""Line crossings: what counts, when, and the laws that hold for every line and every walk."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vidan.pipeline.events import EventKind, event_id
from vidan.pipeline.geometry import Polyline
from vidan.pipeline.rules.bridge import Bridge
from vidan.pipeline.rules.line import LineRule

EASTWARD = [(0, 100), (200, 100)]  # `in` is upwards on the picture, from below (y > 100) to above


def line(points=EASTWARD, **options):
    """Boxes of walks are 100 px high: the hysteresis is 10 px. Ten frames are one second, the time to settle."""
    return LineRule(name="gate", points=points, class_names=["person", "car"], **options)


def column(*heights):
    """A path straight up and down through the middle of the line; None where it is not seen."""
    return [None if y is None else (100, y) for y in heights]


def directions(events):
    return [event.details["direction"] for event in events]


def tally(events):
    counts = Counter(directions(events))
    return counts["in"], counts["out"]


# --- what counts ------------------------------------------------------------------------------------------------------


def test_an_event_tells_time_place_and_evidence_of_the_crossing(walk, watch):
    (event,) = watch(line(), walk({7: column(130, 90, 85)}))
    assert event.id == event_id("camera", "gate", EventKind.LINE_CROSSED, 7, 1)
    assert (event.kind, event.stream, event.rule, event.track_id, event.label) == (
        EventKind.LINE_CROSSED, "camera", "gate", 7, "person",
    )  # fmt: skip
    assert event.pts_seconds == pytest.approx(0.075)
    assert event.utc == datetime(2026, 3, 1, 12, 0, tzinfo=UTC) + timedelta(seconds=0.075)
    assert event.frame == 1
    assert event.point == (100, 100)
    assert event.box == (75, -10, 125, 90)
    assert event.confidence == pytest.approx(0.9)
    assert event.details == {"direction": "in", "certainty": "seen", "segment": 0, "class_share": 0.75}


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        pytest.param([130, 115, 105], [], id="came near"),
        pytest.param([130, 80], ["in"], id="up"),
        pytest.param([80, 130], ["out"], id="down"),
        pytest.param([130, 95, 130], [], id="over and back within the hysteresis"),
        pytest.param([130, 89, 130], ["in", "out"], id="over and back beyond the hysteresis"),
        pytest.param([130, 95, 105, 95, 105, 95, 80], ["in"], id="trembling on the line, then on"),
        pytest.param([130, 95, 105, 95, 105, 95, 105, 120], [], id="trembling on the line, then back"),
        pytest.param([130, 95], ["in"], id="ended just beyond"),
        pytest.param([130, 100], [], id="ended on the line"),
        pytest.param([100, 100, 80], [], id="began on the line"),
        pytest.param([130, 100, 80], ["in"], id="a place exactly on the line"),
        pytest.param([130, 100, 130, 100, 130], [], id="touched twice"),
        pytest.param([80, 100, 80, 100, 80], [], id="touched twice from the other side"),
        pytest.param([130, 80, 130, 80], ["in", "out", "in"], id="in, out and in again"),
        pytest.param([130, None, None, 80], ["in"], id="lost on the line"),
        pytest.param([900, -900], ["in"], id="over in one leap, near in no frame"),
        pytest.param([130, 95, *[None] * 8, 130], [], id="over, lost, found back again soon"),
        pytest.param([130, 95, *[None] * 30, 105, 130], ["in", "out"], id="over, lost, found back again late"),
    ],
)
def test_a_crossing_counts_once_the_track_is_well_beyond(walk, watch, heights, expected):
    assert directions(watch(line(), walk({1: column(*heights)}, lost_after=99))) == expected


def test_a_crossing_is_told_in_the_frame_that_makes_it_certain_with_the_time_when_it_happened(walk):
    beyond_hysteresis = column(130, 95, 95, 90, 90, 90)
    settled = column(130, *[95] * 15)
    ended = column(130, 95, 95, None, None, None)
    for path, told_in in ((beyond_hysteresis, 3), (settled, 11), (ended, 4)):
        rule = line()
        told = {s.index: rule.update(s, tracks) for s, tracks in walk({1: path}, lost_after=2)}
        assert [index for index, events in told.items() if events] == [told_in]
        assert told[told_in][0].pts_seconds == pytest.approx(0.1 * 30 / 35)


def test_who_stands_on_the_line_has_crossed_it_when_he_leaves_it(walk, watch):
    for heights in ([130, 100, 100, 100, 70], [70, 100, 100, 100, 130]):
        (event,) = watch(line(), walk({1: column(*heights)}))
        assert (event.pts_seconds, event.frame) == (pytest.approx(0.3), 3)


@pytest.mark.parametrize(
    ("heights", "certainty"),
    [([130, 80], "seen"), ([130, None, 80], "interpolated"), ([130, None, 105, 80], "seen")],
)
def test_a_crossing_is_seen_only_between_adjacent_frames(walk, watch, heights, certainty):
    (event,) = watch(line(), walk({1: column(*heights)}))
    assert event.details["certainty"] == certainty


@pytest.mark.parametrize(
    ("policy", "heights", "expected"),
    [
        ("every", [130, 80, 130, 80], ["in", "out", "in"]),
        ("once", [130, 80, 130, 80], ["in", "out"]),
        ("net", [130, 80, 130, 80], ["in"]),
        ("net", [130, 80, 130], []),
        ("net", [80, 130, 95], []),
        ("net", [80, 130], ["out"]),
    ],
)
def test_policies(walk, watch, policy, heights, expected):
    assert directions(watch(line(policy=policy), walk({1: column(*heights)}))) == expected


def test_net_gives_the_crossing_after_which_the_track_never_came_back(walk, watch):
    (event,) = watch(line(policy="net"), walk({1: column(130, 80, 130, 80, 80, 80)}))
    assert event.pts_seconds == pytest.approx(0.26)


@pytest.mark.parametrize(
    ("classes", "label"),
    [([0, 0, 0], "person"), ([1, 1, 0], "person"), ([0, 0, 1], None)],
)
def test_the_class_is_judged_when_the_crossing_is_committed(walk, watch, classes, label):
    rule = line(class_ids=frozenset({0}))
    events = watch(rule, walk({1: column(130, 95, 80)}, classes={1: classes}))
    assert [event.label for event in events] == ([label] if label else [])


def test_directions_have_the_names_that_they_were_given(walk, watch):
    events = watch(line(direction_names=("north", "south")), walk({1: column(130, 80, 130)}))
    assert directions(events) == ["north", "south"]


def test_the_anchor_decides_where_an_object_stands(walk, watch):
    feet_stay_below_but_heads_pass = {1: column(230, 180)}
    assert directions(watch(line(), walk(feet_stay_below_but_heads_pass))) == []
    assert directions(watch(line(anchor="top_center"), walk(feet_stay_below_but_heads_pass))) == ["in"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param([(190, 130), (230, 130), (230, 70), (190, 70)], [], id="around"),
        pytest.param([(190, 130), (190, 70), (230, 70), (230, 130), (190, 130)], ["in"], id="over, and back around"),
        pytest.param([(190, 130), (190, 70), (230, 70), (230, 130), (190, 130), (190, 70)], ["in", "in"], id="circles"),
        pytest.param(
            [(190, 130), (197, 95), (205, 95), (205, 105), (190, 130)], [], id="over, and closely back around"
        ),
        pytest.param([(190, 70), (205, 95), (205, 105), (195, 105), (195, 95), (190, 70)], [], id="closely around"),
    ],
)
def test_the_way_around_an_end_is_no_crossing(walk, watch, path, expected):
    assert directions(watch(line(), walk({1: path}))) == expected
    swapped = ["out" if direction == "in" else "in" for direction in expected[::-1]]
    assert directions(watch(line(), walk({1: path[::-1]}))) == swapped


def test_a_slow_way_closely_around_an_end_is_a_way_back(walk, watch):
    over, around = [(195, 103), (195, 97)], [(204, y) for y in range(97, 104)]
    assert directions(watch(line(), walk({1: [(195, 130), *over, *around, (204, 130)]}))) == []


def test_each_segment_of_a_bent_line_has_its_own_sides(walk, watch):
    roof = [(0, 100), (100, 0), (200, 100)]
    events = watch(line(roof), walk({1: [(0, 0), (100, 80), (200, 0)]}))
    assert [(event.details["direction"], event.details["segment"]) for event in events] == [("out", 0), ("in", 1)]


def test_a_way_through_the_vertex_of_a_bent_line_is_one_crossing(walk, watch):
    roof = [(0, 100), (100, 0), (200, 100)]
    assert directions(watch(line(roof), walk({1: [(100, 60), (100, 0), (100, -60)]}))) == ["in"]
    assert directions(watch(line(roof), walk({1: [(100, 60), (100, -60)]}))) == ["in"]


def test_events_of_one_frame_come_by_time_then_by_track_and_all_ids_differ(walk, watch):
    paths = {1: column(120, 80, 120), 2: column(101, 61, 120), 3: column(120, 80, 120)}
    events = watch(line(), walk(paths))
    assert [event.track_id for event in events] == [2, 1, 3, 1, 3, 2]
    assert len({event.id for event in events}) == 6


def test_a_rule_forgets_what_ended(walk, watch):
    bridge = Bridge(seconds=1, distance=1)
    rule = line(bridge=bridge)
    watch(rule, walk({track: column(130, 80, 95) for track in range(1, 9)} | {9: column(*[50] * 40)}))
    assert not rule._walkers
    assert not rule._events._made
    assert not bridge._living
    assert [trail.last.track_id for trail in bridge._ended] == [9]  # the only one that could still be joined


@pytest.mark.parametrize(
    "options",
    [{"hysteresis": -0.1}, {"settle": -1}, {"direction_names": ("in", "in")}, {"points": [(5, 5), (5, 5)]}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="line"):
        line(**options)


# --- bridges ----------------------------------------------------------------------------------------------------------

BEFORE = [(100, y) for y in range(160, 119, -5)]  # ends at 120, 50 px per second upwards
BEHIND = [(100, y) for y in range(90, 39, -5)]


def broken(before=BEFORE, behind=BEHIND, gap=5, last_frames=15):
    """One track before the line, and another that begins `gap` frames after the end of the first."""
    lead = [None] * (len(before) + gap - 1)
    return {1: before, 2: lead + behind, 3: [(500, 500)] * (len(lead) + len(behind) + last_frames)}


def test_two_tracks_that_look_like_one_are_one_bridged_crossing(walk, watch):
    scenes = walk(broken())
    assert watch(line(), scenes) == []
    (event,) = watch(line(bridge=Bridge(seconds=1, distance=1)), scenes)
    assert (event.track_id, event.frame) == (2, 13)
    assert event.details["certainty"] == "bridged"
    assert event.details["direction"] == "in"
    assert event.pts_seconds == pytest.approx(0.8 + 0.5 * 20 / 30)


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(broken(gap=11), id="too late"),
        pytest.param(broken(behind=[(100, y) for y in range(15, -40, -5)]), id="too far"),
        pytest.param(broken(behind=BEHIND[::-1]), id="the second comes back"),
        pytest.param(broken(before=BEFORE[::-1]), id="the first goes away"),
        pytest.param(broken(before=[(100, 120)] * 9), id="the first stands"),
        pytest.param(broken(behind=[(100 + y, 90) for y in range(0, 50, 5)]), id="the second goes aside"),
        pytest.param(broken(behind=[(100, y) for y in range(115, 104, -1)]), id="not behind the line"),
    ],
)
def test_tracks_that_do_not_fit_are_not_bridged(walk, watch, paths):
    assert watch(line(bridge=Bridge(seconds=1, distance=1)), walk(paths)) == []


def test_a_track_is_bridged_to_one_other_only_the_nearest(walk, watch):
    paths = broken()
    paths[4] = [None if place is None else (place[0] + 20, place[1]) for place in paths[2]]
    (event,) = watch(line(bridge=Bridge(seconds=1, distance=1)), walk(paths))
    assert event.track_id == 2


def test_a_bridged_crossing_can_be_taken_back_like_any_other(walk, watch):
    turns_at_once = [(100, 95), (100, 94), (100, 93), (100, 92), (100, 91), (100, 91), (100, 105), (100, 150)]
    events = watch(line(bridge=Bridge(seconds=1, distance=1)), walk(broken(behind=turns_at_once)))
    assert events == []


# --- ground truth -----------------------------------------------------------------------------------------------------


def reference_crossings(a, b, paths):
    """(frame, track, direction) by the rule of the reference: signs of consecutive places, segments that meet."""

    def side(start, stop, point):
        (ax, ay), (bx, by), (x, y) = start, stop, point
        return (bx - ax) * (y - ay) - (by - ay) * (x - ax)

    found = []
    for track, path in paths.items():
        for frame, (p, q) in enumerate(pairwise(path), start=1):
            if side(a, b, p) * side(a, b, q) < 0 and side(p, q, a) * side(p, q, b) <= 0:
                found.append((frame, track, "in" if side(a, b, p) > 0 else "out"))
    return sorted(found)


@pytest.mark.parametrize("ends", [[(640, 400), (330, 400)], [(470, 150), (470, 650)], [(300, 250), (600, 480)]])
def test_without_hysteresis_the_crossings_are_those_of_consecutive_places(walk, watch, ends):
    rng = np.random.default_rng(5)
    steps = np.cumsum(rng.normal(0, 4, (20, 200, 2)), axis=1)
    paths = {track: [(480 + x, 400 + y) for x, y in path.tolist()] for track, path in enumerate(steps, start=1)}
    events = watch(line(ends, hysteresis=0, settle=0), walk(paths))
    expected = reference_crossings(ends[0], ends[1], paths)
    assert len(expected) > 10
    assert sorted((e.frame, e.track_id, e.details["direction"]) for e in events) == expected


@pytest.mark.parametrize("sequence", ["PETS09-S2L1", "MOT17-04", "MOT17-09"])
def test_real_walks_give_the_counts_of_the_ground_truth(shared, ground_truth, watch, sequence):
    truth = json.loads((shared / "tracking" / "counts" / f"{sequence}.json").read_text())
    scenes = ground_truth(sequence, truth["fps"], truth["frames"])
    for wanted in truth["lines"]:
        ends = [wanted["a"], wanted["b"]]
        for options in ({"hysteresis": 0, "settle": 0}, {}):
            events = watch(line(ends, **options), scenes)
            assert tally(events) == (wanted["gt_in"], wanted["gt_out"])
        found = sorted((event.track_id, event.details["direction"], event.frame) for event in events)
        expected = sorted((track, direction, frame) for frame, track, direction in wanted["events"])
        for ours, theirs in zip(found, expected, strict=True):
            assert ours[:2] == theirs[:2]
            assert theirs[2] - ours[2] in (0, 1)  # 1 where an annotated place lies exactly on the line


def strolls(count, seed, is_clear):
    """Paths over a picture of 960 x 800 in straight legs of 4 px per frame; their corners are where `is_clear` says."""
    rng = np.random.default_rng(seed)
    paths = {}
    for track in range(1, count + 1):
        corners = []
        while len(corners) < 5:
            corner = rng.uniform((0, 0), (960, 800))
            if is_clear(corner):
                corners.append(corner)
        legs = [np.linspace(a, b, 2 + int(math.dist(a, b) / 4))[:-1] for a, b in pairwise(corners)]
        paths[track] = np.round(np.concatenate(legs), 2).tolist()
    return paths


@pytest.mark.parametrize("ends", [[(640, 400), (330, 400)], [(470, 150), (470, 650)], [(300, 250), (600, 480)]])
def test_every_crossing_of_a_stroll_is_found_and_none_added_at_the_right_time(walk, watch, ends):
    paths = strolls(40, 7, lambda corner: Polyline(ends).distances(corner[None])[0] > 30)
    events = watch(line(ends), walk(paths, lost_after=99))
    found = sorted((event.track_id, event.details["direction"], event.frame) for event in events)
    expected = sorted((track, way, frame) for frame, track, way in reference_crossings(ends[0], ends[1], paths))
    assert len(expected) > 10
    assert found == expected
    assert all(event.frame - 1 <= 10 * event.pts_seconds <= event.frame for event in events)


# --- laws -------------------------------------------------------------------------------------------------------------

coordinate = st.integers(-2560, 2560).map(lambda sixty_fourths: sixty_fourths / 64)  # exact in boxes and on the grid
place = st.tuples(coordinate, coordinate)
grid_place = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
hystereses = st.sampled_from([0.0, 0.03, 0.1, 0.2])
settles = st.sampled_from([0.0, 0.1571, 0.4142, math.inf])
polylines = st.lists(place, min_size=2, max_size=5).filter(lambda points: math.dist(points[0], points[1]) > 1)


@st.composite
def graphs(draw):
    """Lines from far left to far right that never turn back: every place is above or below them."""
    inner = draw(st.lists(st.integers(-3, 3), unique=True, max_size=4).map(sorted))
    return [(x, draw(st.integers(-2, 2))) for x in (-99, *inner, 99)]


def side_of_graph(points, place):
    """+1 below (the right hand), -1 above, 0 on it, in whole numbers."""
    (ax, ay), (bx, by) = next((a, b) for a, b in pairwise(points) if a[0] <= place[0] <= b[0])
    return int(np.sign((bx - ax) * (place[1] - ay) - (by - ay) * (place[0] - ax)))


@settings(deadline=None, max_examples=60)
@given(points=graphs(), path=st.lists(grid_place, min_size=2, max_size=15))
def test_without_hysteresis_every_change_of_side_is_one_crossing(walk, watch, points, path):
    sides = [side for side in (side_of_graph(points, place) for place in path) if side]
    changes = ["in" if before > after else "out" for before, after in pairwise(sides) if before != after]
    events = watch(line(points, hysteresis=0, settle=0), walk({1: path}))
    assert directions(events) == changes


@settings(deadline=None, max_examples=60)
@given(
    points=graphs(),
    path=st.lists(st.none() | grid_place, min_size=2, max_size=25),
    hysteresis=hystereses,
    settle=settles,
)
def test_in_less_out_is_the_difference_of_the_sides_at_both_ends(walk, watch, points, path, hysteresis, settle):
    sides = [side_of_graph(points, place) for place in path if place]
    assume(any(sides) and sides[-1])
    entered, left = tally(
        watch(line(points, hysteresis=hysteresis / 10, settle=settle), walk({1: path}, lost_after=99))
    )
    first = next(side for side in sides if side)
    assert 2 * (entered - left) == first - sides[-1]
    net = tally(
        watch(line(points, hysteresis=hysteresis / 10, settle=settle, policy="net"), walk({1: path}, lost_after=99))
    )
    assert net == (max(0, entered - left), max(0, left - entered))


@st.composite
def rings(draw):
    """Closed lines around the origin that cross nothing of themselves, in either sense."""
    angles = sorted(draw(st.lists(st.integers(0, 71), min_size=4, max_size=9, unique=True)))
    assume(all(later - earlier < 36 for earlier, later in pairwise([*angles, angles[0] + 72])))
    radii = draw(st.lists(st.floats(0.3, 4), min_size=len(angles), max_size=len(angles)))
    turns = np.array(angles) * math.pi / 36
    corners = (np.round(64 * np.array(radii) * [np.cos(turns), np.sin(turns)]).T / 64).tolist()
    return [*corners, corners[0]][:: draw(st.sampled_from([1, -1]))]


def is_within(ring, place):
    """By the parity of the ways across the ring on a ray to the right; places on the ring are nowhere."""
    crossed = 0
    for (ax, ay), (bx, by) in pairwise(ring):
        if (ay > place[1]) != (by > place[1]):
            crossed += place[0] < ax + (place[1] - ay) / (by - ay) * (bx - ax)
    return crossed % 2 == 1


@settings(deadline=None, max_examples=80)
@given(
    ring=rings(),
    path=st.lists(st.none() | grid_place, min_size=2, max_size=25),
    hysteresis=hystereses,
    settle=settles,
)
def test_a_closed_line_has_as_many_more_ways_in_as_there_are_inside_at_the_end(
    walk, watch, ring, path, hysteresis, settle
):
    seen = [place for place in path if place]
    assume(seen and (Polyline(ring).distances(np.array(seen, float)) > 0.01).all())
    area = sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairwise(ring))  # y goes down: positive is clockwise
    events = watch(line(ring, hysteresis=hysteresis / 10, settle=settle), walk({1: path}, lost_after=99))
    towards, away = tally(events) if area < 0 else tally(events)[::-1]
    assert towards - away == is_within(ring, seen[-1]) - is_within(ring, seen[0])


@settings(deadline=None, max_examples=60)
@given(
    points=polylines,
    home=place,
    jitter=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 2 * math.pi)), min_size=2, max_size=30),
)
def test_jitter_of_half_the_hysteresis_counts_nothing_wherever_the_track_stands(walk, watch, points, home, jitter):
    path = [(home[0] + radius * math.cos(angle), home[1] + radius * math.sin(angle)) for radius, angle in jitter]
    assert watch(line(points, hysteresis=0.1001, settle=math.inf), walk({1: [*path, path[0]]})) == []


@settings(deadline=None, max_examples=80)
@given(
    points=polylines,
    path=st.lists(st.none() | place, min_size=2, max_size=25),
    hysteresis=hystereses,
    settle=settles,
    policy=st.sampled_from(["every", "once", "net"]),
)
def test_time_that_runs_backwards_swaps_in_and_out(walk, watch, points, path, hysteresis, settle, policy):
    seen = [place for place in path if place]
    assume(
        seen and Polyline(points).sides(np.array(seen)).all()
    )  # nobody stands exactly on the line or its continuation
    options = {"hysteresis": hysteresis, "settle": settle, "policy": policy}
    there = tally(watch(line(points, **options), walk({1: path}, lost_after=99)))
    back = tally(watch(line(points, **options), walk({1: path[::-1]}, lost_after=99)))
    assert there == back[::-1]


@settings(deadline=None, max_examples=40)
@given(
    points=polylines,
    path=st.lists(place, min_size=2, max_size=15),
    hysteresis=hystereses,
    scale=st.sampled_from([0.25, 2.0, 8.0]),
)
def test_a_picture_of_another_size_has_the_same_crossings_and_near_misses(
    walk, watch, missed, points, path, hysteresis, scale
):
    points, path = ([(round(x), round(y)) for x, y in places] for places in (points, path))
    assume(points[0] != points[1])
    larger, farther = ([(scale * x, scale * y) for x, y in places] for places in (points, path))
    small, large = walk({1: path}), walk({1: farther}, height=100 * scale)
    for told in (watch, missed):
        events, scaled = (
            told(line(points, hysteresis=hysteresis), small),
            told(line(larger, hysteresis=hysteresis), large),
        )
        assert [(e.pts_seconds, e.details) for e in events] == [(e.pts_seconds, e.details) for e in scaled]
        assert [np.multiply(e.point, scale).tolist() for e in events] == [list(e.point) for e in scaled]
