"""The folder of one run: made for it alone, so that no earlier run is ever written over by accident."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from vidan.pipeline.errors import SinkError

MANIFEST = "run.json"
EVIDENCE = "evidence"
OUTBOX = "outbox"
TRACK_PARTITIONS = "tracks"
SEGMENTS = "video"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder and the names of what a run writes into it."""

    path: Path

    @classmethod
    def create(cls, wanted: Path, *, overwrite: bool = False) -> RunFolder:
        """A new folder: the wanted one, or, if it is there, the first free one of ``wanted-2``, ``wanted-3``, ...

        Args:
            wanted: Where the run should go; an empty folder there is taken as it is.
            overwrite: Replace an earlier run of that name.

        Raises:
            SinkError: If the folder cannot be made, or what should be replaced is not a run.
        """
        wanted = wanted.absolute()
        try:
            if overwrite and wanted.exists():
                _remove_run(wanted)
                return cls(wanted)
            wanted.parent.mkdir(parents=True, exist_ok=True)
            for number in count(1):
                path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
                if _claim(path):
                    return cls(path)
        except OSError as error:
            raise SinkError(
                f"cannot make the folder {wanted} for the run: {error.strerror}; choose another output.folder"
            ) from error
        raise AssertionError("count() never ends")

    @classmethod
    def find(cls, wanted: Path) -> RunFolder | None:
        """The folder, if there is a run in it. One that was killed before it began leaves nothing behind."""
        manifest = wanted.absolute() / MANIFEST
        try:
            if manifest.stat().st_size > 0:
                return cls(wanted.absolute())
            manifest.unlink()
        except OSError:  # no run, or no folder, or one in which nothing can be written: the next step will say so
            pass
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within, no other process can run here; when this one dies, however it does, it can. Not on Windows.

        Raises:
            SinkError: If another process does so already.
        """
        try:
            import fcntl
        except ImportError:
            yield
            return
        folder = os.open(self.path, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system that knows no locks
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise SinkError(
                        f"another run is writing into {self.path}; stop it first, or choose another output.folder"
                    ) from error
            yield
        finally:
            os.close(folder)

    @property
    def manifest(self) -> Path:
        return self.path / MANIFEST

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def near_misses(self) -> Path:
        return self.path / "near_misses.jsonl"

    @property
    def counts(self) -> Path:
        return self.path / "counts.csv"

    @property
    def occupancy(self) -> Path:
        return self.path / "occupancy.csv"

    @property
    def flows(self) -> Path:
        return self.path / "flows.csv"

    @property
    def queue(self) -> Path:
        return self.path / "queue.csv"

    @property
    def tracks(self) -> Path:
        """The track file; the folder of track files where a run has left that instead."""
        return self.track_partitions if self.track_partitions.is_dir() else self.path / "tracks.parquet"

    @property
    def track_partitions(self) -> Path:
        return self.path / TRACK_PARTITIONS

    @property
    def database(self) -> Path:
        return self.path / "events.sqlite"

    @property
    def outbox(self) -> Path:
        """How far each broker and webhook got."""
        return self.path / OUTBOX

    def cursor(self, destination: str) -> Path:
        return self.outbox / f"{destination}.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def evidence(self) -> Path:
        return self.path / EVIDENCE

    @property
    def workbook(self) -> Path:
        return self.path / "report.xlsx"

    def scene(self, stream: str) -> Path:
        return self.path / f"scene-{stream}.jpg"

    def video(self, stream: str) -> Path:
        return self.path / f"{stream}.mp4"

    def next_video(self, stream: str, streams: Collection[str]) -> Path:
        """The first free one of NAME.mp4, NAME-2.mp4, ...: a run that is resumed does not write over its videos.

        What another one of the `streams` is called is left to it.
        """
        names = (f"{stream}-{number}" for number in count(2))
        later = (self.video(name) for name in names if name not in streams)
        return next(path for path in chain([self.video(stream)], later) if not path.exists())

    @property
    def segments(self) -> Path:
        """Holds a folder per stream with its video in segments."""
        return self.path / SEGMENTS

    def heatmap(self, stream: str, rule: str | None) -> Path:
        """The numbers of a heatmap; its picture lies beside. The rule is named where a stream has several."""
        return self.path / f"heatmap-{stream}{'' if rule is None else f'-{rule}'}.npz"


def _claim(path: Path) -> bool:
    """Makes the folder and says True; False if something is there, other than an empty folder.

    It is taken with its manifest, which only one of several runs can create.
    """
    with suppress(FileExistsError):
        path.mkdir()
    if not path.is_dir() or any(path.iterdir()):
        return False
    try:
        (path / MANIFEST).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _remove_run(path: Path) -> None:
    """Removes what an earlier run says that it has written, and nothing else that lies there.

    Raises:
        SinkError: If there are things, but no run.
    """
    manifest = path / MANIFEST
    try:
        outputs = [str(name) for name in json.loads(manifest.read_text(encoding="utf-8"))["outputs"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if path.is_dir() and not any(path.iterdir()):
            return
        raise SinkError(f"{path} is no folder of a run, so it is not overwritten; choose another one") from error
    for name in (*outputs, MANIFEST):
        if name == EVIDENCE:
            _remove_evidence(path / name)
            continue
        if name == OUTBOX:
            _remove_outbox(path / name)
            continue
        if name == TRACK_PARTITIONS:
            _remove_partitions(path)
            continue
        if name == SEGMENTS:
            _remove_segments(path / name)
            continue
        if Path(name).name == name:
            for leftover in ("", ".partial", ".tmp", "-wal", "-shm"):  # what a killed run leaves beside
                (path / f"{name}{leftover}").unlink(missing_ok=True)


def _remove_evidence(folder: Path) -> None:
    """Removes pictures and clips that are named after events, and the folder if nothing else lies there."""
    for file in folder.iterdir() if folder.is_dir() else ():
        if re.fullmatch(r"[0-9a-f]{16}\.(jpg|mp4)(\.partial)?", file.name):
            file.unlink()
    with suppress(OSError):
        folder.rmdir()


def _remove_segments(folder: Path) -> None:
    """Removes videos that are named after their beginning, and their folders if nothing else lies there."""
    for file in folder.glob("*/*.mp4"):
        if re.fullmatch(r"([0-9]{8}T[0-9]{6}Z|[0-9]{9,}s)(-[0-9]+)?\.mp4", file.name):
            file.unlink()
    for path in (*folder.glob("*"), folder):
        with suppress(OSError):
            path.rmdir()


def _remove_outbox(folder: Path) -> None:
    """Removes what says how far destinations got, and the folder if nothing else lies there."""
    for pattern in ("*.json", "*.json.tmp", "*.lock"):
        for file in folder.glob(pattern):
            file.unlink()
    with suppress(OSError):
        folder.rmdir()


def _remove_partitions(path: Path) -> None:
    """Removes the track files of a run, and their folders if nothing else lies there."""
    for name in (TRACK_PARTITIONS, f"{TRACK_PARTITIONS}.tmp"):
        for file in (path / name).glob("source=*/day=*/part-*.parquet"):
            file.unlink()
        for folder in (*(path / name).glob("source=*/day=*"), *(path / name).glob("source=*"), path / name):
            with suppress(OSError):
                folder.rmdir()
    (path / "tracks.parquet.partial").unlink(missing_ok=True)
