"""How long a batch may take: measured on the first pictures of its footage, with the very detector."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from vidan.pipeline.batch.plan import FileStatus, Plan
from vidan.pipeline.batch.workers import Share
from vidan.pipeline.build import build_detector
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.sources.conversion import Orientation, RgbConverter
from vidan.pipeline.sources.recording import Recording

TRIED = 24


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is to be done, and how long it takes.

    Attributes:
        pictures: In which nobody has detected yet, as far as headers tell.
        workers: Processes.
        frames_per_second: Of one of them; None: there is nothing to try with.
        tried: Pictures that were tried.
        seconds: In all, where all processes are as fast as the one; None: nobody knows.
    """

    pictures: int
    workers: int
    frames_per_second: float | None
    tried: int
    seconds: float | None


def estimate(plan: Plan, share: Share) -> Estimate:
    """Detects in the first pictures of the first new recording, and multiplies."""
    new = [(file, camera) for camera in plan.cameras for file in camera.files if file.status in _NEW]
    pictures = 0.0
    for file, camera in new:
        probed, max_fps = file.placed.probed, plan.max_fps_of(camera)
        analysed = (probed.pictures or 0) / plan.stride_of(camera)
        if max_fps is not None and probed.seconds is not None:
            analysed = min(analysed, probed.seconds * max_fps)
        pictures += max(0.0, analysed - file.pictures_there)
    if not new:
        return Estimate(0, share.workers, None, 0, 0.0)
    detector = build_detector(plan.loaded.config.detector, threads=share.threads)
    recording = new[0][0].clip.open()
    source = _frames(recording)
    try:
        warm = list(islice(source, 2))
        detector.detect(warm)
        began = time.perf_counter()
        frames = list(islice(source, TRIED))
        detector.detect(frames)
        seconds = time.perf_counter() - began
    finally:
        recording.close()
    if not frames:
        return Estimate(round(pictures), share.workers, None, 0, None)
    speed = len(frames) / seconds
    return Estimate(round(pictures), share.workers, round(speed, 2), len(frames), pictures / speed / share.workers)


def _frames(recording: Recording) -> Iterator[Frame]:
    """The pictures of a recording, which is not closed."""
    for number, picture in enumerate(recording.pictures()):
        orientation = Orientation.of(picture.frame)
        converter = RgbConverter(*orientation.upright_size(picture.frame.height, picture.frame.width))
        painter = partial(converter.to_rgb, picture.frame, orientation)
        yield Frame(Stamp("estimate", number, 0.0), converter.height, converter.width, painter)


_NEW = (FileStatus.NEW, FileStatus.PARTLY)
