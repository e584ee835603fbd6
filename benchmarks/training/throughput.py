"""How near a training comes to the bare time of its network: whether the data path hides behind the computing.

    python benchmarks/training/throughput.py
    python benchmarks/training/throughput.py --device cuda --model yolov9-c --size 640 640 --batch 32 --precision bf16

Bare is forward, loss, backward, clipping, step of the optimizer and averaging, over and over on one batch that lies on
the device. The trainer does the same on drawn pictures with the whole recipe: mosaic, mixup, colours, collating,
uploading. The difference is time spent waiting for data. Both take turns in one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vidan.detector.data.dataset import DetectionDataset
from vidan.detector.data.samples import Sample
from vidan.detector.train import Recipe
from vidan.detector.train.loop import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="yolov9-t")
    parser.add_argument("--size", type=int, nargs=2, default=(288, 384), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=20, help="in each turn (20)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options, drawn_samples(Path(folder), options.batch * options.batches)), indent=2))


def measure(options: argparse.Namespace, samples: list[Sample]) -> dict[str, Any]:
    recipe = Recipe.model_validate(
        {
            "data": "none",
            "model": options.model,
            "image_size": options.size,
            "batch": options.batch,
            "nominal_batch": options.batch,
            "device": options.device,
            "precision": options.precision,
            "workers": options.workers,
        }
    )
    device = torch.device(options.device)
    dataset = DetectionDataset(samples, recipe.image_size, recipe.augmentation, recipe.seed)
    trainer = Trainer(recipe, dataset, 80, device)
    trainer.train_one_epoch()  # starts the workers, and lets cuDNN choose
    bare, whole = [], []
    for _ in range(options.turns):
        bare.append(seconds_bare(trainer, options.batches))
        whole.append(trainer.train_one_epoch().seconds)
    images = len(samples)
    return {
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu, {torch.get_num_threads()} threads",
        "model": options.model,
        "size": list(options.size),
        "batch": options.batch,
        "precision": trainer.precision,
        "bare_images_per_second": round(images / min(bare), 1),
        "training_images_per_second": round(images / min(whole), 1),
        "share_waiting": round(1 - min(bare) / min(whole), 3),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 2) if device.type == "cuda" else None,
    }


def seconds_bare(trainer: Trainer, batches: int) -> float:
    """Time of the trainer's own iteration on one batch, again and again."""
    images, targets = next(trainer._batches())
    start = time.perf_counter()
    for _ in range(batches):
        trainer._train_on(images, targets)
        trainer._iteration += 1
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.perf_counter() - start


def drawn_samples(folder: Path, count: int) -> list[Sample]:
    """Different pictures of 640x480 with a dozen bright boxes each; at most 64 files, each as often as needed."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(min(count, 64)):
        image = rng.integers(0, 90, (480, 640, 3), dtype=np.uint8)
        corner = rng.uniform(0, (560, 380), (12, 2))
        xyxy = np.hstack([corner, corner + rng.uniform(16, 96, (12, 2))]).astype(np.float32)
        for x1, y1, x2, y2 in xyxy.astype(int):
            image[y1:y2, x1:x2] = rng.integers(120, 255, 3)
        path = folder / f"{i}.jpg"
        cv2.imwrite(str(path), image)
        samples.append(Sample(path, (480, 640), xyxy, rng.integers(0, 80, 12), np.zeros(12, np.bool_)))
    return [samples[i % len(samples)] for i in range(count)]


if __name__ == "__main__":
    main()
