"""A training run from recipe to weights: data, epochs, evaluations, records, all in one folder.

RUN/recipe.json           every hyper-parameter, defaults included
RUN/metrics.csv           one row per epoch
RUN/checkpoint.pt         to go on from, after every epoch
RUN/last.safetensors      averaged weights after the last evaluation
RUN/best.safetensors      those with the best evaluation; its card tells how good and on what
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from vidan.detector.data.dataset import DetectionDataset
from vidan.detector.data.formats import load_dataset
from vidan.detector.data.samples import DataError, Sample
from vidan.detector.errors import WeightsError
from vidan.detector.evaluate import DetectionMetrics, evaluate_detector
from vidan.detector.runtimes.torch_runtime import find_device
from vidan.detector.train.loop import EpochLosses, StepCallback, Trainer
from vidan.detector.train.recipe import Recipe
from vidan.detector.weights.atomic import write_atomically
from vidan.detector.weights.checkpoint import WeightsCard, load_state, save_weights
from vidan.detector.yolo import load_detector

BOX_OVERLAP, LOWEST_CONFIDENCE = 0.7, 0.001  # NMS as COCO results are usually made
_COLUMNS: tuple[str, ...] = ("epoch", "box", "cls", "dfl", "learning_rate", "seconds", "ap50_95", "ap50", "ap75")

FREE_KEYS = frozenset({"data", "device", "epochs", "evaluate_every", "patience", "weights", "workers"})
"""Of the recipe, what may change when a run is resumed: where things lie, how long to go on, what does the work."""


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
    """Trains as the recipe says.

    Args:
        recipe: With absolute paths.
        output: Run folder; new, unless resumed.
        resume: Go on from ``checkpoint.pt`` in `output`.
        on_epoch: Called after every epoch.
        on_step: Called after every iteration: its number, iterations per epoch, mean (box, cls, dfl) so far.

    Returns:
        The best weights.

    Raises:
        DataError: If the data set cannot be read, or has no object to evaluate by.
        DeviceError: If there is no such GPU.
        WeightsError: If the weights to start from or the checkpoint do not fit, there is nothing to resume, or the run
            was made with another recipe.
        FileExistsError: If `output` holds a run already and is not to be resumed.
        OSError: If `output` cannot be written.
    """
    device = _device(recipe.device)
    train_samples, classes = load_dataset(recipe.data, "train")
    val_samples, _ = load_dataset(recipe.data, "val")
    if all(sample.ignored.all() for sample in val_samples):
        raise DataError(f"{recipe.data}: the pictures for 'val' show no object, so nothing tells which epoch is best")
    folder = _RunFolder(output, recipe, classes, resume)
    dataset = DetectionDataset(train_samples, recipe.image_size, recipe.augmentation, recipe.seed)
    trainer = Trainer(recipe, dataset, len(classes), device, on_step)
    if resume:
        folder.resume(trainer)
    elif recipe.weights is not None:
        trainer.start_from(load_state(recipe.weights))
    while trainer.epoch < recipe.epochs and trainer.epoch - folder.best_epoch < recipe.patience:
        losses = trainer.train_one_epoch()
        last = trainer.epoch == recipe.epochs
        due = last or (recipe.evaluate_every > 0 and trainer.epoch % recipe.evaluate_every == 0)
        metrics = folder.evaluate(trainer, val_samples) if due else None
        best = metrics is not None and folder.keep_if_best(trainer, metrics)
        folder.add_row(trainer.epoch, losses, metrics)
        trainer.save(folder.checkpoint)
        on_epoch(EpochRecord(trainer.epoch, recipe.epochs, losses, metrics, best))
    return folder.best


class _RunFolder:
    """The files of a run, and which of its evaluations was the best."""

    def __init__(self, path: Path, recipe: Recipe, classes: tuple[str, ...], resume: bool) -> None:
        self.checkpoint = path / "checkpoint.pt"
        self.last = path / "last.safetensors"
        self.best = path / "best.safetensors"
        self.best_epoch = 0
        self._best_score = -1.0
        self._table = path / "metrics.csv"
        self._recipe = recipe
        self._classes = classes
        text = recipe.model_dump_json(indent=2)
        self._recipe_sha256 = hashlib.sha256(text.encode()).hexdigest()
        if resume and not self.checkpoint.exists():
            raise WeightsError(f"{path}: nothing to resume, there is no {self.checkpoint.name}; train without --resume")
        if not resume and self.checkpoint.exists():
            raise FileExistsError(f"{path}: holds a training run already; go on with --resume, or name another folder")
        if resume:
            _check_same(recipe, path / "recipe.json")
        write_atomically(path / "recipe.json", f"{text}\n".encode())

    def resume(self, trainer: Trainer) -> None:
        """Takes the trainer back to the checkpoint, and the table to the rows written before it."""
        try:
            trainer.resume(self.checkpoint)
        except (RuntimeError, KeyError, ValueError) as error:
            raise WeightsError(
                f"{self.checkpoint}: does not fit the classes of the data set, or is damaged; train without --resume"
            ) from error
        rows = [row for row in self._rows() if int(row["epoch"]) <= trainer.epoch]
        self._write_rows(rows)
        for row in rows:
            if row["ap50"] and (score := _score(float(row["ap50_95"]), float(row["ap50"]))) > self._best_score:
                self._best_score, self.best_epoch = score, int(row["epoch"])

    def evaluate(self, trainer: Trainer, samples: list[Sample]) -> DetectionMetrics:
        """Average precision of the averaged weights, as a user would load them."""
        self._save(self.last, trainer, {})
        detector = load_detector(
            self.last, device=str(trainer.device), runtime="torch", confidence=LOWEST_CONFIDENCE, nms_iou=BOX_OVERLAP
        )
        return evaluate_detector(detector, samples, self._classes)

    def keep_if_best(self, trainer: Trainer, metrics: DetectionMetrics) -> bool:
        """Writes the card with the result, and a copy as the best weights if none before scored higher."""
        figures = {
            "ap50_95": metrics.ap50_95,
            "ap50": metrics.ap50,
            "ap75": metrics.ap75,
            "images": metrics.images,
            "epoch": trainer.epoch,
        }
        self._save(self.last, trainer, {name: round(float(value), 4) for name, value in figures.items()})
        if (score := _score(metrics.ap50_95, metrics.ap50)) <= self._best_score:
            return False
        self._best_score, self.best_epoch = score, trainer.epoch
        write_atomically(self.best, self.last.read_bytes())
        return True

    def add_row(self, epoch: int, losses: EpochLosses, metrics: DetectionMetrics | None) -> None:
        scores = (metrics.ap50_95, metrics.ap50, metrics.ap75) if metrics else ("", "", "")
        values = (epoch, losses.box, losses.cls, losses.dfl, losses.learning_rate, losses.seconds, *scores)
        # All digits, for a resumed run compares with the best score so far.
        row = {name: str(value) for name, value in zip(_COLUMNS, values, strict=True)}
        self._write_rows([*self._rows(), row])

    def _rows(self) -> list[dict[str, str]]:
        if not self._table.exists():
            return []
        with self._table.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _write_rows(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self._table, text.getvalue().encode())

    def _save(self, path: Path, trainer: Trainer, metrics: dict[str, float]) -> None:
        card = WeightsCard(
            model=self._recipe.model,
            classes=self._classes,
            variant=self._recipe.gelan,
            class_width=trainer.inference_network.head.class_width,
            image_size=self._recipe.image_size,
            training_data=self._recipe.training_data or str(self._recipe.data),
            licence=self._recipe.licence,
            source=f"trained with vidan, seed {self._recipe.seed}, {trainer.epoch} of {self._recipe.epochs} epochs",
            metrics=metrics,
            recipe_sha256=self._recipe_sha256,
        )
        save_weights(path, trainer.inference_network.state_dict(), card)


def _check_same(recipe: Recipe, path: Path) -> None:
    """Refuses a recipe that would make another run than the one at `path`."""
    try:
        before = Recipe.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read as the recipe of the run to resume ({error})") from error
    old, new = before.model_dump(exclude=set(FREE_KEYS)), recipe.model_dump(exclude=set(FREE_KEYS))
    if changed := [f"{key} was {old[key]}, is {new[key]}" for key in new if old[key] != new[key]]:
        raise WeightsError(
            f"{path.parent}: was trained with another recipe ({'; '.join(changed)}); "
            "resume with that one, or name another folder"
        )


def _score(ap50_95: float, ap50: float) -> float:
    """What the best weights are chosen by; mostly the strict measure."""
    return 0.9 * ap50_95 + 0.1 * ap50


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return find_device(name)
