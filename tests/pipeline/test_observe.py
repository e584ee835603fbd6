"""Synthetic tracks whose flows are known: bad places are told from good ones, and suggested lines count what moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from shapely import Polygon

from vidan.detector import Detections
from vidan.pipeline.drawing import LineShape
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.geometry import Anchor
from vidan.pipeline.observe.hours import told_of, within
from vidan.pipeline.observe.pace import judge_frame_rate, judge_size, judge_tracks
from vidan.pipeline.observe.picture import BAD_COLOUR, SUGGESTED_COLOUR, paint_observation
from vidan.pipeline.observe.places import LineToJudge, ZoneToJudge, judge_line, judge_zone
from vidan.pipeline.observe.suggest import suggest_lines
from vidan.pipeline.observe.trails import Sample, Trail, TrailCollector
from vidan.pipeline.observe.verdict import Kind
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.schedule import WEEKDAYS, Schedule, Window
from vidan.trackers import Tracks

WIDTH, HEIGHT = 640, 480
FPS = 10
EVERYBODY = frozenset({"person"})


def trail(
    track_id: int,
    start: tuple[float, float],
    end: tuple[float, float],
    seconds: float = 8.0,
    size: tuple[float, float] = (20, 50),
    label: str = "person",
) -> Trail:
    """Feet walk evenly from start to end; the trail begins and ends in the middle of the sample."""
    count = round(seconds * FPS)
    share = np.linspace(0, 1, count)[:, None]
    feet = np.array(start) + share * (np.array(end) - np.array(start))
    width, height = size
    xyxy = (np.hstack([feet, feet]) + np.array([-width / 2, -height, width / 2, 0])).astype(np.float32)
    number = np.arange(count) + 10
    return Trail(track_id, label, number, number / FPS, xyxy, xyxy)


def sample_of(trails: Sequence[Trail], unjoined: float | None = 0.0) -> Sample:
    return Sample("door", HEIGHT, WIDTH, 600, 60.0, tuple(trails), unjoined=unjoined)


def line(*points: tuple[float, float], labels: frozenset[str] = EVERYBODY, anchor: Anchor = "bottom_center"):
    return LineToJudge("gate", np.array(points, float), anchor, labels)


def zone(*points: tuple[float, float], overlap: float | None = None) -> ZoneToJudge:
    return ZoneToJudge("yard", Polygon(points), "bottom_center", overlap, EVERYBODY)


EAST = [trail(n, (40 + 3 * n, 240 + 12 * n), (600 - 3 * n, 240 + 12 * n)) for n in range(6)]
WEST = [trail(10 + n, (600, 250 + 12 * n), (40, 250 + 12 * n)) for n in range(3)]
FLOW = sample_of([*EAST, *WEST])


@pytest.mark.parametrize(
    ("points", "kinds", "remark"),
    [
        ([(320, 180), (320, 340)], [], "across the flow"),
        ([(280, 180), (320, 260), (280, 340)], [], "a bent line across the flow"),
        ([(100, 20), (500, 20)], [Kind.UNREACHED], "in the sky"),
        ([(320, 120), (320, 215)], [Kind.UNCROSSED], "too short, just above the flow"),
        ([(100, 262), (540, 268)], [Kind.PARALLEL], "along the path"),
        ([(620, 180), (620, 340)], [Kind.UNCROSSED, Kind.NEAR_EDGE], "nobody is seen behind it"),
        ([(590, 180), (590, 340)], [Kind.NEAR_EDGE], "they vanish just behind it"),
    ],
)
def test_lines_are_judged_by_the_flow(points: list[tuple[float, float]], kinds: list[Kind], remark: str) -> None:
    verdict = judge_line(line(*points), FLOW)
    assert [finding.kind for finding in verdict.findings] == kinds, remark
    assert all(any(letter.isdigit() for letter in finding.text) for finding in verdict.findings), "with a figure"


def test_a_line_where_tracks_break_in_the_middle_of_the_picture_is_told_from_one_at_the_edge() -> None:
    halves = [trail(n, (40, 240 + 12 * n), (300, 240 + 12 * n)) for n in range(4)]
    halves += [trail(10 + n, (340, 240 + 12 * n), (600, 240 + 12 * n)) for n in range(4)]
    (*_, finding) = judge_line(line((320, 180), (320, 340)), sample_of(halves)).findings
    assert finding.kind is Kind.BROKEN
    assert "8 of the 8" in finding.text


def test_a_track_that_the_sample_cuts_off_is_no_loose_end() -> None:
    cut = [
        Trail(one.track_id, one.label, one.frame, one.seconds, one.xyxy, one.observed_xyxy, begins=False, ends=False)
        for one in FLOW.trails
    ]
    assert judge_line(line((590, 180), (590, 340)), sample_of(cut)).findings == ()


def test_only_the_classes_that_a_rule_counts_matter() -> None:
    verdict = judge_line(line((320, 180), (320, 340), labels=frozenset({"car"})), FLOW)
    assert (verdict.figures["tracks"], verdict.findings) == (0, ())


def test_a_good_line_serves_its_tracks_and_a_bad_one_none() -> None:
    assert judge_line(line((320, 180), (320, 340)), FLOW).served == {one.track_id for one in FLOW.trails}
    assert judge_line(line((100, 262), (540, 268)), FLOW).served == frozenset()


def hours(*windows: tuple[time, time]) -> Schedule:
    return Schedule(ZoneInfo("UTC"), tuple(Window(frozenset(WEEKDAYS), *window) for window in windows))


def test_a_rule_with_a_schedule_is_judged_by_what_moves_while_it_is_open() -> None:
    midnight = datetime(2026, 5, 4, tzinfo=UTC)
    late = [replace(one, track_id=20 + one.track_id, seconds=one.seconds + 30) for one in WEST]
    sample = replace(sample_of([*EAST, *late]), start_utc=midnight)  # they move at 1 to 9 s and at 31 to 39 s
    gate = line((320, 180), (320, 340))
    seen = within(sample, hours((time(0, 0, 30), time(0, 1))))
    assert {one.track_id for one in seen.trails} == {one.track_id for one in late}
    assert judge_line(gate, seen).served == {one.track_id for one in late}
    assert told_of(judge_line(gate, seen), seen, sample).summary.startswith("3 of 3 tracks cross it")
    cut = within(sample, hours((time(0, 0), time(0, 0, 4)), (time(0, 0, 6), time(0, 0, 20))))
    assert [(one.track_id, one.begins, one.ends) for one in cut.trails] == [
        piece for one in EAST for piece in ((one.track_id, True, False), (one.track_id, False, True))
    ]
    assert not any(((one.seconds >= 4) & (one.seconds < 6)).any() for one in cut.trails)
    assert judge_line(gate, cut).figures["crossing"] == 0, "they are there between 4 and 6 s"
    closed = within(sample, hours((time(12, 0), time(13, 0))))
    verdict = told_of(judge_line(gate, closed), closed, sample)
    assert (verdict.summary, verdict.findings, verdict.served) == (
        "its schedule is closed whenever something moves in the sample", (), frozenset(),
    )  # fmt: skip
    assert within(replace(sample, start_utc=None), hours((time(12, 0), time(13, 0)))).trails == sample.trails


def test_zones_that_never_fill_are_named() -> None:
    assert judge_zone(zone((200, 200), (400, 200), (400, 350), (200, 350)), FLOW).findings == ()
    (finding,) = judge_zone(zone((200, 10), (400, 10), (400, 60), (200, 60)), FLOW).findings
    assert finding.kind is Kind.EMPTY
    assert "180 px away" in finding.text
    above = zone((0, 195), (640, 195), (640, 230), (0, 230), overlap=0.3)
    assert judge_zone(above, FLOW).figures["inside"] == 5, "by their boxes: those whose feet are at 265 or above"


@pytest.mark.parametrize(
    ("seconds", "is_too_fast"), [(8.0, False), (4.0, True), (2.0, True)]
)  # 560 px in so many seconds of 10 frames: 0.35, 0.7 and 1.4 widths from frame to frame
def test_steps_that_are_too_long_for_the_boxes_are_named(seconds: float, is_too_fast: bool) -> None:
    verdict = judge_frame_rate(sample_of([trail(n, (40, 200), (600, 200), seconds) for n in range(4)]))
    step = verdict.figures["step_median"]
    assert step is not None
    assert step == pytest.approx(560 / (seconds * FPS - 1) / 20, rel=1e-3)
    assert verdict.figures["iou_median"] == pytest.approx(max(0, 1 - step) / (1 + step), abs=1e-3)
    assert [finding.kind for finding in verdict.findings] == [Kind.SLOW_FRAMES] * is_too_fast


def test_things_that_stand_still_say_nothing_about_the_frame_rate() -> None:
    assert judge_frame_rate(sample_of([trail(1, (40, 200), (50, 200))])).summary.endswith("nothing moves")


def test_objects_that_are_small_in_the_network_are_named_with_a_size_that_would_do() -> None:
    assert judge_size(FLOW, (480, 640)).findings == ()
    verdict = judge_size(FLOW, (192, 256))
    assert verdict.figures["side_median"] == pytest.approx(20)
    (finding,) = verdict.findings
    assert "[320, 416]" in finding.text


def test_nothing_seen_and_nothing_joined_are_named() -> None:
    assert [one.kind for one in judge_tracks(sample_of([])).findings] == [Kind.NOBODY]
    assert [one.kind for one in judge_tracks(sample_of(EAST, unjoined=0.8)).findings] == [Kind.UNJOINED]
    assert judge_tracks(FLOW).findings == ()


def _count(points: Sequence[tuple[float, float]], trails: Sequence[Trail]) -> list[str]:
    """What a LineRule with these points counts."""
    rule = LineRule(name="flow", points=points, class_names=["person"])
    events = []
    last = max(int(one.frame[-1]) for one in trails)
    for number in range(last + 2):
        rows = [(one.track_id, one.xyxy[one.frame == number][0]) for one in trails if (one.frame == number).any()]
        ended = tuple(one.track_id for one in trails if one.frame[-1] + 1 == number)
        events += rule.update(Stamp("door", number, number / FPS), _tracks(rows, ended))
    return [str(event.details["direction"]) for event in events]


def _tracks(rows: list[tuple[int, NDArray[np.float32]]], ended: tuple[int, ...] = ()) -> Tracks:
    count = len(rows)
    return Tracks(
        np.array([track_id for track_id, _ in rows], np.int64),
        np.array([box for _, box in rows], np.float32).reshape(-1, 4),
        np.full(count, 0.9, np.float32),
        np.zeros(count, np.int64),
        np.ones(count, np.float32),
        np.ones(count, np.bool_),
        np.ones(count, np.bool_),
        ended,
    )


def test_a_suggested_line_lies_across_the_flow_and_counts_it() -> None:
    (suggestion,) = suggest_lines(FLOW.trails, WIDTH, HEIGHT)
    assert suggestion.track_ids == {one.track_id for one in FLOW.trails}
    assert suggestion.inward == 6, "the more frequent way is `in`"
    (x1, y1), (x2, y2) = suggestion.points
    assert abs(x1 - x2) < abs(y1 - y2) / 3, "nearly upright"
    assert min(y1, y2) < 240
    assert max(y1, y2) > 300
    assert sorted(_count(suggestion.points, FLOW.trails)) == ["in"] * 6 + ["out"] * 3
    verdict = judge_line(line(*suggestion.points), FLOW)
    assert verdict.findings == ()


def test_each_flow_gets_a_line_and_what_is_served_gets_none() -> None:
    south = [trail(20 + n, (80 + 12 * n, 20), (80 + 12 * n, 220)) for n in range(5)]
    trails = [*EAST, *south]
    first, second = suggest_lines(trails, WIDTH, HEIGHT)
    assert first.track_ids == {one.track_id for one in EAST}
    assert second.track_ids == {one.track_id for one in south}
    (rest,) = suggest_lines(trails, WIDTH, HEIGHT, served=[one.track_id for one in EAST])
    assert (rest.name, rest.track_ids) == ("flow_1", second.track_ids)
    assert suggest_lines(trails, WIDTH, HEIGHT, served=[one.track_id for one in trails]) == ()


def test_what_stands_or_is_alone_gets_no_line() -> None:
    assert suggest_lines([trail(n, (100, 100 + n), (120, 100 + n)) for n in range(9)], WIDTH, HEIGHT) == ()
    assert suggest_lines(EAST[:1], WIDTH, HEIGHT) == ()
    assert suggest_lines([], WIDTH, HEIGHT) == ()


def test_suggested_lines_stay_in_the_picture() -> None:
    low = [trail(n, (40, 440 + 8 * n), (600, 440 + 8 * n)) for n in range(5)]
    for suggestion in suggest_lines(low, WIDTH, HEIGHT):
        for x, y in suggestion.in_fractions(WIDTH, HEIGHT):
            assert 0 <= x <= 1
            assert 0 <= y <= 1


def test_the_collector_gives_back_the_ways_and_knows_what_the_sample_cut() -> None:
    collector = TrailCollector(["person"], sure_confidence=0.4)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for number in range(30):
        rows = [(1, np.array([number, 0, number + 20, 50], np.float32))]
        if 10 <= number < 20 and number != 15:
            rows.append((2, np.array([0, 0, 20, 50], np.float32)))
        stamp, tracks = Stamp("door", number, number / FPS), _tracks(rows)
        found = Detections(tracks.xyxy, np.full(len(rows), 0.9, np.float32), np.zeros(len(rows), np.int64))
        counted = CountedFrame(stamp, tracks, tracks.xyxy)
        collector.write(FrameResult(Frame.from_array(stamp, image), found, tracks, (counted,), ()))
    sample = collector.samples()["door"]
    assert (sample.frames, sample.seconds, sample.unjoined) == (30, pytest.approx(3.0), 0.0)
    assert sample.start_utc is None
    first, second = sample.trails
    assert (first.begins, first.ends, second.begins, second.ends) == (False, False, True, True)
    assert first.xyxy[:, 0].tolist() == list(range(30))
    assert np.diff(second.frame).max() == 2, "a frame in which it was lost"


def test_the_picture_shows_what_is_bad_and_what_is_suggested() -> None:
    verdict = judge_line(line((100, 20), (500, 20)), FLOW)
    suggestions = suggest_lines(FLOW.trails, WIDTH, HEIGHT)
    shape = LineShape("gate", ((100.0, 20.0), (500.0, 20.0)), ("in", "out"))
    picture = paint_observation(FLOW, [shape], [], {"gate": verdict}, suggestions)
    assert picture.shape == (720, 960, 3)
    for colour in (BAD_COLOUR, SUGGESTED_COLOUR):
        assert (picture == colour).all(axis=-1).sum() > 100
    plain = paint_observation(FLOW, [], [], {}, ())
    assert not (plain == SUGGESTED_COLOUR).all(axis=-1).any()
