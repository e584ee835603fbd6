"""What the network sees in a clip: asked once, kept on the disk, handed to every setting that is tried.

Detecting is a batch's, and so are the files: what lies there from an earlier time, for the same video, weights and
lowest confidence, is not detected again. A detection's score does not depend on the confidence that is asked for, and
a box is only ever suppressed by better ones, so those above a higher confidence are what the network would have told
for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidan.detector import Detections
from vidan.pipeline.batch.batch import locked
from vidan.pipeline.batch.counting import Footage, open_footage
from vidan.pipeline.batch.cutting import Cut
from vidan.pipeline.batch.detecting import detect
from vidan.pipeline.batch.footage_source import FootageSource
from vidan.pipeline.batch.plan import FileStatus, Plan, PlannedCamera, PlannedFile, Settings, make_plan
from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.errors import ConfigError, SourceError
from vidan.pipeline.frame import Frame

_PART_PICTURES = 3000


@dataclass(frozen=True, slots=True, eq=False)
class SeenFrame:
    """A frame of the clip, and everything that the network found in it."""

    frame: Frame
    found: Detections


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A stream after the network has seen it.

    Attributes:
        name: Of the stream.
        frames: Those that are analysed, in order.
        pictures: How many the recording has, skipped ones included.
        seconds: How long it lasts.
        class_names: Of the detector.
    """

    name: str
    frames: Sequence[SeenFrame]
    pictures: int
    seconds: float
    class_names: tuple[str, ...]


def see_clip(
    loaded: Loaded[RunConfig], confidence: float, folder: Path, report: Callable[[int], None] = lambda pictures: None
) -> Clip:
    """The one stream of a config, as the network sees it.

    Args:
        loaded: Its stream is a recording.
        confidence: The lowest that is of interest.
        folder: Where detections are kept.
        report: Is told pictures as they are detected.

    Raises:
        ConfigError: If the stream is no recording, or its camera is said to move: that needs all pictures again.
        SourceError: If it cannot be read, or shows nothing.
        SinkError: If the folder cannot be written, or another process works in it.
        WeightsError: If the weights cannot be used.
    """
    config = loaded.config
    if config.tracker.camera_motion != "none":
        raise ConfigError(
            "tracker.camera_motion: following a moving camera needs the pictures again for every setting, which is "
            "not done; tune a clip of a camera that stands still"
        )
    detector = config.detector.model_copy(update={"confidence": confidence})
    asked = replace(loaded, config=config.model_copy(update={"detector": detector}))
    with locked(folder, "--detections"):
        plan = make_plan(asked, Settings((), folder.absolute()))
        (camera,) = plan.cameras
        for file in camera.files:
            _detect(plan, camera, file, report)
        plan.hashes.save()
    source = FootageSource(
        camera.name,
        [
            open_footage(Footage(file.clip, file.sha256 or "", file.folder or Path(), file.placed.start))
            for file in camera.files
        ],
        start_time=camera.files[0].placed.start,
        join_seconds=plan.settings.join_seconds,
    )
    frames = [SeenFrame(frame, source.found.pop(frame.stamp.index)) for frame in source]
    if not frames:
        raise SourceError(f"stream {camera.name}: no picture can be decoded")
    seconds = source.health.duration_seconds or frames[-1].frame.stamp.pts_seconds
    return Clip(camera.name, frames, source.health.decoded, seconds, plan.class_names)


def _detect(plan: Plan, camera: PlannedCamera, file: PlannedFile, report: Callable[[int], None]) -> None:
    """Detects in a file, unless that was done."""
    if file.status is FileStatus.FAILED:
        raise SourceError(str(file.reason))
    if file.sha256 is None:
        file.sha256 = plan.hashes.of(file.clip)
        plan.locate(file, camera)
    if file.status is FileStatus.DETECTED:
        return
    assert file.folder is not None
    file.folder.mkdir(parents=True, exist_ok=True)
    for job in plan.detecting(file, camera, Cut(None, _PART_PICTURES)):
        detect(job, report)
