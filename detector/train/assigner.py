"""Task-aligned assignment of anchors to objects (TOOD, arXiv 2108.07755, sec. 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidan.detector.train.ciou import ciou

TOP_K = 10
ALPHA = 0.5  # exponent of the class score
BETA = 6.0  # exponent of the overlap
_EPS = 1e-9


@dataclass(frozen=True, slots=True)
class Assignment:
    """What each anchor has to predict.

    Attributes:
        positive: (B, A) bool, anchors that answer for an object.
        boxes: (B, A, 4) xyxy of the object of each positive anchor, arbitrary elsewhere.
        scores: (B, A, C) wanted class scores: soft, zero for negatives.
    """

    positive: Tensor
    boxes: Tensor
    scores: Tensor


@torch.no_grad()
def assign(
    scores: Tensor, boxes: Tensor, points: Tensor, gt_classes: Tensor, gt_boxes: Tensor, gt_valid: Tensor
) -> Assignment:
    """Gives every object the anchors that already predict it best, by class score and overlap together.

    Args:
        scores: (B, A, C) predicted class scores, 0..1.
        boxes: (B, A, 4) predicted xyxy, pixels.
        points: (A, 2) anchor centres, pixels.
        gt_classes: (B, M) int64.
        gt_boxes: (B, M, 4) xyxy, pixels.
        gt_valid: (B, M) bool, False for padding rows.
    """
    if gt_boxes.shape[1] == 0:
        return Assignment(torch.zeros_like(boxes[..., 0], dtype=torch.bool), boxes, torch.zeros_like(scores))
    inside = _inside(points, gt_boxes) & gt_valid[..., None]  # [B,M,A]
    overlaps = ciou(gt_boxes[:, :, None], boxes[:, None]).clamp(min=0)  # [B,M,A], outside the objects too
    class_scores = scores.transpose(1, 2).gather(1, gt_classes[..., None].expand(-1, -1, scores.shape[1]))
    metric = class_scores**ALPHA * overlaps**BETA  # [B,M,A]

    candidates = _top_candidates(metric * inside) & inside
    candidates = _resolve_conflicts(candidates, overlaps)
    positive = candidates.any(1)
    owner = candidates.to(torch.uint8).argmax(1)  # [B,A] row of the object

    metric, overlaps = metric * candidates, overlaps * candidates
    best_metric, best_overlap = metric.amax(2, keepdim=True), overlaps.amax(2, keepdim=True)
    strength = (metric * best_overlap / (best_metric + _EPS)).amax(1)  # [B,A]

    target_scores = torch.zeros_like(scores)
    target_classes = gt_classes.gather(1, owner)
    target_scores.scatter_(2, target_classes[..., None], (strength * positive)[..., None])
    target_boxes = gt_boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assignment(positive, target_boxes, target_scores)


def _inside(points: Tensor, gt_boxes: Tensor) -> Tensor:
    """(B, M, A) bool: the anchor centre lies strictly inside the object."""
    left_top = points[None, None] - gt_boxes[:, :, None, :2]
    right_bottom = gt_boxes[:, :, None, 2:] - points[None, None]
    return torch.cat((left_top, right_bottom), -1).amin(-1) > _EPS


def _top_candidates(metric: Tensor) -> Tensor:
    """(B, M, A) bool: the `TOP_K` anchors of each object with the largest metric."""
    top = metric.topk(min(TOP_K, metric.shape[2]), dim=2).indices
    return torch.zeros_like(metric, dtype=torch.bool).scatter_(2, top, True)


def _resolve_conflicts(candidates: Tensor, overlaps: Tensor) -> Tensor:
    """An anchor wanted by several objects goes to the one it overlaps most, even if that one did not ask."""
    contested = candidates.sum(1, keepdim=True) > 1
    best = torch.zeros_like(candidates).scatter_(1, overlaps.argmax(1, keepdim=True), True)
    return torch.where(contested, best, candidates)
