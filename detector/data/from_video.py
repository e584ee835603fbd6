"""A data set from a labeled video: pictures and COCO files that labelling tools read, split by time.

DIR/DIR.yaml             the data set file, named as the folder
DIR/train.json, val.json COCO instances
DIR/images/NAME-000123.jpg
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from vidan.detector.boxes import box_area, clip_boxes, xyxy_to_xywh
from vidan.detector.data.description import SPLITS, Split
from vidan.detector.data.labels.mot import labeled_frames, read_mot_video
from vidan.detector.data.samples import DataError, Sample, VideoFrame, read_images

JPEG_QUALITY = 95
_IMAGES = "images"


@dataclass(frozen=True, slots=True)
class VideoChoice:
    """Which frames of a video become pictures.

    Attributes:
        frames: First and last, from 1; None: from the first to the last that has a row.
        every: Of these one in so many, for neighbours are nearly the same picture.
        val_share: So much of the time, at its end, is for validation: frames in between would be no test, for the
            same people stand there.
    """

    frames: tuple[int, int] | None = None
    every: int = 5
    val_share: float = 0.2


def write_video_dataset(video: Path, labels: Path, output: Path, class_name: str, choice: VideoChoice) -> Path:
    """Writes the data set; the folder appears whole or not at all.

    Boxes are cut off at the border of the picture; objects that are "not evaluated" become crowds, which training
    leaves out and evaluation forgives.

    Args:
        video: Anything that FFmpeg reads.
        labels: MOTChallenge rows, frames counted from 1.
        output: Folder; new.
        class_name: Of all objects.
        choice: Which frames.

    Returns:
        The data set file.

    Raises:
        DataError: If the video or the labels cannot be read or do not fit together, or a split would be empty.
        FileExistsError: If `output` is there already.
        OSError: If it cannot be written.
    """
    if output.exists():
        raise FileExistsError(f"{output} is there already; name another folder")
    first, last = choice.frames or labeled_frames(labels)
    samples = read_mot_video(video, labels, first, last)[:: choice.every]
    split_at = round(len(samples) * (1 - choice.val_share))
    splits: dict[Split, list[Sample]] = {"train": samples[:split_at], "val": samples[split_at:]}
    for split, chosen in splits.items():
        if not any(len(sample.xyxy) for sample in chosen):
            raise DataError(
                f"of {len(samples)} frames {len(chosen)} are for {split!r}, and none of them shows an object; "
                "take more frames, or another share for validation"
            )
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        names = _write_pictures(folder / _IMAGES, samples, video.stem)
        for split in SPLITS:
            content = _coco(splits[split], names, class_name)
            (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / f"{output.name}.yaml").write_text(_description(class_name), encoding="utf-8")
        folder.chmod(0o755)  # mkdtemp hides its folders from other users
        folder.rename(output)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return output / f"{output.name}.yaml"


def _write_pictures(folder: Path, samples: Sequence[Sample], stem: str) -> dict[int, str]:
    """Name of each frame's file."""
    folder.mkdir()
    names: dict[int, str] = {}
    for sample, image in zip(samples, read_images(sample.image for sample in samples), strict=True):
        index = _frame(sample)
        names[index] = f"{stem}-{index + 1:06d}.jpg"
        (folder / names[index]).write_bytes(_jpeg(image))
    return names


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _coco(samples: Sequence[Sample], names: dict[int, str], class_name: str) -> dict[str, Any]:
    """A COCO instances file; ids of pictures are the numbers of the frames, from 1."""
    images, annotations = [], []
    for sample in samples:
        number = _frame(sample) + 1
        height, width = sample.size
        images.append({"id": number, "file_name": names[number - 1], "height": height, "width": width})
        inside = clip_boxes(sample.xyxy, height, width)
        rows = zip(xyxy_to_xywh(inside).tolist(), box_area(inside).tolist(), sample.ignored.tolist(), strict=True)
        for box, area, ignored in rows:
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box, "area": area}
            annotations.append(annotation | {"iscrowd": int(ignored)})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": class_name}]}


def _description(class_name: str) -> str:
    parts = {split: [{"format": "coco", "annotations": f"{split}.json", "images": _IMAGES}] for split in SPLITS}
    return yaml.safe_dump({"classes": [class_name], **parts}, sort_keys=False, allow_unicode=True)


def _frame(sample: Sample) -> int:
    assert isinstance(sample.image, VideoFrame)
    return sample.image.index
