"""Boxes and scores from a head's raw maps, in numpy, of the cells that can matter.

The mirror of `DetectHead.decode` for runtimes without torch. Nearly all cells of a picture hold nothing: their boxes
are not computed. What is left is decoded in float32, whatever precision the network had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MARGIN = 1e-3
"""Below the threshold in logits, so that rounding never decides here; the suppression compares the scores."""


def decode_candidates(
    maps: Sequence[NDArray[np.float32]], *, classes: int, height: int, confidence: float
) -> NDArray[np.float32]:
    """Predictions of one image, without the cells whose best class scores clearly less than `confidence`.

    Args:
        maps: Per level (4 * bins + classes, H, W): logits of the distances left, top, right, bottom, then classes.
        classes: Number of classes.
        height: Of the image that the network saw, in pixels.
        confidence: Scores up to this are of no interest.

    Returns:
        (4 + classes, N): centre x, centre y, width, height in pixels of that image, then scores 0..1; rows first,
        level after level.
    """
    threshold = _logit(confidence) - MARGIN
    levels = [_candidates(level, classes, height // level.shape[1], threshold) for level in maps]
    box_logits, class_logits, points, strides = (np.concatenate(part, axis=-1) for part in zip(*levels, strict=True))

    bins = np.exp(box_logits - box_logits.max(axis=1, keepdims=True))  # (4, bins, N)
    distances = np.einsum("sbn,b->sn", bins, np.arange(bins.shape[1], dtype=np.float32)) / bins.sum(axis=1)
    top_left, bottom_right = points - distances[:2], points + distances[2:]
    boxes = np.concatenate(((top_left + bottom_right) / 2, bottom_right - top_left)) * strides
    with np.errstate(over="ignore"):  # an infinite exponential is a score of 0
        scores = 1 / (1 + np.exp(-class_logits))
    return np.concatenate((boxes, scores), dtype=np.float32)


def _candidates(
    level: NDArray[np.float32], classes: int, stride: int, threshold: float
) -> tuple[NDArray[np.float32], ...]:
    """Of the cells above the threshold: box logits (4, bins, K), class logits (classes, K), centres (2, K) in strides,
    strides (K,)."""
    box_logits = level[:-classes].reshape(4, -1, level.shape[1] * level.shape[2])
    class_logits = level[-classes:].reshape(classes, -1)
    cells = np.flatnonzero(class_logits.max(axis=0) >= threshold)
    rows, columns = np.divmod(cells, level.shape[2])
    points = np.stack((columns, rows)).astype(np.float32) + np.float32(0.5)
    return box_logits[:, :, cells], class_logits[:, cells], points, np.full(len(cells), stride, np.float32)


def _logit(score: float) -> float:
    if score <= 0:
        return -math.inf
    return math.log(score / (1 - score)) if score < 1 else math.inf
