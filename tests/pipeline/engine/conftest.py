"""Streams and a detector that are made up, so that only the engine is under test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from vidan.detector import Detections, ImageLike
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.stages import SourceHealth

WAIT_SECONDS = 5.0  # until a test gives up waiting for a thread


class FakeSource:
    """Gives `count` frames, whose pictures are filled with their index (its lowest byte).

    Args:
        error: Is raised after the last frame.
        pause_seconds: Between two frames.
        gate: Each frame waits until this is set.
    """

    def __init__(
        self,
        name: str = "a",
        count: int = 10,
        *,
        live: bool = False,
        error: Exception | None = None,
        pause_seconds: float = 0.0,
        gate: threading.Event | None = None,
    ) -> None:
        self.name = name
        self.live = live
        self.health = SourceHealth(expected=count)
        self.closed = False
        self._error = error
        self._pause_seconds = pause_seconds
        self._gate = gate

    def describe(self) -> dict[str, Any]:
        return {"type": "fake"}

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.health.expected or 0):
            if self._gate is not None:
                assert self._gate.wait(WAIT_SECONDS)
            time.sleep(self._pause_seconds)
            self.health.decoded += 1
            yield Frame.from_array(Stamp(self.name, index, index / 10), np.full((4, 6, 3), index % 256, np.uint8))
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed = True


class FakeDetector:
    """Finds one box in every frame; remembers how many frames came at once."""

    class_names = ("thing",)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        self.batches.append(len(images))
        return [_one_box(int(image.resized(1, 1)[0, 0, 0])) for image in images if not isinstance(image, np.ndarray)]


class ListSink:
    """Remembers the results, or fails at the first one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.results: list[FrameResult] = []
        self.closed = 0
        self._error = error

    def write(self, result: FrameResult) -> None:
        assert not self.closed
        if self._error is not None:
            raise self._error
        self.results.append(result)

    def close(self) -> None:
        self.closed += 1

    @property
    def seen(self) -> list[tuple[str, int]]:
        """Stream and index of the frames, in the order in which they came."""
        return [(result.frame.stamp.stream, result.frame.stamp.index) for result in self.results]


def _one_box(value: int) -> Detections:
    box = np.array([[value, 0, value + 2, 4]], np.float32)
    return Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int64))


@pytest.fixture
def fake_source() -> type[FakeSource]:
    return FakeSource


@pytest.fixture
def detector() -> FakeDetector:
    return FakeDetector()


@pytest.fixture
def list_sink() -> type[ListSink]:
    return ListSink
