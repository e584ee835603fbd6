"""A training run from recipe to weights: data, epochs, evaluations, records, all in one folder; see `run_folder`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vidan.detector.data.dataset import DetectionDataset
from vidan.detector.data.formats import load_dataset
from vidan.detector.data.samples import DataError, Sample
from vidan.detector.evaluate import DetectionMetrics
from vidan.detector.runtimes.torch_runtime import find_device
from vidan.detector.train.loop import EpochLosses, StepCallback, Trainer, class_width_of
from vidan.detector.train.processes import Processes, joined
from vidan.detector.train.recipe import Recipe
from vidan.detector.train.run_folder import RunFolder
from vidan.detector.train.start import matching_classes
from vidan.detector.weights.checkpoint import load_state, read_card
from vidan.detector.weights.checksum import file_sha256


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch brought; `metrics` only where it was evaluated."""

    epoch: int
    epochs: int
    losses: EpochLosses
    metrics: DetectionMetrics | None
    best: bool


def fit(
    recipe: Recipe,
    output: Path,
    *,
    resume: bool = False,
    on_epoch: Callable[[EpochRecord], None] = lambda _record: None,
    on_step: StepCallback = lambda _step, _steps, _losses: None,
) -> Path:
    """Trains as the recipe says; together with other processes if `torchrun` started them.

    Args:
        recipe: With absolute paths.
        output: Run folder; new, unless resumed.
        resume: Go on from ``checkpoint.pt`` in `output`.
        on_epoch: Called after every epoch, by the leading process alone.
        on_step: Called after every iteration: its number, iterations per epoch, mean (box, cls, dfl) so far; by the
            leading process alone.

    Returns:
        The best weights.

    Raises:
        DataError: If the data set cannot be read, or has no object to evaluate by.
        RecipeError: If the recipe does not fit the network, the weights to start from or the number of processes.
        DeviceError: If there is no such GPU.
        WeightsError: If the weights to start from or the checkpoint do not fit, there is nothing to resume, or the run
            was made with another recipe.
        FileExistsError: If `output` holds a run already and is not to be resumed.
        ImportError: If TensorBoard is asked for and not installed.
        OSError: If `output` cannot be written.
    """
    with joined(_device(recipe.device, 0).type) as processes:
        return _fit(recipe, output, resume, processes, on_epoch, on_step)


def _fit(
    recipe: Recipe,
    output: Path,
    resume: bool,
    processes: Processes,
    on_epoch: Callable[[EpochRecord], None],
    on_step: StepCallback,
) -> Path:
    device = _device(recipe.device, processes.local_rank)
    train_samples, classes = load_dataset(recipe.data, "train")
    val_samples, _ = load_dataset(recipe.data, "val")
    if all(sample.ignored.all() for sample in val_samples):
        raise DataError(f"{recipe.data}: the pictures for 'val' show no object, so nothing tells which epoch is best")
    checkpoint = output / "checkpoint.pt"
    folder = RunFolder(output, recipe, classes, resume, _provenance(recipe, device)) if processes.leads else None
    dataset = DetectionDataset(train_samples, recipe.image_size, recipe.augmentation, recipe.seed)
    saved = time.monotonic()

    def after_step(step: int, steps: int, losses: Tensor) -> None:
        nonlocal saved
        if not processes.leads:
            return
        on_step(step, steps, losses)
        if step < steps and trainer.saveable and time.monotonic() - saved >= recipe.checkpoint_seconds:
            trainer.save(checkpoint)
            saved = time.monotonic()

    trainer = Trainer(
        recipe, dataset, len(classes), device, after_step, _class_width(recipe, checkpoint, resume), processes
    )
    if not resume:
        _start(trainer, classes)
    elif folder is not None:
        folder.resume(trainer)
    else:
        trainer.resume(checkpoint)

    while trainer.epoch < recipe.epochs and processes.agree(folder is not None and folder.still_improves(trainer)):
        losses = trainer.train_one_epoch()
        if folder is not None:
            record = _finish_epoch(trainer, folder, losses, val_samples)
            trainer.save(checkpoint)
            saved = time.monotonic()
            on_epoch(record)
    return output / RunFolder.BEST


def _finish_epoch(trainer: Trainer, folder: RunFolder, losses: EpochLosses, samples: list[Sample]) -> EpochRecord:
    """Evaluates, if the recipe wants that now, and writes the records of the epoch."""
    recipe, epoch = trainer.recipe, trainer.epoch
    due = epoch == recipe.epochs or (recipe.evaluate_every > 0 and epoch % recipe.evaluate_every == 0)
    metrics = folder.evaluate(trainer, samples) if due else None
    best = metrics is not None and folder.keep_if_best(trainer, metrics)
    folder.add_row(epoch, losses, metrics)
    return EpochRecord(epoch, recipe.epochs, losses, metrics, best)


def _class_width(recipe: Recipe, checkpoint: Path, resume: bool) -> int | None:
    """The width of the weights to start from, for only then their class branches can go on learning."""
    if resume:
        return class_width_of(checkpoint) if checkpoint.exists() else None
    if recipe.weights is None:
        return None
    card = read_card(recipe.weights)
    return card.class_width if card.model[-1] == recipe.model[-1] else None


def _start(trainer: Trainer, classes: tuple[str, ...]) -> None:
    """Takes over the weights that the recipe starts from."""
    if (path := trainer.recipe.weights) is not None:
        rows = matching_classes(classes, read_card(path).classes, trainer.recipe.classes_from, str(path))
        trainer.start_from(load_state(path), rows)


def _provenance(recipe: Recipe, device: torch.device) -> dict[str, str]:
    """What the weights come from and were made with, for their card."""
    facts = {
        "data_file_sha256": file_sha256(recipe.data),
        "branch": recipe.pgi,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }
    if recipe.weights is not None and recipe.weights.exists():
        facts["started_from"] = f"{recipe.weights.name}, SHA-256 {file_sha256(recipe.weights)}"
    return facts


def _device(name: str, local_rank: int) -> torch.device:
    """The device of this process; several processes on one machine take one GPU each."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return find_device(f"cuda:{local_rank}" if name == "cuda" else name)
