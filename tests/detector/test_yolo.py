"""The detector around a network: letterboxes, order, classes, and what it says when it cannot be made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vidan.detector import yolo
from vidan.detector.detections import Detections
from vidan.detector.nms import NmsOptions
from vidan.detector.weights.checkpoint import WeightsCard, save_weights
from vidan.detector.yolo import YoloDetector, load_detector

CARD = WeightsCard(
    model="gelan-t",
    classes=("person", "bicycle", "car"),
    image_size=(64, 96),
    training_data="none",
    licence="MIT",
    source="a formula",
)


class EchoRuntime:
    """Answers with one box around the whole network input, and the picture's first value as confidence."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def infer(self, images: Iterable[NDArray[np.uint8]], options: NmsOptions) -> list[Detections]:
        answers = []
        for image in images:
            self.shapes.append(image.shape)
            height, width = image.shape[:2]
            answers.append(
                Detections(
                    np.array([[0, 0, width, height]], np.float32),
                    np.array([image[height // 2, width // 2, 0] / 255], np.float32),
                    np.array([2]),
                )
            )
        return answers

    def describe(self) -> dict[str, str]:
        return {"runtime": "echo", "device": "paper", "precision": "exact"}


def _detector(runtime: EchoRuntime, **options: object) -> YoloDetector:
    return YoloDetector(
        runtime, card=CARD, weights_sha256="00ff", image_size=(64, 96), options=NmsOptions(**options)  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def test_pictures_of_any_sizes_get_their_own_answers_in_their_own_pixels() -> None:
    sizes = [(64, 96), (640, 960), (100, 100), (30, 200), (64, 96), (1, 1)]
    runtime = EchoRuntime()
    found = _detector(runtime).detect([np.full((*size, 3), 10 * i, np.uint8) for i, size in enumerate(sizes)])
    assert [round(float(answer.confidence[0]) * 25.5) for answer in found] == [0, 1, 2, 3, 4, 5]
    for answer, (height, width) in zip(found, sizes, strict=True):
        np.testing.assert_allclose(answer.xyxy, [[0, 0, width, height]], atol=1e-3)
        assert answer.xyxy.dtype == np.float32
    assert all(height % 32 == 0 and width % 32 == 0 for height, width, _ in runtime.shapes)


def test_no_pictures_give_no_answers() -> None:
    assert _detector(EchoRuntime()).detect([]) == []


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)],
    ids=["grey", "with alpha", "floats"],
)
def test_an_array_that_is_no_rgb_picture_is_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"\(height, width, 3\) uint8 RGB, got"):
        _detector(EchoRuntime()).detect([image])


def test_warming_up_takes_the_size_of_the_network() -> None:
    runtime = EchoRuntime()
    _detector(runtime).warm_up()
    assert runtime.shapes == [(64, 96, 3)]


def test_the_description_names_all_that_detections_depend_on() -> None:
    described = _detector(EchoRuntime(), confidence=0.1, iou=0.6, classes=(0, 2)).describe()
    assert described == {
        "model": "gelan-t",
        "classes": ["person", "bicycle", "car"],
        "weights_sha256": "00ff",
        "image_size": [64, 96],
        "runtime": "echo",
        "device": "paper",
        "precision": "exact",
        "confidence": 0.1,
        "nms_iou": 0.6,
        "max_detections": 300,
        "kept_classes": ["person", "car"],
    }


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file with a card and no network: enough to be refused."""
    path = tmp_path / "empty.safetensors"
    save_weights(path, {}, CARD)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"classes": ["perso"]}, "'perso' is unknown.*did you mean 'person'", id="near miss of a class"),
        pytest.param({"classes": ["zebra"]}, "'zebra'.*They know: person, bicycle, car", id="another class"),
        pytest.param({"image_size": 100}, "100x100.*multiples of 32", id="side between the cells"),
        pytest.param({"image_size": (0, 32)}, "0x32.*multiples of 32", id="no height"),
        pytest.param({"runtime": "openvin"}, "openvin.*auto, openvino and torch", id="unknown runtime"),
        pytest.param({"runtime": "openvino", "device": "cuda"}, "OpenVINO computes on the CPU", id="GPU for OpenVINO"),
        pytest.param({"device": "tpu"}, "unknown device 'tpu'", id="unknown device"),
        pytest.param({"runtime": "torch", "device": "cuda:99"}, "cuda:99", id="a GPU that is not there"),
    ],
)
def test_what_cannot_be_had_is_refused_in_words(weights: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_detector(weights, **arguments)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("has_gpu", "arguments", "chosen"),
    [
        (False, {}, ("openvino", "cpu")),
        (True, {}, ("torch", "cuda")),
        (True, {"device": "cpu"}, ("openvino", "cpu")),
        (True, {"runtime": "openvino"}, ("openvino", "cpu")),
        (False, {"runtime": "torch"}, ("torch", "cpu")),
        (True, {"runtime": "torch"}, ("torch", "cuda")),
        (True, {"device": "cuda:1"}, ("torch", "cuda:1")),
    ],
)
def test_auto_takes_the_gpu_if_there_is_one_and_openvino_otherwise(
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_gpu: bool,
    arguments: dict[str, str],
    chosen: tuple[str, str],
) -> None:
    opened = []

    def open_runtime(runtime: str, path: Path, sha256: str, device: str, *_: object) -> EchoRuntime:
        assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        opened.append((runtime, device))
        return EchoRuntime()

    monkeypatch.setattr(yolo, "_gpu_is_usable", lambda: has_gpu)
    monkeypatch.setattr(yolo, "_open_runtime", open_runtime)
    detector = load_detector(weights, classes=["car"], **arguments)  # pyright: ignore[reportArgumentType]
    assert opened == [chosen]
    assert detector.image_size == (64, 96)
    assert detector.describe()["kept_classes"] == ["car"]
