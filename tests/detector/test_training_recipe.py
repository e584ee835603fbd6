"""What a recipe can ask of a training: frozen stages, other classes, sizes, precisions; and several processes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

from vidan.detector import load_model, read_card
from vidan.detector.data.dataset import DetectionDataset
from vidan.detector.data.formats import load_dataset
from vidan.detector.train import EpochRecord, Recipe, RecipeError, fit
from vidan.detector.train.loop import EpochLosses, Trainer
from vidan.detector.train.order import EpochOrder
from vidan.detector.train.start import matching_classes
from vidan.pipeline.cli.training_table import TrainingTable

SIZE = (64, 64)
CPU = torch.device("cpu")

KILLED = """
import os, signal, sys
from pathlib import Path
from vidan.detector.train import Recipe, fit

def die(step, steps, losses):
    done.append(step)
    if len(done) == 7:
        os.kill(os.getpid(), signal.SIGKILL)

done = []
fit(Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2]), on_step=die)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Squares and bars on noise, eight pictures, in YOLO format."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(8):
        picture = rng.integers(0, 60, (*SIZE, 3), dtype=np.uint8)
        x, y, width = 4 + 4 * i, 10 + 2 * i, (24, 12)[i % 2]
        picture[y : y + 24, x : x + width] = 255
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), picture)
        row = f"{i % 2} {(x + width / 2) / 64} {(y + 12) / 64} {width / 64} {24 / 64}\n"
        (tmp_path / "labels" / f"{i}.txt").write_text(row)
    return write_data_file(tmp_path / "data.yaml", ["square", "bar"])


def write_data_file(path: Path, classes: list[str]) -> Path:
    parts = [{"format": "yolo", "images": "images"}]
    path.write_text(yaml.safe_dump({"classes": classes, "train": parts, "val": parts}))
    return path


def recipe_for(data: Path, **changes: object) -> Recipe:
    values: dict[str, object] = {
        "data": data,
        "model": "yolov9-t",
        "pgi": "none",
        "gelan": {"block": "res", "block_depth": 1, "elan_depth": 1},  # quick
        "image_size": SIZE,
        "epochs": 2,
        "batch": 4,
        "nominal_batch": 4,
        "close_mosaic_epochs": 1,
        "workers": 0,
        "optimizer": "adamw",
        "learning_rate": 0.001,
        "warmup_epochs": 0,
        "evaluate_every": 0,
        "device": "cpu",
    }
    return Recipe.model_validate(values | changes)


def trainer_for(recipe: Recipe, class_width: int | None = None) -> Trainer:
    samples, classes = load_dataset(recipe.data, "train")
    dataset = DetectionDataset(samples, recipe.image_size, recipe.augmentation, recipe.seed)
    return Trainer(recipe, dataset, len(classes), CPU, class_width=class_width)


def test_a_run_killed_in_an_epoch_ends_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    """Four iterations an epoch, a step of the optimizer every third: killed in the second, one after a step."""
    recipe = recipe_for(data, batch=2, nominal_batch=6, multi_scale=0.5, checkpoint_seconds=1e-6, workers=1)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(recipe, whole)
    ended = subprocess.run([sys.executable, "-c", KILLED, recipe.model_dump_json(), str(cut)], check=False)
    assert ended.returncode == -9
    saved = torch.load(cut / "checkpoint.pt", weights_only=True)
    assert (saved["epoch"], saved["step"]) == (1, 2)
    fit(recipe, cut, resume=True)
    for name in ("last.safetensors", "best.safetensors"):
        expected = load_file(whole / name)
        for key, value in load_file(cut / name).items():
            assert torch.equal(value, expected[key]), key
    assert _without_times(cut) == _without_times(whole)


def test_two_processes_train_as_one_with_the_whole_batch(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    values = recipe_for(data, pgi="deep", optimizer="sgd").model_dump(mode="json", exclude_defaults=True)
    recipe.write_text(yaml.safe_dump(values))
    train = ["-m", "vidan.pipeline.cli.main", "train", str(recipe), "--output"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    told = [_run([*launcher, *train, str(tmp_path / folder)]) for launcher, folder in (([], "one"), (torchrun, "two"))]
    assert [each.returncode for each in told] == [0, 0], told[1].stderr
    one, two = (np.array(_without_times(tmp_path / folder), dtype=float) for folder in ("one", "two"))
    np.testing.assert_allclose(two[:, :4], one[:, :4], rtol=1e-3)
    assert told[1].stdout.count("epoch 2/2") == 1, "only the leading process talks"
    assert read_card(tmp_path / "two" / "best.safetensors").provenance["processes"] == "2"
    first, second = (load_file(tmp_path / folder / "last.safetensors") for folder in ("one", "two"))
    moved = max((first[name].float() - second[name].float()).abs().max().item() for name in first)
    assert moved < 2e-3


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_every_batch_and_a_resumed_epoch_gives_its_rest(processes: int) -> None:
    orders = [EpochOrder(10, 6, seed=3, rank=rank, processes=processes) for rank in range(processes)]
    for order in orders:
        order.start(epoch=2)
    shares = [list(order) for order in orders]
    seen = sorted(index for share in shares for batch in share for index in batch)
    assert sorted(set(seen)) == list(range(10))
    assert len(seen) == 6 + (4 if processes < 3 else 6), "the last batch is filled up to be even"
    orders[0].start(epoch=2, first_batch=1)
    assert list(orders[0]) == shares[0][1:]
    assert len(orders[0]) == 1
    with pytest.raises(RecipeError, match="multiple of the number of processes"):
        EpochOrder(10, 5, 0, 0, 2)


def test_frozen_stages_stay_as_they_are(data: Path) -> None:
    trainer = trainer_for(recipe_for(data, pgi="full", freeze=["column", "neck.top_down"]))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train_one_epoch()
    frozen = ("main.column.", "main.neck.top_down.")
    for name, value in trainer.model.state_dict().items():
        if name.startswith(frozen):
            assert torch.equal(value, before[name]), name
    assert not torch.equal(
        trainer.model.state_dict()["main.neck.down4.cv1.conv.weight"], before["main.neck.down4.cv1.conv.weight"]
    )
    with pytest.raises(RecipeError, match=r"no stage 'colum'; the largest are column, neck, head"):
        trainer_for(recipe_for(data, freeze=["colum"]))


def test_fine_tuning_keeps_the_classes_that_both_know_whatever_their_order_and_name(data: Path, tmp_path: Path) -> None:
    first = fit(recipe_for(data, epochs=1), tmp_path / "first")
    state, card = load_model(first)[0].state_dict(), read_card(first)
    other = write_data_file(tmp_path / "other.yaml", ["disc", "box", "bar"])
    still = recipe_for(other, weights=first, classes_from={"box": "square"}, epochs=1, learning_rate=1e-12)
    second = fit(still, tmp_path / "second")
    tuned = load_model(second)[0].state_dict()
    scores = "head.scores.1.2.weight"
    torch.testing.assert_close(tuned[scores][1:], state[scores], rtol=0, atol=1e-3)
    assert not torch.allclose(tuned[scores][0], state[scores][0], atol=1e-3)
    assert tuned["head.scores.1.0.conv.weight"].shape == state["head.scores.1.0.conv.weight"].shape
    assert read_card(second).class_width == card.class_width
    assert read_card(second).provenance["started_from"].startswith("best.safetensors, SHA-256 ")
    with pytest.raises(RecipeError, match=r"has no class 'squar'; did you mean 'square'\?"):
        matching_classes(("box",), card.classes, {"box": "squar"}, "demo")


def test_batches_change_their_size_if_asked_for(data: Path) -> None:
    trainer = trainer_for(recipe_for(data, multi_scale=0.5, batch=2))
    seen = _sizes_of_inputs(trainer)
    assert len(set(seen)) > 1
    assert all(side % 32 == 0 and 32 <= side <= 96 for size in seen for side in size)
    again = trainer_for(recipe_for(data, multi_scale=0.5, batch=2))
    assert _sizes_of_inputs(again) == seen


def test_mixed_precision_trains_to_nearly_the_same_losses(data: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        trainer = trainer_for(recipe_for(data, precision=precision, epochs=1, close_mosaic_epochs=0))
        losses[precision] = trainer.train_one_epoch()
    assert losses["bf16"].box == pytest.approx(losses["fp32"].box, rel=0.05)
    assert losses["bf16"].box != losses["fp32"].box
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())


@pytest.mark.parametrize("pgi", ["none", "deep", "full"])
def test_weights_hold_nothing_of_the_auxiliary_branch_and_answer_as_in_training(
    data: Path, tmp_path: Path, pgi: str
) -> None:
    recipe = recipe_for(data, pgi=pgi, epochs=1, gelan={"block": "dark", "block_depth": 1, "elan_depth": 1})
    trained = fit(recipe, tmp_path / "run")
    model, card = load_model(trained)
    assert card.variant == recipe.gelan
    assert not any("auxiliary" in name for name in load_file(trained))
    trainer = trainer_for(recipe)
    trainer.resume(tmp_path / "run" / "checkpoint.pt")
    images = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        answer = trainer.average.model.half().float()(images)  # weights are kept in half precision
        torch.testing.assert_close(model(images), answer, rtol=1e-5, atol=1e-5)


def test_a_run_draws_its_curves_for_people_and_for_tensorboard(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(recipe_for(data, epochs=2, tensorboard=True), tmp_path / "run")
    assert cv2.imread(str(tmp_path / "run" / "curves.png")) is not None
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [scalar.step for scalar in events.Scalars("loss/box")] == [1, 2]
    assert [scalar.step for scalar in events.Scalars("score/ap50")] == [2], "only the last epoch was evaluated"


def test_the_table_of_a_training_shows_finished_epochs_and_the_running_one() -> None:
    table = TrainingTable()
    table.on_step(1, 4, torch.tensor([9.0, 8.0, 7.0]))
    table.on_epoch(EpochRecord(1, 3, EpochLosses(1.5, 2.5, 3.5, 0.01, 60.0), None, False))
    table.on_step(2, 4, torch.tensor([1.25, 2.0, 3.0]))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table.render())
    told = console.export_text()
    assert "1/3" in told
    assert "1.500" in told
    assert "1.250" in told
    assert "batch 2 of 4" in told
    assert "9.000" not in told


def _sizes_of_inputs(trainer: Trainer) -> list[tuple[int, ...]]:
    seen: list[tuple[int, ...]] = []

    def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(tuple(inputs[0].shape[2:]))

    trainer.model.register_forward_pre_hook(note)
    trainer.train_one_epoch()
    return seen


def _without_times(run: Path) -> list[list[str]]:
    """The rows of metrics.csv, without seconds and what was not evaluated."""
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    return [[value or "0" for value in row[:5] + row[6:]] for row in rows]


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True, env=environment)
