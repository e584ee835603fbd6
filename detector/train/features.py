"""How much of a picture is still in the feature maps of a network, at growing depth (arXiv 2402.13616, fig. 2 and 6).

Networks of random weights differ by their block alone: 48 channels, which is what a patch of 4x4 RGB pixels has, and
two 3x3 convolutions a block. A linear decoder from the 3x3 neighbourhood of a cell to the pixels of its patch is fitted
on one half of the picture's cells; the share of the variance that it explains on the other half is what was
*recovered*: 1 is the whole picture, 0 is no more than its mean colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vidan.detector.models.blocks import ELAN1, Conv, RepNCSP
from vidan.detector.weights.checkpoint import load_model

PATCH = 4
CHANNELS = 3 * PATCH**2
TRAINED_PATCH = 8  # of trained networks, whose maps are smaller
RIDGE = 1e-3  # of the mean variance of a feature


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """What one depth of one network shows.

    Attributes:
        network: Name of a block or a weights file.
        depth: Number of blocks, or the stride of the map of a trained network.
        recovered: Share of the picture's variance, 0..1.
        energy: (H, W) float32 mean absolute activation over the channels.
    """

    network: str
    depth: int
    recovered: float
    energy: NDArray[np.float32]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(Conv(channels, channels, 3), Conv(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Sequential(Conv(CHANNELS, CHANNELS, 3), Conv(CHANNELS, CHANNELS, 3)),
    "residual": lambda: _Residual(CHANNELS),
    "csp": lambda: RepNCSP(CHANNELS, CHANNELS, 1),
    "gelan": lambda: ELAN1(CHANNELS, CHANNELS, CHANNELS, CHANNELS // 2),
}
"""One block of each network."""


@torch.no_grad()
def random_features(image: NDArray[np.uint8], depths: Sequence[int], seed: int = 0) -> list[FeatureMap]:
    """The maps of every network of `NETWORKS` at each depth, with random weights.

    Args:
        image: (H, W, 3) uint8 RGB, H and W multiples of 4.
        depths: Rising numbers of blocks.
        seed: Of the weights.
    """
    pixels = _as_tensor(image)
    wanted = F.pixel_unshuffle(pixels, PATCH)
    found = []
    for name, block in NETWORKS.items():
        torch.manual_seed(seed)
        x = Conv(CHANNELS, CHANNELS).train()(wanted)
        for depth in range(1, depths[-1] + 1):
            x = block().train()(x)  # in training mode: batch norms take the statistics of this picture
            if depth in depths:
                found.append(FeatureMap(name, depth, recovered_share(x, wanted), _energy(x)))
    return found


@torch.no_grad()
def trained_features(image: NDArray[np.uint8], weights: Path) -> list[FeatureMap]:
    """The maps of a trained backbone at strides 8, 16 and 32; colours count as means of 8x8 pixels.

    Args:
        image: (H, W, 3) uint8 RGB, H and W multiples of 32.
        weights: A file of ours.

    Raises:
        WeightsError: If the weights cannot be used.
    """
    model, _ = load_model(weights)
    pixels = _as_tensor(image)
    coarse = F.avg_pool2d(pixels, TRAINED_PATCH)
    found = []
    for x, stride in zip(model.column(pixels)[2:], (8, 16, 32), strict=True):
        wanted = F.pixel_unshuffle(coarse, stride // TRAINED_PATCH)
        found.append(FeatureMap(weights.stem, stride, recovered_share(x, wanted, kernel=1), _energy(x)))
    return found


def recovered_share(features: Tensor, wanted: Tensor, kernel: int = 3) -> float:
    """Share of the variance of `wanted` that a linear decoder explains on cells that it was not fitted on.

    Tiles of 4x4 cells take turns like the fields of a chessboard: one colour to fit on, the other to judge by.

    Args:
        features: (1, C, H, W).
        wanted: (1, K, H, W).
        kernel: Side of the neighbourhood that the decoder sees.
    """
    _, _, height, width = features.shape
    seen = F.unfold(features, kernel, padding=kernel // 2)[0].T.double()
    target = wanted.flatten(2)[0].T.double()
    fields = (torch.arange(height)[:, None] // 4 + torch.arange(width)[None] // 4) % 2
    fitted = fields.flatten() == 0
    mean, target_mean = seen[fitted].mean(0), target[fitted].mean(0)
    x, y = seen - mean, target - target_mean
    gram = x[fitted].T @ x[fitted]
    ridge = RIDGE * gram.diagonal().mean().clamp(min=1e-12)
    decoder = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), x[fitted].T @ y[fitted])
    rest = y[~fitted]
    error = (rest - x[~fitted] @ decoder).square().sum()
    variance = (rest - rest.mean(0)).square().sum()
    return float((1 - error / variance).clamp(0, 1))


def _as_tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float() / 255


def _energy(features: Tensor) -> NDArray[np.float32]:
    return features.abs().mean(1)[0].numpy()
