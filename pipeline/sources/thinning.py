"""Which pictures of a stream are handed out: every n-th, and no more than so many a second."""

from __future__ import annotations

import math


class Thinning:
    """Chooses pictures by number and by time; one instance serves one stream.

    Args:
        stride: Keep every n-th picture, 1 for all.
        max_fps: Keep at most so many pictures in a second of stream time, None for all.

    Raises:
        ValueError: If `stride` is below 1 or `max_fps` is not above 0.
    """

    def __init__(self, stride: int = 1, max_fps: float | None = None) -> None:
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}")
        if max_fps is not None and not max_fps > 0:
            raise ValueError(f"max_fps must be above 0, got {max_fps}")
        self._stride = stride
        self._max_fps = max_fps
        self._last_slot = -1

    def keeps(self, index: int, seconds: float) -> bool:
        """True if the picture with this number at this time is handed out; times must grow."""
        if index % self._stride:
            return False
        if self._max_fps is None:
            return True
        # Time is cut into slots of 1 / max_fps; the first picture of each is kept. A tenth of a slot of patience keeps
        # pictures whose time was rounded down (Matroska has milliseconds), so that 30 of 30 fps are kept, not 15.
        slot = math.floor(seconds * self._max_fps + 0.1)
        if slot <= self._last_slot:
            return False
        self._last_slot = slot
        return True
