"""The ways of all tracks through a sample of one stream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.frame import CountedFrame, FrameResult
from vidan.pipeline.geometry import Anchor, anchors_of

CUT_SECONDS = 0.5  # a trail that begins so soon after the sample began may have begun before


@dataclass(frozen=True, eq=False)
class Trail:
    """One track's way.

    Attributes:
        track_id: Of the stream.
        label: Name of its class.
        frame: (N,) int64, number of the frame within the sample; neighbours differ by one.
        seconds: (N,) float64, stream time.
        xyxy: (N, 4) float32, smoothed boxes, as rules see them.
        observed_xyxy: (N, 4) float32, the tracker's own boxes.
        begins: False where it may have begun before the sample did.
        ends: False where it may end after the sample did.
    """

    track_id: int
    label: str
    frame: NDArray[np.int64]
    seconds: NDArray[np.float64]
    xyxy: NDArray[np.float32]
    observed_xyxy: NDArray[np.float32]
    begins: bool = True
    ends: bool = True

    @cached_property
    def heights(self) -> NDArray[np.float64]:
        """(N,) of the boxes, in pixels; at least 1."""
        return np.maximum(self.xyxy[:, 3] - self.xyxy[:, 1], 1.0).astype(np.float64)

    @cached_property
    def height(self) -> float:
        """Of the boxes, in pixels, median."""
        return float(np.median(self.heights))

    def anchors(self, anchor: Anchor) -> NDArray[np.float64]:
        """(N, 2) where it stood, in pixels."""
        return anchors_of(self.xyxy, anchor)

    @cached_property
    def is_moving(self) -> bool:
        """True if it ends at least one of its heights away from where it began, or was so far away in between."""
        feet = self.anchors("bottom_center")
        return bool(np.hypot(*(feet - feet[0]).T).max() >= self.height)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What was seen of one stream.

    Attributes:
        stream: Its name.
        height: Of its pictures, in pixels.
        width: Of its pictures, in pixels.
        frames: How many were analysed.
        seconds: How long it lasted.
        trails: Of all tracks, by track id.
        scene: (height, width, 3) uint8 RGB, a picture of it; None where there is none.
        unjoined: Share of the sure detections that no track has a box for; None where it is not known.
        start_utc: Wall-clock time of the stream's second 0 where it is known.
    """

    stream: str
    height: int
    width: int
    frames: int
    seconds: float
    trails: tuple[Trail, ...]
    scene: NDArray[np.uint8] | None = None
    unjoined: float | None = None
    start_utc: datetime | None = None

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


class TrailCollector:
    """A sink that keeps the ways of all tracks of all streams.

    Args:
        class_names: Of the detector.
        sure_confidence: Score from which a detection should have become part of a track.
    """

    def __init__(self, class_names: Sequence[str], sure_confidence: float = 1.0) -> None:
        self._class_names = class_names
        self._sure_confidence = sure_confidence
        self._books: dict[str, _Book] = {}

    def write(self, result: FrameResult) -> None:
        stamp, frame = result.frame.stamp, result.frame
        book = self._books.get(stamp.stream)
        if book is None:
            book = self._books[stamp.stream] = _Book(frame.height, frame.width, frame.image)
        book.sure_detections += int((result.detections.confidence >= self._sure_confidence).sum())
        for counted in result.counted:
            book.add(counted)

    def close(self) -> None:
        """Nothing is held open."""

    def add(self, counted: CountedFrame, height: int, width: int) -> None:
        """Takes in a frame of a stored run, in order."""
        book = self._books.setdefault(counted.stamp.stream, _Book(height, width, None))
        book.add(counted)

    def samples(self) -> dict[str, Sample]:
        """What was seen so far, by name of the stream."""
        return {stream: book.sample(stream, self._class_names) for stream, book in self._books.items()}


class _Book:
    """The rows of one stream, frame by frame."""

    def __init__(self, height: int, width: int, scene: NDArray[np.uint8] | None) -> None:
        self.height, self.width, self.scene = height, width, scene
        self.sure_detections = 0
        self._start_utc: datetime | None = None
        self._times: list[float] = []
        self._rows: defaultdict[int, list[tuple[int, NDArray[np.float32], NDArray[np.float32], int, bool]]] = (
            defaultdict(list)
        )

    def add(self, counted: CountedFrame) -> None:
        number, tracks, stamp = len(self._times), counted.tracks, counted.stamp
        if self._start_utc is None and stamp.utc is not None:
            self._start_utc = stamp.utc - timedelta(seconds=stamp.pts_seconds)
        self._times.append(stamp.pts_seconds)
        for row, track_id in enumerate(tracks.track_id.tolist()):
            boxes = tracks.xyxy[row], counted.observed_xyxy[row]
            self._rows[track_id].append((number, *boxes, int(tracks.class_id[row]), bool(tracks.observed[row])))

    def sample(self, stream: str, class_names: Sequence[str]) -> Sample:
        times = np.array(self._times)
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        seconds = float(times[-1] - times[0]) + step if len(times) else 0.0
        joined = sum(observed for rows in self._rows.values() for *_, observed in rows)
        return Sample(
            stream,
            self.height,
            self.width,
            len(times),
            seconds,
            tuple(self._trail(track_id, times, class_names) for track_id in sorted(self._rows)),
            self.scene,
            max(0.0, 1 - joined / self.sure_detections) if self.sure_detections else None,
            self._start_utc,
        )

    def _trail(self, track_id: int, times: NDArray[np.float64], class_names: Sequence[str]) -> Trail:
        rows = self._rows[track_id]
        frame = np.array([row[0] for row in rows], np.int64)
        seconds = times[frame]
        return Trail(
            track_id,
            class_names[rows[-1][3]],
            frame,
            seconds,
            np.stack([row[1] for row in rows]),
            np.stack([row[2] for row in rows]),
            begins=bool(seconds[0] > times[0] + CUT_SECONDS),
            ends=bool(seconds[-1] < times[-1] - CUT_SECONDS),
        )
