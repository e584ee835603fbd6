"""What a terminal shows while a run goes on."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from vidan.detector import Detections
from vidan.pipeline.cli.display import Progress
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.stream_record import StreamRecord
from vidan.trackers import Tracks


def _result(index: int, *events: Event) -> FrameResult:
    frame = Frame.from_array(Stamp("hall", index, index / 10), np.zeros((2, 2, 3), np.uint8))
    return FrameResult(frame, Detections.empty(), Tracks.empty(), (), events)


def _event(kind: EventKind, rule: str, **details: str) -> Event:
    return Event("0", kind, "hall", rule, 1, "person", 0.0, None, 0, details=details)


def test_progress_shows_frames_and_counts_per_rule() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    progress = Progress([StreamRecord("hall", "hall.mp4", SourceHealth(expected=200))], console)
    crossed = _event(EventKind.LINE_CROSSED, "door", direction="enter")
    progress.write(_result(10, crossed, crossed))
    progress.write(_result(49, _event(EventKind.ZONE_APPEARED, "queue")))
    progress.close()
    shown = screen.getvalue()
    assert "50/200" in shown
    assert "enter 2" in shown
    assert "appeared 1" in shown
