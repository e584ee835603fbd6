"""How the camera moved between two pictures: what a hand, a drone or a shaking pole does to everybody at once.

Either by sparse optical flow: corners of what stands still (Shi and Tomasi, "Good Features to Track", CVPR 1994) are
found again (Bouguet's pyramidal Lucas-Kanade) and agree on a similarity by RANSAC; this is what BoT-SORT does (Aharon
et al., arXiv:2206.14651, section 3.2). Or by the enhanced correlation coefficient of all pixels (Evangelidis and
Psarakis, PAMI 2008), which needs no corners and knows no zoom. Both look at small grey pictures without the objects,
and give the same answer for the same pictures.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.detector import Picture
from vidan.trackers.tracks import Affine

_LONGER_SIDE = {"flow": 480, "ecc": 320}  # of the small picture, at most: pixels cost time, most of all those of ECC

_CORNERS = {"maxCorners": 400, "qualityLevel": 0.01, "minDistance": 8}
_FLOW = {"winSize": (21, 21), "maxLevel": 3}  # follows corners that moved by up to a fifth of the picture
_RANSAC_PIXELS = 1.5
_FEWEST_CORNERS = 12  # that must agree, and be at least this share of those that were found again
_LEAST_SHARE = 0.3

_ECC_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
_ECC_BLUR = 5
_LEAST_CORRELATION = 0.5


class CameraMotion:
    """One stream's eye on its camera.

    Args:
        method: "flow" or "ecc".
    """

    def __init__(self, method: Literal["flow", "ecc"] = "flow") -> None:
        self._estimate = _flow if method == "flow" else _correlate
        self._longer_side = _LONGER_SIDE[method]
        self._last: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None

    def estimate(self, picture: Picture, xyxy: NDArray[np.float32]) -> Affine | None:
        """Where the points of the last picture are in this one; None where nothing can be said.

        Args:
            picture: The next one of the stream.
            xyxy: (N, 4) boxes of what moves by itself, in pixels of the picture.
        """
        shrink = min(1.0, self._longer_side / max(picture.height, picture.width))
        height, width = round(picture.height * shrink), round(picture.width * shrink)
        grey = np.asarray(cv2.cvtColor(picture.resized(height, width), cv2.COLOR_RGB2GRAY), np.uint8)
        scale = np.array([width / picture.width, height / picture.height])
        now = grey, _still(grey.shape, xyxy * np.tile(scale, 2))
        last, self._last = self._last, now
        if last is None or last[0].shape != grey.shape:
            return None
        motion = self._estimate(*last, *now)
        return None if motion is None else _enlarge(motion, scale)


def _still(shape: tuple[int, ...], xyxy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A mask, 255 where no box is."""
    mask = np.full(shape, 255, np.uint8)
    corners = np.stack([np.floor(xyxy[:, :2]), np.ceil(xyxy[:, 2:])], axis=1).clip(0, max(shape)).astype(int)
    for (left, top), (right, bottom) in corners.tolist():
        mask[top:bottom, left:right] = 0
    return mask


def _flow(
    last: NDArray[np.uint8], last_mask: NDArray[np.uint8], grey: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> Affine | None:
    corners = cv2.goodFeaturesToTrack(last, mask=last_mask, **_CORNERS)
    if corners is None:
        return None
    found, is_found, _ = cv2.calcOpticalFlowPyrLK(last, grey, corners, np.empty_like(corners), **_FLOW)
    is_found = is_found.ravel() == 1
    if np.count_nonzero(is_found) < _FEWEST_CORNERS:
        return None
    motion, agrees = cv2.estimateAffinePartial2D(
        corners[is_found], found[is_found], method=cv2.RANSAC, ransacReprojThreshold=_RANSAC_PIXELS
    )
    if motion is None or agrees.sum() < max(_FEWEST_CORNERS, _LEAST_SHARE * len(agrees)):
        return None
    return np.asarray(motion, np.float64)


def _correlate(
    last: NDArray[np.uint8], last_mask: NDArray[np.uint8], grey: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> Affine | None:
    shift, _ = cv2.phaseCorrelate(
        last.astype(np.float64), grey.astype(np.float64), cv2.createHanningWindow(last.shape[::-1], cv2.CV_64F)
    )
    guess = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    try:
        correlation, motion = cv2.findTransformECC(
            last, grey, guess, cv2.MOTION_EUCLIDEAN, _ECC_CRITERIA, mask, _ECC_BLUR
        )
    except cv2.error:  # did not converge
        return None
    return motion.astype(np.float64) if correlation >= _LEAST_CORRELATION else None


def _enlarge(motion: Affine, scale: NDArray[np.float64]) -> Affine:
    """The same motion in pixels that are 1 / scale as large; their centres lie half a pixel from the corner."""
    linear = motion[:, :2] * scale / scale[:, None]
    middle = 0.5 / scale - 0.5  # of the first small pixel, in large ones
    return np.column_stack([linear, motion[:, 2] / scale + middle - linear @ middle])
