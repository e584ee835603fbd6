"""One stream of frames from one video file, or from several that follow each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from vidan.pipeline.errors import SourceError
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.sources.clock import StreamClock
from vidan.pipeline.sources.conversion import FrameMaker, Orientation
from vidan.pipeline.sources.damage import note_damage
from vidan.pipeline.sources.paths import expand
from vidan.pipeline.sources.recording import Recording
from vidan.pipeline.sources.thinning import Thinning
from vidan.pipeline.stages import SourceHealth


class VideoSource:
    """Video files as a stream. It is read once, by one thread; `close` may come from another.

    Several files are one stream: numbers and seconds run on, each file begins where the one before it ends. All frames
    have the size of the first; pictures of another size are scaled to it, so that lines and zones keep their places.

    Args:
        name: Of the stream.
        paths: A file, a glob (matches in natural order) or a list of these (in its own order).
        start_time: Wall-clock time of the first picture (timezone-aware); without it the creation time of the first
            file's container is used, where there is one.
        stride: Hand out every n-th picture.
        max_fps: Hand out at most so many pictures per second of stream time.

    Attributes:
        height: Pixels of all frames, upright.
        width: Pixels of all frames, upright.

    Raises:
        SourceError: If a file is missing, if none can be opened, or if no picture can be decoded. A damaged file among
            several is skipped and reported in `health.problems`.
    """

    live = False

    def __init__(
        self,
        name: str,
        paths: str | Path | Iterable[str | Path],
        *,
        start_time: datetime | None = None,
        stride: int = 1,
        max_fps: float | None = None,
    ) -> None:
        self._name = name
        self._thinning = Thinning(stride, max_fps)
        self._health = SourceHealth()
        self._files = self._survey(expand(paths))
        self._clock = StreamClock(start_time or self._files[0].created)
        frames = [file.expected_frames for file in self._files]
        seconds = [file.promised_seconds for file in self._files]
        self._health.expected = None if None in frames else sum(filter(None, frames))
        self._health.duration_seconds = None if None in seconds else sum(filter(None, seconds))
        self._health.gaps = self._clock.gaps
        self._maker = FrameMaker(self._health.problems)
        self._recording: Recording | None = None
        self._closed = False

        decoded = self._read()
        first = next(decoded, None)
        if first is None:
            raise SourceError(f"no picture can be decoded: {'; '.join(self._health.problems)}")
        self.height, self.width = first.height, first.width
        self._frames = chain([first], decoded)

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

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            self._health.delivered += 1
            yield frame

    def close(self) -> None:
        """Ends the stream; may be called twice, and while another thread reads."""
        self._closed = True
        if self._recording is not None:
            self._recording.close()

    def describe(self) -> dict[str, Any]:
        """What is read, in plain values for the manifest."""
        files = [file.description for file in self._files]
        return {"type": "video", "width": self.width, "height": self.height, "files": files}

    def _survey(self, paths: list[Path]) -> list[Recording]:
        """Looks into every file before the first picture; gives those that can be opened, closed again."""
        usable: list[Recording] = []
        for path in paths:
            try:
                usable.append(Recording(path))
            except SourceError as error:
                if len(paths) == 1:
                    raise
                self._health.problems.append(f"{error}; skipped")
            else:
                usable[-1].close()
        if not usable:
            raise SourceError("; ".join(self._health.problems))
        return usable

    def _read(self) -> Iterator[Frame]:
        """The frames of all files that stride and max_fps leave."""
        for file in self._files:
            try:
                recording = self._recording = Recording(file.path)
            except SourceError as error:  # it could be opened when the run began
                self._health.problems.append(f"{error}; skipped")
                continue
            if self._closed:
                recording.close()
                return
            yield from self._read_file(recording)
            recording.close()
            if self._closed:
                return

    def _read_file(self, recording: Recording) -> Iterator[Frame]:
        self._clock.begin(recording.time_base, recording.frame_seconds)
        corrupt_before = self._health.corrupt
        first_damage: float | None = None
        orientation: Orientation | None = None
        for frame, after_loss, following_pts in recording.pictures():
            seconds = self._clock.advance(frame.pts, following_pts, frame.duration, after_loss)
            stamp = Stamp(self._name, self._health.decoded, seconds, self._clock.utc(seconds))
            self._health.decoded += 1
            self._health.corrupt = corrupt_before + recording.corrupt
            self._health.repaired_pts = self._clock.repaired
            self._health.end_seconds = self._clock.end_seconds
            if after_loss and first_damage is None:
                first_damage = seconds
            orientation = orientation or Orientation.of(frame)
            if self._thinning.keeps(stamp.index, seconds):
                yield self._maker.make(stamp, frame, orientation)
        self._health.corrupt = corrupt_before + recording.corrupt
        if self._health.expected is not None:
            self._health.expected -= recording.discarded
        if not self._closed:
            note_damage(recording, first_damage, self._health, self._clock)
