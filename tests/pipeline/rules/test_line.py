"""Line crossings: what counts, when, and what a bridge joins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from gate_lines import column, directions, line

from vidan.pipeline.events import EventKind, event_id
from vidan.pipeline.rules.bridge import Bridge

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
