"""TensorRT engines: built from the ONNX form of a network, for the GPU of this machine and no other.

An engine is tied to the GPU and to the version of TensorRT that built it, so it is no weights file of a config: it is
for software that serves engines. Written from the documentation of TensorRT 10 (docs.nvidia.com/deeplearning/tensorrt)
and never run so far: no machine with TensorRT was at hand. What keeps a wrong engine back is the comparison with
PyTorch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidan.detector.detections import Detections
from vidan.detector.errors import WeightsError
from vidan.detector.export.network import INPUT, OUTPUTS
from vidan.detector.nms import NmsOptions
from vidan.detector.runtimes.single import infer_singly, precision_of
from vidan.detector.weights.checkpoint import WeightsCard

MOST_PICTURES = 32
"""In one call of an engine."""


def require_tensorrt() -> ModuleType:
    """The library.

    Raises:
        ImportError: If it is not installed, or this machine has no NVIDIA GPU to build for.
    """
    try:
        tensorrt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise ImportError(
            "TensorRT is not installed: pip install tensorrt, on the machine whose GPU the engine is for; "
            "or export as onnx, from which its trtexec builds one"
        ) from error
    if not torch.cuda.is_available():
        raise ImportError("a TensorRT engine is built on the NVIDIA GPU that it is for, and this machine has none")
    return tensorrt


def build_engine(onnx: bytes, size: tuple[int, int]) -> bytes:
    """A serialized engine for pictures of one size, 1 to `MOST_PICTURES` at a time.

    Args:
        onnx: The network as an ONNX file, whose number formats the engine keeps.
        size: Height and width of the pictures.

    Raises:
        ImportError: See `require_tensorrt`.
        WeightsError: If TensorRT cannot build it.
    """
    tensorrt = require_tensorrt()
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise WeightsError(f"TensorRT cannot read the network: {parser.get_error(0)}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, *((count, *size, 3) for count in (1, 8, MOST_PICTURES)))
    config.add_optimization_profile(profile)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise WeightsError("TensorRT could not build an engine; what it wrote above says why")
    return bytes(built)


class Engine:
    """An engine on this machine's GPU, to be compared with PyTorch; a `Runtime`.

    Args:
        serialized: As `build_engine` gives it.
        card: Of the network.

    Raises:
        WeightsError: If TensorRT does not take it back.
    """

    def __init__(self, serialized: bytes, card: WeightsCard) -> None:
        tensorrt = require_tensorrt()
        self._classes = len(card.classes)
        self._precision = precision_of(card, "auto")
        self._version: str = tensorrt.__version__
        self._runtime: Any = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
        self._engine: Any = self._runtime.deserialize_cuda_engine(serialized)
        if self._engine is None:
            raise WeightsError("TensorRT does not take back the engine that it has built")
        self._context: Any = self._engine.create_execution_context()

    def infer(self, images: Iterable[NDArray[np.uint8]], options: NmsOptions) -> list[Detections]:
        """See `Runtime.infer`."""
        return infer_singly(self.maps, images, classes=self._classes, options=options)

    def describe(self) -> dict[str, str]:
        """See `Runtime.describe`."""
        device = torch.cuda.get_device_name()
        return {"runtime": f"tensorrt {self._version}", "device": device, "precision": self._precision}

    def maps(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The head's raw maps (channels, h, w) of one picture, finest first."""
        given = torch.from_numpy(image[None]).cuda()
        self._context.set_input_shape(INPUT, tuple(given.shape))
        self._context.set_tensor_address(INPUT, given.data_ptr())
        answers = []
        for name in OUTPUTS:
            answer = torch.empty(tuple(self._context.get_tensor_shape(name)), dtype=torch.float32, device="cuda")
            self._context.set_tensor_address(name, answer.data_ptr())
            answers.append(answer)
        stream = torch.cuda.current_stream()
        self._context.execute_async_v3(stream.cuda_stream)
        stream.synchronize()
        return [answer[0].cpu().numpy() for answer in answers]
