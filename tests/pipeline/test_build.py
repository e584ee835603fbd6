"""From the words of a config to the objects that do the work."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vidan.detector import Detections
from vidan.pipeline.build import describe_rules, lane_maker, rules_of, warn_of_unseen_rules
from vidan.pipeline.config.load import load_config
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.events import Event
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.telemetry import StageTimes

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
