"""Parts of data sets that were read before, kept until their content changes.

Labels are known by the SHA-256 of their content. Pictures, of which there may be terabytes, are known by name, size and
time of change; their own SHA-256 is part of what is kept. A file per part of a data set lies in ``datasets`` of the
cache folder, the newest `KEPT` of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidan.detector.data.findings import Finding, FindingKind, Findings
from vidan.detector.data.samples import DataError, ImageSource, Outline, Sample, VideoFrame
from vidan.detector.errors import WeightsError
from vidan.detector.weights.atomic import write_atomically
from vidan.detector.weights.checksum import file_sha256
from vidan.detector.weights.registry import cache_folder

FORMAT = 2
"""To be raised whenever the same files are read in another way."""

KEPT = 64

_OUTLINES = ("outline_points", "polygon_points", "object_polygons")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartContent:
    """One part of a data set, as it was read.

    Attributes:
        samples: Pictures that can be used, before background is thinned and parts are repeated.
        fingerprints: Of each sample's picture: the file's SHA-256, or the video's path and the frame.
        findings: What is wrong or odd.
    """

    samples: list[Sample]
    fingerprints: list[str]
    findings: Findings


def remembered(
    description: str, labels: Iterable[Path], pictures: Iterable[Path], read: Callable[[], PartContent]
) -> PartContent:
    """The content of a part, from the cache if nothing has changed since it was read.

    Args:
        description: Everything but files that the content depends on.
        labels: Files of labels.
        pictures: Folders of pictures, or videos.
        read: Reads it anew.

    Raises:
        DataError: If a file of labels cannot be read; or what `read` raises.
    """
    name = hashlib.sha256(description.encode()).hexdigest()[:32]
    digest = _digest(labels, pictures)
    try:
        path = cache_folder() / "datasets" / f"{name}.npz"
    except WeightsError as error:
        logger.warning("labels that were read cannot be kept: %s", error)
        return read()
    if (kept := _load(path, digest)) is not None:
        return kept
    content = read()
    try:
        write_atomically(path, _packed(content, digest))
        _forget_oldest(path.parent)
    except OSError as error:
        logger.warning("labels that were read could not be kept in %s (%s); set VIDAN_HOME", path.parent, error)
    return content


def _digest(labels: Iterable[Path], pictures: Iterable[Path]) -> str:
    """Of everything that a part's content follows from, besides its description."""
    digest = hashlib.sha256(f"{FORMAT}\n".encode())
    for path in labels:
        try:
            digest.update(f"{path}\0{file_sha256(path)}\n".encode())
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
    for root in pictures:
        for path in sorted(_files_below(root)):
            status = path.stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files_below(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for folder, _, names in os.walk(root):
        for name in names:
            if (path := Path(folder, name)).is_file():
                yield path


def _packed(content: PartContent, digest: str) -> bytes:
    samples = content.samples
    texts = {
        "digest": digest,
        "images": [_image_record(sample.image) for sample in samples],
        "fingerprints": content.fingerprints,
        "findings": [[finding.kind.name, finding.where, finding.what] for finding in content.findings],
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        texts=np.frombuffer(json.dumps(texts).encode(), np.uint8),
        sizes=np.array([sample.size for sample in samples], np.int64).reshape(-1, 2),
        counts=np.array([len(sample.xyxy) for sample in samples], np.int64),
        xyxy=np.concatenate([np.zeros((0, 4), np.float32), *(sample.xyxy for sample in samples)]),
        class_id=np.concatenate([np.zeros(0, np.int64), *(sample.class_id for sample in samples)]),
        ignored=np.concatenate([np.zeros(0, np.bool_), *(sample.ignored for sample in samples)]),
        allow_pickle=False,
        **_packed_outlines(samples),
    )
    return buffer.getvalue()


def _load(path: Path, digest: str) -> PartContent | None:
    """What is kept there; None if it is not of this digest, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            texts: dict[str, Any] = json.loads(file["texts"].tobytes())
            if texts["digest"] != digest:
                return None
            arrays = {name: file[name] for name in ("sizes", "counts", "xyxy", "class_id", "ignored", *_OUTLINES)}
        ends = np.cumsum(arrays["counts"]).tolist()
        outlines = _outlines_of(arrays)
        samples = [
            Sample(
                _image_of(record),
                (height, width),
                arrays["xyxy"][start:end],
                arrays["class_id"][start:end],
                arrays["ignored"][start:end],
                own if any(own := outlines[start:end]) else (),
            )
            for record, (height, width), start, end in zip(
                texts["images"], arrays["sizes"].tolist(), [0, *ends][:-1], ends, strict=True
            )
        ]
        findings = Findings(Finding(FindingKind[name], where, what) for name, where, what in texts["findings"])
        return PartContent(samples, texts["fingerprints"], findings)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        logger.info("%s is read anew, for what was kept is damaged: %s", path, error)
        return None


def _packed_outlines(samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """All points one after another, points of each polygon, and polygons of each object."""
    outlines = [outline for sample in samples for outline in (sample.outlines or [()] * len(sample.xyxy))]
    polygons = [polygon for outline in outlines for polygon in outline]
    points = np.concatenate([np.zeros((0, 2), np.float32), *polygons])
    lengths = [len(polygon) for polygon in polygons], [len(outline) for outline in outlines]
    return dict(zip(_OUTLINES, (points, *(np.array(each, np.int64) for each in lengths)), strict=True))


def _outlines_of(arrays: Mapping[str, np.ndarray]) -> tuple[Outline, ...]:
    """One per object of all samples."""
    points, lengths, counts = (arrays[name] for name in _OUTLINES)
    polygons = np.split(points, np.cumsum(lengths)[:-1]) if len(lengths) else []
    ends = np.cumsum(counts).tolist()
    return tuple(tuple(polygons[start:end]) for start, end in zip([0, *ends][:-1], ends, strict=True))


def _image_record(image: ImageSource) -> list[Any]:
    return [str(image.video), image.index] if isinstance(image, VideoFrame) else [str(image)]


def _image_of(record: list[Any]) -> ImageSource:
    return VideoFrame(Path(record[0]), record[1]) if len(record) == 2 else Path(record[0])


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns)
    for path in files[:-KEPT]:
        with suppress(OSError):
            path.unlink()
