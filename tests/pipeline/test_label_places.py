"""Labels of boxes: they do not lie on each other where there is room, and stay where they are."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.drawing import Plate
from vidan.pipeline.label_places import HELD_SECONDS, LabelPlaces

SIZE = (60, 16)
BOX = (100.0, 100.0, 130.0, 180.0)


def found(places: LabelPlaces, boxes: Sequence[Sequence[float]], now: float = 0.0) -> list[tuple[Plate, bool]]:
    places.begin(300, 400)
    return [places.find(track_id, box, SIZE, now) for track_id, box in enumerate(boxes, start=1)]


def test_a_label_stands_above_its_box() -> None:
    assert found(LabelPlaces(16), [BOX]) == [((100, 84, 60, 16), True)]


def test_what_has_no_room_is_put_above_all_the_same() -> None:
    answers = found(LabelPlaces(16), [BOX] * 8)
    assert [is_free for _, is_free in answers] == [True] * 4 + [False] * 4  # above, below, and at both sides
    assert {plate for plate, is_free in answers if not is_free} == {(100, 84, 60, 16)}


def test_nothing_goes_where_something_stands_already() -> None:
    places = LabelPlaces(16)
    places.begin(300, 400)
    places.take((90, 80, 200, 30))
    assert places.find(1, BOX, SIZE, 0.0) == ((100, 180, 60, 16), True)


def test_a_label_stays_a_while_where_it_went_and_then_goes_back() -> None:
    places = LabelPlaces(16)
    beside = found(places, [BOX, BOX])[1][0]
    apart = (300.0, 100.0, 330.0, 180.0)
    moments = [0.04 * i for i in range(1, 50)]
    seen = [found(places, [apart, BOX], now)[1][0] for now in moments]
    assert seen == [beside if now < HELD_SECONDS else (100, 84, 60, 16) for now in moments]


def test_whoever_was_there_first_is_not_pushed_away_by_others() -> None:
    places = LabelPlaces(16)
    (alone,) = found(places, [BOX])
    assert found(places, [BOX, BOX, BOX], 0.1)[0] == alone


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-100, 500), st.floats(-100, 400), st.floats(0, 90), st.floats(0, 90)), max_size=30),
    st.tuples(st.integers(1, 400), st.integers(1, 300)),
)
def test_free_places_are_in_the_picture_and_overlap_in_their_margins_only(
    boxes: list[tuple[float, float, float, float]], size: tuple[int, int]
) -> None:
    width, height = size
    places = LabelPlaces(16)
    places.begin(height, width)
    answers = [places.find(i, (x, y, x + w, y + h), SIZE, 0.0) for i, (x, y, w, h) in enumerate(boxes)]
    free = [plate for plate, is_free in answers if is_free]
    for plate, _ in answers:
        assert plate[0] >= 0
        assert plate[1] >= 0
        assert plate[0] + plate[2] <= max(width, SIZE[0])
        assert plate[1] + plate[3] <= max(height, SIZE[1])
    for i, (left, top, _, _) in enumerate(free):
        for other_left, other_top, _, _ in free[:i]:
            assert abs(left - other_left) > SIZE[0] - 4 or abs(top - other_top) > SIZE[1] - 4
