"""Exponential moving average of the weights: what is evaluated and saved."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn


class MovingAverage:
    """A slow copy of a model. Its decay grows with the updates, so that the first weights are soon forgotten.

    Args:
        model: The model that is trained.
        decay: Of the weights, in the long run.
        warmup_updates: Updates until the decay reaches 63 % of that.
    """

    def __init__(self, model: nn.Module, decay: float, warmup_updates: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.updates = 0
        self._decay = decay
        self._warmup_updates = warmup_updates

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Takes in the weights after an optimizer step; counters of batch norms are copied."""
        self.updates += 1
        decay = self._decay * (1 - math.exp(-self.updates / self._warmup_updates))
        current = model.state_dict()
        averages, values = [], []
        for name, average in self.model.state_dict().items():
            if average.dtype.is_floating_point:
                averages.append(average)
                values.append(current[name])
            else:
                average.copy_(current[name])
        # All at once: a network has about a thousand tensors, and a GPU takes longer to be told than to do it.
        torch._foreach_lerp_(averages, values, 1 - decay)  # pyright: ignore[reportPrivateImportUsage] (optimizers call it)
