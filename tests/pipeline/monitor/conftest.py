"""A run's numbers, as the engine would have written them."""

from __future__ import annotations

import time

import pytest

from vidan.pipeline.events import EventKind
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.telemetry import DestinationSnapshot, Telemetry


@pytest.fixture
def telemetry() -> Telemetry:
    """Two cameras, of which `south` is away, and a broker that is down."""
    telemetry = Telemetry()
    north, south = telemetry.stream("north"), telemetry.stream("south")
    north.live = south.live = True
    north.health = SourceHealth(decoded=110, delivered=105, reconnects=2, gaps=[(1.0, 4.0), (7.0, 7.5)])
    north.analysed, north.dropped, north.last_frame_at = 100, 5, time.monotonic()
    north.events = {("gate", EventKind.LINE_CROSSED): 7, ("yard", EventKind.ZONE_ENTERED): 2}
    for seconds in (0.0005, 0.004, 0.04, 0.04, 45.0):
        north.latency["total"].observe(seconds)
    south.health = SourceHealth(state="waiting", last_error="rtsp://cam: connection refused")
    telemetry.times.add("detect", 2.5)
    telemetry.batches, telemetry.batch_frames = 60, 100
    telemetry.destinations["mqtt"] = lambda: DestinationSnapshot("retrying", 3, 6, 1, "connection refused")
    return telemetry
