"""Where a video file can be cut: the times of all its pictures and of its key frames, without decoding any."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.sources.recording import TRIFLE_SECONDS, Recording


@dataclass(frozen=True, slots=True, eq=False)
class PacketIndex:
    """The times in a file whose packets are its pictures.

    Attributes:
        pts: (N,) int64 presentation times in ticks, ascending.
        key_pts: (K,) int64, those of the key frames, ascending.
        time_base: Seconds per tick.
        frame_seconds: Usual duration of a picture.
    """

    pts: NDArray[np.int64]
    key_pts: NDArray[np.int64]
    time_base: Fraction
    frame_seconds: float

    def cuts(self, seconds: float) -> list[int]:
        """Key frames at which to cut the file into pieces of at least so many seconds, in ticks."""
        cuts: list[int] = []
        last = int(self.pts[0]) if len(self.pts) else 0
        for pts in self.key_pts.tolist():
            if (pts - last) * self.time_base >= seconds and pts > self.key_pts[0]:
                cuts.append(pts)
                last = pts
        if cuts and (int(self.pts[-1]) - cuts[-1]) * self.time_base < seconds / 2:
            cuts.pop()  # no scrap at the end
        return cuts

    def key_before(self, pts: int) -> int:
        """The last key frame before this one, from which pictures from here on are surely decoded whole."""
        return int(self.key_pts[np.searchsorted(self.key_pts, pts) - 1])


def index_packets(path: Path) -> PacketIndex | None:
    """The index of a file; None where its pictures cannot be told from its packets, or its header promises more.

    Raises:
        SourceError: If the file cannot be opened as a video.
    """
    recording = Recording(path)
    begin = recording.begin_pts  # while the file is open: afterwards FFmpeg has given that memory away
    times: list[int] = []
    keys: list[int] = []
    try:
        for packet in recording.packets():
            if packet.pts is None or packet.is_discard or packet.is_corrupt:
                return None
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    finally:
        recording.close()
    pts = np.unique(np.array(times, np.int64))
    if not len(pts) or len(pts) != len(times) or recording.read_error is not None:
        return None
    reached = float((int(pts[-1]) - begin) * recording.time_base) + recording.frame_seconds
    if (recording.promised_seconds or 0.0) - reached > max(TRIFLE_SECONDS, 3 * recording.frame_seconds):
        return None
    if recording.promised_frames not in (None, len(pts)):
        return None
    return PacketIndex(pts, np.array(sorted(keys), np.int64), recording.time_base, recording.frame_seconds)
