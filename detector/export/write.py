"""Writes a network as ONNX, OpenVINO or TorchScript, with its card inside."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openvino
import torch

from vidan.detector.export.network import INPUT, OUTPUTS, ExportNetwork
from vidan.detector.weights.checksum import file_sha256
from vidan.detector.weights.exported import BIN_SHA256, CARD, TORCHSCRIPT_CARD

OPSET = 17
"""Of ONNX: the newest that the tracing exporter writes without converting; readable since onnxruntime 1.12."""


def write_torchscript(network: ExportNetwork, path: Path, card: str, size: tuple[int, int]) -> None:
    """Args: `card` is the card's text, `size` (height, width) of the picture that is traced."""
    with _tracing():
        traced = torch.jit.trace(network, (_example(size),))
        assert isinstance(traced, torch.jit.ScriptModule)
        traced.save(str(path), _extra_files={TORCHSCRIPT_CARD: card})


def make_onnx(network: ExportNetwork, path: Path, size: tuple[int, int]) -> Any:
    """The network as an ONNX model; `path` is where the exporter puts it.

    PyTorch's newer exporter gives the same answers to 1e-5, but needs twenty times as long (31 s instead of 1.6 s for
    yolov9-t on one core) and one more package. It is what this should turn to when the tracing one is taken away.
    """
    import onnx

    dynamic = {INPUT: {0: "batch", 1: "height", 2: "width"}} | {
        name: {0: "batch", 2: f"{name}_height", 3: f"{name}_width"} for name in OUTPUTS
    }
    with _tracing():
        torch.onnx.export(
            network,
            (_example(size),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes=dynamic,
        )
    return onnx.load(path)


def write_onnx(model: Any, path: Path, card: str) -> None:
    """Writes an ONNX model with the card in its metadata."""
    import onnx

    onnx.helper.set_model_props(model, {CARD: card})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_openvino(graph: openvino.Model, path: Path, card: str, *, half: bool) -> None:
    """Writes ``NAME.xml`` and ``NAME.bin``; the card is in the first, with the checksum of the second."""
    graph.reshape([-1, -1, -1, 3])
    for output, name in zip(graph.outputs, OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    graph.set_rt_info(card, CARD)
    openvino.save_model(graph, path, compress_to_fp16=half)
    graph.set_rt_info(file_sha256(path.with_suffix(".bin")), BIN_SHA256)
    openvino.save_model(graph, path, compress_to_fp16=half)


def _example(size: tuple[int, int]) -> torch.Tensor:
    return torch.zeros(1, *size, 3, dtype=torch.uint8)


@contextmanager
def _tracing() -> Iterator[None]:
    """Without PyTorch's notes that TorchScript is no longer developed: there is nothing that a user could do."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
