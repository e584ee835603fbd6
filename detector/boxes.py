"""Numpy geometry of axis-aligned boxes; rows keep the dtype they came with.

Three notations: ``xyxy`` (left, top, right, bottom), ``xywh`` (left, top, width, height),
``cxcywh`` (centre x, centre y, width, height).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", bound=np.floating[Any])


def xyxy_to_xywh(xyxy: NDArray[Float]) -> NDArray[Float]:
    """(..., 4) boxes as left, top, width, height."""
    xywh = xyxy.copy()
    xywh[..., 2:] -= xyxy[..., :2]
    return xywh


def xywh_to_xyxy(xywh: NDArray[Float]) -> NDArray[Float]:
    """(..., 4) boxes as left, top, right, bottom."""
    xyxy = xywh.copy()
    xyxy[..., 2:] += xywh[..., :2]
    return xyxy


def xyxy_to_cxcywh(xyxy: NDArray[Float]) -> NDArray[Float]:
    """(..., 4) boxes as centre x, centre y, width, height."""
    cxcywh = xyxy_to_xywh(xyxy)
    cxcywh[..., :2] += cxcywh[..., 2:] / 2
    return cxcywh


def cxcywh_to_xyxy(cxcywh: NDArray[Float]) -> NDArray[Float]:
    """(..., 4) boxes as left, top, right, bottom."""
    half_size = cxcywh[..., 2:] / 2
    xyxy = np.empty_like(cxcywh)
    xyxy[..., :2] = cxcywh[..., :2] - half_size
    xyxy[..., 2:] = cxcywh[..., :2] + half_size
    return xyxy


def box_area(xyxy: NDArray[Float]) -> NDArray[Float]:
    """(...,) areas in square pixels; 0 for a box turned inside out."""
    size = (xyxy[..., 2:] - xyxy[..., :2]).clip(min=0)
    return size[..., 0] * size[..., 1]


def box_iou(xyxy: NDArray[Float], others: NDArray[Float]) -> NDArray[Float]:
    """Intersection over union of every box with every other.

    Args:
        xyxy: (N, 4).
        others: (M, 4).

    Returns:
        (N, M) in 0..1; 0 where both boxes are empty.
    """
    top_left = np.maximum(xyxy[:, None, :2], others[None, :, :2])  # (N, M, 2)
    bottom_right = np.minimum(xyxy[:, None, 2:], others[None, :, 2:])
    size = (bottom_right - top_left).clip(min=0)
    intersection = size[..., 0] * size[..., 1]
    union = box_area(xyxy)[:, None] + box_area(others)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def clip_boxes(xyxy: NDArray[Float], height: float, width: float) -> NDArray[Float]:
    """(..., 4) boxes cut off at the borders of a picture of that size."""
    limits = np.array([width, height, width, height], xyxy.dtype)
    return np.clip(xyxy, 0, limits)
