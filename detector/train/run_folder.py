"""The files of a training run: recipe, table of epochs, checkpoint, weights with their cards.

RUN/recipe.json           every hyper-parameter, defaults included
RUN/metrics.csv           one row per epoch
RUN/curves.png            the same as a picture, where matplotlib is installed
RUN/tensorboard/          the same for TensorBoard, if the recipe asks for it
RUN/checkpoint.pt         to go on from, after every epoch and now and then within one
RUN/last.safetensors      averaged weights after the last evaluation
RUN/best.safetensors      those with the best evaluation; its card tells how good, on what, and what they came from
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

from pydantic import ValidationError

from vidan.detector.data.samples import Sample
from vidan.detector.errors import WeightsError
from vidan.detector.evaluate import DetectionMetrics, evaluate_detector
from vidan.detector.train.curves import add_to_tensorboard, check_tensorboard, draw_curves
from vidan.detector.train.loop import EpochLosses, Trainer
from vidan.detector.train.recipe import Recipe
from vidan.detector.weights.atomic import write_atomically
from vidan.detector.weights.checkpoint import WeightsCard, save_weights
from vidan.detector.yolo import load_detector

BOX_OVERLAP, LOWEST_CONFIDENCE = 0.7, 0.001  # NMS as COCO results are usually made
_COLUMNS: tuple[str, ...] = ("epoch", "box", "cls", "dfl", "learning_rate", "seconds", "ap50_95", "ap50", "ap75")

FREE_KEYS = frozenset(
    {
        "checkpoint_seconds",
        "data",
        "device",
        "epochs",
        "evaluate_every",
        "patience",
        "tensorboard",
        "weights",
        "workers",
    }
)
"""Of the recipe, what may change when a run is resumed: where things lie, how long to go on, what does the work."""


class RunFolder:
    """The files of a run, and which of its evaluations was the best.

    Args:
        path: New or empty, unless resumed.
        recipe: Of the run.
        classes: Names, in the order of the class scores.
        resume: Go on with the run that is here.
        provenance: For the card: what the weights came from.

    Raises:
        WeightsError: If there is nothing to resume, or the run here had another recipe.
        FileExistsError: If a run is here and is not to be resumed.
        OSError: If a file cannot be written.
    """

    BEST = "best.safetensors"

    def __init__(
        self, path: Path, recipe: Recipe, classes: tuple[str, ...], resume: bool, provenance: Mapping[str, str]
    ) -> None:
        self.checkpoint = path / "checkpoint.pt"
        self.last = path / "last.safetensors"
        self.best = path / self.BEST
        self.best_epoch = 0
        self._best_score = -1.0
        self._path = path
        self._table = path / "metrics.csv"
        self._provenance = dict(provenance)
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
        if recipe.tensorboard:
            check_tensorboard()
        write_atomically(path / "recipe.json", f"{text}\n".encode())

    def resume(self, trainer: Trainer) -> None:
        """Takes the trainer back to the checkpoint, and the table to the rows written before it."""
        try:
            trainer.resume(self.checkpoint)
        except (RuntimeError, KeyError, ValueError, UnpicklingError) as error:
            raise WeightsError(
                f"{self.checkpoint}: does not fit the classes of the data set, or is damaged; train without --resume"
            ) from error
        rows = [row for row in self._rows() if int(row["epoch"]) <= trainer.epoch]
        self._write_rows(rows)
        for row in rows:
            if row["ap50"] and (score := _score(float(row["ap50_95"]), float(row["ap50"]))) > self._best_score:
                self._best_score, self.best_epoch = score, int(row["epoch"])

    def still_improves(self, trainer: Trainer) -> bool:
        """Whether the recipe's patience lasts for another epoch."""
        return trainer.epoch - self.best_epoch < self._recipe.patience

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
        rows = [*self._rows(), row]
        self._write_rows(rows)
        draw_curves(rows, self._path / "curves.png")
        if self._recipe.tensorboard:
            add_to_tensorboard(row, self._path / "tensorboard")

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
            provenance=self._provenance | {"precision": trainer.precision, "processes": str(trainer.processes.count)},
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
