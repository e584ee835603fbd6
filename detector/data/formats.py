"""A data set file -> samples to train on or to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidan.detector.data.description import Split, read_description
from vidan.detector.data.findings import Findings
from vidan.detector.data.parts import read_part
from vidan.detector.data.samples import DataError, Sample


def load_dataset(path: Path, split: Split) -> tuple[list[Sample], tuple[str, ...]]:
    """The samples of one split and the class names, as a data set file says.

    Pictures that are missing or cannot be decoded are left out, and named in the log.

    Raises:
        DataError: If the file or anything it names is missing or wrong; the message lists what.
    """
    description = read_description(path)
    samples: list[Sample] = []
    findings = Findings()
    for part in getattr(description, split):
        content = read_part(part, path.parent, description.classes)
        samples.extend(thin_background(content.samples, part.keep_background) * part.repeat)
        findings.extend(content.findings)
    findings.raise_errors()
    findings.warn_of_pictures()
    if not samples:
        raise DataError(f"{path} has no pictures for '{split}'")
    return samples, description.classes


def thin_background(samples: Sequence[Sample], share: float) -> list[Sample]:
    """All samples with objects, and an evenly spread share of those without."""
    kept, backgrounds = [], 0
    for sample in samples:
        if len(sample.xyxy) == 0:
            backgrounds += 1
            if int(backgrounds * share) == int((backgrounds - 1) * share):
                continue
        kept.append(sample)
    return kept
