"""From the words of a config to the objects that do the work."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.pipeline.build import (
    describe_rules,
    heatmap_names,
    lane_maker,
    rules_of,
    rules_without_clock,
    warn_of_unseen_rules,
)
from vidan.pipeline.build_painters import Painters
from vidan.pipeline.config.load import load_config
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.telemetry import StageTimes
from vidan.trackers import Tracks

CLASSES = ("person", "car", "truck", "bus")


@pytest.fixture
def config_of(tmp_path: Path) -> Callable[[str], RunConfig]:
    """The config in a YAML text without its streams, which are `a` (all rules) and `b` (only `gate`)."""

    def load(text: str) -> RunConfig:
        path = tmp_path / "config.yaml"
        streams = "streams: [{name: a, source: a.mp4}, {name: b, source: b.mp4, rules: [gate]}]\n"
        path.write_text(streams + textwrap.dedent(text))
        return load_config(path).config

    return load


def _walk(config: RunConfig, *, size: tuple[int, int] = (100, 200), classes: tuple[int, ...] = (0,)) -> list[Event]:
    """Events of stream a when a box of 20 × 40 pixels walks through the whole width of the picture.

    Its class is the next one of `classes` in every frame.
    """
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    make_lane = lane_maker(config, CLASSES, StageTimes())
    lane, result = None, None
    events: list[Event] = []
    for index in range(60):
        frame = Frame.from_array(Stamp("a", index, index / 10), image)
        left = index / 60 * (width - 20)
        box = np.array([[left, height / 2 - 40, left + 20, height / 2]], np.float32)
        class_id = np.array([classes[index % len(classes)]])
        lane = lane or make_lane(frame)
        result = lane.step(frame, Detections(box, np.array([0.9], np.float32), class_id))
        events += result.events
    assert lane is not None
    assert result is not None
    return [*events, *lane.finish(result).events[len(result.events) :]]


def test_fractions_become_pixels_of_the_first_frame(config_of) -> None:
    config = config_of("rules: {gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}}")
    for size in ((100, 200), (300, 400)):
        (event,) = _walk(config, size=size)
        assert event.point is not None
        assert event.point[0] == pytest.approx(size[1] / 2)
        assert event.details["direction"] == "in"


def test_pixels_stay_pixels(config_of) -> None:
    (event,) = _walk(config_of("rules: {gate: {type: line, points: [[50, 0], [50, 100]]}}"))
    assert event.point is not None
    assert event.point[0] == pytest.approx(50)


def test_a_hole_is_cut_out_of_a_zone_of_two_parts(config_of) -> None:
    config = config_of(
        """
        rules:
          gate:
            type: zone
            polygons: [[[20, 0], [100, 0], [100, 100], [20, 100]], [[150, 0], [190, 0], [190, 100], [150, 100]]]
            holes: [[[50, 10], [70, 10], [70, 90], [50, 90]]]
        """
    )
    kinds = [event.kind.value.removeprefix("zone_") for event in _walk(config)]
    assert kinds == ["entered", "left"] * 2 + ["entered", "vanished"] or kinds == ["entered", "left"] * 3


def test_the_members_of_a_group_share_a_track_and_count_under_its_name(config_of) -> None:
    text = "rules: {gate: {type: line, points: [[0.5, 0], [0.5, 1]], classes: [vehicle]}}\n"
    alone = config_of("class_groups: {vehicle: [car, truck]}\n" + text)
    (event,) = _walk(alone, classes=(1, 2))
    assert event.label in ("car", "truck")
    assert _walk(alone, classes=(0,)) == []


def test_without_a_group_another_class_is_another_track(config_of) -> None:
    config = config_of("rules: {gate: {type: line, points: [[0.5, 0], [0.5, 1]]}}")
    assert _walk(config, classes=(1, 2)) == []


def test_each_stream_has_the_rules_it_names(config_of) -> None:
    config = config_of(
        """
        rules:
          gate: {type: line, points: [[0.5, 0], [0.5, 1]]}
          yard: {type: zone, polygon: [[0, 0], [1, 0], [1, 1]]}
        """
    )
    assert list(rules_of(config, "a")) == ["gate", "yard"]
    assert list(rules_of(config, "b")) == ["gate"]


def test_a_rule_outside_the_picture_is_warned_of(config_of) -> None:
    config = config_of(
        """
        rules:
          gate: {type: line, points: [[300, 0], [300, 100]]}
          yard: {type: zone, polygon: [[150, 50], [900, 50], [900, 90]]}
          lane: {type: line, points: [[0.5, 0], [0.5, 1]]}
        """
    )
    (warning,) = warn_of_unseen_rules(config, "a", 200, 100)
    assert warning.startswith("rule gate lies wholly outside the picture of 200×100 pixels")
    assert warn_of_unseen_rules(config, "a", 320, 100) == []


def test_a_summary_is_told_the_classes_that_a_rule_can_count(config_of) -> None:
    config = config_of(
        """
        detector: {classes: [person, truck, car]}
        class_groups: {vehicle: [car, truck]}
        rules:
          gate: {type: line, points: [[0.5, 0], [0.5, 1]], classes: [vehicle], directions: {in: north, out: south}}
          yard: {type: zone, polygon: [[0, 0], [1, 0], [1, 1]], every: 2.5}
        """
    )
    gate, yard, other_gate = describe_rules(config, CLASSES)
    assert (gate.stream, gate.name, gate.type) == ("a", "gate", "line")
    assert gate.classes == ("car", "truck")
    assert gate.directions == ("north", "south")
    assert (yard.type, yard.every_seconds) == ("zone", 2.5)
    assert yard.classes == ("person", "car", "truck")
    assert other_gate.stream == "b"


SIDES = """
        west: {type: line, points: [[0.2, 0.0], [0.2, 1.0]]}
        east: {type: line, points: [[0.8, 0.0], [0.8, 1.0]]}
"""


def test_a_flow_goes_between_other_rules(config_of) -> None:
    config = config_of(
        f"rules: {SIDES}        gate: {{type: flow, places: [west, east]}}\n".replace("rules: ", "rules:")
    )
    [event] = [event for event in _walk(config) if event.rule == "gate"]
    assert (event.details["origin"], event.details["destination"]) == ("west", "east")


@pytest.mark.parametrize("line", ["line: east", "points: [[0.8, 1.0], [0.8, 0.0]]"])
def test_a_queue_is_served_by_the_way_out_of_it_however_the_line_is_drawn(config_of, line: str) -> None:
    polygon = "[[0.4, 0.0], [0.8, 0.0], [0.8, 1.0], [0.4, 1.0]]"
    config = config_of(f"rules:{SIDES}        gate: {{type: queue, polygon: {polygon}, {line}}}\n")
    events = [event.kind.value for event in _walk(config) if event.rule == "gate"]
    assert events == ["queue_served"]


def test_speed_uses_the_calibration_of_its_stream_in_fractions_of_any_frame(config_of, tmp_path: Path) -> None:
    path = tmp_path / "speed.yaml"
    path.write_text(
        "streams: [{name: a, source: a.mp4, calibration: {line: {points: [[0, 0.5], [1, 0.5]], metres: 30}}}]\n"
        "rules: {road: {type: speed, unit: m/s, limit: 3}}\n"
    )
    config = load_config(path).config
    for size in ((100, 200), (300, 400)):
        events = _walk(config, size=size)
        assert [event.kind.value for event in events] == ["speeding", "speed_measured"]
        expected = (size[1] - 20) / 60 * 10 / size[1] * 30  # pixels per second over pixels per metre
        assert events[1].details["speed"] == pytest.approx(expected, rel=0.01)


def test_a_direction_that_does_not_count_is_no_event_and_no_column(config_of) -> None:
    config = config_of("rules: {gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]], count: out}}")
    assert _walk(config) == []
    assert {info.directions for info in describe_rules(config, CLASSES)} == {("out",)}


def test_heatmaps_have_files_of_their_own(config_of) -> None:
    one = config_of("rules: {gate: {type: heatmap}}")
    assert heatmap_names(one) == {("a", "gate"): None, ("b", "gate"): None}
    two = config_of("rules: {warm: {type: heatmap}, gate: {type: heatmap, classes: [car]}}")
    assert heatmap_names(two) == {("a", "warm"): "warm", ("a", "gate"): "gate", ("b", "gate"): None}
    assert describe_rules(two, CLASSES) == []


def test_a_schedule_without_a_clock_is_named(config_of) -> None:
    schedule = "{time_zone: UTC, windows: [{from: '07:00', to: '19:00'}]}"
    config = config_of(
        f"rules: {{gate: {{type: line, points: [[0, 0], [1, 1]], schedule: {schedule}}}, b: {{type: heatmap}}}}"
    )
    [complaint] = rules_without_clock(config, "a")
    assert "rule gate has a schedule" in complaint
    assert "start_time" in complaint


@pytest.mark.parametrize("kind", ["bytetrack", "sort", "ocsort", "botsort"])
def test_every_tracker_of_the_language_counts(config_of, kind: str) -> None:
    rule = "rules: {gate: {type: line, points: [[50, 0], [50, 100]]}}\n"
    (event,) = _walk(config_of(rule + f"tracker: {{type: {kind}}}"))
    assert event.track_id == 1


@pytest.mark.parametrize(
    ("tracker", "looks"),
    [
        ("{}", False),  # the default never asks for the picture
        ("{type: sort}", False),
        ("{type: botsort}", True),
        ("{type: botsort, camera_motion: none}", False),
        ("{type: ocsort, camera_motion: ecc}", True),
    ],
)
def test_pictures_are_looked_at_only_where_the_camera_may_move(config_of, tracker: str, looks: bool) -> None:
    asked = []

    def picture() -> NDArray[np.uint8]:
        asked.append(True)
        return np.zeros((100, 200, 3), np.uint8)

    frame = Frame(Stamp("a", 0, 0.0), 100, 200, picture)
    rule = "rules: {gate: {type: line, points: [[50, 0], [50, 100]]}}\n"
    lane_maker(config_of(f"{rule}tracker: {tracker}"), CLASSES, StageTimes())(frame).step(frame, Detections.empty())
    assert bool(asked) == looks


def test_painters_show_the_rules_of_the_newest_config(config_of: Callable[[str], RunConfig]) -> None:
    def rules(x: float) -> RunConfig:
        return config_of(f"rules: {{gate: {{type: line, points: [[{x}, 0.0], [{x}, 1.0]]}}}}")

    painters = Painters(rules(0.25), CLASSES)
    annotator, still = painters.annotator("a", 100, 200), painters.still_painter("a", 100, 200)
    stamp = Stamp("a", 0, 0.0)
    gone = Event("0" * 16, EventKind.LINE_CROSSED, "a", "gate", None, None, 0.0, None, 0)

    def columns() -> tuple[bool, bool]:
        """Whether there is paint at a quarter, and at the middle, of both pictures."""
        pictures = np.full((2, 100, 200, 3), 90, np.uint8)
        frame = Frame.from_array(stamp, pictures[0].copy())
        annotator.paint(pictures[0], FrameResult(frame, Detections.empty(), Tracks.empty(), (), ()))
        still.paint(pictures[1], gone, stamp, {}, [])
        quarter, middle = ((pictures[:, 50, x] != 90).any(axis=1) for x in (50, 100))
        assert quarter[0] == quarter[1]
        assert middle[0] == middle[1]
        return bool(quarter[0]), bool(middle[0])

    assert columns() == (True, False)
    painters.change(rules(0.5))
    assert columns() == (False, True)
