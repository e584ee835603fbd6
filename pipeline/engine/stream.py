"""One stream on its way through the engine, and what is done when something of it fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from vidan.detector import Detections
from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.numbering import Numbering
from vidan.pipeline.engine.open_ends import OpenEnds
from vidan.pipeline.engine.reader import Reader
from vidan.pipeline.engine.sequel import Sequel
from vidan.pipeline.errors import SourceError
from vidan.pipeline.events import Event
from vidan.pipeline.frame import Frame, FrameResult
from vidan.pipeline.picture_watch import PictureWatch
from vidan.pipeline.stages import Source
from vidan.pipeline.stream_record import StreamRecord
from vidan.pipeline.telemetry import StreamTelemetry
from vidan.trackers import Tracks

FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS = 1.0, 60.0  # between a failure and the new beginning; doubled each time
FORGIVEN_SECONDS = 300.0  # without a failure, after which the next one counts as the first

_logger = logging.getLogger(__name__)


class Patience:
    """How long to wait after a failure: longer each time, and from the beginning once it has gone well for a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._delay = FIRST_DELAY_SECONDS
        self._failed_at = float("-inf")
        self._until = float("-inf")

    @property
    def is_over(self) -> bool:
        return self._clock() >= self._until

    def fail(self) -> float:
        """Something failed now; the seconds to wait."""
        now = self._clock()
        calm = now - self._failed_at > FORGIVEN_SECONDS
        delay = FIRST_DELAY_SECONDS if calm else self._delay
        self._delay = min(2 * delay, LAST_DELAY_SECONDS)
        self._failed_at, self._until = now, now + delay
        return delay


@dataclass(slots=True)
class Stream:
    """One stream on its way through the engine.

    Attributes:
        source: Where its frames come from.
        record: Its account, kept up to date while the engine runs.
        watch: Looks out for frozen and dark pictures; None: nobody does.
        priority: Among streams that are live.
        reopen: Gives the source anew, for a live stream whose reader hangs or failed; None where that cannot be done.
        numbering: The ids that it has used.
        open_ends: What its events leave open.
        telemetry: Its numbers.
        lane: Made for the first frame.
        last: The newest result. The sinks are told that of a recording when the next one is there, or when the stream
            has ended and the result is complete: so every picture is told once, and the last one shows the final
            counts. That of a camera is told at once, and what is kept here is its rest: the picture.
        next_index: Number of the first picture that an earlier session did not have.
        is_over: True once the lane was finished.
        error: Why it ended early, when it broke.
    """

    source: Source
    record: StreamRecord
    watch: PictureWatch | None = None
    priority: float = 1.0
    reopen: Callable[[], Source] | None = None
    numbering: Numbering = field(default_factory=Numbering)
    open_ends: OpenEnds = field(default_factory=OpenEnds)
    telemetry: StreamTelemetry = field(default_factory=lambda: StreamTelemetry(""))
    lane: Lane | None = None
    last: FrameResult | None = None
    next_index: int = 0
    is_over: bool = False
    error: SourceError | None = None
    _patience: Patience = field(default_factory=Patience)
    _reader: Reader | None = None
    _bell: threading.Event = field(default_factory=threading.Event)
    _wants_reader: bool = False
    _zero: float | None = None  # monotonic time of second 0, from the first look at the clock on the wall
    _idle_before: tuple[Gap, ...] = ()

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def live(self) -> bool:
        return self.source.live

    @property
    def reader(self) -> Reader:
        assert self._reader is not None  # started
        return self._reader

    def attach(self, bell: threading.Event) -> Reader:
        """The reader of the stream, which rings this bell; it is not started yet."""
        self._bell = bell
        self._idle_before = self.record.idle
        self._reader = Reader(self.source, bell, self.record.drops, priority=self.priority)
        return self._reader

    def follow_on(self, reason: GapReason) -> None:
        """What is read from now on follows what was read before, and the time between is a gap for this reason."""
        start_utc = self.record.start_utc
        if self._zero is not None:  # the clock on the wall may have been set since
            start_utc = datetime.now(UTC) - timedelta(seconds=time.monotonic() - self._zero)
        self.source = Sequel(
            self.source,
            start_utc=start_utc,
            after_seconds=self.record.seconds,
            first_index=self.next_index,
            begun=lambda offset: self.record.begin_again(offset, reason),
        )

    def step(self, frame: Frame, detections: Detections, make_lane: Callable[[Frame], Lane]) -> None:
        """Takes a frame through the lane; `last` is what is known then.

        Raises:
            Exception: Whatever the lane, or what looks at the pictures, fails with.
        """
        if self.lane is None:
            self.lane = make_lane(frame)
        self._note(frame)
        if self.watch is not None:
            with self.telemetry.times.busy("watch"):
                self.watch.look(frame.stamp.pts_seconds, frame.image)
        self.last = self.lane.step(frame, detections)

    def take_result(self) -> FrameResult | None:
        """What the sinks are to be told before the next frame of a recording, or after this one of a camera."""
        last = self.last
        if last is not None and self.live:
            self.last = replace(last, counted=(), events=(), near_misses=())
        return last

    def finish(self) -> FrameResult | None:
        """Ends the lane; the last result, completed, if there was a frame."""
        self.is_over = True
        if self.lane is None or self.last is None:
            return None
        last = self.lane.finish(self.last)
        if (problem := self.lane.pace.problem) is not None:
            self.record.complain(problem)
        if self.lane.second_look is not None:
            self.record.second_look = self.lane.second_look.to_record()
        self.last = None
        return last

    def note_told(self, events: tuple[Event, ...]) -> None:
        """The sinks were told these events."""
        self.telemetry.count(events)
        for event in events:
            self.open_ends.note(event)

    @property
    def is_resting(self) -> bool:
        """True while a failure of the lane is not long enough ago; frames are dropped meanwhile."""
        return self.lane is None and not self._patience.is_over

    def break_off(self, frame: Frame, error: Exception) -> FrameResult:
        """Gives up the lane, which failed at this frame; the next one begins anew after a while.

        Returns:
            A result with what the lane would have said at its end.
        """
        delay = self._patience.fail()
        stamp = frame.stamp
        told = f"its tracker or rules failed at {stamp.pts_seconds:.1f} s ({type(error).__name__}: {error})"
        _logger.error("stream %s: %s; they begin anew in %g s", self.name, told, delay, exc_info=error)
        self._note_failure(told)
        self.lane, self.last = None, None
        events = self.open_ends.close(stamp.pts_seconds, stamp.index, self.numbering)
        return FrameResult(frame, Detections.empty(), Tracks.empty(), (), tuple(events))

    def restart_reader(self, why: str) -> tuple[Reader, Reader] | None:
        """Reads the source anew, if that can be done by now; the reader so far, and the one in its place.

        Args:
            why: For people.
        """
        if self.reopen is None:
            return None
        if not self._wants_reader:
            self._wants_reader = True
            delay = self._patience.fail()
            _logger.warning("stream %s: %s; it is opened anew in %g s", self.name, why, delay)
            self._note_failure(why)
        if not self._patience.is_over:
            return None
        try:
            source = self.reopen()
        except SourceError as error:
            self._patience.fail()
            self.telemetry.last_error = str(error)
            return None
        old = self.reader
        threading.Thread(target=old.close, name=f"close-{self.name}", daemon=True).start()
        self._wants_reader = False
        self.record.go_on(source.health)
        self.telemetry.health = source.health
        self.source = source
        self.follow_on(GapReason.MISSING)
        self._reader = Reader(self.source, self._bell, self.record.drops, priority=self.priority)
        self._reader.start()
        return old, self._reader

    def keep_accounts(self) -> None:
        """Brings what others may read at any time up to date."""
        record, telemetry = self.record, self.telemetry
        if record.start_utc is None:
            record.start_utc = record.health.start_utc
        if self.live and record.start_utc is not None and not self.is_over:
            if self._zero is None:
                self._zero = time.monotonic() - (datetime.now(UTC) - record.start_utc).total_seconds()
            record.now_seconds = time.monotonic() - self._zero
        if self.watch is not None:
            record.idle = self._idle_before + self.watch.gaps
        record.stay_small()
        telemetry.dropped = record.dropped
        telemetry.queue_length = self.reader.waiting
        if self.reader.arrivals:
            telemetry.last_frame_at = self.reader.heard

    def note_end(self) -> None:
        """Completes the account, once no frame will come any more."""
        record, reader = self.record, self.reader
        end = record.health.end_seconds
        if reader.finished and self.last is not None and end is not None:
            record.seconds = end + record.earlier.offset_seconds
        record.drops.finish(record.seconds)
        if self.watch is not None:
            record.idle = self._idle_before + self.watch.finish(record.seconds)
        failure = reader.failure
        if failure is not None and not isinstance(failure, SourceError):
            if not self.live:
                raise failure
            failure = SourceError(f"its reader failed ({type(failure).__name__}: {failure})")
        self.error = failure
        if self.error is not None:
            record.complain(str(self.error))
        self.telemetry.times.add("decode", reader.busy_seconds)

    def _note_failure(self, told: str) -> None:
        self.record.complain(told)
        self.telemetry.last_error = told
        self.telemetry.restarts += 1

    def _note(self, frame: Frame) -> None:
        """Counts a frame. One of another size is analysed all the same: rules keep their pixels, and that is said."""
        record, stamp = self.record, frame.stamp
        self.next_index = stamp.index + 1
        if record.height is None:
            record.height, record.width = frame.height, frame.width
        elif self.last and (frame.height, frame.width) != (self.last.frame.height, self.last.frame.width):
            record.complain(
                f"pictures change to {frame.width}×{frame.height} at {stamp.pts_seconds:.1f} s; "
                "lines and zones keep the pixels that they had"
            )
        if record.start_utc is None and self.last is None:
            record.start_utc = stamp.utc and stamp.utc - timedelta(seconds=stamp.pts_seconds)
        # The end of a frame is not known before the next one: as long after it as it came after the one before.
        before = stamp.pts_seconds if self.last is None else self.last.frame.stamp.pts_seconds
        record.seconds = 2 * stamp.pts_seconds - before
        record.analysed += 1
        self.telemetry.analysed += 1
        record.drops.note_analysed(stamp.pts_seconds)
