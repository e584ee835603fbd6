"""The loop: same results whatever the batch size, everything closed whatever happens."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from vidan.pipeline.control import Control
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.run import Engine
from vidan.pipeline.engine.stream import Stream
from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.frame import Frame
from vidan.pipeline.stages import Source
from vidan.pipeline.stream_record import StreamRecord
from vidan.trackers import ByteTracker, FixedLagSmoother


def _streams(sources: Sequence[Source]) -> list[Stream]:
    return [Stream(source, StreamRecord(source.name, "fake", source.health)) for source in sources]


def _lane(frame: Frame) -> Lane:
    return Lane(tracker=ByteTracker(), smoother=FixedLagSmoother(0.4), rules=[])


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_results_come_in_strict_turns_whatever_the_batch_size(fake_source, detector, list_sink, batch: int) -> None:
    sink = list_sink()
    sources = [fake_source("a", 7, pause_seconds=0.002), fake_source("b", 3), fake_source("c", 5)]
    Engine(_streams(sources), detector, _lane, [sink], batch=batch).run()
    lengths = {"a": 7, "b": 3, "c": 5}
    turns = [(name, index) for index in range(7) for name, length in lengths.items() if index < length]
    # A result is told when its stream's next one is there, and the last ones at the end, in the order of the streams.
    told = [(name, index - 1) for name, index in turns if index > 0]
    assert sink.seen == [*told, ("a", 6), ("b", 2), ("c", 4)]
    assert max(detector.batches) <= batch


def test_a_detection_belongs_to_the_frame_it_was_made_from(fake_source, detector, list_sink) -> None:
    sink = list_sink()
    Engine(_streams([fake_source("a", 30), fake_source("b", 20)]), detector, _lane, [sink], batch=4).run()
    for result in sink.results:
        assert result.detections.xyxy[0, 0] == result.frame.stamp.index


def test_detecting_goes_on_while_the_batch_before_is_told(fake_source, detector, list_sink) -> None:
    second_batch_began = threading.Event()

    class WatchedDetector(type(detector)):
        def detect(self, images):
            if self.batches:
                second_batch_began.set()
            return super().detect(images)

    class WaitingSink(list_sink):
        def write(self, result) -> None:
            assert second_batch_began.wait(20), "the detector waits until the first batch is told"
            super().write(result)

    sink = WaitingSink()
    Engine(_streams([fake_source("a", 20)]), WatchedDetector(), _lane, [sink], batch=2).run()
    assert len(sink.seen) == 20


def test_one_broken_stream_ends_alone(fake_source, detector, list_sink) -> None:
    sink = list_sink()
    streams = _streams([fake_source("a", 3, error=SourceError("the cable is out")), fake_source("b", 8)])
    Engine(streams, detector, _lane, [sink], batch=2).run()
    assert [name for name, _ in sink.seen].count("a") == 3
    assert [name for name, _ in sink.seen].count("b") == 8
    assert str(streams[0].error) == "the cable is out"
    assert streams[0].record.health.problems == ["the cable is out"]
    assert streams[1].error is None


def test_a_failing_sink_ends_the_run_and_the_others_are_closed(fake_source, detector, list_sink) -> None:
    before, failing, after = list_sink(), list_sink(SinkError("no space left")), list_sink()
    sources = [fake_source("a", 1000)]
    with pytest.raises(SinkError, match="no space left"):
        Engine(_streams(sources), detector, _lane, [before, failing, after], batch=2).run()
    assert (before.closed, failing.closed, after.closed) == (1, 1, 1)
    assert sources[0].closed


def test_a_sink_that_cannot_be_closed_keeps_no_other_open(fake_source, detector, list_sink) -> None:
    class StuckSink(list_sink):
        def close(self) -> None:
            raise SinkError("cannot be completed")

    first, last = list_sink(), list_sink()
    with pytest.raises(SinkError, match="cannot be completed"):
        Engine(_streams([fake_source()]), detector, _lane, [first, StuckSink(), last], batch=2).run()
    assert (first.closed, last.closed) == (1, 1)
    assert len(first.results) == 10


def test_a_bug_in_the_detector_is_raised_and_everything_is_closed(fake_source, detector, list_sink) -> None:
    class BrokenDetector(type(detector)):
        def detect(self, images):
            raise ZeroDivisionError

    sink, source = list_sink(), fake_source("a", 1000)
    with pytest.raises(ZeroDivisionError):
        Engine(_streams([source]), BrokenDetector(), _lane, [sink], batch=2).run()
    assert sink.closed == 1
    assert source.closed


def test_a_stop_finishes_what_is_in_flight_and_leaves_the_rest(fake_source, detector, list_sink) -> None:
    sink = list_sink()
    streams = _streams([fake_source("a", 100_000)])
    Engine(streams, detector, _lane, [sink], batch=4, control=Control(lambda: len(sink.results) >= 10)).run()
    count = len(sink.results)
    assert 10 <= count < 100
    assert sink.seen == [("a", index) for index in range(count)]
    assert streams[0].record.analysed == count
    assert sink.results[-1].counted[-1].stamp.index == count - 1, "the lane was finished"


def test_the_record_says_what_was_analysed_and_dropped(fake_source, detector, list_sink) -> None:
    class SlowDetector(type(detector)):
        def detect(self, images):
            time.sleep(0.01)
            return super().detect(images)

    streams = _streams([fake_source("file", 12), fake_source("camera", 300, live=True)])
    sink = list_sink()
    Engine(streams, SlowDetector(), _lane, [sink], batch=2).run()
    file, camera = (stream.record for stream in streams)
    assert (file.analysed, file.dropped) == (12, 0)
    assert file.seconds == pytest.approx(1.2)
    assert (file.height, file.width) == (4, 6)
    assert camera.dropped > 0
    assert camera.analysed + camera.dropped == 300


def test_frames_of_another_size_are_analysed_and_reported(fake_source, detector, list_sink) -> None:
    class GrowingSource(fake_source):
        def __iter__(self):
            for frame in super().__iter__():
                yield frame if frame.stamp.index < 5 else Frame.from_array(frame.stamp, np.tile(frame.image, (2, 2, 1)))

    streams = _streams([GrowingSource("a", 10)])
    Engine(streams, detector, _lane, [list_sink()], batch=4).run()
    assert streams[0].record.analysed == 10
    assert streams[0].record.health.problems == [
        "pictures change to 12×8 at 0.5 s; lines and zones keep the pixels that they had"
    ]


def test_the_engine_does_not_load_torch() -> None:
    script = "import sys, vidan.pipeline.engine.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
