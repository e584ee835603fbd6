"""Pairs of tracks that look like one object: lost under one id, found again under another."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import combinations

from vidan.pipeline.rules.sightings import Sighting

MOTION_SECONDS = 0.5
"""Over how long the movements before and after the gap are measured."""

AGREEMENT = math.cos(math.radians(60))
"""The two movements and the step over the gap point the same way if no two of them are further apart than this."""


class Bridge:
    """Finds the track that goes on where another ended. It has a memory: every rule needs its own.

    Args:
        seconds: At most, between the last sighting of the one and the first of the other.
        distance: At most, between these two, in box heights of the one that ended.

    Raises:
        ValueError: If one of them is not positive.
    """

    def __init__(self, *, seconds: float, distance: float) -> None:
        if seconds <= 0 or distance <= 0:
            raise ValueError(f"a bridge needs seconds and distance above 0, got {seconds} and {distance}")
        self.patience = seconds + MOTION_SECONDS
        """Seconds after the last sighting of a track, and after the first of one, in which it may still be joined."""
        self._seconds = seconds
        self._distance = distance
        self._living: dict[int, _Trail] = {}
        self._ended: list[_Trail] = []

    def join(
        self, pts_seconds: float, seen: Sequence[Sighting], ended: Sequence[int]
    ) -> list[tuple[Sighting, Sighting]]:
        """Pairs that are certain as of this frame, the nearest first: last sighting of one, first of the other.

        A track is the end of at most one pair and the beginning of at most one. Pairs wait until the second track
        has been seen long enough for its movement to be known, or has ended too.
        """
        for sighting in seen:
            trail = self._living.get(sighting.track_id)
            if trail is None:
                self._living[sighting.track_id] = _Trail(sighting)
            else:
                trail.add(sighting)
        closed = [self._living[track_id] for track_id in ended if track_id in self._living]
        self._ended += closed

        pairs: list[tuple[Sighting, Sighting]] = []
        ripe = [
            trail
            for trail in self._living.values()
            if not trail.is_joined and (pts_seconds - trail.first.pts_seconds >= MOTION_SECONDS or trail in closed)
        ]
        candidates = ((earlier, later) for earlier in self._ended for later in ripe if self._fits(earlier, later))
        for earlier, later in sorted(candidates, key=_nearest_first):
            if earlier in self._ended and not later.is_joined:
                self._ended.remove(earlier)
                later.is_joined = True
                pairs.append((earlier.last, later.first))

        for trail in closed:
            del self._living[trail.last.track_id]
        self._ended = [trail for trail in self._ended if pts_seconds - trail.last.pts_seconds <= self.patience]
        return pairs

    def _fits(self, earlier: _Trail, later: _Trail) -> bool:
        gap_seconds = later.first.pts_seconds - earlier.last.pts_seconds
        if not 0 < gap_seconds <= self._seconds:
            return False
        step = _vector(earlier.last, later.first)
        if math.hypot(*step) > self._distance * earlier.last.height:
            return False
        directions = (_vector(earlier.recent[0], earlier.last), step, _vector(later.first, later.opening))
        return all(_agree(first, second) for first, second in combinations(directions, 2))


class _Trail:
    """The two ends of a track: its first sighting and what followed, its last one and what led there."""

    def __init__(self, first: Sighting) -> None:
        self.first = first
        self.opening = first
        self.recent = deque([first])
        self.is_joined = False

    @property
    def last(self) -> Sighting:
        return self.recent[-1]

    def add(self, sighting: Sighting) -> None:
        if self.opening.pts_seconds - self.first.pts_seconds < MOTION_SECONDS:
            self.opening = sighting
        self.recent.append(sighting)
        while sighting.pts_seconds - self.recent[0].pts_seconds > MOTION_SECONDS:
            self.recent.popleft()


def _vector(start: Sighting, stop: Sighting) -> tuple[float, float]:
    return stop.point[0] - start.point[0], stop.point[1] - start.point[1]


def _agree(first: tuple[float, float], second: tuple[float, float]) -> bool:
    dot = first[0] * second[0] + first[1] * second[1]
    return dot > 0 and dot >= AGREEMENT * math.hypot(*first) * math.hypot(*second)


def _nearest_first(pair: tuple[_Trail, _Trail]) -> tuple[float, int, int]:
    earlier, later = pair
    return math.hypot(*_vector(earlier.last, later.first)), earlier.last.track_id, later.first.track_id
