"""What of a stream's time was seen, and why the rest was not: missing is not zero.

Pictures can lack (`missing`), come without telling anything (`frozen`, `dark`, `blurred`), come faster than this
machine works (`dropped`), lie behind the moment at which the run ended (`unread`), or between two sessions of it
(`stopped`). All of it is time in which nobody looked.
Coverage only accounts: tracks and rules go on as if nothing had happened.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

BUSY_SECONDS = 1.0  # frames dropped in a row for longer than this are a gap; shorter is only a lower frame rate
BURST_SECONDS = 10.0  # of one entry in the list of dropped frames, so that a day of them stays a short list
MOST_ENTRIES = 5000  # of one list of a stream; where a run of months has more, the older ones become coarser


class GapReason(StrEnum):
    MISSING = "missing"
    FROZEN = "frozen"
    DARK = "dark"
    BLURRED = "blurred"
    DROPPED = "dropped"
    UNREAD = "unread"
    STOPPED = "stopped"

    @property
    def words(self) -> str:
        """What there was instead of something to see, as a report says it."""
        match self:
            case GapReason.MISSING:
                return "no pictures"
            case GapReason.FROZEN:
                return "a frozen picture"
            case GapReason.DARK:
                return "a dark picture"
            case GapReason.BLURRED:
                return "a blurred picture"
            case GapReason.DROPPED:
                return "more pictures than this machine could analyse"
            case GapReason.UNREAD:
                return "nothing read, for the run had ended"
            case GapReason.STOPPED:
                return "nothing read, for the run had been stopped"


class Gap(NamedTuple):
    """Time in which nothing was seen, in stream seconds."""

    start: float
    end: float
    reason: GapReason

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values, times to 1 us."""
        return {"start": round(self.start, 6), "end": round(self.end, 6), "reason": self.reason.value}


class Drops(NamedTuple):
    """Frames that came and were not analysed, taken as spread evenly over a time (stream seconds)."""

    start: float
    end: float
    frames: int

    def before(self, seconds: float) -> int:
        """How many of them lie before a moment; so the numbers of neighbouring times add up."""
        if seconds >= self.end:
            return self.frames
        share = max(0.0, seconds - self.start) / (self.end - self.start)
        return math.floor(self.frames * share)


class DropLedger:
    """One stream's account of the frames that a live source delivered and nobody took in time.

    The reader's thread notes what it drops, the engine's thread what it analyses. It may go on from an earlier account.

    Attributes:
        drops: Times and numbers, oldest first.
        gaps: Where frames were dropped in a row for longer than `BUSY_SECONDS`.
    """

    def __init__(self, drops: Iterable[Drops] = (), gaps: Iterable[Gap] = ()) -> None:
        self.drops = list(drops)
        self.gaps = list(gaps)
        self._open: deque[float] = deque()  # dropped, and no later frame has been analysed yet

    @property
    def frames(self) -> int:
        """How many were dropped so far."""
        return sum(drops.frames for drops in self.drops) + len(self._open)

    def note_dropped(self, seconds: float) -> None:
        """A frame of this time was dropped."""
        self._open.append(seconds)

    def note_analysed(self, seconds: float) -> None:
        """A frame of this time was analysed, and with it the time since the last one is accounted for."""
        passed = []
        while self._open and self._open[0] < seconds:
            passed.append(self._open.popleft())
        if passed:
            self._enter(passed, seconds)

    def finish(self, end_seconds: float) -> None:
        """The stream ended at this time."""
        if self._open:
            self._enter(list(self._open), max(end_seconds, self._open[-1]))
            self._open.clear()

    def _enter(self, passed: Sequence[float], until: float) -> None:
        start = passed[0]
        if until - start > BUSY_SECONDS:
            self.gaps.append(Gap(start, until, GapReason.DROPPED))
            compact(self.gaps)
        last = self.drops[-1] if self.drops else None
        if last is not None and start - last.end <= BUSY_SECONDS and until - last.start <= BURST_SECONDS:
            self.drops[-1] = Drops(last.start, until, last.frames + len(passed))
        else:
            self.drops.append(Drops(start, until, len(passed)))
            if len(self.drops) > MOST_ENTRIES:
                self._coarsen()

    def _coarsen(self) -> None:
        """Makes one entry of every two in the older half."""
        old = self.drops[: MOST_ENTRIES // 2]
        pairs = zip(old[::2], old[1::2], strict=True)
        self.drops[: len(old)] = [Drops(one.start, two.end, one.frames + two.frames) for one, two in pairs]


def spans_by_reason(gaps: Iterable[Gap]) -> dict[GapReason, list[tuple[float, float]]]:
    """The time that was lost for each reason, as spans that do not overlap, in order."""
    found: dict[GapReason, list[tuple[float, float]]] = {}
    for gap in sorted(gaps, key=lambda gap: gap.reason):
        found.setdefault(gap.reason, []).append(gap[:2])
    return {reason: merge(spans) for reason, spans in found.items()}


def compact(gaps: list[Gap], most: int = MOST_ENTRIES) -> None:
    """Keeps a list of gaps, in order, from growing for ever: where there are more than so many, those in the older half
    that lie nearest to each other become one. A little is then said to be unseen that was seen.
    """
    if len(gaps) <= most:
        return
    old = gaps[: most // 2]
    waits = [
        later.start - earlier.end if later.reason is earlier.reason else math.inf for earlier, later in pairwise(old)
    ]
    nearest = set(sorted(range(len(waits)), key=waits.__getitem__)[: most // 4])
    joined = old[:1]
    for i, gap in enumerate(old[1:]):
        if i in nearest and math.isfinite(waits[i]):
            joined[-1] = Gap(joined[-1].start, max(joined[-1].end, gap.end), gap.reason)
        else:
            joined.append(gap)
    gaps[: len(old)] = joined


def merge(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same time as spans that do not overlap, in order."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def overlap(spans: Iterable[tuple[float, float]], start: float, end: float) -> float:
    """Seconds between two moments that lie within spans which do not overlap."""
    return sum(max(0.0, min(end, span_end) - max(start, span_start)) for span_start, span_end in spans)
