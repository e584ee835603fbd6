"""Which frame, when, and its pixels: what walks through the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.pipeline.events import Event
from vidan.trackers import Released, Tracks


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which frame of which stream, and when.

    Attributes:
        stream: Name of the stream.
        index: Number of the picture in decoding order from 0, skipped pictures counted.
        pts_seconds: Presentation time in seconds from the first frame of the stream; only grows.
        utc: Wall-clock time (timezone-aware, UTC) when it is known.
    """

    stream: str
    index: int
    pts_seconds: float
    utc: datetime | None = None


class Frame:
    """A stamp and a picture that is converted to RGB only when somebody asks.

    Args:
        stamp: Which frame, when.
        height: Pixels, after rotation.
        width: Pixels, after rotation.
        to_rgb: Gives the whole picture as (height, width, 3) uint8 RGB.
    """

    def __init__(self, stamp: Stamp, height: int, width: int, to_rgb: Callable[[], NDArray[np.uint8]]) -> None:
        self.stamp = stamp
        self.height = height
        self.width = width
        self._to_rgb = to_rgb

    @classmethod
    def from_array(cls, stamp: Stamp, image: NDArray[np.uint8]) -> Frame:
        """A frame around an (H, W, 3) uint8 RGB array."""
        return cls(stamp, image.shape[0], image.shape[1], lambda: image)

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB, converted at the first call; do not write into it."""
        return self._to_rgb()

    def unconverted(self) -> Frame:
        """The same frame for whoever keeps it a while: without the RGB picture that was converted for others."""
        return self.restamped(self.stamp)

    def restamped(self, stamp: Stamp) -> Frame:
        """The same picture under another stamp."""
        return Frame(stamp, self.height, self.width, self._to_rgb)

    def resized(self, height: int, width: int) -> NDArray[np.uint8]:
        """The whole picture as (height, width, 3) uint8 RGB, bilinear.

        Measured: converting first and letting OpenCV resize is twice as fast as swscale doing both in one step.
        """
        if (height, width) == (self.height, self.width):
            return self.image
        return cv2.resize(self.image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class CountedFrame:
    """What the rules saw of one frame, some tenths of a second after it was decoded.

    Attributes:
        stamp: Of the frame.
        tracks: Confirmed tracklets (with the frames from before their confirmation), boxes smoothed.
        observed_xyxy: (N, 4) float32, the tracker's own boxes of the same rows.
        dismissed: Tracklets of this frame that were never confirmed; `ended` names those that were seen here for the
            last time.
    """

    stamp: Stamp
    tracks: Tracks
    observed_xyxy: NDArray[np.float32]
    dismissed: Tracks = field(default_factory=Tracks.empty)

    @classmethod
    def of(cls, released: Released[Stamp]) -> CountedFrame:
        """The frame as a smoother released it."""
        return cls(released.key, released.tracks, released.observed_xyxy, released.dismissed)


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """Everything known after one frame went through its lane.

    Attributes:
        frame: The picture and its stamp.
        detections: What the detector saw in it.
        tracks: The tracker's answer for it, tentative tracklets included.
        counted: Frames that the rules have now seen, oldest first; they lag behind `frame`.
        events: What the rules noticed in `counted`, in order.
        near_misses: What they did not count, and why, in order: events of the kind NEAR_MISS, none of them in `events`.
    """

    frame: Frame
    detections: Detections
    tracks: Tracks
    counted: tuple[CountedFrame, ...]
    events: tuple[Event, ...]
    near_misses: tuple[Event, ...] = ()
