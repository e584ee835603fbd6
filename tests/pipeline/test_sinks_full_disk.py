"""A disk that is really full, a small tmpfs in a mount namespace of the test's own: which output gives way to which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
    import json, logging, os, sys, time
    from pathlib import Path
    import numpy as np
    from vidan.detector import Detections
    from vidan.pipeline.annotate import Annotator
    from vidan.pipeline.errors import SinkError
    from vidan.pipeline.events import Event, EventKind
    from vidan.pipeline.frame import Frame, FrameResult, Stamp
    from vidan.pipeline.sinks import files, segments
    from vidan.pipeline.sinks.files import JsonlSink
    from vidan.pipeline.sinks.segments import Segments
    from vidan.pipeline.sinks.shelf import SegmentShelf
    from vidan.pipeline.sinks.video import AnnotatedVideoSink
    from vidan.trackers import Tracks

    logging.basicConfig(format="%(message)s")
    disk = Path(sys.argv[1])
    rng = np.random.default_rng(0)

    def result(number):
        image = rng.integers(0, 255, (96, 128, 3), np.uint8)
        what = (EventKind.LINE_CROSSED, "door", "gate", number, "person", number / 5, None, number)
        event = Event(f"{number:016x}", *what)
        frame = Frame.from_array(Stamp("door", number, number / 5), image)
        return FrameResult(frame, Detections.empty(), Tracks.empty(), (), (event,))
"""


def run(program: str, disk: Path, size: str) -> list[str]:
    """What the program says, in whose eyes `disk` is a disk of that size."""
    script = f'mount -t tmpfs -o size={size} none "$1" || exit 77; exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(disk), sys.executable, textwrap.dedent(PROGRAM + program)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    except FileNotFoundError:
        pytest.skip("needs unshare (Linux)")
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("needs the right to mount a tmpfs (root)")
    assert done.returncode == 0, done.stderr
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def test_video_fills_the_disk_up_to_the_reserve_and_no_event_is_lost(tmp_path: Path) -> None:
    program = """
    shelf = SegmentShelf(disk, reserve_bytes=1 << 20)
    video = AnnotatedVideoSink(
        disk / "door", stream="door", segments=Segments(shelf, 4.0),
        make_annotator=lambda height, width: Annotator(height, width, class_names=()),
    )
    log = JsonlSink(disk / "events.jsonl", waits=True)
    least = 1 << 40
    for number in range(500):
        for sink in (log, video):
            sink.write(result(number))
        status = os.statvfs(disk)
        least = min(least, status.f_bavail * status.f_frsize)
    video.close(); log.close()
    lines = (disk / "events.jsonl").read_text().splitlines()
    print(json.dumps([len(lines), len(list(disk.glob("door/*.mp4"))), least]))
    """
    told = run(program, tmp_path, "4m")
    events, segments, least = json.loads(told[0])
    assert events == 500
    assert segments >= 2, "the newest stay"
    assert least > 0, "the reserve was never used up"
    assert any("is removed: the disk is nearly full" in line for line in told)


def test_events_wait_for_a_disk_that_somebody_else_has_filled(tmp_path: Path) -> None:
    program = """
    files.RETRY_SECONDS = 0.0
    log = JsonlSink(disk / "events.jsonl", waits=True)
    for number in range(10):
        log.write(result(number))
    stranger = (disk / "stranger").open("wb", buffering=0)
    try:
        while stranger.write(bytes(4096)):
            pass
    except OSError:
        pass
    for number in range(10, 400):
        log.write(result(number))
    print((disk / "events.jsonl").read_bytes().endswith(b"\\n"))
    (disk / "stranger").unlink(); stranger.close()
    log.write(result(400))
    log.close()
    ids = [int(json.loads(line)["id"], 16) for line in (disk / "events.jsonl").read_text().splitlines()]
    print(ids == list(range(401)))
    """
    told = run(program, tmp_path, "1m")
    assert told[:2] == ["True", "True"]
    assert sum("events wait in memory" in line for line in told) == 1
    assert sum("has all events again" in line for line in told) == 1
