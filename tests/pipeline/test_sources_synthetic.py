"""Painted streams show exactly what their truth says."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from vidan.pipeline.sources.synthetic import BACKGROUND, MovingShape, SyntheticSource
from vidan.pipeline.stages import Source

WALKER = MovingShape([(0.0, 20.0, 60.0), (2.0, 120.0, 60.0)], width=10, height=20, color=(250, 0, 0))
CAR = MovingShape([(0.5, 60.0, -30.0), (2.5, 60.0, 130.0)], width=30, height=16, color=(0, 0, 250), class_id=2)


def box_of(image: np.ndarray, color: tuple[int, int, int]) -> list[int]:
    """Left, top, right, bottom of all pixels of that colour."""
    rows, columns = np.nonzero((image == color).all(axis=-1))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
def test_the_truth_is_what_can_be_seen_to_the_pixel(shape) -> None:
    walker = MovingShape(WALKER.waypoints, width=10, height=20, color=WALKER.color, shape=shape)
    source = SyntheticSource("yard", [walker], size=(100, 110), fps=10, seconds=3)
    seen = 0
    for frame in source:
        truth = source.truth(frame.stamp.index)
        if len(truth):
            seen += 1
            assert truth.xyxy[0].tolist() == box_of(frame.image, walker.color)
        else:
            assert (frame.image == BACKGROUND).all()
    assert seen == 19, "from 1.9 s on the walker has left the picture at the right edge"


def test_ids_classes_and_times_of_the_truth() -> None:
    source = SyntheticSource("yard", [WALKER, CAR], size=(100, 160), fps=10, seconds=3)
    assert source.truth(0).track_id.tolist() == [1], "the car is not there yet"
    middle = source.truth(15)
    assert middle.track_id.tolist() == [1, 2]
    assert middle.class_id.tolist() == [0, 2]
    assert middle.xyxy.tolist() == [[90, 50, 100, 70], [45, 42, 75, 58]]
    assert middle.confirmed.all()
    assert len(source.truth(29)) == 0


def test_the_same_arguments_give_the_same_pixels_and_stamps() -> None:
    start = datetime(2024, 5, 6, tzinfo=UTC)
    one, other = (SyntheticSource("yard", [WALKER, CAR], seconds=2, start_time=start) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        assert first.stamp == second.stamp
        assert np.array_equal(first.image, second.image)
    assert (one.health.expected, one.health.delivered) == (20, 20)


def test_it_is_a_source_like_the_others() -> None:
    source: Source = SyntheticSource("yard", [WALKER], seconds=1)
    frames = iter(source)
    assert next(frames).resized(24, 32).shape == (24, 32, 3)
    source.close()
    assert list(frames) == []
    assert source.live is False


@pytest.mark.parametrize("waypoints", [[], [(0.0, 1.0, 1.0), (0.0, 2.0, 2.0)], [(1.0, 0.0, 0.0), (0.0, 0.0, 0.0)]])
def test_a_shape_needs_times_that_grow(waypoints) -> None:
    with pytest.raises(ValueError, match="waypoints whose times grow"):
        MovingShape(waypoints)
