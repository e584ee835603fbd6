"""What was nearly counted: the reasons, and the memory that a reason needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from vidan.pipeline.events import Event
from vidan.pipeline.geometry import GRID
from vidan.pipeline.rules.sightings import Sighting

REACH = 1.0
"""Box heights from a line or a zone within which the beginning and the end of a track are worth a near miss."""


class Reason(StrEnum):
    """Why something was not counted.

    TURNED came within the hysteresis of a line and went away on the side from which it came.
    BROKE  the track began or ended within `REACH`, so that nobody knows whether the object crossed.
    YOUNG  the tracklet died before it was confirmed, within `REACH` of a line or inside a zone.
    CLASS  crossed or stayed, with a class that the rule does not count.
    POLICY crossed, but `once` or `net` count another crossing of the same track instead.
    SETTLE was inside for less than `settle` seconds.
    SCHEDULE, COOLDOWN, DIRECTION would have counted at another time, later, or in the other direction.
    SHORT  passed too quickly for its speed to be measured.
    VANISHED was lost for good in a queue, so that nobody knows whether it was served.
    """

    TURNED = "turned"
    BROKE = "broke"
    YOUNG = "young"
    CLASS = "class"
    POLICY = "policy"
    SETTLE = "settle"
    SCHEDULE = "schedule"
    COOLDOWN = "cooldown"
    DIRECTION = "direction"
    SHORT = "short"
    VANISHED = "vanished"


@dataclass(slots=True)
class Visit:
    """The time that a track spends near a line, from coming within reach to going out of it: one near miss at most.

    Attributes:
        first: Sighting that it began with.
        nearest: Sighting at which the track was nearest.
        distance: Box heights from there.
        frames: Sightings so far.
        is_birth: True if the track itself began with it.
        has_crossed: True once a crossing was committed in it.
    """

    first: Sighting
    nearest: Sighting
    distance: float
    frames: int = 1
    is_birth: bool = False
    has_crossed: bool = False

    @classmethod
    def begin(cls, sighting: Sighting, pixels: float, *, is_birth: bool) -> Visit:
        return cls(sighting, sighting, in_heights(pixels, sighting), is_birth=is_birth)

    def add(self, sighting: Sighting, pixels: float) -> None:
        self.frames += 1
        if pixels < self.distance * sighting.height:
            self.nearest, self.distance = sighting, in_heights(pixels, sighting)


class Doubts:
    """Near misses of tracks that broke, held back as long as a bridge may still join them.

    Args:
        patience: Seconds after the break in which it may; None: there is no bridge.
    """

    def __init__(self, patience: float | None) -> None:
        self._patience = -math.inf if patience is None else patience
        self._held: list[Event] = []

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, near_miss: Event) -> None:
        self._held.append(near_miss)

    def dispel(self, ended: int, begun: int) -> None:
        """Drops what is held of two tracks that were joined: that the one ended and that the other began."""
        joined = {(ended, "ended"), (begun, "began")}
        self._held = [event for event in self._held if (event.track_id, event.details["end"]) not in joined]

    def certain(self, now: float, *, is_over: bool) -> list[Event]:
        """Those that are no doubts any more; all of them where nobody is left who could be joined."""
        certain = [event for event in self._held if is_over or now - event.pts_seconds > self._patience]
        self._held = [event for event in self._held if event not in certain]
        return certain


def in_heights(pixels: float, sighting: Sighting) -> float:
    """A distance in heights of the box that is seen; a flat box is as high as the grid is wide."""
    return pixels / max(sighting.height, GRID)
