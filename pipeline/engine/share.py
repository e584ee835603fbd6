"""How much of its frames each camera has had analysed lately, so that in the end all have their part."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

MEMORY_SECONDS = 10.0  # what is longer ago hardly counts: a camera that was away has nothing to catch up on
CONTENT = 0.95  # whoever has this share of its frames analysed misses nothing
TOLERANCE = 1.05  # a share that is higher by less than this is the same


class Share:
    """The part of one camera's frames that was analysed, over about the last `MEMORY_SECONDS`.

    Args:
        priority: Divides the share where cameras are compared: with 2 it is worth twice the frames of one with 1.
        clock: Monotonic seconds.
    """

    def __init__(self, priority: float, clock: Callable[[], float]) -> None:
        self._priority = priority
        self._clock = clock
        self._noted_at = clock()
        self._counted = 0
        self._came = self._served = 1.0  # of frames, faded; the one is for a camera that has just begun

    def note_arrivals(self, total: int) -> None:
        """So many frames have come in since the beginning."""
        now = self._clock()
        fading = math.exp((self._noted_at - now) / MEMORY_SECONDS)
        self._came = self._came * fading + total - self._counted
        self._served *= fading
        self._noted_at, self._counted = now, total

    def note_served(self) -> None:
        """A frame goes to the detector."""
        self._served += 1

    @property
    def is_content(self) -> bool:
        return self._served >= CONTENT * self._came

    @property
    def weighed(self) -> float:
        """The share, divided by the priority."""
        return self._served / max(self._came, 1e-9) / self._priority


class Sharer(Protocol):
    @property
    def share(self) -> Share: ...


SharerT = TypeVar("SharerT", bound=Sharer)


def in_need(cameras: Collection[SharerT]) -> list[SharerT]:
    """Of the cameras that have a frame, or gave one just now, those whose turn it is, the neediest first.

    All of them are, while the detector keeps up. When it does not, those that have had more than the neediest wait:
    a camera of 5 frames a second then loses the same part of them as one of 30.
    """
    hungry = [camera.share.weighed for camera in cameras if not camera.share.is_content]
    limit = min(hungry, default=math.inf) * TOLERANCE
    return sorted((c for c in cameras if c.share.weighed <= limit), key=lambda camera: camera.share.weighed)
