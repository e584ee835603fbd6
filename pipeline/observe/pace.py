"""Judges a stream by the trails of a sample: are there tracks, enough frames for their speed, and enough pixels?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.observe.trails import Sample, Trail
from vidan.pipeline.observe.verdict import Finding, Kind, Verdict
from vidan.trackers.pace import FAST_IOU, paired_iou

GOOD_STEP = 1 / 3  # box widths from frame to frame: a box that moves sideways by it overlaps by one half
SMALL_PIXELS = 32.0
"""Longer side of a box in pixels of the network, which three of four objects should exceed.

Measured with the demo weights on the sample, made smaller step by step: of people 32 px high and more 88 % are found
with a score of 0.4, of those of 20 to 31 px 61 %, of smaller ones 2 %."""
LOST_SHARE = 0.5  # of sure detections that may belong to no track


def judge_frame_rate(sample: Sample) -> Verdict:
    """Whether objects move so far from frame to frame that they are taken for others."""
    steps, overlaps = _steps(sample)
    rate = sample.frames_per_second
    if not len(steps):
        return Verdict("frame rate", "stream", f"{rate:.1f} frames/s; nothing moves", {"frames_per_second": rate})
    step, wide_step = (float(np.quantile(steps, share)) for share in (0.5, 0.9))
    overlap, least = (float(np.quantile(overlaps, share)) for share in (0.5, 0.1))
    figures = {
        "frames_per_second": rate,
        "step_median": step,
        "step_90": wide_step,
        "iou_median": overlap,
        "iou_10": least,
        "unjoined": sample.unjoined,
    }
    summary = (
        f"{rate:.1f} frames/s; objects move {step:.2f} of their width from frame to frame, "
        f"boxes overlap by {overlap:.0%}, nine of ten by {least:.0%} or more"
    )
    findings: list[Finding] = []
    if least < FAST_IOU:
        wanted = rate * wide_step / GOOD_STEP
        text = (
            f"too few frames for the speed of the objects: a tenth of their boxes overlap by less than {FAST_IOU:.0%} "
            f"from frame to frame, and tracks break; {wanted:.0f} frames/s would do (see stride, max_fps, the camera)"
        )
        findings.append(Finding(Kind.SLOW_FRAMES, text))
    return Verdict("frame rate", "stream", summary, figures, tuple(findings))


def judge_size(sample: Sample, network_size: tuple[int, int]) -> Verdict:
    """Whether objects are large enough for the detector.

    Args:
        sample: Of the stream.
        network_size: Height and width into which its pictures are letterboxed.
    """
    scale = min(network_size[0] / sample.height, network_size[1] / sample.width)
    sides = [float(np.median(_longer_sides(trail))) * scale for trail in sample.trails]
    if not sides:
        return Verdict("object size", "stream", "no objects", {})
    quarter, median = (float(np.quantile(sides, share)) for share in (0.25, 0.5))
    figures = {"side_25": quarter, "side_median": median}
    summary = f"{median:.0f} px in the network of {network_size[1]}×{network_size[0]}, a quarter below {quarter:.0f} px"
    findings: list[Finding] = []
    if quarter < SMALL_PIXELS:
        factor = SMALL_PIXELS / quarter
        wanted = [int(np.ceil(side * factor / 32)) * 32 for side in network_size]
        text = (
            f"a quarter of the objects are smaller than {quarter:.0f} px in the network, where many are missed "
            f"(below {SMALL_PIXELS:.0f} px): detector.image_size: [{wanted[0]}, {wanted[1]}] would do, "
            "or a camera that is nearer"
        )
        findings.append(Finding(Kind.SMALL_OBJECTS, text))
    return Verdict("object size", "stream", summary, figures, tuple(findings))


def judge_tracks(sample: Sample) -> Verdict:
    """Whether there are tracks at all, and detections become tracks."""
    moving = sum(trail.is_moving for trail in sample.trails)
    figures = {"tracks": len(sample.trails), "moving": moving, "unjoined": sample.unjoined}
    summary = f"{len(sample.trails)} tracks, {moving} of them moving"
    findings: list[Finding] = []
    if not sample.trails:
        text = (
            f"nothing was seen in {sample.seconds:.0f} s: take a longer sample (--seconds), or check detector.weights, "
            "detector.classes and confidence"
        )
        findings.append(Finding(Kind.NOBODY, text))
    elif sample.unjoined is not None and sample.unjoined > LOST_SHARE:
        text = (
            f"{sample.unjoined:.0%} of the sure detections belong to no track: they flicker, or there are too few "
            "frames for the speed of the objects"
        )
        findings.append(Finding(Kind.UNJOINED, text))
    return Verdict("tracks", "stream", summary, figures, tuple(findings))


def _longer_sides(trail: Trail) -> NDArray[np.float32]:
    return (trail.observed_xyxy[:, 2:] - trail.observed_xyxy[:, :2]).max(axis=1)


def _steps(sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of all steps of moving trails between neighbouring frames: length in box widths, and overlap (IoU)."""
    steps: list[NDArray[np.float64]] = []
    overlaps: list[NDArray[np.float64]] = []
    for trail in sample.trails:
        if not trail.is_moving:
            continue
        boxes = trail.observed_xyxy.astype(np.float64)
        neighbours = np.diff(trail.frame) == 1
        before, after = boxes[:-1][neighbours], boxes[1:][neighbours]
        centres = (before[:, :2] + before[:, 2:]) / 2, (after[:, :2] + after[:, 2:]) / 2
        steps.append(np.hypot(*(centres[1] - centres[0]).T) / np.maximum(before[:, 2] - before[:, 0], 1.0))
        overlaps.append(paired_iou(before, after))
    return (np.concatenate(steps), np.concatenate(overlaps)) if steps else (np.zeros(0), np.zeros(0))
