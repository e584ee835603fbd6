"""What a batch has to do: which recordings of which cameras, and what of them is there already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Any

from vidan.detector import file_sha256
from vidan.pipeline.batch.counting import counted_key
from vidan.pipeline.batch.cutting import Cut, read_cut
from vidan.pipeline.batch.detecting import Detecting
from vidan.pipeline.batch.files import read_file_facts
from vidan.pipeline.batch.footage import Clip, LeftOut, assign, find_clips
from vidan.pipeline.batch.hashes import Hashes
from vidan.pipeline.batch.names import NamePattern
from vidan.pipeline.batch.parts import part_path
from vidan.pipeline.batch.timeline import Placed, Timeline, lay_out, probe
from vidan.pipeline.build import find_weights
from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.outputs import NO_SERVERS
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.streams import StreamConfig, VideoSourceConfig
from vidan.pipeline.errors import ConfigError, SourceError
from vidan.pipeline.provenance import SEMANTICS_VERSION, hash_text, vidan_version

HASHES = "hashes.json"
DOWNLOADS = "downloads"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says.

    Attributes:
        footage: Files, folders, patterns, lists and tables; none: the sources of the config's streams.
        output: Folder of the batch.
        names: Pattern of file names.
        zone: Of times that tell none.
        part_seconds: Length of the parts that are detected, and lost by a kill, at most.
        join_seconds: See `FootageSource`.
        cache_bytes: See `Downloads`.
        video: Whether annotated videos are written.
        evidence: Whether pictures of events are.
    """

    footage: tuple[str, ...]
    output: Path
    names: str | None = None
    zone: tzinfo | None = None
    part_seconds: float = 300.0
    join_seconds: float = 2.0
    cache_bytes: int = 20_000_000_000
    video: bool = False
    evidence: bool = False


class FileStatus(StrEnum):
    NEW = "new"
    PARTLY = "partly detected"
    DETECTED = "detected"
    FAILED = "failed"
    DUPLICATE = "duplicate"


@dataclass(slots=True)
class PlannedFile:
    """A recording on its way through the batch.

    Attributes:
        camera: Whose it is.
        placed: Where it lies in time.
        status: How far it is.
        sha256: Of its content, None until it was read.
        folder: Of its detections, None until its content is known.
        reason: Why it failed, or was not cut.
        was_there: Whether it was detected by an earlier batch.
        pictures_there: Pictures in parts that an earlier batch has left.
    """

    camera: str
    placed: Placed
    status: FileStatus = FileStatus.NEW
    sha256: str | None = None
    folder: Path | None = None
    reason: str | None = None
    was_there: bool = False
    pictures_there: int = 0

    @property
    def path(self) -> Path:
        return self.placed.path

    @property
    def clip(self) -> Clip:
        return self.placed.probed.clip


@dataclass(slots=True)
class PlannedCamera:
    """A camera and all its recordings.

    Attributes:
        name: Of the camera.
        stream: Its part of the config.
        timeline: Its recordings in time.
        files: The same on their way through the batch.
        counted: Whether the results that are there are those that would be counted again; None: there are none.
        problem: Why it could not be counted.
    """

    name: str
    stream: StreamConfig
    timeline: Timeline
    files: list[PlannedFile]
    counted: bool | None = None
    problem: str | None = None


@dataclass(slots=True)
class Plan:
    """Everything that a batch has to do.

    Attributes:
        loaded: The config as it is in effect.
        settings: Of the command line.
        cameras: In the order of their names.
        left_out: Recordings that belong to no camera.
        class_names: Of the detector.
        weights_sha256: Of its weights.
    """

    loaded: Loaded[RunConfig]
    settings: Settings
    cameras: list[PlannedCamera]
    left_out: list[LeftOut]
    class_names: tuple[str, ...]
    weights_sha256: str
    hashes: Hashes = field(repr=False)

    @property
    def files(self) -> list[PlannedFile]:
        return [file for camera in self.cameras for file in camera.files]

    def folder_of(self, camera: PlannedCamera) -> Path:
        return self.settings.output / "cameras" / camera.name

    def config_of(self, camera: PlannedCamera) -> Loaded[RunConfig]:
        """A run's config with this camera as its only stream."""
        config, settings = self.loaded.config, self.settings
        start = next((file.placed.start for file in camera.files if file.status is FileStatus.DETECTED), None)
        paths = tuple(str(file.path) for file in camera.files)
        source = VideoSourceConfig(
            type="video", path=paths, start_time=start, stride=self.stride_of(camera), max_fps=self.max_fps_of(camera)
        )
        output = config.output.model_copy(
            update={
                "folder": str(self.folder_of(camera).absolute()),
                "video": config.output.video if settings.video else None,
                "evidence": config.output.evidence if settings.evidence else None,
                "tracks": config.output.tracks and config.output.tracks.model_copy(update={"partitioned": True}),
                "database": None,
                **NO_SERVERS,
            }
        )
        stream = camera.stream.model_copy(update={"name": camera.name, "source": source})
        index = [known.name for known in config.streams].index(camera.stream.name)
        masked = self.loaded.effective["streams"][index] | {
            "name": camera.name,
            "source": source.model_dump(mode="json"),
        }
        return replace(
            self.loaded,
            config=config.model_copy(update={"streams": (stream,), "output": output}),
            effective=self.loaded.effective
            | {"streams": [masked], "output": output.model_dump(mode="json", by_alias=True)},
        )

    def key_of(self, camera: PlannedCamera) -> str:
        """Names everything that a camera's results depend on."""
        effective = {key: value for key, value in self.config_of(camera).effective.items() if key != "detector"}
        return _key(
            {
                "vidan": vidan_version(),
                "semantics": SEMANTICS_VERSION,
                "config": effective,
                "join_seconds": self.settings.join_seconds,
                "files": [
                    [str(file.path), file.status, file.sha256, file.folder and file.folder.name, str(file.placed.start)]
                    for file in camera.files
                ],
            }
        )

    def stride_of(self, camera: PlannedCamera) -> int:
        return getattr(camera.stream.source, "stride", 1)

    def max_fps_of(self, camera: PlannedCamera) -> float | None:
        return getattr(camera.stream.source, "max_fps", None)

    def detecting(self, file: PlannedFile, camera: PlannedCamera, cut: Cut) -> list[Detecting]:
        """The jobs that a file still needs."""
        assert file.folder is not None
        whole = Detecting(
            path=file.path,
            folder=file.folder,
            detector=self.loaded.config.detector,
            health=camera.stream.health,
            part_pictures=cut.part_pictures,
            stride=self.stride_of(camera),
            max_fps=self.max_fps_of(camera),
        )
        if cut.pieces is None:
            return [whole]
        return [
            replace(whole, piece=piece) for piece in cut.pieces if not part_path(file.folder, piece.number).exists()
        ]

    def locate(self, file: PlannedFile, camera: PlannedCamera) -> None:
        """Sets where a file's detections lie, once its content is known, and how much of them is there."""
        detector = self.loaded.config.detector
        key = _key(
            {
                "vidan": vidan_version(),
                "content": file.sha256,
                "weights": self.weights_sha256,
                "detector": detector.model_dump(mode="json", exclude={"batch", "weights"}),
                "health": camera.stream.health and camera.stream.health.model_dump(mode="json"),
                "stride": self.stride_of(camera),
                "max_fps": self.max_fps_of(camera),
            }
        )
        file.folder = self.settings.output / "detections" / key
        if read_file_facts(file.folder, file.path) is not None:
            file.status, file.was_there = FileStatus.DETECTED, True
        elif parts := len(list(file.folder.glob("*.parquet"))):
            file.status = FileStatus.PARTLY
            cut = read_cut(file.folder)
            file.pictures_there = parts * cut.part_pictures if cut is not None else 0


def make_plan(loaded: Loaded[RunConfig], settings: Settings) -> Plan:
    """Finds the recordings, looks into each, and compares with what earlier batches have left.

    Raises:
        SourceError: If footage is named that is not there, or none is a camera's.
        ConfigError: If the name pattern is wrong.
        WeightsError: If the weights cannot be used.
    """
    config = loaded.config
    pattern = None if settings.names is None else NamePattern(settings.names, settings.zone)
    clips = _clips(config, settings, pattern)
    of_camera, left_out = assign(clips, [stream.name for stream in config.streams])
    if not of_camera:
        first = f"{left_out[0].shown}: {left_out[0].reason}" if left_out else "none was named"
        raise SourceError(f"no recording belongs to a camera of the config: {first}")
    weights, card = find_weights(config.detector)
    streams = {stream.name: stream for stream in config.streams}
    plan = Plan(loaded, settings, [], left_out, card.classes, file_sha256(weights), Hashes(settings.output / HASHES))
    with ThreadPoolExecutor(8, thread_name_prefix="probe") as probing:
        for name in sorted(of_camera):
            timeline = lay_out(probing.map(probe, of_camera[name]), settings.join_seconds)
            files = [PlannedFile(name, placed) for placed in timeline.placed]
            camera = PlannedCamera(name, streams.get(name, config.streams[0]), timeline, files)
            plan.cameras.append(camera)
            for file in files:
                if file.placed.probed.problem is not None:
                    file.status, file.reason = FileStatus.FAILED, file.placed.probed.problem
                elif (known := plan.hashes.known(file.clip)) is not None:
                    file.sha256 = known
                    plan.locate(file, camera)
            counted = counted_key(plan.folder_of(camera))
            mark_duplicates(camera)
            camera.counted = None if counted is None else counted == plan.key_of(camera)
    return plan


def mark_duplicates(camera: PlannedCamera) -> None:
    """Of recordings with the same content, all but the first are left out: they would count everybody twice."""
    first: dict[str, PlannedFile] = {}
    for file in camera.files:
        if file.sha256 is None or file.status is FileStatus.FAILED:
            continue
        other = first.setdefault(file.sha256, file)
        if other is not file:
            file.status, file.reason = FileStatus.DUPLICATE, f"is the same recording as {other.clip.place.name}"


def _clips(config: RunConfig, settings: Settings, pattern: NamePattern | None) -> list[Clip]:
    downloads = settings.output / DOWNLOADS
    if settings.footage:
        return find_clips(settings.footage, downloads=downloads, pattern=pattern, zone=settings.zone)
    clips: list[Clip] = []
    for stream in config.streams:
        if not isinstance(stream.source, VideoSourceConfig):
            raise ConfigError(f"stream {stream.name}: a batch reads video files; name footage behind the config")
        found = find_clips(stream.source.path, downloads=downloads, pattern=pattern, zone=settings.zone)
        clips += [replace(clip, camera=stream.name) for clip in found]
        if clips and stream.source.start_time is not None and found[0].start is None:
            clips[-len(found)] = replace(clips[-len(found)], start=stream.source.start_time)
    return clips


def _key(facts: Mapping[str, Any]) -> str:
    return hash_text(json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str))[:32]
