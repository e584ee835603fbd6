"""The training loss: complete IoU, distribution focal loss and binary cross-entropy, over one or two heads.

DFL: arXiv 2006.04388; the weighting of the auxiliary head: YOLOv9, arXiv 2402.13616.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidan.detector.models.heads import REG_MAX, STRIDES, anchor_points
from vidan.detector.train.assigner import assign
from vidan.detector.train.ciou import ciou

BOX_GAIN, CLASS_GAIN, DFL_GAIN = 7.5, 0.5, 1.5
AUXILIARY_WEIGHT = 0.25


@dataclass(frozen=True, slots=True)
class Loss:
    """Scalars, gains included; `total` is the sum times the batch size, the thing to minimise."""

    total: Tensor
    box: Tensor
    cls: Tensor
    dfl: Tensor


def detection_loss(
    heads: Sequence[Sequence[Tensor]],
    targets: Tensor,
    weights: Sequence[float] = (1.0, AUXILIARY_WEIGHT),
    everywhere: Callable[[Tensor], Tensor] = lambda value: value,
) -> Loss:
    """The loss of all heads, each with an assignment from its own predictions.

    Args:
        heads: Per head (main first) the raw maps (B, 4 * REG_MAX + C, H, W) of the three levels.
        targets: (K, 6) image index, class, cx, cy, w, h as fractions of the input.
        weights: Of the heads.
        everywhere: Sums a value over all processes that share the batch; each then gets its share of the whole loss.
    """
    batch, height, width = heads[0][0].shape[0], heads[0][0].shape[2], heads[0][0].shape[3]
    size = torch.tensor([width, height], device=targets.device, dtype=heads[0][0].dtype) * STRIDES[0]
    gt_classes, gt_boxes = padded_targets(targets, batch, size)
    parts = torch.stack(
        [
            weight * _head_loss(maps, gt_classes, gt_boxes, everywhere)
            for maps, weight in zip(heads, weights, strict=False)
        ]
    ).sum(0)
    box, cls, dfl = parts * parts.new_tensor([BOX_GAIN, CLASS_GAIN, DFL_GAIN])
    return Loss((box + cls + dfl) * batch, box, cls, dfl)


def padded_targets(targets: Tensor, batch: int, size: Tensor) -> tuple[Tensor, Tensor]:
    """Classes (B, M) and xyxy pixels (B, M, 4), rows of zeros where an image has fewer than M objects.

    Args:
        targets: (K, 6) image index, class, cx, cy, w, h as fractions.
        batch: Number of images B.
        size: (2,) width, height of the input in pixels.
    """
    image = targets[:, 0].long()
    counts = torch.bincount(image, minlength=batch)
    most = int(counts.max()) if len(targets) else 0
    classes = torch.zeros(batch, most, dtype=torch.long, device=targets.device)
    boxes = torch.zeros(batch, most, 4, dtype=size.dtype, device=targets.device)
    order = torch.argsort(image, stable=True)
    first = torch.cumsum(counts, 0) - counts
    row = torch.arange(len(targets), device=targets.device) - first[image[order]]
    centre, half = targets[order, 2:4].to(size.dtype) * size, targets[order, 4:6].to(size.dtype) * size / 2
    classes[image[order], row] = targets[order, 1].long()
    boxes[image[order], row] = torch.cat((centre - half, centre + half), 1)
    return classes, boxes


def distribution_focal_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy to the two bins around each distance, mean over the four sides.

    Args:
        logits: (P, 4, REG_MAX).
        distances: (P, 4) in strides, clamped to what the bins can say.

    Returns:
        (P,).
    """
    distances = distances.clamp(0, REG_MAX - 1 - 0.01)
    lower = distances.floor()
    share = distances - lower
    log_probabilities = logits.log_softmax(-1)
    at_lower = log_probabilities.gather(-1, lower.long()[..., None]).squeeze(-1)
    at_upper = log_probabilities.gather(-1, lower.long()[..., None] + 1).squeeze(-1)
    return -((1 - share) * at_lower + share * at_upper).mean(-1)


def decode_boxes(box_logits: Tensor, points: Tensor) -> Tensor:
    """Boxes (B, A, 4) xyxy in strides from bin logits (B, A, 4 * REG_MAX) and anchor centres (A, 2) in strides."""
    batch, anchors, _ = box_logits.shape
    bins = torch.arange(REG_MAX, device=box_logits.device, dtype=box_logits.dtype)
    distances = box_logits.view(batch, anchors, 4, REG_MAX).softmax(-1) @ bins
    return torch.cat((points - distances[..., :2], points + distances[..., 2:]), -1)


def _head_loss(
    maps: Sequence[Tensor], gt_classes: Tensor, gt_boxes: Tensor, everywhere: Callable[[Tensor], Tensor]
) -> Tensor:
    """Box, class and DFL loss of one head, without gains: (3,)."""
    flat = torch.cat([m.flatten(2) for m in maps], 2).transpose(1, 2)  # [B,A,64+C]
    box_logits, class_logits = flat.split((4 * REG_MAX, flat.shape[2] - 4 * REG_MAX), 2)
    points, strides = anchor_points([(m.shape[2], m.shape[3]) for m in maps], flat)
    boxes = decode_boxes(box_logits, points)

    valid = gt_boxes.sum(-1) > 0
    wanted = assign(
        class_logits.detach().sigmoid(), boxes.detach() * strides, points * strides, gt_classes, gt_boxes, valid
    )
    total = everywhere(wanted.scores.sum()).clamp(min=1)
    cls = F.binary_cross_entropy_with_logits(class_logits, wanted.scores, reduction="sum") / total
    if not wanted.positive.any():
        nothing = flat.sum() * 0
        return torch.stack((nothing, cls, nothing))

    weight = wanted.scores.sum(-1)[wanted.positive]
    gt = (wanted.boxes / strides)[wanted.positive]
    box = ((1 - ciou(boxes[wanted.positive], gt)) * weight).sum() / total
    centres = points.expand(len(flat), -1, -1)[wanted.positive]
    distances = torch.cat((centres - gt[:, :2], gt[:, 2:] - centres), 1)
    logits = box_logits[wanted.positive].view(-1, 4, REG_MAX)
    dfl = (distribution_focal_loss(logits, distances) * weight).sum() / total
    return torch.stack((box, cls, dfl))
