"""The detection head: decoupled box and class branches, and the way from their maps to boxes and scores.

Box distances are distributions over bins (Generalized Focal Loss, arXiv 2006.04388): each side's distance in strides
is the expectation of a softmax over `REG_MAX` bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidan.detector.models.blocks import Conv

REG_MAX = 16
STRIDES = (8, 16, 32)


class IntegralKernel(nn.Module):
    """The fixed 1x1 convolution 0, 1, ..., REG_MAX - 1 that takes the expectation over the bins."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(REG_MAX, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.copy_(torch.arange(REG_MAX, dtype=torch.float32).view(1, REG_MAX, 1, 1))

    def forward(self, box_logits: Tensor) -> Tensor:
        """Distances (B, 4, A) in strides from logits (B, 4 * REG_MAX, A)."""
        batch, _, anchors = box_logits.shape
        bins = box_logits.view(batch, 4, REG_MAX, anchors).transpose(2, 1).softmax(1)
        return self.conv(bins).view(batch, 4, anchors)


class DetectHead(nn.Module):
    """One box and one class branch per level P3, P4, P5.

    Args:
        channels: Of the three input maps.
        classes: Number of classes.
        class_width: Hidden channels of the class branches; None takes the rule of the published configurations,
            ``max(channels[0], min(2 * classes, 128))``. The published t weights follow a narrower one.
    """

    def __init__(self, channels: Sequence[int], classes: int, class_width: int | None = None) -> None:
        super().__init__()
        first = channels[0]
        box_width = math.ceil(max(first // 4, 4 * REG_MAX, 16) / 4) * 4
        width = class_width if class_width is not None else max(first, min(2 * classes, 128))
        self.classes = classes
        self.class_width = width
        self.boxes = nn.ModuleList(_branch(c, box_width, 4 * REG_MAX, groups=4) for c in channels)
        self.scores = nn.ModuleList(_branch(c, width, classes, groups=1) for c in channels)
        self.dfl = IntegralKernel()
        self._set_initial_biases()

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Raw maps, per level (B, 4 * REG_MAX + classes, H, W): box bins (l, t, r, b), then class logits."""
        return [
            torch.cat((box(x), score(x)), 1) for x, box, score in zip(features, self.boxes, self.scores, strict=True)
        ]

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Predictions (B, 4 + classes, N) of all levels: cx, cy, w, h in input pixels, then scores 0..1."""
        flat = torch.cat([m.flatten(2) for m in maps], 2)
        box_logits, class_logits = flat.split((4 * REG_MAX, self.classes), 1)
        points, strides = anchor_points([(m.shape[2], m.shape[3]) for m in maps], flat)
        left_top, right_bottom = self.dfl(box_logits).chunk(2, 1)
        top_left, bottom_right = points.T - left_top, points.T + right_bottom
        boxes = torch.cat(((top_left + bottom_right) / 2, bottom_right - top_left), 1) * strides.T
        return torch.cat((boxes, class_logits.sigmoid()), 1)

    def _set_initial_biases(self) -> None:
        """Boxes start small, classes start rare: about 5 objects of all classes in a 640 px picture."""
        for box, score, stride in zip(self.boxes, self.scores, STRIDES, strict=True):
            for branch, value in ((box, 1.0), (score, math.log(5 / self.classes / (640 / stride) ** 2))):
                assert isinstance(branch, nn.Sequential)
                last = branch[-1]
                assert isinstance(last, nn.Conv2d)
                assert last.bias is not None
                nn.init.constant_(last.bias, value)


def anchor_points(sizes: Sequence[tuple[int, int]], like: Tensor) -> tuple[Tensor, Tensor]:
    """Cell centres of all levels, rows first.

    Args:
        sizes: (H, W) of each level's map.
        like: Gives device and dtype.

    Returns:
        Points (A, 2) x, y in strides and strides (A, 1) in pixels.
    """
    points, strides = [], []
    for (height, width), stride in zip(sizes, STRIDES, strict=True):
        y = torch.arange(height, device=like.device, dtype=like.dtype) + 0.5
        x = torch.arange(width, device=like.device, dtype=like.dtype) + 0.5
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        points.append(torch.stack((grid_x, grid_y), -1).view(-1, 2))
        strides.append(torch.full((height * width, 1), float(stride), device=like.device, dtype=like.dtype))
    return torch.cat(points), torch.cat(strides)


def _branch(c_in: int, width: int, c_out: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        Conv(c_in, width, 3), Conv(width, width, 3, groups=groups), nn.Conv2d(width, c_out, 1, groups=groups)
    )
