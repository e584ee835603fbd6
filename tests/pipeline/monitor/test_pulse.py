"""An engine that hangs cannot say so: somebody else must notice."""

from __future__ import annotations

import time

import pytest

from vidan.pipeline.monitor.pulse import Pulse
from vidan.pipeline.telemetry import Telemetry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("moves", "frames", "live", "healthy"),
    [
        (True, True, True, True),  # all is well
        (False, True, True, False),  # frames come, nothing is analysed
        (False, False, True, True),  # the camera is away: that is its own affair
        (False, True, False, True),  # a file waits for as long as it must
    ],
)
def test_frames_that_come_and_are_not_analysed_are_a_hang(
    telemetry: Telemetry, moves: bool, frames: bool, live: bool, healthy: bool
) -> None:
    north, clock = telemetry.stream("north"), Clock()
    north.live = live
    pulse = Pulse(telemetry.snapshot, patience_seconds=60, clock=clock)
    for _ in range(7):
        north.last_frame_at = time.monotonic() - (0 if frames else 30)
        pulse()
        clock.now += 10
        north.analysed += moves
    run = pulse()
    assert run.healthy == healthy
    assert run.stalled == (() if healthy else ("frames come, and none was analysed for 70 s",))


def test_a_run_that_goes_on_is_healthy_again(telemetry: Telemetry) -> None:
    clock = Clock()
    pulse = Pulse(telemetry.snapshot, patience_seconds=60, clock=clock)
    pulse()
    clock.now = 100
    assert not pulse().healthy
    telemetry.stream("north").analysed += 1
    assert pulse().healthy
