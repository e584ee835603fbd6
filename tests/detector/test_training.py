"""Training end to end on small drawn pictures: it learns, resumes exactly, and leaves weights that load."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from vidan.detector import DeviceError, WeightsError, load_model, read_card
from vidan.detector.data.augment import Augmentation
from vidan.detector.data.dataset import DetectionDataset
from vidan.detector.data.formats import load_dataset
from vidan.detector.evaluate import DetectionMetrics
from vidan.detector.train import DataError, EpochRecord, Recipe, fit, run_folder
from vidan.detector.train.loop import Trainer
from vidan.detector.yolo import load_detector

SIZE = (64, 96)
CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Bright squares on noise, four pictures, in YOLO format."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(4):
        picture = rng.integers(0, 60, (*SIZE, 3), dtype=np.uint8)
        x, y = 10 + 15 * i, 10 + 6 * i
        picture[y : y + 24, x : x + 24] = 255
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), picture)
        row = f"0 {(x + 12) / SIZE[1]} {(y + 12) / SIZE[0]} {24 / SIZE[1]} {24 / SIZE[0]}\n"
        (tmp_path / "labels" / f"{i}.txt").write_text(row)
    path = tmp_path / "data.yaml"
    path.write_text(
        "classes: [square]\ntrain: [{format: yolo, images: images}]\nval: [{format: yolo, images: images}]\n"
    )
    return path


def recipe_for(data: Path, **changes: object) -> Recipe:
    values: dict[str, object] = {
        "data": data,
        "model": "yolov9-t",
        "image_size": SIZE,
        "epochs": 2,
        "batch": 2,
        "nominal_batch": 2,
        "close_mosaic_epochs": 1,
        "workers": 0,
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "warmup_epochs": 0,
        "device": "cpu",
    }
    return Recipe.model_validate(values | changes)


def trainer_for(recipe: Recipe) -> Trainer:
    samples, classes = load_dataset(recipe.data, "train")
    dataset = DetectionDataset(samples, recipe.image_size, recipe.augmentation, recipe.seed)
    return Trainer(recipe, dataset, len(classes), CPU)


@pytest.mark.parametrize("pgi", ["none", "deep", "full"])
def test_a_network_learns_what_it_is_shown(data: Path, pgi: str) -> None:
    still = Augmentation(mosaic=0, scale=0, translate=0, hsv_h=0, hsv_s=0, hsv_v=0, fliplr=0)
    recipe = recipe_for(data, pgi=pgi, epochs=30, batch=4, schedule="constant", augmentation=still)
    trainer = trainer_for(recipe)
    for _ in range(recipe.epochs):
        trainer.train_one_epoch()
    pictures = torch.stack([image for image, _ in trainer.dataset]).float() / 255
    with torch.no_grad():  # in training mode: batch norms have seen too little for their running statistics
        maps = trainer.model(pictures)
    for i, prediction in enumerate(trainer.inference_network.head.decode(maps if pgi == "none" else maps[0])):
        cx, cy, w, h, _ = prediction[:, prediction[4].argmax()].tolist()
        assert (cx, cy, w, h) == pytest.approx((22 + 15 * i, 22 + 6 * i, 24, 24), abs=6)


def test_a_resumed_run_ends_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    recipe = recipe_for(data, nominal_batch=4)
    straight = trainer_for(recipe)
    straight.train_one_epoch()
    straight.save(tmp_path / "checkpoint.pt")
    straight.train_one_epoch()

    resumed = trainer_for(recipe)
    resumed.resume(tmp_path / "checkpoint.pt")
    assert resumed.epoch == 1
    resumed.train_one_epoch()
    expected = straight.average.model.state_dict()
    for name, value in resumed.average.model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_run_leaves_weights_records_and_a_card(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    output, told = tmp_path / "run", list[EpochRecord]()
    best = fit(recipe_for(data, licence="CC0", evaluate_every=2), output, on_epoch=told.append)
    assert {path.name for path in output.iterdir()} == {
        "recipe.json",
        "metrics.csv",
        "curves.png",
        "checkpoint.pt",
        "last.safetensors",
        "best.safetensors",
    }
    assert [record.metrics is not None for record in told] == [False, True]
    card = read_card(best)
    assert (card.model, card.classes, card.image_size, card.licence) == ("yolov9-t", ("square",), SIZE, "CC0")
    assert set(card.metrics) == {"ap50_95", "ap50", "ap75", "images", "epoch"}
    assert len((output / "metrics.csv").read_text().splitlines()) == 3
    image = np.zeros((*SIZE, 3), np.uint8)
    assert len(load_detector(best, runtime="torch").detect([image])) == 1


def test_a_run_is_not_overwritten_and_resumes_only_from_its_own_recipe(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    with pytest.raises(WeightsError, match="nothing to resume"):
        fit(recipe_for(data), output, resume=True)
    fit(recipe_for(data, epochs=1), output)
    with pytest.raises(FileExistsError, match="holds a training run already"):
        fit(recipe_for(data), output)
    before = (output / "recipe.json").read_bytes()
    with pytest.raises(WeightsError, match=r"another recipe \(learning_rate was 0.002, is 0.1\)"):
        fit(recipe_for(data, learning_rate=0.1), output, resume=True)
    assert (output / "recipe.json").read_bytes() == before
    moved = data.rename(data.with_name("moved.yaml"))
    told = list[EpochRecord]()
    fit(recipe_for(moved, evaluate_every=2), output, resume=True, on_epoch=told.append)
    assert [record.epoch for record in told] == [2]


def test_a_resumed_run_knows_its_best_score_to_the_last_digit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = DetectionMetrics(ap50_95=0.1 + 0.2, ap50=1 / 3, ap75=0.2, per_class={}, images=4, objects=4)
    monkeypatch.setattr(run_folder, "evaluate_detector", lambda *_: same)
    told = list[EpochRecord]()
    fit(recipe_for(data, epochs=1), tmp_path / "run", on_epoch=told.append)
    fit(recipe_for(data), tmp_path / "run", resume=True, on_epoch=told.append)
    assert [record.best for record in told] == [True, False]


def test_what_would_be_noticed_too_late_is_told_before_training(data: Path, tmp_path: Path) -> None:
    for label in (data.parent / "labels").iterdir():
        label.unlink()
    with pytest.raises(DataError, match="'val' show no object"):
        fit(recipe_for(data), tmp_path / "run")
    with pytest.raises(DeviceError, match="cuda:99"):
        fit(recipe_for(data, device="cuda:99"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 30, "patience": 5, "evaluate_every": 0}, "evaluate_every"),
        ({"epochs": 30, "patience": 5, "evaluate_every": 6}, "must be 1 to 5"),
        ({"device": "gpu"}, "device"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(data: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        recipe_for(data, **changes)
    recipe_for(data, epochs=30, patience=5, evaluate_every=5)
    recipe_for(data, epochs=18, evaluate_every=2)


def test_training_starts_from_weights_of_another_class_list(data: Path, tmp_path: Path) -> None:
    first = fit(recipe_for(data, epochs=1), tmp_path / "first")
    state = load_model(first)[0].state_dict()
    recipe = recipe_for(data, pgi="none")
    samples, _ = load_dataset(data, "train")
    trainer = Trainer(recipe, DetectionDataset(samples, SIZE, None, 0), 3, CPU)
    trainer.start_from(state)
    own = trainer.inference_network.state_dict()
    assert torch.equal(own["column.stem1.conv.weight"], state["column.stem1.conv.weight"])
    assert own["head.scores.0.2.weight"].shape[0] == 3, "the class branches are new"
    with pytest.raises(WeightsError, match="none of the 1 tensors"):
        trainer.start_from({"foreign": torch.zeros(1)})
