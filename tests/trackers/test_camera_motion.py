"""The camera's motion as it is read from pictures, and what knowing it is worth, on footage shaken by a known hand."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers import Affine, ByteTracker, CameraMotion, MotRows, TrackMetrics, evaluate_tracks, read_mot

SAMPLES = Path(__file__).parents[2] / "samples"
FPS, FRAMES = 10, 160
Picture = NDArray[np.uint8]


class Still:
    """An array that can give itself smaller, as a frame can."""

    def __init__(self, image: Picture) -> None:
        self._image = image
        self.height, self.width = image.shape[:2]

    def resized(self, height: int, width: int) -> Picture:
        return np.asarray(cv2.resize(self._image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


@pytest.fixture(scope="module")
def footage() -> list[Picture]:
    with av.open(str(SAMPLES / "campus.mp4")) as container:
        frames = islice(container.decode(video=0), FRAMES)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]


@pytest.fixture(scope="module")
def people() -> list[NDArray[np.float64]]:
    truth = read_mot(SAMPLES / "campus_gt.txt")
    return [truth.xyxy[truth.frame == index + 1] for index in range(FRAMES)]


def shake(pixels: float, degrees: float, zoom: float) -> list[Affine]:
    """Where each frame's points are in the picture of a shaking camera."""
    rng = np.random.default_rng(0)
    center, moves = np.array([384.0, 288.0]), []
    for angle, scale in zip(
        rng.uniform(-degrees, degrees, FRAMES), rng.uniform(1 - zoom, 1 + zoom, FRAMES), strict=True
    ):
        cos, sin = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
        linear = np.array([[cos, -sin], [sin, cos]])
        moves.append(np.column_stack([linear, center + rng.uniform(-pixels, pixels, 2) - linear @ center]))
    return moves


def moved_picture(image: Picture, move: Affine) -> Still:
    return Still(np.asarray(cv2.warpAffine(image, move, image.shape[1::-1]), np.uint8))


def moved_boxes(xyxy: NDArray[np.float64], move: Affine) -> NDArray[np.float64]:
    """Upright boxes around the moved centres."""
    half = (xyxy[:, 2:] - xyxy[:, :2]) / 2 * np.sqrt(np.linalg.det(move[:, :2]))
    center = (xyxy[:, :2] + xyxy[:, 2:]) / 2 @ move[:, :2].T + move[:, 2]
    return np.hstack([center - half, center + half])


def between(last: Affine, this: Affine) -> Affine:
    last, this = (np.vstack([move, [0, 0, 1]]) for move in (last, this))
    return (this @ np.linalg.inv(last))[:2]


def worst_corner(estimated: Affine, true: Affine) -> float:
    """Pixels by which the corner of the picture that is most wrong is wrong."""
    corners = np.array([[0, 0, 1], [768, 0, 1], [0, 576, 1], [768, 576, 1]])
    return float(np.linalg.norm(corners @ (estimated - true).T, axis=1).max())


@pytest.mark.parametrize(
    ("method", "shaking", "tolerance"),
    [
        ("flow", (0, 0, 0), 0.25),
        ("flow", (20, 1.5, 0.02), 0.5),
        ("flow", (60, 3, 0.04), 1.0),
        ("ecc", (0, 0, 0), 0.75),
        ("ecc", (20, 1.5, 0), 1.0),
    ],
)
def test_a_known_shaking_is_read_from_the_pictures(
    footage: list[Picture],
    people: list[NDArray[np.float64]],
    method: str,
    shaking: tuple[float, float, float],
    tolerance: float,
) -> None:
    camera, moves = CameraMotion(method), shake(*shaking)  # type: ignore[arg-type]
    for index in range(25):
        boxes = moved_boxes(people[index], moves[index]).astype(np.float32)
        motion = camera.estimate(moved_picture(footage[index], moves[index]), boxes)
        if index == 0:
            assert motion is None
        else:
            assert motion is not None
            assert worst_corner(motion, between(moves[index - 1], moves[index])) < tolerance


def follow(footage: list[Picture], people: list[NDArray[np.float64]], method: str | None) -> TrackMetrics:
    """ByteTrack on trembling boxes with gaps in a picture that a wind shakes."""
    rng, moves = np.random.default_rng(1), shake(20, 1.5, 0.01)
    tracker, camera = ByteTracker(), None if method is None else CameraMotion(method)  # type: ignore[arg-type]
    answers, truth = [], []
    for index, (image, xyxy, move) in enumerate(zip(footage, people, moves, strict=True)):
        true_boxes = moved_boxes(xyxy, move)
        truth.append(true_boxes)
        boxes = true_boxes[rng.random(len(xyxy)) < 0.85]
        boxes += np.tile(boxes[:, 2:] - boxes[:, :2], 2) * rng.normal(0, 0.03, boxes.shape)
        count = len(boxes)
        found = Detections(boxes.astype(np.float32), np.full(count, 0.9, np.float32), np.zeros(count, np.int64))
        motion = camera and camera.estimate(moved_picture(image, move), found.xyxy)
        tracks = tracker.update(found, index / FPS, motion)
        answers.append(tracks[tracks.confirmed])
    plain = read_mot(SAMPLES / "campus_gt.txt")
    plain = plain[plain.frame <= FRAMES]
    shaken = MotRows(plain.frame, plain.track_id, np.concatenate(truth), plain.confidence, plain.class_id)
    return evaluate_tracks({"campus": shaken}, {"campus": MotRows.from_tracks(answers)})


@pytest.mark.parametrize("method", ["flow", "ecc"])
def test_on_a_shaking_pole_identities_hold_only_when_the_shaking_is_known(
    footage: list[Picture], people: list[NDArray[np.float64]], method: str
) -> None:
    pytest.importorskip("trackeval")
    blind, seeing = follow(footage, people, None), follow(footage, people, method)
    assert blind.id_switches > 20
    assert seeing.id_switches <= 1
    assert seeing.idf1 > blind.idf1 + 0.25


@pytest.mark.parametrize("method", ["flow", "ecc"])
def test_the_same_pictures_give_the_same_motion_to_the_bit(
    footage: list[Picture], people: list[NDArray[np.float64]], method: str
) -> None:
    first, second = (CameraMotion(method) for _ in range(2))  # type: ignore[arg-type]
    for image, move, boxes in zip(footage[:6], shake(20, 1, 0.01), people, strict=False):
        one, other = (c.estimate(moved_picture(image, move), boxes.astype(np.float32)) for c in (first, second))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["flow", "ecc"])
def test_what_moves_by_itself_is_not_the_camera(footage: list[Picture], method: str) -> None:
    camera = CameraMotion(method)  # type: ignore[arg-type]
    bus = footage[0][100:400, 0:400]  # covers a quarter of the picture
    for left in range(0, 200, 40):
        image = footage[20].copy()
        image[150:450, left : left + 400] = bus
        box = np.array([[left, 150, left + 400, 450]], np.float32)
        motion = camera.estimate(Still(image), box)
        if left > 0:
            assert motion is not None
            assert worst_corner(motion, np.eye(2, 3)) < 1.0


@pytest.mark.parametrize("method", ["flow", "ecc"])
def test_of_blank_pictures_and_new_sizes_nothing_is_said(footage: list[Picture], method: str) -> None:
    camera, nobody = CameraMotion(method), np.zeros((0, 4), np.float32)  # type: ignore[arg-type]
    blank = Still(np.full((240, 320, 3), 127, np.uint8))
    assert [camera.estimate(blank, nobody) for _ in range(3)] == [None] * 3
    assert camera.estimate(Still(footage[0]), nobody) is None
    assert camera.estimate(Still(footage[1]), nobody) is not None


def test_without_anything_that_stands_still_flow_says_nothing(footage: list[Picture]) -> None:
    camera, everything = CameraMotion("flow"), np.array([[-10, -10, 1000, 1000]], np.float32)
    assert [camera.estimate(Still(image), everything) for image in footage[:3]] == [None] * 3
