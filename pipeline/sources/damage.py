"""What was wrong with a file that has been read to its end, in sentences for people; a missing tail becomes a gap."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from vidan.pipeline.sources.clock import StreamClock
from vidan.pipeline.stages import SourceHealth


class ReadFile(Protocol):
    """What a `Recording` knows of itself after it was read; it says what each of these is."""

    @property
    def path(self) -> Path: ...

    @property
    def corrupt(self) -> int: ...

    @property
    def smeared(self) -> int: ...

    @property
    def read_error(self) -> str | None: ...

    @property
    def promised_frames(self) -> int | None: ...

    @property
    def promised_seconds(self) -> float | None: ...

    @property
    def missing_seconds(self) -> float: ...

    @property
    def missing_frames(self) -> int: ...


def note_damage(file: ReadFile, first_damage: float | None, health: SourceHealth, clock: StreamClock) -> None:
    """Says what was wrong with a file, and has the clock pass over what its end lacks.

    Args:
        file: Read to its end.
        first_damage: Stream seconds of the first picture after a loss; None: there is none.
        health: Of the stream; it gets the sentences.
        clock: Of the stream, at the end of the file's last picture.
    """
    name, problems = file.path.name, health.problems
    if file.read_error is not None:
        problems.append(f"{name}: reading stopped early: {file.read_error}")
    if file.corrupt:
        where = "at its end" if first_damage is None else f"the first before {first_damage:.2f} s"
        smeared = (
            f"; the {file.smeared} pictures from there to the next key frame may be smeared, counts there are unsure"
        )
        problems.append(
            f"{name} is damaged: packets or pictures that were skipped: {file.corrupt}, {where}"
            + (smeared if file.smeared else "")
        )
    if lacks := file.missing_seconds:
        promised = f"{file.promised_seconds:.1f} s that its header promises"
        problems.append(f"{name} is truncated: the last {lacks:.1f} s of the {promised} are missing")
        if health.decoded:
            clock.skip(lacks)
    elif missing := file.missing_frames:
        promised = f"{file.promised_frames} pictures that its header promises"
        problems.append(f"{name} has holes: of the {promised}, {missing} are missing")
