"""Why something was not counted: each reason has its time, place, track and numbers, once per occasion."""

from __future__ import annotations

from collections import Counter
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon

from vidan.pipeline.engine.judge import judge
from vidan.pipeline.events import EventKind, event_id
from vidan.pipeline.frame import CountedFrame, Stamp
from vidan.pipeline.rules.bridge import Bridge
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.lookout import Lookout
from vidan.pipeline.rules.zone import ZoneRule
from vidan.trackers import Tracks

FAR = 400  # from the line and the zone, more than a box height


def line(**options):
    """Boxes of walks are 100 px high: the hysteresis is 10 px, near is 100 px. `in` is upwards, to smaller y."""
    return LineRule(name="gate", points=[(-900, 100), (900, 100)], class_names=["person", "car"], **options)


def zone(**options):
    """Between 0 and 100 both ways. Ten frames are one second: a change of sides settles in three frames."""
    square = Polygon([(0, 0), (100, 0), (100, 100), (0, 100)])
    return ZoneRule(name="yard", polygon=square, class_names=["person", "car"], **options)


def column(*heights):
    """A path straight up and down; None where it is not seen."""
    return [None if y is None else (50, y) for y in heights]


def row(*places):
    """A path along the middle of the zone; None where it is not seen."""
    return [None if x is None else (x, 50) for x in places]


def reasons(events):
    return [event.details["reason"] for event in events]


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_near_miss_tells_time_place_and_numbers(walk, missed):
    (event,) = missed(line(), walk({7: column(FAR, 130, 107, 104, 108, FAR)}))
    assert event.id == event_id("camera", "gate", EventKind.NEAR_MISS, 7, 1)
    assert (event.kind, event.stream, event.rule, event.track_id) == (EventKind.NEAR_MISS, "camera", "gate", 7)
    assert (event.pts_seconds, event.frame, event.point) == (pytest.approx(0.3), 3, (50, 104))
    assert event.box == (25, 4, 75, 104)
    assert event.details == {"reason": "turned", "distance": pytest.approx(0.04), "class_share": 0.75}


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        pytest.param([FAR, 130, 107, 130, FAR], ["turned"], id="came within the hysteresis and turned"),
        pytest.param([FAR, 107, 130, 105, 130, 103, FAR], ["turned"], id="trembling is one visit"),
        pytest.param([FAR, 105, FAR, 105, FAR], ["turned", "turned"], id="two visits"),
        pytest.param([FAR, 130, 95, 130, FAR], ["turned"], id="over and back within the hysteresis"),
        pytest.param([FAR, 130, 115, 130, FAR], [], id="near, but not within the hysteresis"),
        pytest.param([FAR, 130, 80, -FAR], [], id="crossed"),
        pytest.param([FAR, 130, 80, 130, FAR], [], id="crossed twice"),
        pytest.param([FAR, 130, 115, 130], ["broke"], id="ended near"),
        pytest.param([130, 115, 130, FAR], ["broke"], id="began near"),
        pytest.param([130, 115, 120], ["broke"], id="was only ever near: one visit"),
        pytest.param([130, 105, 130, FAR], ["turned"], id="began near, came nearer and turned"),
        pytest.param([100, 130, FAR], ["broke"], id="began on the line"),
        pytest.param([FAR, 130, 100], ["broke"], id="ended on the line"),
        pytest.param([FAR, 130, 80, 85], [], id="crossed, then ended near"),
        pytest.param([130, 80, -FAR], [], id="began near, then crossed"),
    ],
)
def test_who_was_near_a_line_and_is_not_counted_has_a_reason(walk, missed, heights, expected):
    assert reasons(missed(line(), walk({1: column(*heights)}))) == expected


def test_a_broken_track_is_told_where_it_broke(walk, missed):
    began, ended = missed(line(), walk({1: column(150, 120, FAR, FAR), 2: column(FAR, FAR, 140, 160)}))
    assert (began.track_id, began.pts_seconds, began.point) == (1, 0, (50, 150))
    assert (began.details["end"], began.details["distance"]) == ("began", pytest.approx(0.2))
    assert (ended.track_id, ended.pts_seconds, ended.point) == (2, pytest.approx(0.3), (50, 160))
    assert (ended.details["end"], ended.details["distance"]) == ("ended", pytest.approx(0.4))


def test_other_classes_than_those_counted_have_their_crossings_told_and_nothing_else(walk, watch, missed):
    paths = {1: column(FAR, 130, 80, -FAR), 2: column(FAR, 130, 105, FAR), 3: column(FAR, FAR, FAR, 130)}
    scenes = walk(paths, classes=dict.fromkeys(paths, [1] * 4))
    rule = {"class_ids": frozenset({0})}
    assert watch(line(**rule), scenes) == []
    (event,) = missed(line(**rule), scenes)
    assert (event.track_id, event.label, event.point) == (1, "car", (50, 100))
    assert (event.details["reason"], event.details["direction"]) == ("class", "in")


@pytest.mark.parametrize(
    ("policy", "heights", "expected"),
    [
        ("every", [130, 80, 130, 80, -FAR], []),
        ("once", [130, 80, 130, 80, -FAR], [(0.26, "in")]),
        ("net", [130, 80, 130, 80, -FAR], [(0.06, "in"), (0.14, "out")]),
        ("net", [130, 80, 130, FAR], [(0.06, "in"), (0.14, "out")]),
    ],
)
def test_every_crossing_that_a_policy_keeps_back_is_told(walk, missed, policy, heights, expected):
    events = missed(line(policy=policy), walk({1: column(*heights)}))
    assert [(round(event.pts_seconds, 3), event.details["direction"]) for event in events] == expected
    assert {(event.details["reason"], event.details["policy"]) for event in events} <= {("policy", policy)}
    assert len({event.id for event in events}) == len(events)


@settings(deadline=None, max_examples=60)
@given(
    path=st.lists(
        st.none() | st.tuples(st.just(50), st.integers(-30, 30).map(lambda tens: 10 * tens)), min_size=2
    ).filter(any),
    policy=st.sampled_from(["once", "net"]),
)
def test_what_a_policy_counts_and_what_it_keeps_back_are_all_crossings(walk, watch, missed, path, policy):
    scenes = walk({1: path}, lost_after=99)
    every = Counter(event.details["direction"] for event in watch(line(), scenes))
    kept = Counter(event.details["direction"] for event in watch(line(policy=policy), scenes))
    suppressed = (event for event in missed(line(policy=policy), scenes) if event.details["reason"] == "policy")
    assert every == kept + Counter(event.details["direction"] for event in suppressed)


BROKEN = {1: column(*range(250, 119, -5)), 2: [*[None] * 31, *column(*range(90, -160, -5))], 3: [(FAR * 9, FAR)] * 90}


def test_a_track_that_was_bridged_did_not_break(walk, watch, missed):
    scenes = walk(BROKEN)
    assert reasons(missed(line(), scenes)) == ["broke", "broke"]
    bridged = line(bridge=Bridge(seconds=1, distance=1))
    assert len(watch(bridged, scenes)) == 1
    assert missed(line(bridge=Bridge(seconds=1, distance=1)), scenes) == []


def test_a_track_that_could_not_be_bridged_is_told_once_that_is_certain(walk, missed):
    lonely = {1: BROKEN[1], 3: BROKEN[3]}
    rule = line(bridge=Bridge(seconds=1, distance=1))
    (event,) = missed(rule, walk(lonely))
    assert event.details["reason"] == "broke"
    assert event.pts_seconds == pytest.approx(2.6)
    the_stream_ends_first = {1: BROKEN[1], 3: BROKEN[3][:30]}
    assert reasons(missed(line(bridge=Bridge(seconds=1, distance=1)), walk(the_stream_ends_first))) == ["broke"]


# --- zones ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param([-FAR, -50, 50, 50, -50, -FAR, -FAR], ["settle"], id="inside for a moment"),
        pytest.param([-FAR, 50, -50, -FAR, 50, -50, -FAR, -FAR], ["settle", "settle"], id="two moments"),
        pytest.param([-FAR, *[50] * 5, 150, *[50] * 5, *[FAR] * 4], [], id="outside for a moment"),
        pytest.param([-FAR, -150, -80], ["broke"], id="ended near"),
        pytest.param([-80, -150, -FAR], ["broke"], id="began near"),
        pytest.param([-50, -150, -80], ["broke"], id="began near and ended near"),
        pytest.param([-FAR, -80, -FAR], [], id="came by"),
        pytest.param([-FAR, *[50] * 5, 180], [], id="left and ended near"),
        pytest.param([50, 50, 50], [], id="appeared and vanished"),
    ],
)
def test_who_was_near_a_zone_and_is_not_counted_has_a_reason(walk, missed, places, expected):
    assert reasons(missed(zone(), walk({1: row(*places)}))) == expected


def test_too_short_a_visit_tells_when_it_began_and_how_long_it_was(walk, missed):
    (event,) = missed(zone(), walk({7: row(-FAR, -50, 50, 50, -50, -FAR, -FAR)}))
    assert (event.track_id, event.point) == (7, (0, 50))
    assert event.pts_seconds == pytest.approx(0.15)
    assert event.details["inside"] == pytest.approx(0.2)


def test_a_broken_track_near_a_zone_is_told_at_its_nearer_end(walk, missed):
    (event,) = missed(zone(), walk({1: row(-50, -150, -80)}))
    assert (event.pts_seconds, event.details["end"], event.details["distance"]) == (0, "began", pytest.approx(0.5))


def test_a_stay_of_another_class_is_told_once(walk, missed):
    events = missed(zone(class_ids=frozenset({0})), walk({1: row(*[50] * 9, *[FAR] * 5)}, classes={1: [1] * 14}))
    assert [(event.label, event.details["reason"]) for event in events] == [("car", "class")]


# --- too young --------------------------------------------------------------------------------------------------------


def dismissals(*paths):
    """Frames in which nothing is confirmed: each path is (first frame, places), and ends with the last of them."""
    frames = []
    for index in range(max(first + len(places) for first, places in paths)):
        shown = {
            number: places[index - first]
            for number, (first, places) in enumerate(paths, start=1)
            if 0 <= index - first < len(places)
        }
        feet = np.array(list(shown.values()), np.float32)
        ones = np.ones(len(shown), np.float32)
        ends = {number: first + len(places) - 1 for number, (first, places) in enumerate(paths, start=1)}
        tracks = Tracks(
            np.array(list(shown), np.int64),
            np.hstack([feet + np.array([-25, -100]), feet + np.array([25, 0])]).astype(np.float32),
            *(ones, np.zeros(len(shown), np.int64), ones, ones < 0, ones > 0),
            ended=tuple(number for number in shown if ends[number] == index),
        )
        stamp = Stamp("camera", index, index / 10)
        frames.append(CountedFrame(stamp, Tracks.empty(), np.zeros((0, 4), np.float32), tracks))
    return frames


def test_a_tracklet_that_died_young_near_a_line_or_in_a_zone_is_told_once():
    frames = dismissals((0, column(150, 130, 140)), (1, row(-FAR, 50)), (2, column(FAR)))
    events, near_misses = judge([line(), zone()], frames)
    assert events == []
    assert [(event.rule, event.track_id, event.frame) for event in near_misses] == [
        ("gate", 1, 1), ("gate", 2, 1), ("yard", 2, 2),
    ]  # fmt: skip
    assert reasons(near_misses) == ["young"] * 3
    young = near_misses[0].details
    assert (young["distance"], young["frames"]) == (pytest.approx(0.3), 3)
    assert near_misses[2].details["frames"] == 1


def test_a_young_tracklet_of_a_class_that_does_not_count_is_no_near_miss():
    cars_only = {"class_ids": frozenset({1})}
    assert judge([line(**cars_only), zone(**cars_only)], dismissals((0, column(90)))) == ([], [])


# --- all of them ------------------------------------------------------------------------------------------------------

places = st.tuples(st.integers(-30, 40), st.integers(-30, 40)).map(lambda place: (10 * place[0], 10 * place[1]))
crowds = st.dictionaries(
    st.integers(1, 5), st.lists(st.none() | places, min_size=1, max_size=25).filter(any), min_size=1, max_size=4
)


@settings(deadline=None, max_examples=60)
@given(crowd=crowds)
def test_rules_that_share_a_lookout_tell_the_same_as_rules_that_do_not(walk, watch, missed, crowd):
    scenes = walk(crowd, lost_after=3)
    frames = [CountedFrame(stamp, tracks, tracks.xyxy) for stamp, tracks in scenes]
    lookout = cache(Lookout)
    makers = (line, zone, partial(line, anchor="center"), partial(zone, settle=0))
    rules = [make(lookout=cache(Lookout)) for make in makers]
    shared = [make(lookout=lookout) for make in makers]
    alone = [judge([rule], frames) for rule in rules]
    events, near_misses = judge(shared, frames)
    assert sorted(map(repr, events)) == sorted(repr(event) for own, _ in alone for event in own)
    assert sorted(map(repr, near_misses)) == sorted(repr(event) for _, own in alone for event in own)


@settings(deadline=None, max_examples=60)
@given(crowd=crowds)
def test_near_misses_have_ids_of_their_own_and_rules_forget_what_ended(walk, missed, crowd):
    for rule in (line(), zone()):
        events = missed(rule, walk(crowd, lost_after=3))
        assert len({event.id for event in events}) == len(events)
        assert not rule._events._made
        assert not (rule._walkers or rule._open if isinstance(rule, LineRule) else rule._visitors or rule._met)


def test_a_lookout_forgets_what_ended_before_the_frame_that_it_sees(walk):
    lookout = Lookout("bottom_center")

    def places(track):
        return [sighting and sighting.point for sighting in (lookout.first(track), lookout.last(track))]

    for stamp, tracks in walk({1: row(0, 10, 20), 2: row(*range(30))}, lost_after=1):
        lookout.look(stamp, tracks)
        if 1 in tracks.ended:
            assert places(1) == [(0, 50), (20, 50)]
    assert places(1) == [None, None]
    assert places(2) == [(0, 50), (29, 50)]
    assert lookout.is_deserted
