"""One stream's account of a run, as it stands in run.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from vidan.pipeline.coverage import DropLedger, Drops, Gap, GapReason, compact, merge, overlap
from vidan.pipeline.earlier import Earlier
from vidan.pipeline.events import format_utc
from vidan.pipeline.stages import MainHealth, SourceHealth

TRIFLE_SECONDS = 0.5  # headers round: so much less than promised is no gap
SILENCE_SECONDS = 3.0  # for so long a camera may say nothing before that is a gap: the slowest have a picture a second
MOST_PROBLEMS = 100  # of one stream, in run.json; the oldest and the newest are kept


@dataclass(slots=True)
class StreamRecord:
    """One stream's account: what came in, what was lost on the way.

    Attributes:
        name: Of the stream.
        source: What was read, for people, without passwords.
        health: What the source says of itself.
        analysed: Frames that went through the detector, the tracker and the rules.
        seconds: Stream time at the end of the last analysed frame.
        start_utc: Wall-clock time of the first frame when it is known.
        height: Of the pictures, in pixels; None before the first one.
        width: Of the pictures, in pixels; None before the first one.
        idle: Where pictures came and showed nothing (frozen, dark, blurred); known when the stream has ended.
        drops: When frames were delivered but not analysed (only live streams drop).
        second_look: What stitching did and how it changed the counts; None where tracks were not stitched.
        earlier: What was said by the sources that were read before the one whose `health` this is.
        now_seconds: Stream time of a camera at this moment, which goes on when its pictures do not.
        main: Of the main stream that video and evidence show, in this session; None where there is none.
    """

    name: str
    source: str
    health: SourceHealth
    analysed: int = 0
    seconds: float = 0.0
    start_utc: datetime | None = None
    height: int | None = None
    width: int | None = None
    idle: tuple[Gap, ...] = ()
    drops: DropLedger = field(default_factory=DropLedger)
    second_look: Mapping[str, Any] | None = None
    earlier: Earlier = field(default_factory=Earlier)
    now_seconds: float | None = None
    main: MainHealth | None = None

    def go_on(self, health: SourceHealth) -> None:
        """Another source of the stream is read from now on."""
        self.earlier.add(self.health)
        self.health = health

    def begin_again(self, offset_seconds: float, reason: GapReason) -> None:
        """The source that is read now begins at this stream time: there was nothing to see since the last frame."""
        self.earlier.offset_seconds = offset_seconds
        if offset_seconds > self.seconds:
            self.earlier.gaps.append(Gap(self.seconds, offset_seconds, reason))

    def complain(self, problem: str) -> None:
        """Adds a sentence for people."""
        self.health.problems.append(problem)

    def stay_small(self) -> None:
        """Keeps what a run of months has to say from growing for ever."""
        problems, gaps = self.health.problems, self.health.gaps
        if len(problems) > MOST_PROBLEMS:
            del problems[MOST_PROBLEMS // 2 : -MOST_PROBLEMS // 4]
        if len(gaps) > MOST_PROBLEMS:
            count = len(gaps) - 1  # the source may go on with the last one, and adds others
            self.earlier.gaps += self.earlier.shifted(gaps[:count])
            del gaps[:count]
            compact(self.earlier.gaps)

    @property
    def problems(self) -> list[str]:
        """Sentences for people, each once."""
        told = dict.fromkeys((*self.earlier.problems, *tuple(self.health.problems)))
        return [*told][: MOST_PROBLEMS // 2] + [*told][MOST_PROBLEMS // 2 :][-MOST_PROBLEMS // 2 :]

    @property
    def seconds_expected(self) -> float | None:
        """Stream time that the container promises, or that has passed on the wall without a picture."""
        if self.health.duration_seconds is not None:
            return self.health.duration_seconds + self.earlier.offset_seconds
        if self.now_seconds is not None and self.now_seconds - self.seconds > SILENCE_SECONDS:
            return self.now_seconds
        return None

    @property
    def dropped(self) -> int:
        """Frames delivered but not analysed."""
        return self.drops.frames

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """All time of the stream that was not seen, in order; gaps of different reasons may overlap."""
        gaps = [*self.earlier.gaps, *self.earlier.shifted(self.health.gaps), *self.drops.gaps, *self.idle]
        promised = self.seconds_expected or 0.0
        if promised - self.seconds > TRIFLE_SECONDS:
            is_live = self.health.duration_seconds is None
            gaps.append(Gap(self.seconds, promised, GapReason.MISSING if is_live else GapReason.UNREAD))
        return tuple(sorted(gaps))

    @property
    def seconds_observed(self) -> float:
        """Stream time that was seen."""
        return self.seconds - overlap(merge(gap[:2] for gap in self.gaps), 0.0, self.seconds)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values; expected is null where the container promises no number."""
        health, earlier = self.health, self.earlier
        return {
            "name": self.name,
            "source": self.source,
            "height": self.height,
            "width": self.width,
            "start_utc": None if self.start_utc is None else format_utc(self.start_utc),
            "seconds": round(self.seconds, 6),
            "seconds_expected": self.seconds_expected,
            "seconds_observed": round(self.seconds_observed, 6),
            "frames": {
                "expected": health.expected,
                "decoded": earlier.decoded + health.decoded,
                "delivered": earlier.delivered + health.delivered,
                "analysed": self.analysed,
                "dropped": self.dropped,
                "corrupt": earlier.corrupt + health.corrupt,
                "repaired_pts": earlier.repaired_pts + health.repaired_pts,
            },
            "reconnects": earlier.reconnects + health.reconnects,
            "discontinuities": earlier.discontinuities + health.discontinuities,
            "gaps": [gap.to_record() for gap in self.gaps],
            "drops": [[round(start, 6), round(end, 6), frames] for start, end, frames in self.drops.drops],
            "second_look": self.second_look,
            "problems": self.problems,
        } | ({} if self.main is None else {"main_stream": self.main.to_record()})

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The account that `to_record` wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is none.
        """
        frames = record["frames"]
        gaps = [Gap(gap["start"], gap["end"], GapReason(gap["reason"])) for gap in record["gaps"]]
        health = SourceHealth(
            **{key: frames[key] for key in ("expected", "decoded", "delivered", "corrupt", "repaired_pts")},
            duration_seconds=record["seconds_expected"],
            end_seconds=record["seconds"],
            problems=list(record["problems"]),
            reconnects=record.get("reconnects", 0),
            discontinuities=record.get("discontinuities", 0),
        )
        missing = (GapReason.MISSING, GapReason.STOPPED)
        known = [gap for gap in gaps if gap.reason in missing and gap.start < record["seconds"]]
        return cls(
            **{key: record[key] for key in ("name", "source", "seconds", "height", "width")},
            health=health,
            analysed=frames["analysed"],
            start_utc=record["start_utc"] and datetime.fromisoformat(record["start_utc"]),
            idle=tuple(gap for gap in gaps if gap.reason in (GapReason.FROZEN, GapReason.DARK, GapReason.BLURRED)),
            drops=DropLedger(
                (Drops(*drops) for drops in record["drops"]), (gap for gap in gaps if gap.reason is GapReason.DROPPED)
            ),
            earlier=Earlier(gaps=known),
        )
