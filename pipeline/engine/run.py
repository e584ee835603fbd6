"""The loop: batch, detect, step lanes, write sinks, close all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Protocol

from vidan.detector import Detections, Detector, WeightsError
from vidan.pipeline.control import Control
from vidan.pipeline.engine.batcher import BUDGET_SECONDS, POLL_SECONDS, Batcher
from vidan.pipeline.engine.detecting import Batch, Detecting
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.stream import Stream
from vidan.pipeline.engine.watchdog import Watchdog
from vidan.pipeline.errors import PipelineError, SourceError
from vidan.pipeline.events import Event
from vidan.pipeline.frame import Frame, FrameResult
from vidan.pipeline.stages import Sink
from vidan.pipeline.telemetry import Telemetry

LIVE_WAIT_SECONDS = 0.01
"""How long the first frame of a batch waits for those of other cameras."""

DRAIN_SECONDS = 10.0
"""How long frames that the detector has are waited for after a stop."""

TICK_SECONDS = 1.0
"""Between two looks at what may hang, and what others may want."""

_logger = logging.getLogger(__name__)


class RuleBook(Protocol):
    """The rules of a run as they are now."""

    def reload(self) -> None:
        """Reads them again.

        Raises:
            PipelineError, WeightsError: If they are wrong; those that were there stay.
        """
        ...

    def change(self, stream: str, lane: Lane) -> list[Event]:
        """Brings a lane up to date; what its rules say to that."""
        ...


class Engine:
    """Runs streams through a detector and their lanes to the sinks.

    Everything overlaps: readers decode ahead, a thread detects batch k + 1, and meanwhile this one steps the lanes
    through batch k; sinks that paint and encode have threads of their own. A stream that breaks ends alone. Where there
    are cameras, a batch is taken when the detector is free for it, so that its pictures are the newest.

    What goes wrong in the tracker or the rules of a camera ends its lane alone: it is logged, and a new one follows. In
    a recording it ends the run, for counts with a hole in them would be taken for whole.

    Args:
        streams: In the order of the config, which is also the order of their frames.
        detector: Used by one thread.
        make_lane: Gives a stream's lane, from its first frame.
        sinks: Told every result; the engine closes them.
        batch: Frames per call of the detector, at most.
        max_wait_seconds: How long the first frame of a batch waits for those of other cameras, at most.
        telemetry: Is told how everything goes.
        control: Says whether a stop was asked for (frames in flight are finished, the rest is left) or new rules.
        rules: Reads rules again when that is asked for; None: nobody does.
        watchdog: Looks out for what hangs.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        detector: Detector,
        make_lane: Callable[[Frame], Lane],
        sinks: Sequence[Sink],
        *,
        batch: int,
        max_wait_seconds: float = LIVE_WAIT_SECONDS,
        telemetry: Telemetry | None = None,
        control: Control | None = None,
        rules: RuleBook | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._streams = {stream.name: stream for stream in streams}
        self._detector = detector
        self._make_lane = make_lane
        self._sinks = sinks
        self._batch = batch
        self._is_live = any(stream.live for stream in streams)
        self._wait_seconds = max_wait_seconds if self._is_live else BUDGET_SECONDS
        self._telemetry = telemetry or Telemetry()
        self._control = control or Control()
        self._rules = rules
        self._watchdog = watchdog or Watchdog()
        self._ticked = time.monotonic()
        for stream in streams:
            stream.telemetry = self._telemetry.stream(stream.name)
            stream.telemetry.live, stream.telemetry.health = stream.live, stream.source.health

    def run(self) -> None:
        """Runs until all streams have ended, or a stop; sources and sinks are closed afterwards, whatever happened.

        Raises:
            SinkError: If an output cannot be written; the others are completed first.
        """
        bell = threading.Event()
        with ExitStack() as closing:
            for sink in self._sinks:
                closing.callback(sink.close)
            detecting = Detecting(self._detector, self._telemetry)
            closing.callback(lambda: detecting.close(DRAIN_SECONDS if self._is_live else None))
            readers = [stream.attach(bell) for stream in self._streams.values()]
            closing.callback(self._close_readers)
            self._batcher = Batcher(
                readers,
                self._batch,
                bell,
                stopped=lambda: self._control.is_stopped,
                budget_seconds=self._wait_seconds,
            )
            for stream in self._streams.values():
                stream.reader.start()
            self._loop(detecting)
            for stream in self._streams.values():
                if not stream.is_over:
                    stream.note_end()
            for stream in self._streams.values():
                if not stream.is_over:
                    self._tell(stream, stream.finish())

    def _loop(self, detecting: Detecting) -> None:
        batch: Batch | None = None
        while True:
            if self._is_live and batch is not None and not self._wait_for(batch):
                return
            if batch is None and self._is_live and self._batcher.is_over:
                time.sleep(POLL_SECONDS)  # a camera may come back
            frames = self._batcher.next_batch(wait=batch is None or not self._is_live)
            following = detecting.submit(frames) if frames else None
            if batch is not None:
                self._step_lanes(batch)
            batch = following
            self._tick(at_once=self._is_live and self._batcher.is_over)
            if batch is None and self._is_done:
                return

    @property
    def _is_done(self) -> bool:
        if self._control.is_stopped:
            return True
        return self._batcher.is_over and all(stream.is_over for stream in self._streams.values() if stream.live)

    def _wait_for(self, batch: Batch) -> bool:
        """True once the detector is done; False if it hangs, and a stop was asked for."""
        give_up_at = float("inf")
        while not batch.wait(POLL_SECONDS):
            self._tick(batch)
            if self._control.is_stopped:
                give_up_at = min(give_up_at, time.monotonic() + DRAIN_SECONDS)
            if time.monotonic() > give_up_at:
                _logger.error("the detector does not answer; %d frames are lost", len(batch.frames))
                return False
        return True

    def _step_lanes(self, batch: Batch) -> None:
        found = batch.found()
        detected = time.monotonic()
        for frame, detections in zip(batch.frames, found, strict=True):
            stream = self._streams[frame.stamp.stream]
            latency = stream.telemetry.latency
            latency["queue"].observe(batch.submitted - frame.arrived)
            latency["detect"].observe(detected - batch.submitted)
            if stream.is_resting:
                stream.record.drops.note_dropped(frame.stamp.pts_seconds)
                continue
            if stream.live:
                self._tell(stream, self._step_live(stream, frame, detections))
            else:
                self._tell(stream, stream.take_result())
                stream.step(frame, detections, self._make_lane)
            latency["total"].observe(time.monotonic() - frame.arrived)

    def _step_live(self, stream: Stream, frame: Frame, detections: Detections) -> FrameResult | None:
        try:
            stream.step(frame, detections, self._make_lane)
            return stream.take_result()
        except Exception as error:  # whatever it is, it concerns this camera alone
            return stream.break_off(frame, error)

    def _tell(self, stream: Stream, result: FrameResult | None) -> None:
        if result is None:
            return
        began = time.monotonic()
        for sink in self._sinks:
            sink.write(result)
        stream.telemetry.latency["sinks"].observe(time.monotonic() - began)
        stream.note_told(result.events)

    def _tick(self, batch: Batch | None = None, *, at_once: bool = False) -> None:
        """Once a second: what hangs, what others want, and what they may read."""
        now = time.monotonic()
        if now - self._ticked < TICK_SECONDS and not at_once:
            return
        self._ticked = now
        self._telemetry.stalled = self._watchdog.look(batch, self._streams.values())
        for stream in self._streams.values():
            stream.keep_accounts()
            if stream.live and not stream.is_over:
                self._look_after(stream)
        if self._control.take_reload() and self._rules is not None:
            self._change_rules(self._rules)

    def _change_rules(self, rules: RuleBook) -> None:
        try:
            rules.reload()
        except (PipelineError, WeightsError) as error:
            _logger.error("the rules stay as they were: %s", error)
            self._telemetry.reload_error = str(error)
            return
        for stream in self._streams.values():
            if stream.lane is None or stream.last is None:
                continue
            try:
                events = rules.change(stream.name, stream.lane)
            except Exception as error:
                if not stream.live:
                    raise
                self._tell(stream, stream.break_off(stream.last.frame, error))
                continue
            if stream.live:
                self._tell(stream, replace(stream.last, events=tuple(events)))
            else:
                stream.last = replace(stream.last, events=(*stream.last.events, *events))
        self._telemetry.reloads, self._telemetry.reload_error = self._telemetry.reloads + 1, None
        _logger.warning("the rules were read again")

    def _look_after(self, stream: Stream) -> None:
        """Opens a camera anew that hangs or failed; ends the lane of one that has ended for good."""
        failure = stream.reader.failure
        if failure is not None and not isinstance(failure, SourceError) and stream.reopen is not None:
            why = f"its reader failed ({type(failure).__name__}: {failure})"
        elif self._watchdog.hangs(stream.reader):
            why = f"no picture came for {self._watchdog.silence(stream.reader):.0f} s, and nobody knows why"
        elif stream.reader.finished:
            stream.note_end()
            self._tell(stream, stream.finish())
            return
        else:
            return
        if (readers := stream.restart_reader(why)) is not None:
            self._batcher.replace(*readers)

    def _close_readers(self) -> None:
        """All at once: a camera that hangs keeps no other from being closed."""
        closers = [
            threading.Thread(target=stream.reader.close, name=f"close-{stream.name}", daemon=True)
            for stream in self._streams.values()
        ]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()
