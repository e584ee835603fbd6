"""The loop: batch, detect, step lanes, write sinks, close all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from vidan.detector import Detections, Detector
from vidan.pipeline.engine.batcher import Batcher
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.reader import Reader
from vidan.pipeline.errors import SourceError
from vidan.pipeline.frame import Frame, FrameResult
from vidan.pipeline.manifest import StreamRecord
from vidan.pipeline.picture_watch import PictureWatch
from vidan.pipeline.stages import Sink, Source
from vidan.pipeline.telemetry import StageTimes


@dataclass(slots=True)
class Stream:
    """One stream on its way through the engine.

    Attributes:
        source: Where its frames come from.
        record: Its account, kept up to date while the engine runs.
        watch: Looks out for frozen and dark pictures; None: nobody does.
        lane: Made for the first frame.
        last: The newest result. The sinks are told it when the next one is there, or when the stream has ended and
            the result is complete: so every picture is told once, and the last one shows the final counts.
        error: Why it ended early, when it broke.
    """

    source: Source
    record: StreamRecord
    watch: PictureWatch | None = None
    lane: Lane | None = None
    last: FrameResult | None = None
    error: SourceError | None = None


class Engine:
    """Runs streams through a detector and their lanes to the sinks.

    Everything overlaps: readers decode ahead, a thread detects batch k + 1, and meanwhile this one steps the lanes
    through batch k; sinks that paint and encode have threads of their own. A stream that breaks ends alone.

    Args:
        streams: In the order of the config, which is also the order of their frames.
        detector: Used by one thread.
        make_lane: Gives a stream's lane, from its first frame.
        sinks: Told every result; the engine closes them.
        batch: Frames per call of the detector, at most.
        times: Is told how long each stage was busy.
        stopped: Says whether a stop was asked for: frames in flight are finished, the rest is left.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        detector: Detector,
        make_lane: Callable[[Frame], Lane],
        sinks: Sequence[Sink],
        *,
        batch: int,
        times: StageTimes | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._streams = {stream.source.name: stream for stream in streams}
        self._detector = detector
        self._make_lane = make_lane
        self._sinks = sinks
        self._batch = batch
        self._times = times or StageTimes()
        self._stopped = stopped

    def run(self) -> None:
        """Runs until all streams have ended, or a stop; sources and sinks are closed afterwards, whatever happened.

        Raises:
            SinkError: If an output cannot be written; the others are completed first.
        """
        bell = threading.Event()
        readers = [Reader(stream.source, bell, stream.record.drops) for stream in self._streams.values()]
        batcher = Batcher(readers, self._batch, bell, stopped=self._stopped)
        with ExitStack() as closing:
            for sink in self._sinks:
                closing.callback(sink.close)
            detecting = closing.enter_context(ThreadPoolExecutor(1, thread_name_prefix="detect"))
            for reader in readers:
                closing.callback(reader.close)
                reader.start()

            previous: list[Frame] = []
            found: Future[list[Detections]] | None = None
            while (frames := batcher.next_batch()) or found:
                following = detecting.submit(self._detect, frames) if frames else None
                if found is not None:
                    self._step_lanes(previous, found.result())
                previous, found = frames, following

            self._note_ends(readers)
            for stream in self._streams.values():
                if stream.lane is not None and stream.last is not None:
                    self._tell(stream.lane.finish(stream.last))
                    if (problem := stream.lane.pace.problem) is not None:
                        stream.record.health.problems.append(problem)
                    if stream.lane.second_look is not None:
                        stream.record.second_look = stream.lane.second_look.to_record()

    def _detect(self, frames: Sequence[Frame]) -> list[Detections]:
        with self._times.busy("detect", time.perf_counter):  # the network computes in threads and devices of its own
            return self._detector.detect(frames)

    def _step_lanes(self, frames: Sequence[Frame], found: Sequence[Detections]) -> None:
        for frame, detections in zip(frames, found, strict=True):
            stream = self._streams[frame.stamp.stream]
            if stream.lane is None:
                stream.lane = self._make_lane(frame)
            if stream.last is not None:
                self._tell(stream.last)
            _note_frame(stream, frame)
            if stream.watch is not None:
                with self._times.busy("watch"):
                    stream.watch.look(frame.stamp.pts_seconds, frame.image)
            stream.last = stream.lane.step(frame, detections)

    def _tell(self, result: FrameResult) -> None:
        for sink in self._sinks:
            sink.write(result)

    def _note_ends(self, readers: Sequence[Reader]) -> None:
        for reader in readers:
            stream = self._streams[reader.name]
            stream.error = reader.error
            if reader.finished and stream.last is not None and stream.record.health.end_seconds is not None:
                stream.record.seconds = stream.record.health.end_seconds
            stream.record.drops.finish(stream.record.seconds)
            if stream.watch is not None:
                stream.record.idle = stream.watch.finish(stream.record.seconds)
            if stream.error is not None:
                stream.record.health.problems.append(str(stream.error))
            self._times.add("decode", reader.busy_seconds)


def _note_frame(stream: Stream, frame: Frame) -> None:
    """Counts a frame. One of another size is analysed all the same: rules keep their pixels, and the record says so."""
    record, stamp = stream.record, frame.stamp
    if stream.last is None:
        record.height, record.width = frame.height, frame.width
        record.start_utc = stamp.utc and stamp.utc - timedelta(seconds=stamp.pts_seconds)
        record.seconds = stamp.pts_seconds
    else:
        # The end of a frame is not known before the next one: as long after it as it came after the one before.
        record.seconds = 2 * stamp.pts_seconds - stream.last.frame.stamp.pts_seconds
        if (frame.height, frame.width) != (stream.last.frame.height, stream.last.frame.width):
            record.health.problems.append(
                f"pictures change to {frame.width}×{frame.height} at {stamp.pts_seconds:.1f} s; "
                "lines and zones keep the pixels that they had"
            )
    record.analysed += 1
    record.drops.note_analysed(stamp.pts_seconds)
