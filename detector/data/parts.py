"""Parts of a data set: which reader reads them, from which files, with which classes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import TypeVar

import numpy as np

from vidan.detector.data.description import CocoPart, MotPart, MotVideoPart, Part, VocPart, YoloPart
from vidan.detector.data.findings import FindingKind, Findings, Severity
from vidan.detector.data.label_cache import PartContent, remembered
from vidan.detector.data.labels import MotChoice, read_coco, read_mot_folder, read_mot_video, read_voc, read_yolo
from vidan.detector.data.labels.mot import PEDESTRIAN, PICTURES, TRUTH, sequences
from vidan.detector.data.labels.yolo import labels_beside
from vidan.detector.data.pictures import look_at
from vidan.detector.data.samples import DataError, ImageSource, Sample, VideoFrame, count_frames

SourceClass = TypeVar("SourceClass", int, str)
"""A class of the annotations: its number in YOLO and MOTChallenge files, its name in COCO and VOC files."""


def read_part(part: Part, folder: Path, classes: tuple[str, ...]) -> PartContent:
    """The usable samples of one part, and what is wrong or odd in it.

    Every picture and frame is decoded once; those that cannot be are left out. What was read is kept, see
    `label_cache.py`.

    Args:
        part: As in the data set file.
        folder: Of that file.
        classes: Names of our class ids.

    Raises:
        DataError: If a file or folder that the part names is missing or no label file, or no picture can be read.
    """
    lasting = part.model_copy(update={"repeat": 1, "keep_background": 1.0})
    # Both forms of the folder: paths of samples begin with the one, which means nothing without the other.
    description = "\n".join([str(folder), str(folder.absolute()), lasting.model_dump_json(), *classes])
    labels, pictures = _files_of(part, folder)
    content = remembered(description, labels, pictures, lambda: _read_anew(part, folder, classes))
    if not content.samples:
        grave = (finding for finding in content.findings if finding.kind.severity is not Severity.NOTE)
        first = next((f"; the first: {finding}" for finding in grave), "")
        raise DataError(f"none of the pictures of {name_of(part)} can be used{first}")
    return content


def name_of(part: Part) -> str:
    """How a part is called in reports: by its format and its path."""
    match part:
        case YoloPart():
            return f"yolo {part.images}"
        case CocoPart() | VocPart():
            return f"{part.format} {part.annotations}"
        case MotPart():
            return f"mot {part.folder}"
        case MotVideoPart():
            return f"mot-video {part.video} {part.frames[0]}-{part.frames[1]}"


def _files_of(part: Part, folder: Path) -> tuple[list[Path], list[Path]]:
    """Files of labels, and folders of pictures (or videos), that the content of a part follows from."""
    match part:
        case YoloPart():
            labels = labels_beside(folder / part.images) if part.labels is None else folder / part.labels
            return sorted(labels.glob("*.txt")), [folder / part.images]
        case CocoPart():
            return [folder / part.annotations], [folder / part.images]
        case VocPart():
            listing = [] if part.listing is None else [folder / part.listing]
            return [*listing, *sorted((folder / part.annotations).glob("*.xml"))], [folder / part.images]
        case MotPart():
            found = sequences(folder / part.folder)
            return [each / TRUTH for each in found], [each / PICTURES for each in found]
        case MotVideoPart():
            return [folder / part.labels], [folder / part.video]


def _read_anew(part: Part, folder: Path, classes: tuple[str, ...]) -> PartContent:
    findings = Findings()
    samples = _read_labels(part, folder, classes, findings)
    prints = _frame_prints(samples, findings) if isinstance(part, MotVideoPart) else _file_prints(samples, findings)
    usable = [sample for sample in samples if sample.image in prints]
    return PartContent(usable, [prints[sample.image] for sample in usable], findings)


def _file_prints(samples: Sequence[Sample], findings: Findings) -> dict[ImageSource, str]:
    """The SHA-256 of each picture that can be decoded; the others become findings."""
    files = [sample.image for sample in samples if isinstance(sample.image, Path)]
    prints: dict[ImageSource, str] = {}
    for path, (sha256, problem) in zip(files, look_at(files), strict=True):
        if problem is None:
            prints[path] = sha256
        else:
            findings.add(FindingKind.CORRUPT_PICTURE, path, problem)
    return prints


def _frame_prints(samples: Sequence[Sample], findings: Findings) -> dict[ImageSource, str]:
    """Video and number of each frame that can be decoded; a finding tells if the others cannot."""
    frames = [sample.image for sample in samples if isinstance(sample.image, VideoFrame)]
    video, last = frames[-1].video, frames[-1].index + 1
    count, problem = count_frames(video, last)
    if count < last:
        kind = FindingKind.MISSING_PICTURE if problem is None else FindingKind.CORRUPT_PICTURE
        why = f"ends after {count} frames" if problem is None else f"is damaged after {count} frames ({problem})"
        findings.add(kind, video, f"{why}, {last} are asked for")
    return {frame: f"{video.absolute()} frame {frame.index}" for frame in frames if frame.index < count}


def _read_labels(part: Part, folder: Path, classes: tuple[str, ...], findings: Findings) -> list[Sample]:
    match part:
        case YoloPart():
            images, labels = folder / part.images, None if part.labels is None else folder / part.labels
            if part.classes_from is None:
                return read_yolo(images, labels, classes, findings=findings)
            ours = _ours_by_source(part.classes_from, classes)
            return _renumbered(read_yolo(images, labels, findings=findings), ours, images, findings)
        case CocoPart():
            annotations, images = folder / part.annotations, folder / part.images
            if part.classes_from is None:
                return read_coco(annotations, images, classes, findings=findings)[0]
            named = _ours_by_source(part.classes_from, classes)
            samples, names = read_coco(annotations, images, tuple(named), findings=findings)
            return _renumbered(samples, {index: named[name] for index, name in enumerate(names)}, images, findings)
        case VocPart():
            annotations, images = folder / part.annotations, folder / part.images
            listing = None if part.listing is None else folder / part.listing
            named = {name: i for i, name in enumerate(classes)}
            if part.classes_from is not None:
                named = _ours_by_source(part.classes_from, classes)
            samples = read_voc(annotations, images, tuple(named), listing=listing, findings=findings)
            return _renumbered(samples, dict(enumerate(named.values())), images, findings)
        case MotPart():
            return read_mot_folder(folder / part.folder, _mot_choice(part, classes), findings=findings)
        case MotVideoPart():
            choice = _mot_choice(part, classes)
            return read_mot_video(folder / part.video, folder / part.labels, *part.frames, choice, findings=findings)


def _mot_choice(part: MotPart | MotVideoPart, classes: tuple[str, ...]) -> MotChoice:
    ours = {PEDESTRIAN: 0} if part.classes_from is None else _ours_by_source(part.classes_from, classes)
    return MotChoice(ours, part.min_visibility)


def _ours_by_source(
    classes_from: Mapping[str, SourceClass | list[SourceClass]], classes: Sequence[str]
) -> dict[SourceClass, int]:
    """Class of the annotations -> our class id."""
    ours: dict[SourceClass, int] = {}
    for name, sources in classes_from.items():
        for source in [sources] if isinstance(sources, int | str) else sources:
            if source in ours:
                raise DataError(f"classes_from takes {source!r} twice, for {classes[ours[source]]!r} and {name!r}")
            ours[source] = classes.index(name)
    return ours


def _renumbered(samples: Sequence[Sample], ours: Mapping[int, int], where: Path, findings: Findings) -> list[Sample]:
    """The samples with our class ids; objects of other classes are left out."""
    result, passed_over = [], Counter[str]()
    for sample in samples:
        kept = np.isin(sample.class_id, list(ours))
        passed_over.update(map(str, sample.class_id[~kept].tolist()))
        class_id = np.array([ours[number] for number in sample.class_id[kept].tolist()], np.int64)
        outlines = tuple(compress(sample.outlines, kept.tolist()))
        result.append(
            dataclasses.replace(
                sample, xyxy=sample.xyxy[kept], class_id=class_id, ignored=sample.ignored[kept], outlines=outlines
            )
        )
    findings.add_passed_over(where, passed_over)
    return result
