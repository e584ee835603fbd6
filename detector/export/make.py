"""From a weights file to an exported network: write it aside, compare it with PyTorch, put it in place or refuse."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino
from numpy.typing import NDArray

from vidan.detector.data.samples import Sample
from vidan.detector.errors import WeightsError
from vidan.detector.export.network import INPUT, load_network
from vidan.detector.export.parity import Bounds, Parity, ParityError, compare, time_per_picture
from vidan.detector.export.quantize import quantize
from vidan.detector.export.tensorrt import Engine, build_engine, require_tensorrt
from vidan.detector.export.write import make_onnx, write_onnx, write_openvino, write_torchscript
from vidan.detector.letterbox import Letterbox
from vidan.detector.nms import NmsOptions
from vidan.detector.runtimes.onnx_runtime import OnnxRuntime
from vidan.detector.runtimes.openvino_graph import load_graph
from vidan.detector.runtimes.openvino_runtime import OpenVinoRuntime
from vidan.detector.runtimes.torch_runtime import TorchRuntime
from vidan.detector.runtimes.torchscript_runtime import TorchScriptRuntime
from vidan.detector.weights.checkpoint import ExportRecord, WeightsCard, card_fields, read_card
from vidan.detector.weights.checksum import file_sha256
from vidan.detector.weights.exported import SUFFIXES
from vidan.detector.yolo import STRIDE, YoloDetector

EXPORT_SUFFIXES = SUFFIXES | {"tensorrt": ".engine"}
EXPORT_FORMATS = tuple(EXPORT_SUFFIXES)
PRECISIONS = ("fp32", "fp16", "int8")

_DRAWN = 8  # pictures, where no footage is given
_FOR_EVALUATION = NmsOptions(confidence=0.001, iou=0.7)
_AS_IN_RUNS = NmsOptions(confidence=0.1, iou=0.6)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported, and how it compares.

    Attributes:
        path: The file; for OpenVINO the ``.xml``, with a ``.bin`` beside it.
        card: Inside of it.
        parity: Against PyTorch.
        bounds: That it kept.
        milliseconds: Name of what computes -> median per picture on this machine, letterbox and suppression included.
        device: On which that was measured.
    """

    path: Path
    card: WeightsCard
    parity: Parity
    bounds: Bounds
    milliseconds: dict[str, float]
    device: str

    def to_json(self) -> str:
        """For a file beside the network."""
        return json.dumps(dataclasses.asdict(self) | {"path": self.path.name}, indent=2)


def export_weights(
    weights: Path,
    output: Path,
    *,
    format: str,
    precision: str = "fp32",
    image_size: tuple[int, int] | None = None,
    pictures: Sequence[NDArray[np.uint8]] = (),
    samples: Sequence[Sample] | None = None,
    classes: Sequence[str] | None = None,
    max_ap50_loss: float = 0.01,
) -> ExportReport:
    """Exports weights, and compares the file with PyTorch before it appears at `output`.

    Args:
        weights: A file of ours.
        output: Ends as `EXPORT_SUFFIXES` says.
        format: One of `EXPORT_FORMATS`.
        precision: One of `PRECISIONS`; TorchScript in fp32 only: eager PyTorch has fp16 from the weights themselves.
            TensorRT not in int8.
        image_size: (height, width) into which the exported network has pictures letterboxed; None as the weights say.
            It takes other sizes, too.
        pictures: (H, W, 3) uint8 RGB of the user's footage: int8 sets its ranges by them, and both networks are
            compared on them. Without any they are compared on drawn patterns.
        samples: Labeled pictures, for the average precision of both.
        classes: Names of the samples' class ids.
        max_ap50_loss: What the exported network may lose on them.

    Raises:
        ParityError: If it is further from PyTorch than `Bounds` allow; no file is left.
        WeightsError: If the weights cannot be used, or the file cannot be written.
        ValueError: If the format cannot have that precision, or int8 lacks pictures.
        ImportError: If a library of the extra `export` is not installed, or TensorRT is asked for and cannot be used.
    """
    if precision != "fp32" and format == "torchscript":
        raise ValueError(f"torchscript is exported in fp32 only; {precision} is for openvino and onnx")
    if precision == "int8" and format == "tensorrt":
        raise ValueError("tensorrt is exported in fp32 and fp16; int8 is for openvino and onnx")
    if output.suffix != EXPORT_SUFFIXES[format]:
        raise ValueError(f"{output}: a file for {format} ends in {EXPORT_SUFFIXES[format]}")
    if format == "tensorrt":
        require_tensorrt()
    sha256 = file_sha256(weights) if weights.is_file() else ""
    card = read_card(weights)
    calibrating = len(pictures) if precision == "int8" else 0
    record = ExportRecord(format=format, precision=precision, weights_sha256=sha256, calibration_pictures=calibrating)
    card = dataclasses.replace(card, image_size=image_size or card.image_size, export=record)
    shown = list(pictures) or _drawn_pictures(card.image_size)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".draft-") as scratch:
            draft = Path(scratch) / output.name
            _write(weights, sha256, draft, card, _letterboxed(pictures, card.image_size))
            report = _judge(weights, sha256, draft, card, shown, samples, classes, max_ap50_loss)
            _put_in_place(draft, output)
            report = dataclasses.replace(report, path=output)
            output.with_name(f"{output.name}.json").write_text(report.to_json() + "\n", encoding="utf-8")
            return report
    except OSError as error:
        raise WeightsError(f"{output}: cannot be written ({error.strerror}); free space or choose another") from error


def _write(weights: Path, sha256: str, draft: Path, card: WeightsCard, prepared: list[NDArray[np.uint8]]) -> None:
    assert card.export is not None
    text, size, half = json.dumps(card_fields(card)), card.image_size, card.export.precision == "fp16"
    int8 = card.export.precision == "int8"
    match card.export.format:
        case "tensorrt":
            onnx: Any = make_onnx(load_network(weights, half=half), draft, size)
            draft.write_bytes(build_engine(onnx.SerializeToString(), size))
        case "torchscript":
            write_torchscript(load_network(weights), draft, text, size)
        case "onnx":
            model: Any = make_onnx(load_network(weights, half=half), draft, size)
            write_onnx(quantize(model, prepared, lambda batch: {INPUT: batch}) if int8 else model, draft, text)
        case _:
            graph: openvino.Model = load_graph(weights, sha256)
            if int8:
                graph.reshape([1, *prepared[0].shape])
                graph = quantize(graph, prepared)
            write_openvino(graph, draft, text, half=half)


def _judge(
    weights: Path,
    sha256: str,
    draft: Path,
    card: WeightsCard,
    pictures: Sequence[NDArray[np.uint8]],
    samples: Sequence[Sample] | None,
    classes: Sequence[str] | None,
    max_ap50_loss: float,
) -> ExportReport:
    """Compares the file with PyTorch; raises `ParityError` if it is too far from it."""
    assert card.export is not None
    runtime, in_torch = _open(draft, card), TorchRuntime(weights)
    ours = OpenVinoRuntime(weights, sha256)

    def detector(runtime: Any, options: NmsOptions) -> YoloDetector:
        return YoloDetector(runtime, card=card, weights_sha256=sha256, image_size=card.image_size, options=options)

    parity = compare(
        load_network(weights),
        runtime.maps,
        _letterboxed(pictures, card.image_size),
        torch_detector=detector(in_torch, _FOR_EVALUATION),
        exported_detector=detector(runtime, _FOR_EVALUATION),
        pictures=pictures,
        samples=samples,
        classes=card.classes if samples is None else classes or card.classes,
    )
    bounds = Bounds.of(card.export.precision, max_ap50_loss)
    if violations := parity.violations(bounds):
        raise ParityError(
            f"not exported: {card.export.format} in {card.export.precision} is too far from PyTorch: "
            + "; ".join(violations)
        )
    roads = {
        f"torch {in_torch.describe()['precision']}": in_torch,
        f"openvino {ours.describe()['precision']}, as runs use these weights": ours,
        f"this file ({card.export.format} {card.export.precision})": runtime,
    }
    milliseconds = time_per_picture({name: detector(road, _AS_IN_RUNS) for name, road in roads.items()}, pictures)
    return ExportReport(draft, card, parity, bounds, milliseconds, ours.describe()["device"])


def _open(path: Path, card: WeightsCard) -> OnnxRuntime | OpenVinoRuntime | TorchScriptRuntime | Engine:
    assert card.export is not None
    match card.export.format:
        case "tensorrt":
            return Engine(path.read_bytes(), card)
        case "onnx":
            return OnnxRuntime(path)
        case "torchscript":
            return TorchScriptRuntime(path)
        case _:
            # What is not int8 is compared in fp32: whether this CPU has bf16 is no property of the file.
            return OpenVinoRuntime(path, file_sha256(path), precision="fp32")


def _letterboxed(pictures: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """As a run shows them to the network, but all of one size."""
    return [Letterbox.fit(each.shape[:2], size, stride=STRIDE, auto=False).apply(each) for each in pictures]


def _drawn_pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Smooth patterns with edges, always the same."""
    rng = np.random.default_rng(0)
    patterns = []
    for i in range(_DRAWN):
        coarse = rng.integers(0, 256, (4 + i, 5 + i, 3), np.uint8)
        interpolation = cv2.INTER_CUBIC if i % 2 else cv2.INTER_NEAREST
        patterns.append(np.asarray(cv2.resize(coarse, size[::-1], interpolation=interpolation), np.uint8))
    return patterns


def _put_in_place(draft: Path, output: Path) -> None:
    """The part with the card last: until then the file is not known as a network."""
    if output.suffix == SUFFIXES["openvino"]:
        os.replace(draft.with_suffix(".bin"), output.with_suffix(".bin"))
    os.replace(draft, output)
