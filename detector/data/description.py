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

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from vidan.detector.data.samples import DataError

Split: TypeAlias = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")


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


class VocPart(_Part):
    """A folder of Pascal VOC annotations and its folder of pictures.

    Attributes:
        listing: Text file with the names of the pictures to take, such as ``ImageSets/Main/train.txt``; null: all.
        classes_from: Our class name -> names of objects it is made of; other objects are left out.
            Null: objects are found by the names in ``classes``.
    """

    format: Literal["voc"]
    annotations: Path
    images: Path
    listing: Path | None = None
    classes_from: dict[str, str | list[str]] | None = None


class _MotPart(_Part):
    """What both forms of MOTChallenge labels share.

    Attributes:
        classes_from: Our class name -> class numbers of the rows it is made of. Null: pedestrians (1) are the first
            class. Of the others 2, 7, 8 and 12, people and what looks like them, are ignored.
        min_visibility: Objects of which less is to be seen (0..1) are ignored, where the rows say how much that is.
    """

    classes_from: dict[str, int | list[int]] | None = None
    min_visibility: Annotated[float, Field(ge=0, le=1)] = 0.0


class MotPart(_MotPart):
    """A MOTChallenge sequence (``gt/gt.txt`` and pictures in ``img1``), or a folder of sequences."""

    format: Literal["mot"]
    folder: Path


class MotVideoPart(_MotPart):
    """Frames of a video with MOTChallenge labels.

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


Part: TypeAlias = Annotated[YoloPart | CocoPart | VocPart | MotPart | MotVideoPart, Field(discriminator="format")]


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
            if unknown := set(part.classes_from or ()) - set(self.classes):
                raise ValueError(f"classes_from names {sorted(unknown)}, but classes are {list(self.classes)}")
        return self


def read_description(path: Path) -> DatasetFile:
    """What a data set file says; nothing that it names is looked at.

    Raises:
        DataError: If the file is missing or wrong; the message lists what.
    """
    try:
        return DatasetFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
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
