"""The pictures of a camera's main stream, for what is drawn and kept while its sub-stream is analysed.

Times of two streams of a camera have nothing in common without RTCP reports, which FFmpeg does not hand on; what they
have in common is the moment at which they arrive here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.errors import SourceError
from vidan.pipeline.events import Event
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult
from vidan.pipeline.sources.camera import CameraSource
from vidan.pipeline.stages import MainHealth
from vidan.trackers import Tracks

MOST_PICTURES = 12
"""That are kept, decoded: half a second at 25 pictures per second, 37 MB at 1080p."""

MOST_APART_SECONDS = 0.5
"""Between the arrivals of an analysed frame and of the picture in which it is shown."""

TOLERATED_SECONDS = 3.0
"""Without a picture, also at the beginning, until that is told."""

JOIN_SECONDS = 5.0

_logger = logging.getLogger(__name__)


class MainPictures:
    """Reads a main stream on a thread of its own, keeps its newest pictures, and shows results in them.

    Whatever happens to it, results are shown all the same: in the analysed picture, enlarged. Nobody waits for it.

    Args:
        source: The main stream, not read yet.
        described: What that is, for people, without passwords.
        clock: Monotonic seconds.

    Attributes:
        health: Kept up to date.
    """

    def __init__(self, source: CameraSource, described: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.health = MainHealth(described, source.health)
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()  # guards the pictures
        self._pictures: deque[Frame] = deque(maxlen=MOST_PICTURES)
        self._answered: tuple[FrameResult, FrameResult] | None = None
        self._shown_at = clock()
        self._is_told = False
        self._thread = threading.Thread(target=self._work, name=f"read-{source.name}", daemon=True)
        self._thread.start()

    def enlarge(self, result: FrameResult) -> FrameResult:
        """The result in the main stream's picture nearest in arrival, its boxes and points in pixels of that.

        Where none is near, in its own picture, scaled; before the first picture of the main stream as it is. The same
        result has the same answer, so that video and evidence show the same. To be asked by one thread.
        """
        if self._answered is None or self._answered[0] is not result:
            self._answered = result, self._enlarge(result)
        return self._answered[1]

    def close(self) -> None:
        """Ends the reading."""
        self._source.close()
        self._thread.join(JOIN_SECONDS)

    def _enlarge(self, result: FrameResult) -> FrameResult:
        frame, picture = result.frame, self._nearest(result.frame.arrived)
        self._note(is_shown=picture is not None)
        height, width = self.health.height, self.health.width
        if picture is not None:
            shown = picture.restamped(frame.stamp)
        elif height is not None and width is not None:
            shown = Frame(frame.stamp, height, width, partial(_scaled, frame.unconverted(), height, width))
        else:
            return result
        shown.arrived = frame.arrived
        return _in_pixels_of(shown, result)

    def _nearest(self, arrived: float) -> Frame | None:
        with self._lock:
            pictures = list(self._pictures)
        nearest = min(pictures, key=lambda picture: abs(picture.arrived - arrived), default=None)
        return nearest if nearest is not None and abs(nearest.arrived - arrived) <= MOST_APART_SECONDS else None

    def _note(self, *, is_shown: bool) -> None:
        now, health = self._clock(), self.health
        if is_shown:
            health.shown += 1
            self._shown_at = now
            if self._is_told:
                _logger.warning("stream %s: its pictures are there again", self._source.name)
            self._is_told = False
            return
        health.missing += 1
        if now - self._shown_at > TOLERATED_SECONDS and not self._is_told:
            self._is_told = True
            self._complain("it has no pictures of this time; video and evidence show those of the sub-stream, enlarged")

    def _work(self) -> None:
        try:
            for frame in self._source:
                frame.arrived = self._clock()
                with self._lock:
                    self.health.height, self.health.width = frame.height, frame.width
                    self._pictures.append(frame)
        except SourceError as error:
            self._complain(str(error))
        except Exception as error:  # a bug, which concerns the pictures alone
            _logger.error("stream %s: its reader failed", self._source.name, exc_info=error)
            self._complain(f"its reader failed ({type(error).__name__}: {error})")

    def _complain(self, problem: str) -> None:
        _logger.warning("stream %s: %s", self._source.name, problem)
        if problem not in self.health.health.problems:
            self.health.health.problems.append(problem)


def _scaled(frame: Frame, height: int, width: int) -> NDArray[np.uint8]:
    return frame.unconverted().resized(height, width)  # unconverted: the small RGB picture is not kept


def _in_pixels_of(shown: Frame, result: FrameResult) -> FrameResult:
    """The result about another picture of the same view."""
    x, y = shown.width / result.frame.width, shown.height / result.frame.height
    by = np.array([x, y, x, y], np.float32)
    return FrameResult(
        shown,
        replace(result.detections, xyxy=result.detections.xyxy * by),
        _scale_tracks(result.tracks, by),
        tuple(_scale_counted(frame, by) for frame in result.counted),
        tuple(_scale_event(event, x, y) for event in result.events),
        tuple(_scale_event(event, x, y) for event in result.near_misses),
    )


def _scale_tracks(tracks: Tracks, by: NDArray[np.float32]) -> Tracks:
    return replace(tracks, xyxy=tracks.xyxy * by)


def _scale_counted(frame: CountedFrame, by: NDArray[np.float32]) -> CountedFrame:
    return CountedFrame(
        frame.stamp,
        _scale_tracks(frame.tracks, by),
        frame.observed_xyxy * by,
        _scale_tracks(frame.dismissed, by),
    )


def _scale_event(event: Event, x: float, y: float) -> Event:
    point, box = event.point, event.box
    return replace(
        event,
        point=None if point is None else (point[0] * x, point[1] * y),
        box=None if box is None else (box[0] * x, box[1] * y, box[2] * x, box[3] * y),
    )
