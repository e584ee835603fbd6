"""A file waits for the loop, a camera does not, and both can be stopped at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from vidan.pipeline.coverage import DropLedger
from vidan.pipeline.engine.reader import Reader
from vidan.pipeline.errors import SourceError


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.002)


def _drain(reader: Reader, bell: threading.Event) -> list[int]:
    indices = []
    while not reader.finished:
        bell.clear()
        frame = reader.take()
        if frame is None:
            bell.wait(0.05)
        else:
            indices.append(frame.stamp.index)
    return indices


def test_a_file_loses_no_frame_however_slow_the_loop_is(fake_source) -> None:
    bell, drops = threading.Event(), DropLedger()
    reader = Reader(fake_source(count=50), bell, drops, capacity=3)
    reader.start()
    _wait_until(lambda: reader.source.health.decoded == 4)  # three in the queue, one in the hand
    time.sleep(0.02)
    assert reader.source.health.decoded == 4, "a full queue makes the source wait"
    assert _drain(reader, bell) == list(range(50))
    assert drops.frames == 0
    assert reader.failure is None


def test_a_live_stream_keeps_its_newest_frames_and_counts_the_lost_ones(fake_source) -> None:
    bell, drops = threading.Event(), DropLedger()
    reader = Reader(fake_source(count=50, live=True), bell, drops, capacity=3)
    reader.start()
    _wait_until(lambda: reader.source.health.decoded == 50)
    _wait_until(lambda: drops.frames == 47)
    assert _drain(reader, bell) == [47, 48, 49], "they came in a burst, so none of them is old"


def test_an_old_frame_of_a_camera_goes_when_there_is_a_newer_one(fake_source) -> None:
    now, drops = [0.0], DropLedger()
    reader = Reader(fake_source(count=3, live=True), threading.Event(), drops, clock=lambda: now[0])
    reader.start()
    _wait_until(lambda: reader.waiting == 3)
    now[0] = 0.2
    frame = reader.take()
    assert frame is not None
    assert (frame.stamp.index, drops.frames) == (2, 2), "the only one that there is, however old"


def test_a_reader_that_waits_at_a_full_queue_sees_the_stop(fake_source) -> None:
    source = fake_source(count=1000)
    reader = Reader(source, threading.Event(), DropLedger(), capacity=2)
    reader.start()
    _wait_until(lambda: source.health.decoded == 3)
    reader.close()  # joins the thread, so it would hang
    assert source.closed
    assert source.health.decoded == 3


def test_what_a_source_gave_before_it_broke_is_kept(fake_source) -> None:
    bell = threading.Event()
    reader = Reader(fake_source(count=4, error=SourceError("the cable is out")), bell, DropLedger())
    reader.start()
    assert _drain(reader, bell) == [0, 1, 2, 3]
    assert str(reader.failure) == "the cable is out"


def test_a_reader_that_never_started_can_be_closed(fake_source) -> None:
    source = fake_source()
    Reader(source, threading.Event(), DropLedger()).close()
    assert source.closed
