"""Stream time of a camera: its presentation times between arrivals, the clock on the wall across outages.

The first picture is at 0.0, and time goes on while the camera is away, so an outage is a gap of its real length. The
time of one that was absent at first begins when it was first asked, with a gap. While it is connected its own times
are believed, for the network brings pictures late and in bunches; but only as long as they could be true:

    presentation time                          the picture is put
    -----------------------------------------  ---------------------------------------------------------------------
    later, by up to a second                   where it says
    later by more, and that time has passed    where it says; the time between is a gap
    missing                                    one picture after the previous one; or by arrival, if none has any
    repeated, or back by up to a second        half a picture after, so the next good time still fits      (a repair)
    back by the range of 32 or 33 bits         where it says, the counter has only begun anew              (a repair)
    further back, or ahead of the real time    by arrival, and time runs on from there              (a discontinuity)
    steadily later or earlier than arrivals    by arrival while it is connected                     (a discontinuity)

No two clocks agree for months: time is led towards the arrivals by up to half a per cent, so that a camera whose clock
runs wrong by seconds a day stays at the time of this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from vidan.pipeline.sources.clock import GAP_SECONDS, SLIP_SECONDS

AHEAD_SECONDS = 2.0  # that a picture may come before its time: the first one came late by as much
WINDOW_SECONDS = 30.0  # in which at least one picture is thought to arrive without delay
DRIFT_SECONDS = 5.0  # of all pictures of a window: no delay, but times that mean nothing
SLEW = 0.005  # seconds per second by which time is led to the arrivals
COUNTER_BITS = (32, 33)  # of RTP and of MPEG-TS times
STEP_SECONDS = 1.0  # by which the clock on the wall must have been set to be worth a word


class LiveClock:
    """The time of one camera, over all its connections.

    Args:
        monotonic: Gives seconds that only grow.
        utc: Gives the time on the wall.

    Attributes:
        start_time: Wall-clock time of stream second 0; None before it.
        repaired: Presentation times that were missing or could not be true.
        discontinuities: Jumps of the camera's clock.
        gaps: (start, end) in stream seconds where pictures are missing.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, utc: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.start_time: datetime | None = None
        self.repaired = 0
        self.discontinuities = 0
        self.gaps: list[tuple[float, float]] = []
        self._monotonic = monotonic
        self._utc = utc
        self._zero = 0.0  # monotonic time of stream second 0
        self._seconds = 0.0  # of the last picture
        self._has_pictures = False
        self._anchor: tuple[int, float] | None = None  # a pts and its stream seconds
        self._wall_offset = 0.0  # of the clock on the wall against stream time, as far as it is known
        self.begin(1.0, 0.04)

    def begin(self, time_base: float, frame_seconds: float, *, is_timed: bool = True, is_paced: bool = False) -> None:
        """A connection begins: its first picture is where it arrives.

        Args:
            time_base: Seconds per tick of its presentation times.
            frame_seconds: Usual duration of its pictures, as it says.
            is_timed: It has presentation times; without them pictures are where they arrive.
            is_paced: Pictures are held until they are due, so that their arrival says nothing.
        """
        self._time_base, self._frame_seconds = time_base, frame_seconds
        self._is_timed, self._is_paced = is_timed, is_paced
        self._is_first = True
        self._anchor = None
        self._begin_window(self._seconds)
        self._to_lead = 0.0

    def advance(self, pts: int | None, arrived: float) -> float:
        """Stream seconds of the next picture.

        Args:
            pts: Its presentation time in ticks, None when missing.
            arrived: When it arrived, on the monotonic clock.
        """
        if self.start_time is None:
            self.begin_at(arrived)
            seconds = 0.0
        elif self._is_first:
            seconds = max(self._arrival(arrived), self.end_seconds)
            self._note_gap(seconds, 1.5 * self._frame_seconds)
        else:
            seconds = self._place(pts, self._arrival(arrived))
        if self._is_first or self._anchor is None:
            self._anchor = None if pts is None or not self._is_timed else (pts, seconds)
        if not self._is_first:
            self._learn_rate(seconds - self._seconds)
        self._is_first = False
        self._has_pictures = True
        self._seconds = seconds
        return seconds

    def begin_at(self, moment: float) -> None:
        """Stream second 0 was then, on the monotonic clock, unless it is known already."""
        if self.start_time is None:
            self._zero = moment
            self.start_time = self._utc() - timedelta(seconds=self._monotonic() - moment)

    @property
    def end_seconds(self) -> float:
        """When the last picture so far ends; 0 before the first."""
        return self._seconds + self._frame_seconds if self._has_pictures else 0.0

    def due(self, seconds: float) -> float:
        """When a moment of the stream is reached, on the monotonic clock."""
        return self._zero + seconds

    def utc(self, seconds: float) -> datetime | None:
        """Wall-clock time of a moment of the stream, as the clock on the wall went when the stream began."""
        return self.start_time and self.start_time + timedelta(seconds=seconds)

    def finish(self) -> float:
        """The stream ends now; gives its end. If pictures have been lacking until now, that is a gap."""
        if self.start_time is None:
            return 0.0
        now = self._arrival(self._monotonic())
        if now - self._seconds > self._longest_wait:
            self.gaps.append((self.end_seconds, now))
            self._seconds = now - self._frame_seconds
        return self.end_seconds

    def wall_step(self) -> float:
        """Seconds by which the clock on the wall was set since the first picture or the last such answer, or 0."""
        if self.start_time is None:
            return 0.0
        now = (self._utc() - self.start_time).total_seconds() - self._arrival(self._monotonic())
        step = now - self._wall_offset
        if abs(step) < STEP_SECONDS:
            return 0.0
        self._wall_offset = now
        return step

    def _place(self, pts: int | None, arrival: float) -> float:
        """Where the table above puts a picture that is not the first of its connection."""
        if not self._is_timed:
            return max(arrival, self._seconds + 0.001)
        if pts is None:
            self.repaired += 1
            return self.end_seconds
        if self._anchor is None:  # the first picture of an RTSP connection may have no time
            return self.end_seconds
        said = self._unwrap(pts)
        step = said - self._seconds
        if -SLIP_SECONDS <= step <= 0:
            self.repaired += 1
            return self._seconds + self._frame_seconds / 2
        if step < 0 or (step > self._longest_wait and said > arrival + AHEAD_SECONDS):
            return self._anchor_anew(pts, self.end_seconds if self._is_paced else max(arrival, self.end_seconds))
        if self._drifts(arrival, said):
            self._is_timed = False
            self.discontinuities += 1
            return max(arrival, self._seconds + 0.001)
        seconds = self._lead(said)
        self._note_gap(seconds, self._longest_wait)
        return seconds

    def _unwrap(self, pts: int) -> float:
        """Stream seconds that a picture says, whichever round its counter is in."""
        assert self._anchor is not None
        anchor_pts, anchor_seconds = self._anchor
        said = anchor_seconds + (pts - anchor_pts) * self._time_base
        if self._seconds - said <= SLIP_SECONDS:
            return said
        for bits in COUNTER_BITS:
            later = said + 2.0**bits * self._time_base
            if abs(later - self._seconds) <= 10 * GAP_SECONDS:
                self._anchor = anchor_pts - 2**bits, anchor_seconds
                self.repaired += 1
                return later
        return said

    def _drifts(self, arrival: float, said: float) -> bool:
        """True if all pictures of a while came so much too late or too early that their times mean nothing."""
        if self._is_paced:
            return False
        self._least_lag = min(self._least_lag, arrival - said)
        if arrival - self._window_start < WINDOW_SECONDS:
            return False
        self._to_lead = self._least_lag
        self._begin_window(arrival)
        return abs(self._to_lead) > DRIFT_SECONDS

    def _lead(self, said: float) -> float:
        """The time of a good picture, led a little towards the arrivals."""
        assert self._anchor is not None
        most = SLEW * (said - self._seconds)
        lead = min(max(self._to_lead, -most), most)
        self._to_lead -= lead
        self._anchor = self._anchor[0], self._anchor[1] + lead
        return said + lead

    def _anchor_anew(self, pts: int, seconds: float) -> float:
        self.discontinuities += 1
        self._anchor = pts, seconds
        self._note_gap(seconds, self._longest_wait)
        self._begin_window(seconds)
        self._to_lead = 0.0
        return seconds

    def _begin_window(self, seconds: float) -> None:
        self._window_start, self._least_lag = seconds, float("inf")

    def _note_gap(self, seconds: float, longest_wait: float) -> None:
        if seconds - self._seconds > longest_wait:
            self.gaps.append((self.end_seconds, seconds))

    def _learn_rate(self, step: float) -> None:
        """The usual duration of a picture, which the header of a stream seldom knows."""
        if step <= GAP_SECONDS:
            self._frame_seconds += 0.1 * (step - self._frame_seconds)

    def _arrival(self, monotonic: float) -> float:
        return monotonic - self._zero

    @property
    def _longest_wait(self) -> float:
        return max(GAP_SECONDS, 3 * self._frame_seconds)
