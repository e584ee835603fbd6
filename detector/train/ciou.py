"""Complete IoU: overlap, centre distance and aspect in one number (arXiv 1911.08287)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_EPS = 1e-7


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU of broadcastable xyxy boxes (..., 4); the aspect weight carries no gradient."""
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    aw, ah, bw, bh = ax2 - ax1, ay2 - ay1 + _EPS, bx2 - bx1, by2 - by1 + _EPS
    overlap_w = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    overlap_h = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    overlap = overlap_w * overlap_h
    iou = overlap / (aw * ah + bw * bh - overlap + _EPS)
    hull_w = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    hull_h = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    distance = ((bx1 + bx2 - ax1 - ax2) ** 2 + (by1 + by2 - ay1 - ay2) ** 2) / 4
    aspect = 4 / math.pi**2 * (torch.atan(bw / bh) - torch.atan(aw / ah)) ** 2
    with torch.no_grad():
        weight = aspect / (aspect - iou + 1 + _EPS)
    return iou - distance / (hull_w**2 + hull_h**2 + _EPS) - weight * aspect
