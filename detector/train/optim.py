"""Parameter groups, and what changes with every iteration: learning rates, momentum, accumulation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from vidan.detector.train.recipe import Recipe

SHORTEST_WARMUP = 100  # iterations


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Biases, convolution weights, batch-norm scales, in this order; only the weights decay."""
    biases: list[nn.Parameter] = []
    weights: list[nn.Parameter] = []
    scales: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name == "bias":
                biases.append(parameter)
            elif isinstance(module, nn.BatchNorm2d):
                scales.append(parameter)
            else:
                weights.append(parameter)
    return [
        {"params": biases, "weight_decay": 0.0},
        {"params": weights, "weight_decay": weight_decay},
        {"params": scales, "weight_decay": 0.0},
    ]


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; weight decay follows the number of images that one step really sees."""
    accumulate = max(round(recipe.nominal_batch / recipe.batch), 1)
    groups = parameter_groups(model, recipe.weight_decay * recipe.batch * accumulate / recipe.nominal_batch)
    fused = next(model.parameters()).is_cuda  # one kernel instead of a dozen; on CPUs it would round otherwise
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999), fused=fused)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True, fused=fused)


@dataclass(frozen=True, slots=True)
class Pace:
    """What holds at one iteration.

    Attributes:
        bias_rate: Learning rate of the biases.
        rate: Learning rate of everything else.
        momentum: Of the optimizer.
        accumulate: Iterations per optimizer step.
    """

    bias_rate: float
    rate: float
    momentum: float
    accumulate: int


def pace(recipe: Recipe, iteration: int, batches_per_epoch: int) -> Pace:
    """The pace at an iteration, counted from the start of the run.

    As in the published training, the schedule advances at the end of an epoch: an epoch that begins after the warm-up
    runs at the rate of the epoch before it, while the warm-up itself aims at the rate of its own epoch.
    """
    epoch = iteration // batches_per_epoch
    warmup = max(round(recipe.warmup_epochs * batches_per_epoch), SHORTEST_WARMUP) if recipe.warmup_epochs else -1
    lag = 1 if epoch * batches_per_epoch > warmup and epoch > 0 else 0
    rate = recipe.learning_rate * schedule_factor(recipe, epoch - lag)
    if iteration > warmup:
        return Pace(rate, rate, recipe.momentum, max(round(recipe.nominal_batch / recipe.batch), 1))
    done = iteration / warmup
    return Pace(
        bias_rate=recipe.warmup_bias_rate + done * (rate - recipe.warmup_bias_rate),
        rate=done * rate,
        momentum=recipe.warmup_momentum + done * (recipe.momentum - recipe.warmup_momentum),
        accumulate=max(round(1 + done * (recipe.nominal_batch / recipe.batch - 1)), 1),
    )


def schedule_factor(recipe: Recipe, epoch: int) -> float:
    """Share of the first learning rate in an epoch, from 1 down to `final_factor`."""
    done, final = epoch / recipe.epochs, recipe.final_factor
    match recipe.schedule:
        case "linear":
            return (1 - done) * (1 - final) + final
        case "cosine":
            return (1 + math.cos(math.pi * done)) / 2 * (1 - final) + final
        case "flat-cosine":
            return 1.0 if done < 0.5 else (1 + math.cos(math.pi * (2 * done - 1))) / 2 * (1 - final) + final
        case "constant":
            return 1.0


def apply_pace(optimizer: torch.optim.Optimizer, pace: Pace) -> None:
    """Sets learning rates and momentum; the first group holds the biases."""
    for i, group in enumerate(optimizer.param_groups):
        group["lr"] = pace.bias_rate if i == 0 else pace.rate
        if "momentum" in group:
            group["momentum"] = pace.momentum
        else:
            group["betas"] = (pace.momentum, group["betas"][1])
