"""Busy seconds per stage of one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

STAGES = ("decode", "detect", "watch", "track", "rules", "draw", "encode", "evidence")


class StageTimes:
    """Adds up how long each stage was busy. Threads may share it as long as each stage is measured by one of them."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Busy seconds so far, in the order of `STAGES`."""
        return dict(self._seconds)

    def add(self, stage: str, seconds: float) -> None:
        self._seconds[stage] += seconds

    @contextmanager
    def busy(self, stage: str, clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
        """Adds the time in the block; by default only what the calling thread computes itself."""
        began = clock()
        try:
            yield
        finally:
            self.add(stage, clock() - began)
