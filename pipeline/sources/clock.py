"""Stream time: presentation times become seconds that only grow, and the start anchors them to UTC.

The first picture is at 0.0. What the container says is believed as far as it can be true:

    presentation time                        the picture is put
    ---------------------------------------  ----------------------------------------------------------------
    later, by up to ten seconds              where it says
    further ahead, and the next confirms it  where it says; the time between is a gap
    missing                                  one picture after the previous one                      (a repair)
    repeated, or back by up to a second      half a picture after, so the next good time still fits  (a repair)
    further back, and the next confirms it   one picture after, and time runs on from there          (a repair)
    far away, and the next denies it         one picture after: a damaged number                     (a repair)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from vidan.pipeline.errors import SourceError

SLIP_SECONDS = 1.0  # times that go back by less are late, by more are a clock that was set anew
LEAP_SECONDS = 10.0  # times that go ahead by more must be confirmed by the next picture
GAP_SECONDS = 1.0  # a longer wait than this (and than three pictures) counts as missing pictures


class StreamClock:
    """The time of one stream, which may be several files one after another.

    Args:
        start_time: Wall-clock time of the first picture (timezone-aware), when it is known.

    Attributes:
        repaired: Presentation times that were missing or could not be true.
        gaps: (start, end) in stream seconds where pictures are missing.

    Raises:
        SourceError: If `start_time` has no time zone.
    """

    def __init__(self, start_time: datetime | None = None) -> None:
        if start_time is not None and start_time.tzinfo is None:
            raise SourceError(
                f"start_time {start_time.isoformat()} has no time zone: "
                f"write {start_time.isoformat()}Z for UTC, or an offset such as +02:00"
            )
        self.start_time = start_time and start_time.astimezone(UTC)
        self.repaired = 0
        self.gaps: list[tuple[float, float]] = []
        self._seconds = 0.0  # of the last picture
        self._end = 0.0  # when the last picture ends and the next is due
        self._time_base = Fraction(1)
        self._frame_seconds = 0.0
        self._anchor: tuple[int, float] | None = None  # a pts and its stream seconds

    def begin(self, time_base: Fraction, frame_seconds: float) -> None:
        """A file begins: its first picture comes when the last picture so far ends.

        Args:
            time_base: Seconds per tick of the file's presentation times.
            frame_seconds: Usual duration of its pictures.
        """
        self._time_base, self._frame_seconds, self._anchor = time_base, frame_seconds, None

    def advance(
        self, pts: int | None, following: int | None = None, duration: int | None = None, after_loss: bool = False
    ) -> float:
        """Stream seconds of the next picture.

        Args:
            pts: Its presentation time in ticks, None when missing.
            following: That of the picture after it, as a witness for leaps.
            duration: Of the picture in ticks; None or 0 where the container says nothing.
            after_loss: Pictures before this one could not be decoded, so that a short wait is a gap, too.
        """
        begins = self._anchor is None
        seconds = self._due(pts, following)
        longest_wait = 1.5 * self._frame_seconds if after_loss else max(GAP_SECONDS, 3 * self._frame_seconds)
        if not begins and seconds - self._seconds > longest_wait:
            self.gaps.append((self._seconds + self._frame_seconds, seconds))
        self._seconds = seconds
        if duration is not None and duration > 0:
            self._end = seconds + float(duration * self._time_base)
        else:
            self._end = seconds + self._frame_seconds
        return seconds

    @property
    def end_seconds(self) -> float:
        """When the last picture so far ends."""
        return self._end

    def skip(self, seconds: float) -> None:
        """Pictures are missing for so long: a gap, after which the next file begins."""
        self.gaps.append((self._end, self._end + seconds))
        self._seconds = self._end = self._end + seconds

    def utc(self, seconds: float) -> datetime | None:
        """Wall-clock time of a moment of the stream, when the start is known."""
        return self.start_time and self.start_time + timedelta(seconds=seconds)

    def _due(self, pts: int | None, following: int | None) -> float:
        """Where the table above puts the picture."""
        if pts is None:
            self.repaired += 1
            return self._end
        if self._anchor is None:
            self._anchor = pts, self._end
            return self._end
        anchor_pts, anchor_seconds = self._anchor

        def said(ticks: int) -> float:
            return anchor_seconds + float((ticks - anchor_pts) * self._time_base)

        leap = max(LEAP_SECONDS, 10 * self._frame_seconds)
        step = said(pts) - self._seconds
        confirmed = (
            following is not None
            and 0 < said(following) - said(pts) <= leap
            and not 0 < said(following) - self._seconds <= leap  # else the next picture is where it should be
        )
        if 0 < step <= leap or (step > 0 and confirmed):
            return said(pts)
        self.repaired += 1
        if -SLIP_SECONDS <= step <= 0:
            return self._seconds + self._frame_seconds / 2
        if step < 0 and confirmed:
            self._anchor = pts, self._end
        return self._end


def creation_time(metadata: Mapping[str, str]) -> datetime | None:
    """The recording's start as its container tells it (ISO 8601, UTC unless it says otherwise), or None.

    Devices whose clock was never set write 1904 or 1970, the zeros of MP4 and Unix: no time is better than that one.
    """
    try:
        created = datetime.fromisoformat(metadata["creation_time"])
        created = created.astimezone(UTC) if created.tzinfo else created.replace(tzinfo=UTC)
    except (KeyError, ValueError, OverflowError):
        return None
    return created if created.year > 1970 else None
