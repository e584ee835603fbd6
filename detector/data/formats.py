"""The data set file: which pictures, labeled in which format, make up training and validation.

```yaml
classes: [person]
train:
  - {format: mot-video, video: campus.avi, labels: gt.txt, frames: [1, 530]}
  - {format: yolo, images: coco256/images/train2017, classes_from: {person: 0}, keep_background: 0.1}
val:
  - {format: coco, annotations: instances_val2017.json, images: val2017}
```

Paths are relative to the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from vidan.detector.data.labels import read_coco, read_mot_video, read_yolo
from vidan.detector.data.samples import DataError, Sample

SourceClass = TypeVar("SourceClass", int, str)
"""A class of the annotations: its number in YOLO files, its category name in COCO files."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Part(_Model):
    """What parts of every format share.

    Attributes:
        repeat: How often the part is shown in one epoch.
        keep_background: Share of the pictures without any object that stays, spread evenly.
    """

    repeat: PositiveInt = 1
    keep_background: Annotated[float, Field(ge=0, le=1)] = 1.0


class YoloPart(_Part):
    """A folder of pictures with YOLO label files.

    Attributes:
        labels: Folder of labels; null replaces ``images`` in the path by ``labels``.
        classes_from: Our class name -> class numbers of the labels it is made of; other objects are left out.
            Null: the numbers index ``classes``.
    """

    format: Literal["yolo"]
    images: Path
    labels: Path | None = None
    classes_from: dict[str, int | list[int]] | None = None


class CocoPart(_Part):
    """A COCO instances file and its folder of pictures.

    Attributes:
        classes_from: Our class name -> category names it is made of; other objects are left out.
            Null: categories are found by the names in ``classes``.
    """

    format: Literal["coco"]
    annotations: Path
    images: Path
    classes_from: dict[str, str | list[str]] | None = None


class MotVideoPart(_Part):
    """Frames of a video with MOTChallenge labels; every object is of the first class.

    Attributes:
        frames: First and last frame, from 1, both included.
    """

    format: Literal["mot-video"]
    video: Path
    labels: Path
    frames: tuple[PositiveInt, PositiveInt]

    @model_validator(mode="after")
    def _frames_rise(self) -> MotVideoPart:
        if self.frames[0] > self.frames[1]:
            raise ValueError(f"frames go from the first to the last, got {list(self.frames)}")
        return self


Part: TypeAlias = Annotated[YoloPart | CocoPart | MotVideoPart, Field(discriminator="format")]


class DatasetFile(_Model):
    """A whole data set: class names in the order of their ids, and the parts of each split."""

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    train: tuple[Part, ...] = ()
    val: tuple[Part, ...] = ()

    @model_validator(mode="after")
    def _classes_are_known(self) -> DatasetFile:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"class names must differ, got {list(self.classes)}")
        for part in (*self.train, *self.val):
            named = set() if isinstance(part, MotVideoPart) else set(part.classes_from or ())
            if unknown := named - set(self.classes):
                raise ValueError(f"classes_from names {sorted(unknown)}, but classes are {list(self.classes)}")
        return self


def load_dataset(path: Path, split: Literal["train", "val"]) -> tuple[list[Sample], tuple[str, ...]]:
    """The samples of one split and the class names, as a data set file says.

    Raises:
        DataError: If the file or anything it names is missing or wrong; the message lists what.
    """
    try:
        description = DatasetFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"{path}: the data set file cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the data set file is no valid YAML ({error})") from error
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        )
        raise DataError("\n".join(f"{path}: {problem}" for problem in problems)) from error
    samples: list[Sample] = []
    for part in getattr(description, split):
        read = _thin_background(_read_part(part, path.parent, description.classes), part.keep_background)
        samples.extend(read * part.repeat)
    if not samples:
        raise DataError(f"{path} has no pictures for '{split}'")
    return samples, description.classes


def _read_part(part: Part, folder: Path, classes: tuple[str, ...]) -> list[Sample]:
    match part:
        case YoloPart():
            images, labels = folder / part.images, _under(folder, part.labels)
            if part.classes_from is None:
                return read_yolo(images, labels, classes)
            return _renumbered(read_yolo(images, labels), _ours_by_source(part.classes_from, classes))
        case CocoPart():
            if part.classes_from is None:
                return read_coco(folder / part.annotations, folder / part.images, classes)[0]
            ours = _ours_by_source(part.classes_from, classes)
            samples, names = read_coco(folder / part.annotations, folder / part.images, tuple(ours))
            return _renumbered(samples, {index: ours[name] for index, name in enumerate(names)})
        case MotVideoPart():
            return read_mot_video(folder / part.video, folder / part.labels, *part.frames)


def _under(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path


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


def _renumbered(samples: Sequence[Sample], ours: Mapping[int, int]) -> list[Sample]:
    """The samples with our class ids; objects of other classes are left out."""
    result = []
    for sample in samples:
        kept = np.isin(sample.class_id, list(ours))
        class_id = np.array([ours[number] for number in sample.class_id[kept].tolist()], np.int64)
        result.append(
            dataclasses.replace(sample, xyxy=sample.xyxy[kept], class_id=class_id, ignored=sample.ignored[kept])
        )
    return result


def _thin_background(samples: Sequence[Sample], share: float) -> list[Sample]:
    """All samples with objects, and an evenly spread share of those without."""
    kept, backgrounds = [], 0
    for sample in samples:
        if len(sample.xyxy) == 0:
            backgrounds += 1
            if int(backgrounds * share) == int((backgrounds - 1) * share):
                continue
        kept.append(sample)
    return kept
