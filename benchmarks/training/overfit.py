"""Whether the trainer can learn a few photographs by heart: the first thing to ask of losses, assignment and optimizer.

    python benchmarks/training/overfit.py --media ../shared/media --output runs/overfit

trains a YOLOv9-t with PGI from scratch on 16 pictures of COCO train2017, of all 80 classes, without any augmentation,
and judges the averaged weights on the same pictures. A right trainer comes near AP50 1; the figure says nothing about
other pictures. They are the first by name that show objects, none of which is smaller than 32 px in the network's
input. Smaller ones may stay unborn in so short a training without augmentation: a fresh network predicts boxes of about
120 px at the finest level, which overlap an object of 16 px by 0.02, and task-aligned assignment wants a score of the
sixth power of that, below its own epsilon.

Ends when AP50 reaches --target, which is looked at every 10 epochs, or after --epochs. Prints JSON; the exit code is 1
if the target was not reached or a part of the loss did not fall. Stop it whenever you like: the same command goes on
where it stood.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import yaml

from vidan.detector import read_card
from vidan.detector.data.labels import read_yolo
from vidan.detector.data.samples import Sample
from vidan.detector.train import EpochRecord, Recipe, fit
from vidan.detector.weights.coco_classes import COCO_CLASSES

PARTS = ("box", "cls", "dfl")
SMALLEST = 32  # pixels of the network's input


class Reached(Exception):  # noqa: N818 (it is no error)
    """The target is reached; everything is written."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, metavar="DIR", help="folder with coco256")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pictures", type=int, default=16, metavar="N", help="how many (16)")
    parser.add_argument("--size", type=int, default=320, metavar="PX", help="sides of the network's input (320)")
    parser.add_argument("--epochs", type=int, default=100, metavar="N", help="at most (100)")
    parser.add_argument("--target", type=float, default=0.95, help="least AP50 on the pictures (0.95)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), metavar="N", help="cores to use")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    data = write_data_set(
        options.media.absolute() / "coco256", options.output.absolute(), options.pictures, options.size
    )
    recipe = recipe_for(data, options.size, options.epochs)
    run = options.output / "run"

    def on_epoch(record: EpochRecord) -> None:
        tell(record)
        if record.metrics is not None and record.metrics.ap50 >= options.target:
            raise Reached

    with suppress(Reached):
        fit(recipe, run, resume=(run / "checkpoint.pt").exists(), on_epoch=on_epoch)
    result = outcome(run, options)
    print(json.dumps(result, indent=2))
    falls = all(result["losses"][part]["last"] < result["losses"][part]["first"] for part in PARTS)
    sys.exit(0 if falls and result["ap50"] >= options.target else 1)


def write_data_set(coco256: Path, output: Path, pictures: int, size: int) -> Path:
    """The pictures, linked into a folder of their own: they train and they judge."""
    images = output / "images"
    images.mkdir(exist_ok=True)
    samples = read_yolo(coco256 / "images" / "train2017")
    for sample in [sample for sample in samples if smallest_side(sample, size) >= SMALLEST][:pictures]:
        assert isinstance(sample.image, Path)
        link = images / sample.image.name
        if not link.exists():
            link.symlink_to(sample.image)
    part = {"format": "yolo", "images": str(images), "labels": str(coco256 / "labels" / "train2017")}
    path = output / "data.yaml"
    path.write_text(yaml.safe_dump({"classes": list(COCO_CLASSES), "train": [part], "val": [part]}))
    return path


def smallest_side(sample: Sample, size: int) -> float:
    """Of all boxes, in pixels of the network's input; 0 where there is none."""
    if not len(sample.xyxy):
        return 0.0
    return float((sample.xyxy[:, 2:] - sample.xyxy[:, :2]).min()) * size / max(sample.size)


def recipe_for(data: Path, size: int, epochs: int) -> Recipe:
    still = ("hsv_h", "hsv_s", "hsv_v", "translate", "scale", "fliplr", "mosaic", "mixup")
    values: dict[str, Any] = {
        "model": "yolov9-t",
        "data": data,
        "image_size": (size, size),
        "epochs": epochs,
        "patience": epochs,
        "evaluate_every": 10,
        "batch": 4,
        "nominal_batch": 4,
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "momentum": 0.9,
        "schedule": "cosine",
        "warmup_epochs": 5,
        "warmup_bias_rate": 0.0,
        "ema_decay": 0.98,
        "ema_warmup_updates": 50,
        "augmentation": dict.fromkeys(still, 0.0),
        "close_mosaic_epochs": 0,
        "workers": 0,
        "device": "cpu",
        "training_data": "A few COCO train2017 photographs, learned by heart",
    }
    return Recipe.model_validate(values)


def tell(record: EpochRecord) -> None:
    losses = record.losses
    scores = f"  AP50 {record.metrics.ap50:.4f}" if record.metrics else ""
    parts = f"{losses.seconds:.1f} s  box {losses.box:.3f}  cls {losses.cls:.3f}  dfl {losses.dfl:.3f}"
    print(f"epoch {record.epoch}/{record.epochs}  {parts}{scores}", file=sys.stderr, flush=True)


def outcome(run: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What the records of the run say, whichever of its starts wrote them."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    card = read_card(run / "best.safetensors")
    samples = read_yolo(options.output / "images", options.media / "coco256" / "labels" / "train2017")
    return {
        "model": card.model,
        "pictures": len(samples),
        "objects": sum(len(sample.xyxy) for sample in samples),
        "classes_seen": len({number for sample in samples for number in sample.class_id.tolist()}),
        "size": options.size,
        "epochs": len(rows),
        "ap50": round(card.metrics["ap50"], 4),
        "ap50_95": round(card.metrics["ap50_95"], 4),
        "losses": {
            part: {"first": round(float(rows[0][part]), 3), "last": round(float(rows[-1][part]), 3)} for part in PARTS
        },
        "training_minutes": round(sum(float(row["seconds"]) for row in rows) / 60, 1),
        "threads": options.threads,
        "processor_cores": os.cpu_count(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
