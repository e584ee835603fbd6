"""Everything about a data set that should be known before days are spent on training with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidan.detector.boxes import box_area
from vidan.detector.data.description import SPLITS, Split, read_description
from vidan.detector.data.findings import FindingKind, Findings, Severity
from vidan.detector.data.formats import thin_background
from vidan.detector.data.parts import name_of, read_part
from vidan.detector.data.samples import DataError, Sample

AREA_BOUNDS = (32**2, 96**2)
"""Square pixels from which COCO calls an object medium and large."""


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part of a split.

    Attributes:
        split: ``train`` or ``val``.
        name: Format and path.
        samples: Pictures that training would see in one epoch, repetitions left out.
        thinned: How many pictures without objects `keep_background` leaves out.
        findings: What is wrong or odd in it.
    """

    split: Split
    name: str
    samples: Sequence[Sample]
    thinned: int
    findings: Findings


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """How often a class occurs in a split.

    Attributes:
        pictures: That show it.
        objects: Ignored ones left out.
        sizes: Of the objects, how many are small, medium and large as COCO has it.
        median_px: Median of the square root of their areas.
    """

    pictures: int
    objects: int
    sizes: tuple[int, int, int]
    median_px: float


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What there is in a data set.

    Attributes:
        classes: Names in the order of their ids.
        parts: In the order of the file.
        findings: Of all parts together, and of what lies between them.
    """

    classes: tuple[str, ...]
    parts: tuple[PartReport, ...]
    findings: Findings

    @property
    def has_errors(self) -> bool:
        """Whether training would refuse the data set."""
        return any(finding.kind.severity is Severity.ERROR for finding in self.findings)

    def samples(self, split: Split) -> list[Sample]:
        return [sample for part in self.parts if part.split == split for sample in part.samples]

    def class_counts(self, split: Split) -> dict[str, ClassCounts]:
        """By class name, in the order of the ids."""
        samples = self.samples(split)
        targets = [~sample.ignored for sample in samples]
        class_id = np.concatenate(
            [np.zeros(0, np.int64), *(s.class_id[t] for s, t in zip(samples, targets, strict=True))]
        )
        area = np.concatenate([np.zeros(0), *(box_area(s.xyxy[t]) for s, t in zip(samples, targets, strict=True))])
        seen = [set(s.class_id[t].tolist()) for s, t in zip(samples, targets, strict=True)]
        return {
            name: _counts(area[class_id == index], sum(index in each for each in seen))
            for index, name in enumerate(self.classes)
        }


def check_dataset(path: Path) -> DatasetReport:
    """Reads every label and decodes every picture of a data set.

    Raises:
        DataError: If the file is wrong, or what it names cannot be read at all; the message lists all such parts.
    """
    description = read_description(path)
    parts: list[PartReport] = []
    holders: dict[str, list[tuple[Split, str]]] = defaultdict(list)  # of each picture, by its content
    problems = []
    for split in SPLITS:
        for part in getattr(description, split):
            try:
                content = read_part(part, path.parent, description.classes)
            except DataError as error:
                problems.append(str(error))
                continue
            for sample, fingerprint in zip(content.samples, content.fingerprints, strict=True):
                holders[fingerprint].append((split, _told(sample)))
            kept = thin_background(content.samples, part.keep_background)
            thinned = len(content.samples) - len(kept)
            parts.append(PartReport(split, name_of(part), kept, thinned, content.findings))
    if problems:
        raise DataError("\n".join(problems))
    if not parts:
        raise DataError(f"{path} has no pictures")
    findings = Findings(finding for part in parts for finding in part.findings)
    findings.extend(_repeated(holders))
    return DatasetReport(description.classes, tuple(parts), findings)


def _repeated(holders: dict[str, list[tuple[Split, str]]]) -> Findings:
    """Pictures of the same content in several places; what validation shares with training flatters the result."""
    findings = Findings()
    for places in holders.values():
        (first_split, first), *others = places
        for split, place in others:
            kind = FindingKind.TWICE if split == first_split else FindingKind.LEAK
            findings.add(kind, place, f"the same picture as {first} ({first_split})")
    return findings


def _counts(area: np.ndarray, pictures: int) -> ClassCounts:
    small, medium = (int(np.count_nonzero(area < bound)) for bound in AREA_BOUNDS)
    median = float(np.median(np.sqrt(area))) if len(area) else 0.0
    return ClassCounts(pictures, len(area), (small, medium - small, len(area) - medium), median)


def _told(sample: Sample) -> str:
    return (
        str(sample.image) if isinstance(sample.image, Path) else f"{sample.image.video} frame {sample.image.index + 1}"
    )
