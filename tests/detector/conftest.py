"""Weights and images from a formula, so that networks can be compared with published reference numbers anywhere."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from vidan.detector.models.keymap import canonical_names

FIXTURES = Path(__file__).parents[1] / "fixtures"


def seeded_tensor(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The value of a state entry, drawn from a generator that the canonical name seeds."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.Generator(np.random.PCG64(seed))
    last = name.rpartition(".")[2]
    if last == "num_batches_tracked":
        value = np.zeros(shape)
    elif last == "running_mean":
        value = 0.1 * rng.standard_normal(shape)
    elif last == "running_var":
        value = rng.uniform(0.5, 1.5, shape)
    elif ".dfl" in name:
        value = np.arange(math.prod(shape)).reshape(shape)
    elif len(shape) == 4:
        gain = 1.0 if name.endswith(".conv.weight") else 3.0
        value = gain * rng.standard_normal(shape) * math.sqrt(1.3 / math.prod(shape[1:]))
    elif last == "weight":
        value = rng.uniform(0.8, 1.2, shape)
    else:
        value = 0.5 * rng.standard_normal(shape)
    return np.asarray(value, np.float32)


@pytest.fixture(scope="session")
def seed_weights() -> Callable[[nn.Module], nn.Module]:
    """Fills a network with the seeded weights."""

    def fill(model: nn.Module) -> nn.Module:
        state = model.state_dict()
        names = canonical_names(model)
        model.load_state_dict(
            {own: torch.from_numpy(seeded_tensor(names[own], tuple(state[own].shape))) for own in state}
        )
        return model

    return fill


@pytest.fixture(scope="session")
def waves() -> Callable[[int, int, int], torch.Tensor]:
    """Images (B, 3, H, W) in 0..1 of waves on a checkerboard."""

    def draw(height: int, width: int, batch: int = 1) -> torch.Tensor:
        y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        flipped = (x // 40 + y // 24) % 2 == 1
        images = np.empty((batch, 3, height, width))
        for b in range(batch):
            for c in range(3):
                wave = np.sin(2 * np.pi * ((c + 1) * x / 64 + y / 96 + 0.13 * b))
                wave += np.cos(2 * np.pi * ((c + 2) * y / 80 - x / 128 - 0.29 * b))
                value = 0.5 + 0.25 * wave
                images[b, c] = np.where(flipped, 1 - value, value)
        return torch.from_numpy(images.astype(np.float32))

    return draw
