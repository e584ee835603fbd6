"""The main stream's pictures: the nearest in arrival, boxes in its pixels, and nothing lost when it fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from vidan.detector import Detections
from vidan.pipeline.errors import SourceError
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.sources.main_pictures import MOST_APART_SECONDS, MainPictures
from vidan.pipeline.stages import SourceHealth
from vidan.trackers import Tracks

CROSSED = Event(
    "1f", EventKind.LINE_CROSSED, "door", "gate", 1, "person", 0.0, None, 0, (20.0, 40.0), (10.0, 10.0, 30.0, 60.0)
)


class Script:
    """A source whose pictures of 192x256 arrive at given moments and show their number; then it may fail."""

    name = "door (main stream)"

    def __init__(self, moments: list[float], failure: Exception | None = None) -> None:
        self.health = SourceHealth()
        self.now = 0.0
        self._moments, self._failure = moments, failure

    def __iter__(self) -> Iterator[Frame]:
        for number, moment in enumerate(self._moments):
            self.now = moment
            yield Frame.from_array(Stamp("door", number, moment), np.full((192, 256, 3), number, np.uint8))
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """It has ended by itself."""


def reader_of(script: Script) -> MainPictures:
    pictures = MainPictures(cast(Any, script), "rtsp://cam/main", clock=lambda: script.now)
    pictures._thread.join(5)
    return pictures


def seen(arrived: float, event: Event = CROSSED) -> FrameResult:
    frame = Frame.from_array(Stamp("door", 0, 0.0), np.full((96, 128, 3), 200, np.uint8))
    frame.arrived = arrived
    return FrameResult(frame, Detections.empty(), Tracks.empty(), (), (event,))


def test_the_picture_that_arrived_nearest_is_shown() -> None:
    pictures = reader_of(Script([10.0, 10.1, 10.2, 10.3]))
    assert [int(pictures.enlarge(seen(moment)).frame.image[0, 0, 0]) for moment in (9.9, 10.12, 10.24, 10.6)] == [
        *(0, 1, 2, 3)
    ]
    assert (pictures.health.shown, pictures.health.missing) == (4, 0)


def test_places_are_in_pixels_of_the_main_stream_and_the_analysed_result_stays_as_it_is() -> None:
    result = seen(10.0)
    before = replace(result.events[0])
    shown = reader_of(Script([10.0])).enlarge(result)
    assert (shown.frame.height, shown.frame.width) == (192, 256)
    assert shown.events[0].point == (40.0, 80.0)
    assert shown.events[0].box == (20.0, 20.0, 60.0, 120.0)
    assert result.events == (before,), "what is logged and counted"
    assert result.frame.image.shape == (96, 128, 3)


def test_without_a_picture_of_that_time_the_own_one_is_enlarged() -> None:
    pictures = reader_of(Script([10.0]))
    shown = pictures.enlarge(seen(10.0 + MOST_APART_SECONDS + 0.1))
    assert shown.frame.image.shape == (192, 256, 3)
    assert int(shown.frame.image[0, 0, 0]) == 200
    assert pictures.health.missing == 1


@pytest.mark.parametrize(
    ("failure", "problem"),
    [(SourceError("the camera refuses the password"), "refuses the password"), (KeyError("x"), "its reader failed")],
)
def test_a_main_stream_that_fails_or_never_comes_is_told_and_changes_nothing(failure: Exception, problem: str) -> None:
    pictures = reader_of(Script([], failure))
    result = seen(10.0)
    assert pictures.enlarge(result) is result
    assert problem in pictures.health.to_record()["problems"][0]


def test_its_end_does_not_wait_for_a_camera_that_says_nothing() -> None:
    pictures = reader_of(Script([10.0]))
    began = time.monotonic()
    pictures.close()
    assert time.monotonic() - began < 1
