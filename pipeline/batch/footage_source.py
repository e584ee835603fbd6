"""A camera's recordings as one stream of pictures that have been analysed already.

It is a `Source` like a video, with the same clock: pictures come in the same order, with the same numbers and times.
What was detected in them lies ready for a detector that only hands it out. So whatever stands behind the two (trackers,
rules, outputs) cannot tell a batch from a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections, ImageLike
from vidan.pipeline.batch.files import FileFacts
from vidan.pipeline.batch.footage import Clip
from vidan.pipeline.batch.parts import Row, part_path, read_rows
from vidan.pipeline.coverage import Gap
from vidan.pipeline.errors import SourceError
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.picture_watch import PictureWatch
from vidan.pipeline.sources.clock import StreamClock
from vidan.pipeline.sources.conversion import Orientation, RgbConverter, fit
from vidan.pipeline.sources.damage import note_damage
from vidan.pipeline.sources.recording import Picture
from vidan.pipeline.stages import SourceHealth


@dataclass(frozen=True, slots=True)
class AnalysedFile:
    """A recording, and where what was detected in it lies.

    Attributes:
        clip: Where it lies.
        facts: Of the file.
        parts: Folder of its parts.
        start: When it began, as its name, a table or its container tells it; None: right behind the one before.
    """

    clip: Clip
    facts: FileFacts
    parts: Path
    start: datetime | None


class FootageSource:
    """Recordings of one camera as a stream.

    A file that begins within `join_seconds` of where the one before ends follows it without a gap. One that begins
    later leaves a gap; of one that begins earlier the pictures that overlap are left out, so that nobody is counted
    twice.

    Args:
        name: Of the stream.
        files: In the order of time.
        start_time: Of the first picture, None where unknown.
        join_seconds: See above.
        with_pictures: Decode all of the files again, for those who want to see; else only pictures that are asked for.
        watch: Looks through what was noted of each picture; None: nobody does.

    Attributes:
        height: Pixels of all frames, upright.
        width: Pixels of all frames, upright.
        found: What was detected in frames that were handed out, by their number; whoever uses it takes it away.
        idle: Gaps in which pictures showed nothing; complete at the end.
    """

    live = False

    def __init__(
        self,
        name: str,
        files: Sequence[AnalysedFile],
        *,
        start_time: datetime | None,
        join_seconds: float,
        with_pictures: bool = False,
        watch: PictureWatch | None = None,
    ) -> None:
        self._name = name
        self._files = files
        self._join_seconds = join_seconds
        self._with_pictures = with_pictures
        self._watch = watch
        self._clock = StreamClock(start_time)
        self._health = SourceHealth(gaps=self._clock.gaps)
        expected = [file.facts.expected_frames for file in files]
        self._health.expected = None if None in expected else sum(filter(None, expected))
        self._closed = False
        self.height, self.width = next(self._rows_of(files[0])).size
        self.found: dict[int, Detections] = {}
        self.idle: tuple[Gap, ...] = ()

    @property
    def name(self) -> str:
        return self._name

    @property
    def start_time(self) -> datetime | None:
        """Wall-clock time of the first picture, when it is known."""
        return self._clock.start_time

    @property
    def health(self) -> SourceHealth:
        return self._health

    def describe(self) -> dict[str, Any]:
        """What is read, in plain values for the manifest."""
        files = [file.facts.description | {"path": file.clip.shown} for file in self._files]
        return {"type": "video", "width": self.width, "height": self.height, "files": files}

    def close(self) -> None:
        """Ends the stream; may be called twice, and while another thread reads."""
        self._closed = True

    def __iter__(self) -> Iterator[Frame]:
        for file in self._files:
            yield from self._read(file)
            if self._closed:
                return
        self._health.duration_seconds = self._clock.end_seconds
        if self._watch is not None:
            self.idle = self._watch.finish(self._clock.end_seconds)

    def _read(self, file: AnalysedFile) -> Iterator[Frame]:
        facts, health, clock = file.facts, self._health, self._clock
        left_out = self._place(file)
        clock.begin(facts.time_base, facts.frame_seconds)
        first_damage: float | None = None
        first_pts: int | None = None
        sizes = {(self.height, self.width)}
        scale = self._scale_of(next(self._rows_of(file)).size)
        for row, following, picture in _with_following(self._pictures(file)):
            if self._closed:
                return
            if first_pts is None:
                first_pts = row.pts
            played = 0.0 if row.pts is None or first_pts is None else float((row.pts - first_pts) * facts.time_base)
            if left_out and played < left_out:
                health.decoded += 1
                continue
            seconds = clock.advance(row.pts, following, row.duration, row.after_loss)
            stamp = Stamp(self._name, health.decoded, seconds, clock.utc(seconds))
            health.decoded += 1
            health.repaired_pts = clock.repaired
            health.end_seconds = clock.end_seconds
            if row.after_loss and first_damage is None:
                first_damage = seconds
            if row.size not in sizes:
                sizes.add(row.size)
                health.problems.append(
                    f"pictures change from {self.width}×{self.height} to {row.size[1]}×{row.size[0]} at "
                    f"{seconds:.1f} s; they are scaled to the first size"
                )
            if row.found is not None:
                if self._watch is not None:
                    self._watch.note(seconds, row.look)
                self.found[stamp.index] = row.found if scale is None else _scaled(row.found, scale)
                health.delivered += 1
                yield Frame(stamp, self.height, self.width, self._painter(file.clip, row, picture))
        health.corrupt += facts.corrupt
        if health.expected is not None:
            health.expected -= facts.discarded
        note_damage(facts, first_damage, health, clock)
        health.end_seconds = clock.end_seconds

    def _place(self, file: AnalysedFile) -> float:
        """Moves the clock on to where a file begins; seconds at its beginning that another one has told already."""
        if file.start is None or self._clock.start_time is None or not self._health.decoded:
            return 0.0
        ahead = (file.start - self._clock.start_time).total_seconds() - self._clock.end_seconds
        if ahead > self._join_seconds:
            self._clock.skip(ahead)
        elif ahead < -self._join_seconds:
            self._health.problems.append(
                f"{file.facts.path.name} begins {-ahead:.1f} s before the recording before it ends: "
                "its pictures up to there are left out"
            )
            return -ahead
        return 0.0

    def _pictures(self, file: AnalysedFile) -> Iterator[tuple[Row, Picture | None]]:
        """The rows of a file, and, where they are wanted, the pictures."""
        if not self._with_pictures:
            for row in self._rows_of(file):
                yield row, None
            return
        recording = file.clip.open()
        try:
            for row, picture in zip(self._rows_of(file), recording.pictures(), strict=False):
                if picture.frame.pts != row.pts:
                    raise SourceError(f"{file.clip.shown} gives other pictures than when they were analysed")
                yield row, picture
        finally:
            recording.close()

    def _rows_of(self, file: AnalysedFile) -> Iterator[Row]:
        for number in range(file.facts.parts):
            yield from read_rows(part_path(file.parts, number))

    def _scale_of(self, size: tuple[int, int]) -> NDArray[np.float32] | None:
        """What turns boxes of a file with pictures of this size to those of the stream; None: they are."""
        if size == (self.height, self.width):
            return None
        x, y = self.width / size[1], self.height / size[0]
        return np.array([x, y, x, y], np.float32)

    def _painter(self, clip: Clip, row: Row, picture: Picture | None) -> Any:
        if picture is not None:
            converter = RgbConverter(self.height, self.width)
            return partial(converter.to_rgb, picture.frame, Orientation.of(picture.frame))
        return lambda: _decode_one(clip, row.pts, self.height, self.width)


class FoundDetector:
    """Hands out what was detected before.

    Args:
        source: Where it lies.
        class_names: Of the detector that found it.
        description: As that detector describes itself.
    """

    def __init__(self, source: FootageSource, class_names: Sequence[str], description: Mapping[str, object]) -> None:
        self._source = source
        self._class_names = tuple(class_names)
        self._description = dict(description)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._class_names

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """What is in each frame of the source; each may be asked for once."""
        return [self._source.found.pop(image.stamp.index) for image in images if isinstance(image, Frame)]

    def describe(self) -> dict[str, object]:
        return self._description


def _with_following(
    pictures: Iterator[tuple[Row, Picture | None]],
) -> Iterator[tuple[Row, int | None, Picture | None]]:
    """Each row with the presentation time of the next one, which the clock wants to know."""
    held: tuple[Row, Picture | None] | None = None
    for row, picture in pictures:
        if held is not None:
            yield held[0], row.pts, held[1]
        held = row, picture
    if held is not None:
        yield held[0], None, held[1]


def _scaled(found: Detections, scale: NDArray[np.float32]) -> Detections:
    return replace(found, xyxy=found.xyxy * scale)


def _decode_one(clip: Clip, pts: int | None, height: int, width: int) -> NDArray[np.uint8]:
    """One picture of a file, (height, width, 3) uint8 RGB; the first of the file where its time is unknown.

    Raises:
        SourceError: If it cannot be decoded any more.
    """
    for is_sought in (True, False):  # in some containers a search ends behind the picture: then from the beginning
        recording = clip.open()
        try:
            if is_sought and pts is not None:
                recording.seek(pts)
            for picture in recording.pictures():
                shown = picture.frame.pts
                if pts is None or shown == pts:
                    orientation = Orientation.of(picture.frame)
                    converter = RgbConverter(*orientation.upright_size(picture.frame.height, picture.frame.width))
                    return fit(converter.to_rgb(picture.frame, orientation), height, width)
                if shown is not None and shown > pts:
                    break
        finally:
            recording.close()
    raise SourceError(f"{clip.shown}: the picture at {pts} cannot be decoded any more")
