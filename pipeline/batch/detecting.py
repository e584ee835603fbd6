"""The costly job: decode a file, or a part of it, detect, and store what was found. It knows no tracks and no rules.

A file whose packets tell its pictures is cut at key frames, and each part is a job of its own. Such a job begins to
decode one key frame earlier: pictures behind a key frame may refer to those before it, and the watch for frozen
pictures has to know some. Any other file is one job, which stores its parts one after another; when it is done again it
decodes from the beginning, but detects only in the parts that are not there.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections, YoloDetector
from vidan.pipeline.batch.files import FileFacts, write_facts
from vidan.pipeline.batch.parts import PartFacts, Row, part_path, write_part
from vidan.pipeline.build import build_detector
from vidan.pipeline.config.streams import PictureHealthConfig
from vidan.pipeline.config.tracking import DetectorConfig
from vidan.pipeline.errors import SourceError
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.picture_watch import Look, PictureWatch
from vidan.pipeline.sources.clock import StreamClock
from vidan.pipeline.sources.conversion import Orientation, RgbConverter
from vidan.pipeline.sources.recording import Picture, Recording
from vidan.pipeline.sources.thinning import Thinning

ANALYSED = "analysed.npy"


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a file between two cuts.

    Attributes:
        number: Among the parts of the file, from 0.
        start: Time of its first picture in ticks; None: from the beginning.
        stop: That of the first one behind it; None: to the end.
        seek: Of the key frame from which it is decoded.
        first: Number of its first picture in the file.
    """

    number: int
    start: int | None
    stop: int | None
    seek: int | None
    first: int


@dataclass(frozen=True, slots=True)
class Detecting:
    """A job.

    Attributes:
        path: The file.
        folder: Where its parts go.
        detector: How to detect.
        health: What the watch looks for; None: nothing.
        part_pictures: Pictures in a part of a file that is not cut.
        piece: Which part it is; None: the whole file, part by part.
        stride: See `Thinning`.
        max_fps: See `Thinning`.
        threads: For a network on the CPU; None: all.
    """

    path: Path
    folder: Path
    detector: DetectorConfig
    health: PictureHealthConfig | None
    part_pictures: int
    piece: Piece | None = None
    stride: int = 1
    max_fps: float | None = None
    threads: int | None = None


class Stopped(Exception):  # noqa: N818 (it is no error)
    """A job was asked to stop; its finished parts are there."""


def detect(job: Detecting, report: Callable[[int], None] = lambda frames: None) -> None:
    """Does the job.

    Args:
        job: What to do.
        report: Is told pictures as they are done; it raises `Stopped` to end the job.

    Raises:
        SourceError: If the file cannot be opened, or holds no picture.
        SinkError: If a part cannot be written.
        ConfigError, WeightsError: If this machine cannot run the detector.
    """
    detector = _detector(job.detector, job.threads)
    recording = Recording(job.path)
    try:
        if job.piece is None:
            _detect_file(job, recording, detector, report)
        else:
            _detect_piece(job, job.piece, recording, detector, report)
    finally:
        recording.close()


class _Seen(NamedTuple):
    """A picture on its way to its row; `is_wanted` where somebody detects in it."""

    row: Row
    frame: Frame
    is_wanted: bool

    def checksum(self) -> int:
        """Of the picture as the detector sees it, in full size."""
        return zlib.crc32(self.frame.image.tobytes())


class _Eye:
    """Turns decoded pictures to frames, and looks at those that are analysed."""

    def __init__(self, job: Detecting) -> None:
        health = job.health
        self._watch = health and PictureWatch(
            frozen_seconds=health.frozen_seconds, dark_level=health.dark_level, blurred_share=health.blurred_share
        )
        self._orientation: Orientation | None = None
        self._converter: RgbConverter | None = None

    def see(self, picture: Picture, number: int, *, is_analysed: bool, is_wanted: bool = True) -> _Seen:
        """The picture with this number, and whether somebody wants to detect in it (for the first time)."""
        decoded = picture.frame
        self._orientation = self._orientation or Orientation.of(decoded)
        size = self._orientation.upright_size(decoded.height, decoded.width)
        self._converter = self._converter or RgbConverter(*size)
        shape = self._converter.height, self._converter.width
        frame = Frame(Stamp("", number, 0.0), *shape, partial(self._converter.to_rgb, decoded, self._orientation))
        look = Look(False, False)
        if is_analysed and self._watch is not None:
            look = self._watch.judge(frame.image)
        row = Row(decoded.pts, decoded.duration, picture.after_loss, size, look)
        return _Seen(row, frame, is_analysed and is_wanted)


def _detect_file(job: Detecting, recording: Recording, detector: YoloDetector, report: Callable[[int], None]) -> None:
    """All parts of a file that are not there, in their order, and then what is known of the file."""

    def pictures() -> Iterator[_Seen]:
        eye, clock, thinning = _Eye(job), StreamClock(), Thinning(job.stride, job.max_fps)
        clock.begin(recording.time_base, recording.frame_seconds)
        for number, picture in enumerate(recording.pictures()):
            decoded = picture.frame
            seconds = clock.advance(decoded.pts, picture.following_pts, decoded.duration, picture.after_loss)
            is_wanted = not part_path(job.folder, number // job.part_pictures).exists()
            yield eye.see(picture, number, is_analysed=thinning.keeps(number, seconds), is_wanted=is_wanted)

    part = _Part(job.folder, 0, detector)
    pictures_seen = 0
    for seen, found in _detected(pictures(), detector, job.detector.batch):
        if pictures_seen and pictures_seen % job.part_pictures == 0:
            part.write()
            part = _Part(job.folder, pictures_seen // job.part_pictures, detector)
        part.add(seen, found)
        pictures_seen += 1
        report(1)
    if not pictures_seen:
        raise SourceError(f"{job.path}: no picture can be decoded")
    part.write()
    write_facts(job.folder, FileFacts.of(recording, parts=part.number + 1, detector=detector.describe()))


def _detect_piece(
    job: Detecting, piece: Piece, recording: Recording, detector: YoloDetector, report: Callable[[int], None]
) -> None:
    analysed = _analysed(job.folder)
    lead_crc: list[int] = []

    def pictures() -> Iterator[_Seen]:
        eye = _Eye(job)
        number, lead = piece.first, None
        if piece.seek is not None:
            recording.seek(piece.seek)
        for picture in recording.pictures():
            pts = picture.frame.pts
            if piece.stop is not None and pts is not None and pts >= piece.stop:
                break
            if piece.start is not None and pts is not None and pts < piece.start:
                lead = eye.see(picture, number, is_analysed=True, is_wanted=False)
                continue
            if lead is not None:
                lead_crc.append(lead.checksum())
                lead = None
            yield eye.see(picture, number, is_analysed=analysed is None or bool(analysed[number : number + 1].all()))
            number += 1

    part = _Part(job.folder, piece.number, detector)
    for seen, found in _detected(pictures(), detector, job.detector.batch):
        part.add(seen, found)
        report(1)
    if recording.corrupt or recording.read_error is not None:
        raise SourceError(f"{job.path}: pictures of part {piece.number} cannot be decoded")
    part.write(lead_crc[0] if lead_crc else None)


class _Part:
    """The rows of one part until they are written."""

    def __init__(self, folder: Path, number: int, detector: YoloDetector) -> None:
        self.number = number
        self._path = part_path(folder, number)
        self._detector = detector
        self._began = time.perf_counter()
        self._rows: list[Row] = []
        self._last: _Seen | None = None
        self._is_there = self._path.exists()

    def add(self, seen: _Seen, found: Detections | None) -> None:
        self._last = seen
        if not self._is_there:
            self._rows.append(seen.row if found is None else replace(seen.row, found=found))

    def write(self, lead_crc: int | None = None) -> None:
        if self._is_there:
            return
        seconds = time.perf_counter() - self._began
        last_crc = None if self._last is None else self._last.checksum()
        facts = PartFacts(dict(self._detector.describe()), round(seconds, 3), lead_crc, last_crc)
        write_part(self._path, self._rows, facts)


def _detected(
    pictures: Iterator[_Seen], detector: YoloDetector, batch: int
) -> Iterator[tuple[_Seen, Detections | None]]:
    """The pictures with what is in them, in order; one batch is detected while the next one is decoded."""
    with ThreadPoolExecutor(1, thread_name_prefix="detect") as detecting:
        waiting: tuple[list[_Seen], Future[list[Detections]]] | None = None
        while True:
            seen, frames = _next_batch(pictures, batch)
            following = (seen, detecting.submit(detector.detect, frames)) if seen else None
            if waiting is not None:
                yield from _paired(waiting[0], waiting[1].result())
            waiting = following
            if waiting is None:
                return


def _next_batch(pictures: Iterator[_Seen], batch: int) -> tuple[list[_Seen], list[Frame]]:
    """The next pictures: so many in which to detect, those between them, and no more than ten times as many in all."""
    seen: list[_Seen] = []
    frames: list[Frame] = []
    for picture in pictures:
        seen.append(picture)
        if picture.is_wanted:
            frames.append(picture.frame)
        if len(frames) == batch or len(seen) == 10 * batch:
            break
    return seen, frames


def _paired(seen: Sequence[_Seen], found: Sequence[Detections]) -> Iterator[tuple[_Seen, Detections | None]]:
    answers = iter(found)
    for picture in seen:
        yield picture, next(answers) if picture.is_wanted else None


def _analysed(folder: Path) -> NDArray[np.bool_] | None:
    """For each picture of a file that is cut, whether stride and max_fps leave it; None: all."""
    path = folder / ANALYSED
    return np.load(path, allow_pickle=False) if path.exists() else None


_loaded: tuple[DetectorConfig, int | None, YoloDetector] | None = None


def _detector(config: DetectorConfig, threads: int | None) -> YoloDetector:
    """The detector of this process: loading it takes seconds, which no part should pay again."""
    global _loaded
    if _loaded is None or _loaded[:2] != (config, threads):
        _loaded = config, threads, build_detector(config, threads=threads)
    return _loaded[2]
