"""What a batch has to do: which recordings of which cameras, what of them is there already, and how they are cut."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from vidan.detector import file_sha256
from vidan.pipeline.batch.counting import counted_key
from vidan.pipeline.batch.detecting import ANALYSED, Detecting, Piece
from vidan.pipeline.batch.files import read_file_facts, seal, write_json
from vidan.pipeline.batch.footage import Clip, LeftOut, assign, find_clips
from vidan.pipeline.batch.names import NamePattern
from vidan.pipeline.batch.parts import part_path
from vidan.pipeline.batch.timeline import Placed, Timeline, lay_out, probe
from vidan.pipeline.build import find_weights
from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.outputs import NO_SERVERS
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.streams import StreamConfig, VideoSourceConfig
from vidan.pipeline.errors import ConfigError, SinkError, SourceError
from vidan.pipeline.provenance import SEMANTICS_VERSION, hash_text, vidan_version
from vidan.pipeline.sources.clock import StreamClock
from vidan.pipeline.sources.packet_index import PacketIndex, index_packets
from vidan.pipeline.sources.thinning import Thinning

HASHES = "hashes.json"
CUTS = "cuts.json"


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
        video: Whether annotated videos are written.
        evidence: Whether pictures of events are.
    """

    footage: tuple[str, ...]
    output: Path
    names: str | None = None
    zone: tzinfo | None = None
    part_seconds: float = 300.0
    join_seconds: float = 2.0
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


@dataclass(frozen=True, slots=True)
class Cut:
    """How a file is cut into parts.

    Attributes:
        pieces: The parts, each a job of its own; None: the file is one job.
        part_pictures: Pictures in a part, about; in a file that is one job, exactly.
        note: Why it was not cut.
    """

    pieces: tuple[Piece, ...] | None
    part_pictures: int
    note: str | None = None


class Hashes:
    """SHA-256 of files, remembered with their size and time of change, so that no file is read for it twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        if path.exists():
            try:
                self._known = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                self._known = {}  # they are read again

    def known(self, path: Path) -> str | None:
        """The hash of a file that has not changed since; None where it is not known."""
        found = self._known.get(str(path))
        try:
            return found[2] if found is not None and found[:2] == _stat(path) else None
        except OSError:
            return None

    def of(self, path: Path) -> str:
        """The hash of a file, read if need be.

        Raises:
            SourceError: If it cannot be read.
        """
        known = self.known(path)
        if known is not None:
            return known
        try:
            before = _stat(path)
            sha256 = file_sha256(path)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error
        self._known[str(path)] = [*before, sha256]
        return sha256

    def save(self) -> None:
        write_json(self._path, dict(self._known))


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
        first = f"{left_out[0].path}: {left_out[0].reason}" if left_out else "none was named"
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
                elif (known := plan.hashes.known(file.path)) is not None:
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
            file.status, file.reason = FileStatus.DUPLICATE, f"is the same recording as {other.path.name}"


def read_cut(folder: Path) -> Cut | None:
    """How an earlier batch has begun to cut a file; None where it has not."""
    try:
        record = json.loads((folder / CUTS).read_text(encoding="utf-8"))
        pieces = record["pieces"]
        return Cut(
            None if pieces is None else tuple(Piece(**piece) for piece in pieces),
            record["part_pictures"],
            record["note"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def decide_cut(plan: Plan, file: PlannedFile, camera: PlannedCamera) -> Cut:
    """How a file is cut, as an earlier batch has begun to do it, or anew; it is written down before anything is done.

    Raises:
        SourceError: If the file cannot be opened.
        SinkError: If it cannot be written down.
    """
    assert file.folder is not None
    try:
        file.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {file.folder}: {error.strerror}") from error
    if (begun := read_cut(file.folder)) is not None:
        return begun
    seconds = plan.settings.part_seconds
    part_pictures = max(1, round(seconds * file.placed.probed.fps))
    index = None
    if (file.placed.probed.seconds or 2 * seconds) > 1.5 * seconds:
        index = index_packets(file.path)
    cuts = [] if index is None else index.cuts(seconds)
    if index is None or not cuts:
        return write_cut(file.folder, Cut(None, part_pictures))
    _write_analysed(file.folder, index, plan.stride_of(camera), plan.max_fps_of(camera))
    starts = [None, *cuts]
    pieces = tuple(
        Piece(
            number,
            start,
            stop,
            None if start is None else index.key_before(start),
            0 if start is None else int(np.searchsorted(index.pts, start)),
        )
        for number, (start, stop) in enumerate(zip(starts, [*cuts, None], strict=True))
    )
    return write_cut(file.folder, Cut(pieces, part_pictures))


def write_cut(folder: Path, cut: Cut) -> Cut:
    """Writes down how a file is cut."""
    pieces = None if cut.pieces is None else [
        {"number": piece.number, "start": piece.start, "stop": piece.stop, "seek": piece.seek, "first": piece.first}
        for piece in cut.pieces
    ]  # fmt: skip
    write_json(folder / CUTS, {"pieces": pieces, "part_pictures": cut.part_pictures, "note": cut.note})
    return cut


def uncut(folder: Path, cut: Cut, note: str) -> Cut:
    """A file that could not be cut becomes one job: what its parts hold is thrown away."""
    for path in folder.glob("*.parquet"):
        path.unlink(missing_ok=True)
    return write_cut(folder, Cut(None, cut.part_pictures, note))


def seal_cut(file: PlannedFile, cut: Cut) -> str | None:
    """Joins the parts of a file that was cut; the reason why they do not fit, if so.

    Raises:
        SourceError: If a part or the file cannot be read.
    """
    assert file.folder is not None
    assert cut.pieces is not None
    index = index_packets(file.path)
    if index is None:
        return "its packets are other ones than before"
    return seal(file.folder, file.path, index, len(cut.pieces))


def _write_analysed(folder: Path, index: PacketIndex, stride: int, max_fps: float | None) -> None:
    """Which pictures stride and max_fps leave, where they do not leave all: a part alone cannot tell."""
    if stride == 1 and max_fps is None:
        return
    clock, thinning = StreamClock(), Thinning(stride, max_fps)
    clock.begin(index.time_base, index.frame_seconds)
    times = index.pts.tolist()
    kept = [
        thinning.keeps(number, clock.advance(pts, following))
        for number, (pts, following) in enumerate(zip(times, [*times[1:], None], strict=True))
    ]
    try:
        np.save(folder / ANALYSED, np.array(kept, np.bool_))
    except OSError as error:
        raise SinkError(f"cannot write {folder / ANALYSED}: {error.strerror}") from error


def _clips(config: RunConfig, settings: Settings, pattern: NamePattern | None) -> list[Clip]:
    if settings.footage:
        return find_clips(settings.footage, pattern=pattern, zone=settings.zone)
    clips: list[Clip] = []
    for stream in config.streams:
        if not isinstance(stream.source, VideoSourceConfig):
            raise ConfigError(f"stream {stream.name}: a batch reads video files; name footage behind the config")
        found = find_clips(stream.source.path, pattern=pattern, zone=settings.zone)
        clips += [replace(clip, camera=stream.name) for clip in found]
        if clips and stream.source.start_time is not None and found[0].start is None:
            clips[-len(found)] = replace(clips[-len(found)], start=stream.source.start_time)
    return clips


def _key(facts: Mapping[str, Any]) -> str:
    return hash_text(json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str))[:32]


def _stat(path: Path) -> list[int]:
    facts = os.stat(path)
    return [facts.st_size, facts.st_mtime_ns]
