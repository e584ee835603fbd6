"""Schedule, parameter groups and moving average against reference numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vidan.detector.models.zoo import MODEL_NAMES, build_model
from vidan.detector.train.ema import MovingAverage
from vidan.detector.train.optim import apply_pace, build_optimizer, pace, parameter_groups
from vidan.detector.train.recipe import Recipe

REFERENCE = json.loads((Path(__file__).parents[1] / "fixtures" / "yolov9_schedule.json").read_text())


@pytest.mark.parametrize("case", REFERENCE["schedules"], ids=lambda case: f"{case['schedule']}-{case['batch']}")
def test_learning_rates_momentum_and_accumulation_follow_the_published_schedule(case: dict[str, Any]) -> None:
    recipe = Recipe(
        data=Path("data.yaml"),
        epochs=case["epochs"],
        batch=case["batch"],
        schedule=case["schedule"].replace("_", "-"),
        close_mosaic_epochs=0,
    )
    for iteration, _, bias_rate, rate, momentum, accumulate, _ in case["rows"]:
        now = pace(recipe, iteration, case["batches_per_epoch"])
        found = (now.bias_rate, now.rate, now.momentum, now.accumulate)
        assert found == pytest.approx((bias_rate, rate, momentum, accumulate), abs=2e-6), iteration
    accumulate = max(round(recipe.nominal_batch / recipe.batch), 1)
    decay = recipe.weight_decay * recipe.batch * accumulate / recipe.nominal_batch
    assert decay == pytest.approx(case["scaled_weight_decay"])


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_only_convolution_weights_decay(name: str) -> None:
    model = build_model(name, 80, "full" if name.startswith("yolov9") else "none")
    groups = parameter_groups(model, 5e-4)
    for group, wanted in zip(groups, REFERENCE["groups"][name], strict=True):
        parameters = group["params"]
        assert isinstance(parameters, list)
        found = (len(parameters), sum(p.numel() for p in parameters), group["weight_decay"])
        assert found == (wanted["tensors"], wanted["elements"], wanted["weight_decay"])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_pace_reaches_the_optimizer(optimizer: str) -> None:
    recipe = Recipe.model_validate({"data": "data.yaml", "optimizer": optimizer})
    built = build_optimizer(build_model("gelan-t", 1), recipe)
    now = pace(recipe, 5, 100)
    apply_pace(built, now)
    assert [group["lr"] for group in built.param_groups] == [now.bias_rate, now.rate, now.rate]
    momenta = [group["momentum"] if optimizer == "sgd" else group["betas"][0] for group in built.param_groups]
    assert momenta == [now.momentum] * 3


@pytest.mark.parametrize("updates", ["1", "10", "100", "1000"])
def test_the_decay_of_the_average_grows_as_published(updates: str) -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = MovingAverage(model, 0.9999, 2000)
    average.updates = int(updates) - 1
    nn.init.ones_(model.weight)
    average.update(model)
    kept = 1 - average.model.get_parameter("weight").item()
    assert kept == pytest.approx(REFERENCE["ema_decay"][updates], abs=1e-6)


def test_the_average_takes_over_the_statistics_of_batch_norms() -> None:
    model = nn.BatchNorm2d(2)
    average = MovingAverage(model, 0.0, 1)
    model(torch.randn(4, 2, 3, 3))
    average.update(model)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(average.model.state_dict()[name], value)
