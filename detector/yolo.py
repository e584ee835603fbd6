"""The detector: pictures are letterboxed, a runtime finds what is in them, the letterbox is undone."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vidan.detector.detections import Detections, ImageLike
from vidan.detector.errors import near_miss
from vidan.detector.letterbox import Letterbox
from vidan.detector.nms import NmsOptions
from vidan.detector.runtimes.base import Runtime
from vidan.detector.weights.checkpoint import WeightsCard, read_card
from vidan.detector.weights.checksum import file_sha256
from vidan.detector.weights.exported import export_format

STRIDE = 32
"""Pixels per cell of the coarsest map: sides of a network's input are multiples of it."""


class YoloDetector:
    """Finds objects in pictures of any size.

    Args:
        runtime: Computes the network.
        card: Of its weights.
        weights_sha256: Of the file, for the record.
        image_size: (height, width) into which pictures are letterboxed.
        options: What survives.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        card: WeightsCard,
        weights_sha256: str,
        image_size: tuple[int, int],
        options: NmsOptions,
    ) -> None:
        self._runtime = runtime
        self._card = card
        self._weights_sha256 = weights_sha256
        self._options = options
        self.image_size = image_size

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._card.classes

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        """What is in each image, in the order of the images; their sizes may differ.

        Raises:
            ValueError: If an array is not (H, W, 3) uint8.
        """
        letterboxes = [Letterbox.fit(_size_of(image), self.image_size, stride=STRIDE) for image in images]
        prepared = (letterbox.apply(image) for letterbox, image in zip(letterboxes, images, strict=True))
        survivors = self._runtime.infer(prepared, self._options)
        return [
            Detections(letterbox.undo(found.xyxy), found.confidence, found.class_id)
            for letterbox, found in zip(letterboxes, survivors, strict=True)
        ]

    def warm_up(self) -> None:
        """Does once, before time matters, what only the first picture needs: compiling, tuning, first allocations."""
        self.detect([np.zeros((*self.image_size, 3), np.uint8)])

    def describe(self) -> dict[str, object]:
        """Which network, on what, with which thresholds: everything that the detections depend on."""
        return {
            "model": self._card.model,
            "classes": list(self._card.classes),
            "weights_sha256": self._weights_sha256,
            "image_size": list(self.image_size),
            **self._runtime.describe(),
            "confidence": self._options.confidence,
            "nms_iou": self._options.iou,
            "max_detections": self._options.max_detections,
            "kept_classes": None
            if self._options.classes is None
            else [self._card.classes[i] for i in self._options.classes],
        }


def load_detector(
    weights: Path,
    *,
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    image_size: int | tuple[int, int] | None = None,
    batch: int = 8,
    confidence: float = 0.1,
    nms_iou: float = 0.6,
    max_detections: int = 300,
    classes: Sequence[str] | None = None,
    threads: int | None = None,
) -> YoloDetector:
    """A detector from a weights file.

    Args:
        weights: A file of ours, or an exported network, which runs on the runtime of its format.
        runtime: ``auto``, ``openvino`` or ``torch``; auto takes torch on a GPU and OpenVINO on a CPU.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto`` (the fastest that the device computes well), ``fp32``, ``bf16`` or ``fp16``.
        image_size: Side, or (height, width), into which pictures are letterboxed; None as the weights say.
        batch: Pictures that a GPU takes at a time, at most.
        confidence: Only scores above it count.
        nms_iou: A box that overlaps a better one of its class by more is dropped.
        max_detections: Per picture.
        classes: Names of the classes to keep; None for all.
        threads: For a network on the CPU; None for all cores.

    Raises:
        ValueError: If the runtime, size or a class is not to be had; `DeviceError` for the device or its precision.
        WeightsError: If the weights cannot be used.
    """
    card = read_card(weights)
    options = NmsOptions(
        confidence=confidence,
        iou=nms_iou,
        max_detections=max_detections,
        classes=None if classes is None else _class_ids(classes, card.classes),
    )
    size = _checked_size(image_size if image_size is not None else card.image_size)
    sha256 = file_sha256(weights)

    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"unknown device {device!r}; there are auto, cpu, cuda and cuda:N")
    if exported := export_format(weights):
        runtime = _runtime_of(exported, runtime, weights)
    if device == "auto":
        device = "cuda" if runtime in ("auto", "torch", "torchscript") and _gpu_is_usable() else "cpu"
    if runtime == "auto":
        runtime = "openvino" if device == "cpu" and find_spec("openvino") else "torch"
    return YoloDetector(
        _open_runtime(runtime, weights, sha256, device, precision, batch, threads),
        card=card,
        weights_sha256=sha256,
        image_size=size,
        options=options,
    )


def _runtime_of(exported: str, wanted: str, path: Path) -> str:
    """The runtime of an exported network; its format leaves no choice."""
    if wanted not in ("auto", exported):
        raise ValueError(f"runtime {wanted}: {path.name} is an exported network ({exported}); use runtime auto")
    return exported


def _open_runtime(
    runtime: str, weights: Path, sha256: str, device: str, precision: str, batch: int, threads: int | None
) -> Runtime:
    if runtime == "torch":
        from vidan.detector.runtimes.torch_runtime import TorchRuntime

        return TorchRuntime(weights, device=device, precision=precision, batch=batch, threads=threads)
    if runtime == "torchscript":
        from vidan.detector.runtimes.torchscript_runtime import TorchScriptRuntime

        return TorchScriptRuntime(weights, device=device, precision=precision, threads=threads)
    if runtime in ("openvino", "onnx") and device != "cpu":
        name = {"openvino": "OpenVINO", "onnx": "onnxruntime"}[runtime]
        raise ValueError(f"device {device}: {name} computes on the CPU here; use .safetensors weights for a GPU")
    if runtime == "onnx":
        from vidan.detector.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(weights, precision=precision, threads=threads)
    if runtime == "openvino":
        from vidan.detector.runtimes.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(weights, sha256, precision=precision, threads=threads)
    raise ValueError(f"unknown runtime {runtime!r}; there are auto, openvino and torch")


def _gpu_is_usable() -> bool:
    """Whether torch would find a GPU; torch, seconds to load, is asked only where there is a driver."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    from vidan.detector.runtimes.torch_runtime import cuda_is_available

    return cuda_is_available()


def _class_ids(names: Sequence[str], known: tuple[str, ...]) -> tuple[int, ...]:
    for name in names:
        if name not in known:
            raise ValueError(
                f"class {name!r} is unknown to these weights; {near_miss(name, known)}They know: {', '.join(known)}"
            )
    return tuple(known.index(name) for name in names)


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height <= 0 or width <= 0 or height % STRIDE or width % STRIDE:
        raise ValueError(f"image_size {height}x{width} (height x width): sides must be positive multiples of {STRIDE}")
    return height, width


def _size_of(image: ImageLike) -> tuple[int, int]:
    if not isinstance(image, np.ndarray):
        return image.height, image.width
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"an image is (height, width, 3) uint8 RGB, got {image.shape} {image.dtype}")
    return image.shape[0], image.shape[1]
