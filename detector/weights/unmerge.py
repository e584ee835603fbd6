"""Gives merged weights back the shape of the training graph, in which we store all weights.

A convolution with its batch norm folded in becomes the same convolution before a batch norm that only adds the bias; a
merged RepConv becomes its 3x3 branch beside a 1x1 branch of zeros. The network computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def unmerge(state: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """The state with all that is merged or folded taken apart; a state with nothing merged comes back as it is.

    Args:
        state: Values by canonical name.
        shapes: Of all entries of the network that is not merged.
    """
    spread = dict(state)
    for name in shapes:
        block = name.removesuffix(".conv1.conv.weight")
        if block != name and {f"{block}.conv.weight", f"{block}.conv.bias"} <= spread.keys():
            kernel, bias = spread.pop(f"{block}.conv.weight"), spread.pop(f"{block}.conv.bias")
            spread |= {
                f"{block}.conv1.conv.weight": kernel,
                f"{block}.conv1.conv.bias": bias,
                f"{block}.conv2.conv.weight": np.zeros(shapes[f"{block}.conv2.conv.weight"], kernel.dtype),
                f"{block}.conv2.conv.bias": np.zeros_like(bias),
            }
    for name in shapes:
        block = name.removesuffix(".bn.bias")
        if block != name and f"{block}.conv.bias" in spread:
            norm = _neutral_norm(spread.pop(f"{block}.conv.bias"))
            spread |= {f"{block}.bn.{entry}": value for entry, value in norm.items()}
    return spread


def _neutral_norm(bias: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """State of a batch norm that adds `bias` and does nothing else."""
    from vidan.detector.models.blocks import BATCH_NORM_EPS

    return {
        "weight": np.ones_like(bias),
        "bias": bias,
        "running_mean": np.zeros_like(bias),
        # rounding this to half precision costs 1e-5 of scale; a weight of sqrt(1 + eps) would cost 5e-4
        "running_var": np.full_like(bias, 1 - BATCH_NORM_EPS),
        "num_batches_tracked": np.zeros((), np.int64),
    }
