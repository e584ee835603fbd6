"""Weights by name: the demo that ships, and what others publish, fetched on demand and never bundled.

A fetched checkpoint is converted to our format at once. Publishers give no checksums: the SHA-256 of the first download
that could be converted is recorded beside the file, and every later download must have the same.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Literal

from vidan.detector.errors import WeightsError, near_miss
from vidan.detector.weights.atomic import write_atomically
from vidan.detector.weights.checkpoint import save_weights
from vidan.detector.weights.checksum import file_sha256
from vidan.detector.weights.download import Progress, download
from vidan.detector.weights.official import import_weights

DEMO = "demo"


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """A file that somebody else publishes.

    Attributes:
        name: Under which `resolve` and `pull` know it.
        model: Name in the size table.
        url: Where it is published.
        publisher: Who says so.
        file_format: Layout of the published file.
        licence: As stated by the publisher.
        classes: What it detects.
        training_data: What it was trained on.
        image_size: Height and width in pixels for which it was trained.
        ap50_95: On COCO val2017 at that size, as published; None if it is not stated for this file.
    """

    name: str
    model: str
    url: str
    publisher: str
    file_format: Literal["whole-model pickle", "plain state dict"]
    licence: str
    ap50_95: float | None
    classes: str = "80 COCO classes"
    training_data: str = "COCO train2017"
    image_size: tuple[int, int] = (640, 640)

    @property
    def file(self) -> str:
        """Name of the published file."""
        return self.url.rsplit("/", 1)[1]


_AP = {
    "yolov9-t": 0.383, "yolov9-s": 0.468, "yolov9-m": 0.514, "yolov9-c": 0.530, "yolov9-e": 0.556,
    "gelan-s": 0.467, "gelan-m": 0.511, "gelan-c": 0.525, "gelan-e": 0.550,
}  # fmt: skip


def _official(name: str, model: str) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        model=model,
        url=f"https://github.com/WongKinYiu/yolov9/releases/download/v0.1/{name}.pt",
        publisher="WongKinYiu/yolov9, release v0.1",
        file_format="whole-model pickle",
        licence="GPL-3.0",
        ap50_95=_AP[model],
    )


def _plain(size: str) -> PublishedWeights:
    return PublishedWeights(
        name=f"v9-{size}",
        model=f"yolov9-{size}",
        url=f"https://github.com/MultimediaTechLab/YOLO/releases/download/v1.0-alpha/v9-{size}.pt",
        publisher="MultimediaTechLab/YOLO, release v1.0-alpha",
        file_format="plain state dict",
        licence="MIT",
        ap50_95=None,
    )


PUBLISHED: dict[str, PublishedWeights] = {
    entry.name: entry
    for entry in (
        *(_plain(size) for size in "tsmc"),  # the layout of size e is not known
        *(_official(f"yolov9-{size}-converted", f"yolov9-{size}") for size in "tsmce"),
        *(_official(f"yolov9-{size}", f"yolov9-{size}") for size in "smce"),
        *(_official(f"gelan-{size}", f"gelan-{size}") for size in "smce"),
    )
}


def resolve(name_or_path: str, base: Path | None = None) -> Path:
    """The weights file that a config or a command line means.

    Args:
        name_or_path: ``demo``, a name of `PUBLISHED`, or a path.
        base: Folder that a relative path starts from; None is the current one.

    Raises:
        WeightsError: If there is no such file, or it has to be pulled or imported first.
    """
    if name_or_path == DEMO:
        return _demo()
    path = (base or Path()) / Path(name_or_path).expanduser()
    if path.is_file():
        if path.suffix in (".pt", ".pth", ".ckpt"):
            raise WeightsError(f"{path}: a foreign checkpoint; turn it into ours with `vidan weights import {path}`")
        return path
    if name_or_path in PUBLISHED:
        fetched = fetched_path(name_or_path)
        if fetched.is_file():
            return fetched
        raise WeightsError(
            f"weights {name_or_path!r} are not here yet; get them with `vidan weights pull {name_or_path}`"
        )
    if path.suffix or len(Path(name_or_path).parts) > 1:
        raise WeightsError(f"{path}: no such weights file")
    raise WeightsError(_unknown(name_or_path))


def pull(name: str, progress: Progress | None = None, base_url: str | None = None) -> Path:
    """Fetches published weights into the cache and converts them; returns at once if they are there and unharmed.

    Args:
        name: A name of `PUBLISHED`.
        progress: Told of every piece that arrives.
        base_url: Address of a mirror that has the files under their published names.

    Raises:
        WeightsError: If the name is unknown, the download fails, its checksum is not the recorded one, or the file
            cannot be imported.
    """
    if name not in PUBLISHED:
        raise WeightsError(_unknown(name))
    entry, target = PUBLISHED[name], fetched_path(name)
    record = download_record(name)
    if target.is_file() and file_sha256(target) == record.get("weights_sha256"):
        return target
    url = entry.url if base_url is None else f"{base_url.rstrip('/')}/{entry.file}"
    fetched = target.with_name(entry.file)
    download(url, fetched, progress)
    try:
        record = _verified(record, name, url, file_sha256(fetched))
        _convert(entry, fetched, target, url)
    finally:
        fetched.unlink()
    record["weights_sha256"] = file_sha256(target)
    write_atomically(_record_path(name), json.dumps(record, indent=2).encode())
    return target


def fetched_path(name: str) -> Path:
    """Where `pull` puts the weights of a name, whether or not they are there."""
    return cache_folder() / "weights" / f"{name}.safetensors"


def download_record(name: str) -> dict[str, str]:
    """What `pull` recorded of the first download of a name: ``url``, ``sha256``, ``downloaded``; empty before it.

    Raises:
        WeightsError: If the record is damaged.
    """
    path = _record_path(name)
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: the record of the first download is damaged ({error}); delete it") from error
    return record if isinstance(record, dict) else {}


def cache_folder() -> Path:
    """``$VIDAN_HOME``, else the platform's folder for caches.

    Raises:
        WeightsError: If it would lie in a home folder and there is none.
    """
    try:
        if home := os.environ.get("VIDAN_HOME"):
            return Path(home).expanduser()
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "vidan"
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "vidan"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidan"
    except RuntimeError as error:
        raise WeightsError("there is no home folder to keep files in; set VIDAN_HOME") from error


def _demo() -> Path:
    folder = Path(str(files("vidan.detector.weights"))) / DEMO
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise WeightsError(
            f"this installation has {len(found)} demo weights in {folder} instead of 1; install it again"
        )
    return found[0]


def _unknown(name: str) -> str:
    hint = near_miss(name, [DEMO, *PUBLISHED])
    return f"no weights are known as {name!r}; {hint}`vidan weights list` shows all names"


def _record_path(name: str) -> Path:
    return fetched_path(name).with_suffix(".json")


def _verified(record: dict[str, str], name: str, url: str, sha256: str) -> dict[str, str]:
    """The record of the first download; a new one if this is the first."""
    if not record:
        return {"url": url, "sha256": sha256, "downloaded": datetime.now(UTC).isoformat(timespec="seconds")}
    if record.get("sha256") != sha256:
        raise WeightsError(
            f"{url}: SHA-256 {sha256} is not the one of the first download ({record.get('sha256')}): the file was "
            f"replaced or tampered with. If you trust the new one, delete {_record_path(name)} and pull again"
        )
    return record


def _convert(entry: PublishedWeights, fetched: Path, target: Path, url: str) -> None:
    state, card = import_weights(fetched)
    if card.model != entry.model:
        raise WeightsError(f"{url}: holds {card.model}, expected {entry.model}")
    card = dataclasses.replace(
        card,
        training_data=entry.training_data,
        licence=entry.licence,
        source=url,
        metrics={} if entry.ap50_95 is None else {"coco_val2017_ap50_95": entry.ap50_95},
    )
    save_weights(target, state, card)
