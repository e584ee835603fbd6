"""The recordings of one camera in the order of time: where they follow each other, leave gaps, or overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from vidan.pipeline.batch.footage import Clip
from vidan.pipeline.errors import SourceError


@dataclass(frozen=True, slots=True)
class Probed:
    """A recording and what its header says.

    Attributes:
        clip: Whose it is, and when it began.
        seconds: Playing time, None where the header says nothing.
        pictures: Number of them, None where the header says nothing.
        created: When it began by its container.
        fps: Usual pictures per second.
        size: (height, width) as coded.
        problem: Why it cannot be opened.
    """

    clip: Clip
    seconds: float | None = None
    pictures: int | None = None
    created: datetime | None = None
    fps: float = 25.0
    size: tuple[int, int] = (0, 0)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A recording on its camera's timeline.

    Attributes:
        probed: The recording.
        start: When it begins (UTC); None: right behind the one before.
    """

    probed: Probed
    start: datetime | None

    @property
    def path(self) -> Path:
        return self.probed.clip.path


@dataclass(frozen=True, slots=True)
class Span:
    """Time between two neighbouring recordings: a gap, or where they overlap."""

    before: Path
    after: Path
    seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """All recordings of a camera.

    Attributes:
        placed: In the order of time.
        gaps: Where nothing was recorded, as far as headers tell.
        overlaps: Where two recordings tell the same time.
        problems: What is odd about them, in sentences.
    """

    placed: tuple[Placed, ...]
    gaps: tuple[Span, ...]
    overlaps: tuple[Span, ...]
    problems: tuple[str, ...]


def probe(clip: Clip) -> Probed:
    """What the header of a recording says; a problem if it cannot be opened."""
    try:
        recording = clip.open()
    except SourceError as error:
        return Probed(clip, problem=str(error))
    recording.close()
    width, height = recording.description["coded_size"]
    return Probed(
        clip,
        recording.promised_seconds,
        recording.expected_frames,
        recording.created,
        1 / recording.frame_seconds,
        (height, width),
    )


def lay_out(probed: Iterable[Probed], join_seconds: float) -> Timeline:
    """Puts the recordings of a camera in the order of time.

    By the starts that names or tables tell, where all have one; else by those of the containers, where these agree with
    the playing times; else in the order in which they are named, each right behind the one before. Where only some
    names tell a start, the others follow those that they stand behind.

    Args:
        probed: In the order in which they are named.
        join_seconds: So far apart, or one over the other, they still follow each other directly.
    """
    files = list(probed)
    problems: list[str] = []
    if all(file.clip.start is not None for file in files):
        placed = sorted((Placed(file, file.clip.start) for file in files), key=lambda file: file.start or datetime.min)
    elif any(file.clip.start is not None for file in files):
        placed = [Placed(file, file.clip.start) for file in files]
        silent = [file.clip.path.name for file in files if file.clip.start is None]
        problems.append(f"nothing tells when {_some(silent)} began: taken as right behind the recording before")
    else:
        placed, contradiction = _by_containers(files, join_seconds)
        problems += contradiction
    gaps, overlaps = _neighbours(placed, join_seconds)
    problems += [f"{span.after.name} begins {span.seconds:.1f} s before {span.before.name} ends" for span in overlaps]
    return Timeline(tuple(placed), tuple(gaps), tuple(overlaps), tuple(problems))


def _by_containers(files: Sequence[Probed], join_seconds: float) -> tuple[list[Placed], list[str]]:
    """By the containers' creation times, if no two recordings overlap by them: many programs write another time."""
    if all(file.created is not None for file in files if file.problem is None):
        usable = [Placed(file, file.created) for file in files]
        usable.sort(key=lambda file: (file.start is not None and file.start.timestamp()) or 0.0)
        if not _neighbours([file for file in usable if file.start is not None], join_seconds)[1]:
            return usable, []
        problem = (
            "the creation times of the containers contradict the lengths of the recordings: "
            "they are taken as one behind the other as they are named"
        )
        first = files[0].created
        return [Placed(file, first if i == 0 else None) for i, file in enumerate(files)], [problem]
    return [Placed(file, file.created if i == 0 else None) for i, file in enumerate(files)], []


def _neighbours(placed: Sequence[Placed], join_seconds: float) -> tuple[list[Span], list[Span]]:
    """Gaps and overlaps, as far as starts and lengths are known."""
    gaps: list[Span] = []
    overlaps: list[Span] = []
    end: datetime | None = None
    before: Placed | None = None
    for file in placed:
        if file.start is not None and end is not None and before is not None:
            ahead = (file.start - end).total_seconds()
            if ahead > join_seconds:
                gaps.append(Span(before.path, file.path, ahead))
            elif ahead < -join_seconds:
                overlaps.append(Span(before.path, file.path, -ahead))
        start = file.start or end
        seconds = file.probed.seconds
        if start is not None and seconds is not None:
            reached = start + timedelta(seconds=seconds)
            if end is None or reached > end:
                end, before = reached, file
        elif seconds is None:
            end = None
    return gaps, overlaps


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
