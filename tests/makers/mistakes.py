"""How people get something wrong: a folder with the mistake in it, and the command that meets it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidan.pipeline.sinks.tracks import TrackStore

CLIP = Path(__file__).parents[2] / "samples" / "campus.mp4"
GOOD = "streams: [{name: gate, source: clip.mp4}]\n"
RULES = GOOD + "rules:\n"
RUN = "run FOLDER/run.yaml"
YOLO_SET = "val: [{format: yolo, images: images}]\n"


@dataclass(frozen=True)
class Case:
    """A mistake: how it is made in a folder, the command, the exit code and the words that must be said."""

    mistake: str
    arrange: Callable[[Path], object]
    command: str
    code: int
    words: str


def config(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "run.yaml").write_text(text)


def source(name: str, content: bytes | None = None) -> Callable[[Path], object]:
    """A right config for a source that is not."""

    def arrange(folder: Path) -> None:
        (folder / "run.yaml").write_text(f"streams: [{{name: gate, source: {name}}}]\n")
        if content is not None:
            (folder / name).write_bytes(content)

    return arrange


def weights(name: str, content: bytes | None = None) -> Callable[[Path], object]:
    def arrange(folder: Path) -> None:
        shutil.copyfile(CLIP, folder / "clip.mp4")
        (folder / "run.yaml").write_text(
            f"detector: {{weights: {name}}}\nstreams: [{{name: gate, source: clip.mp4}}]\n"
        )
        if content is not None:
            (folder / name).write_bytes(content)

    return arrange


def folder_of(*files: tuple[str, bytes]) -> Callable[[Path], object]:
    def arrange(folder: Path) -> None:
        (folder / "shots").mkdir()
        for name, content in files:
            (folder / "shots" / name).write_bytes(content)
        (folder / "run.yaml").write_text("streams: [{name: gate, source: {type: images, path: shots, fps: 5}}]\n")

    return arrange


def broken_pictures(folder: Path) -> None:
    """A data set of one picture, which is a text."""
    (folder / "d.yaml").write_text("classes: [a]\n" + YOLO_SET)
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    (folder / "images" / "a.jpg").write_text("hello")


@dataclass(frozen=True)
class Hostile:
    """What makes a file when it is unpickled."""

    trace: Path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.trace}'",)


def hostile_checkpoint(folder: Path) -> None:
    with zipfile.ZipFile(folder / "evil.pt", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"model": Hostile(folder / "hacked")}, protocol=2))
        archive.writestr("evil/version", "3")


def past_run(
    change: Callable[[dict[str, Any]], object] = lambda record: None, tracks: bytes | None = None, config: str = ""
) -> Callable[[Path], object]:
    """The folder of a run of stream `gate`, whose run.json is changed."""

    def arrange(folder: Path) -> None:
        record: dict[str, Any] = {
            "run": "1", "status": "complete", "replayed_from": None, "detector": {}, "inputs": {}, "streams": [],
            "config_sha256": "0", "config": {"streams": [{"name": "gate", "rules": None}], "rules": {}},
        }  # fmt: skip
        change(record)
        (folder / "past").mkdir()
        (folder / "past" / "run.json").write_text(json.dumps(record))
        if tracks is not None:
            (folder / "past" / "tracks.parquet").write_bytes(tracks)
        if config:
            (folder / "run.yaml").write_text(config)

    return arrange


def track_file() -> bytes:
    """Tracks without a row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks.parquet"
        TrackStore(path, ("person",)).close()
        return path.read_bytes()
