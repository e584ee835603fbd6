"""The painter: what it counts, where it paints, that it forgets, that it never stumbles."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.pipeline import drawing
from vidan.pipeline.annotate import Annotator
from vidan.pipeline.calibration import Calibration
from vidan.pipeline.drawing import LineShape, QueueShape, ZoneShape, in_arrow, track_colour
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.shapes import Shapes
from vidan.pipeline.speed_labels import SpeedLabels, SpeedShape
from vidan.trackers import Tracks

GATE = LineShape("gate", ((10.0, 100.0), (190.0, 100.0)), ("north", "south"))
YARD = ZoneShape(
    "yard",
    (((40.0, 20.0), (160.0, 20.0), (160.0, 120.0), (40.0, 120.0)),),
    (((80.0, 50.0), (120.0, 50.0), (120.0, 90.0), (80.0, 90.0)),),
)


def tracks_at(*boxes: tuple[int, float, float, float, float], ended: tuple[int, ...] = ()) -> Tracks:
    count = len(boxes)
    rows = np.array(boxes, np.float64).reshape(count, 5)
    return Tracks(
        rows[:, 0].astype(np.int64),
        rows[:, 1:].astype(np.float32),
        np.full(count, 0.9, np.float32),
        np.zeros(count, np.int64),
        np.ones(count, np.float32),
        np.ones(count, np.bool_),
        np.ones(count, np.bool_),
        ended,
    )


def result_at(
    seconds: float, tracks: Tracks | None = None, events: tuple[Event, ...] = (), height: int = 150, width: int = 200
) -> FrameResult:
    """A grey picture whose tracks were counted at once."""
    tracks = Tracks.empty() if tracks is None else tracks
    stamp = Stamp("door", round(seconds * 10), seconds)
    frame = Frame.from_array(stamp, np.full((height, width, 3), 90, np.uint8))
    return FrameResult(frame, Detections.empty(), tracks, (CountedFrame(stamp, tracks, tracks.xyxy),), events)


def event(kind: EventKind, rule: str, track: int, seconds: float = 0.0, **details: str) -> Event:
    return Event("0" * 16, kind, "door", rule, track, "person", seconds, None, 0, details=details)


def painted(annotator: Annotator, result: FrameResult) -> NDArray[np.uint8]:
    picture = result.frame.image.copy()
    annotator.paint(picture, result)
    return picture


def is_painted(pixel: NDArray[np.uint8], colour: drawing.Colour) -> bool:
    """True if nearly nothing of the grey ground shows through the anti-aliased stroke."""
    return bool(np.abs(pixel.astype(int) - colour).max() <= 16)


def overlap(first: drawing.Plate, second: drawing.Plate) -> bool:
    """True if more than their margins lie on each other."""
    (left, top, width, height), (other_left, other_top, other_width, other_height) = first, second
    across = min(left + width, other_left + other_width) - max(left, other_left)
    down = min(top + height, other_top + other_height) - max(top, other_top)
    return across > height / 4 and down > height / 4


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is painted."""
    texts: list[str] = []

    def put_text(picture: NDArray[np.uint8], text: str, *rest: object) -> None:
        texts.append(text)

    monkeypatch.setattr(drawing.cv2, "putText", put_text)
    return texts


def test_the_panel_counts_what_events_say(words: list[str]) -> None:
    annotator = Annotator(150, 200, Shapes((GATE,), (YARD,)), class_names=("person",))
    crossings = [event(EventKind.LINE_CROSSED, "gate", i, direction="north") for i in (1, 2, 3)]
    stays = [
        event(EventKind.ZONE_ENTERED, "yard", 1),
        event(EventKind.ZONE_APPEARED, "yard", 2),
        event(EventKind.LOITERING, "yard", 2),
        event(EventKind.ZONE_LEFT, "yard", 1),
    ]
    painted(annotator, result_at(0.0, events=(*crossings, *stays)))
    painted(annotator, result_at(1.0, events=(event(EventKind.LINE_CROSSED, "gate", 1, direction="south"),)))
    assert words[-5:] == ["gate", "north 3", "south 1", "yard", "1 inside"]


def test_labels_show_id_and_class_of_confirmed_tracks_only(words: list[str]) -> None:
    tracks = tracks_at((7, 20, 20, 60, 90), (8, 90, 20, 130, 90))
    tracks.confirmed[1] = False
    painted(Annotator(150, 200, class_names=("person",)), result_at(75.2, tracks))
    assert words == ["7 person", "0:01:15.2   #752"]


def test_two_close_together_have_labels_that_can_both_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    plates: list[drawing.Plate] = []

    def write(brush: drawing.Brush, picture: NDArray[np.uint8], text: str, plate: drawing.Plate, *rest: object) -> None:
        plates.append(plate)

    monkeypatch.setattr(drawing.Brush, "write", write)
    tracks = tracks_at((7, 60, 40, 90, 110), (8, 70, 42, 100, 112))
    painted(Annotator(150, 200, Shapes((GATE,), (YARD,)), class_names=("person",)), result_at(0.0, tracks))
    seven, eight, *signs = plates
    assert len(signs) == 3  # two names and the clock
    assert not any(overlap(seven, other) for other in (eight, *signs))
    assert not any(overlap(eight, other) for other in signs)


def test_labels_without_room_lie_under_those_that_have_it(words: list[str]) -> None:
    tracks = tracks_at(*((i, 60, 60, 100, 100) for i in range(1, 13)))
    painted(Annotator(150, 200, class_names=("person",)), result_at(0.0, tracks))
    assert words.index("12 person") < words.index("1 person")
    assert len(words) == 13


def test_a_zone_is_tinted_inside_and_neither_outside_nor_in_its_hole() -> None:
    picture = painted(Annotator(150, 200, Shapes(zones=(YARD,)), class_names=()), result_at(0.0))
    assert tuple(picture[100, 140]) != (90, 90, 90)
    assert tuple(picture[70, 100]) == (90, 90, 90)
    assert tuple(picture[140, 180]) == (90, 90, 90)


def test_a_box_is_painted_in_the_colour_of_its_track() -> None:
    picture = painted(Annotator(150, 200, class_names=("person",)), result_at(0.0, tracks_at((3, 50, 40, 90, 120))))
    assert is_painted(picture[80, 50], track_colour(3))
    assert is_painted(picture[80, 90], track_colour(3))


def test_a_trail_follows_the_feet_and_goes_with_its_track_or_its_age() -> None:
    annotator = Annotator(150, 200, class_names=("person",), trail_seconds=2.0)
    pictures = [
        painted(annotator, result_at(i / 10, tracks_at((1, 10 + 10 * i, 40, 30 + 10 * i, 100)))) for i in range(10)
    ]
    assert is_painted(pictures[-1][100, 75], track_colour(1))
    lost = painted(annotator, result_at(1.5))
    assert is_painted(lost[100, 75], track_colour(1))
    assert tuple(painted(annotator, result_at(3.5))[100, 75]) == (90, 90, 90)
    painted(annotator, result_at(3.6, tracks_at((1, 10, 40, 30, 100))))
    painted(annotator, result_at(3.7, tracks_at((1, 70, 40, 90, 100))))
    gone = painted(annotator, result_at(3.8, tracks_at(ended=(1,))))
    assert (gone[:130] == 90).all()


def test_a_rule_lights_up_for_half_a_second_after_its_event() -> None:
    annotator = Annotator(150, 200, Shapes((GATE,)), class_names=())
    crossing = event(EventKind.LINE_CROSSED, "gate", 1, direction="north")
    assert tuple(painted(annotator, result_at(0.0, events=(crossing,)))[100, 150]) == drawing.WHITE
    assert tuple(painted(annotator, result_at(0.6))[100, 150]) == drawing.LINE_COLOUR


@pytest.mark.parametrize(("height", "width"), [(2, 2), (37, 51), (240, 320), (600, 800), (2160, 3840)])
def test_any_picture_size_and_boxes_beyond_the_edge_are_painted(height: int, width: int) -> None:
    annotator = Annotator(height, width, Shapes((GATE,), (YARD,)), class_names=("person",))
    boxes = ((1, -50, -50, 20, 30), (2, width - 5, height - 5, width + 90, height + 90), (3, 1, 1, 1, 1))
    for seconds in (0.0, 0.1):
        result = result_at(seconds, tracks_at(*boxes), (), height, width)
        assert painted(annotator, result).shape == (height, width, 3)


def test_a_later_smaller_picture_of_the_stream_is_painted_too() -> None:
    annotator = Annotator(150, 200, Shapes(zones=(YARD,)), class_names=())
    for height, width in ((150, 200), (60, 100), (10, 20), (300, 400)):
        painted(annotator, result_at(0.0, None, (), height, width))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 4000), st.floats(0, 4000)), min_size=2, max_size=5, unique=True))
def test_the_arrow_points_to_the_left_hand_of_the_line(points: list[tuple[float, float]]) -> None:
    longest = max(pairwise(points), key=lambda pair: np.hypot(pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]))
    (ax, ay), (bx, by) = longest
    if np.hypot(bx - ax, by - ay) < 1:
        return
    start, (x, y) = in_arrow(points, 30.0)
    assert (bx - ax) * (y - ay) - (by - ay) * (x - ax) < 0  # `in` goes from positive to negative
    assert np.hypot(x - start[0], y - start[1]) == pytest.approx(30.0)


def test_colours_stay_and_those_of_near_ids_differ() -> None:
    assert track_colour(5) == track_colour(5)
    colours = np.array([track_colour(i) for i in range(1, 40)], float)
    for i in range(len(colours) - 15):
        distances = np.linalg.norm(colours[i] - colours[i + 1 : i + 16], axis=1)
        assert distances.min() > 60


def test_text_is_legible_at_320_pixels_and_at_4k() -> None:
    for (height, width), least, most in [((240, 320), 8, 12), ((2160, 3840), 30, 60)]:
        picture = np.full((height, width, 3), 90, np.uint8)
        Annotator(height, width, class_names=()).paint(picture, result_at(0.0, None, (), height, width))
        _, _, _, box_height = cv2.boundingRect((picture != 90).any(axis=2).astype(np.uint8))
        assert least < box_height < most * 2


def test_speed_is_written_at_the_box_and_forgotten_outside() -> None:
    area = shapely.box(0, 0, 150, 150)
    shape = SpeedShape("road", area, Calibration.from_length((0, 0), (10, 0), 1.0), 1.0, "m/s", "bottom_center")
    labels = SpeedLabels(shape)
    for index in range(15):
        tracks = tracks_at((7, 5.0 + 4 * index, 40.0, 15.0 + 4 * index, 80.0))
        labels.watch(result_at(index / 10, tracks).counted[0])
        assert (labels.of(7) is None) == (index < 10)
    assert labels.of(7) == "4.0 m/s"
    labels.watch(result_at(1.5, tracks_at((7, 160.0, 40.0, 170.0, 80.0))).counted[0])
    assert labels.of(7) is None


def test_a_queue_shows_how_many_wait() -> None:
    shape = QueueShape("till", ((40.0, 20.0), (160.0, 20.0), (160.0, 120.0)), ((160.0, 20.0), (160.0, 120.0)))
    annotator = Annotator(150, 200, Shapes(queues=(shape,)), class_names=["person"])
    changed = Event("0" * 16, EventKind.QUEUE_CHANGED, "door", "till", None, None, 0.0, None, 0, details={"length": 3})
    painted(annotator, result_at(0.0, events=(changed,)))
    assert annotator._number_in("till") == 3


def test_shapes_change_and_counts_stay(words: list[str]) -> None:
    annotator = Annotator(150, 200, Shapes((GATE,)), class_names=("person",))
    painted(annotator, result_at(0.0, events=(event(EventKind.LINE_CROSSED, "gate", 1, direction="north"),)))
    annotator.change(Shapes((GATE,), (YARD,)))
    painted(annotator, result_at(1.0))
    assert words[-5:] == ["gate", "north 1", "south 0", "yard", "0 inside"]
    annotator.change(Shapes(zones=(YARD,)))
    painted(annotator, result_at(2.0))
    assert "gate" not in words[-4:]
