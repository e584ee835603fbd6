"""TorchScript: exported networks in PyTorch, on a CPU or on CUDA."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidan.detector.detections import Detections
from vidan.detector.nms import NmsOptions
from vidan.detector.runtimes.single import infer_singly, precision_of
from vidan.detector.runtimes.torch_runtime import find_device
from vidan.detector.weights.checkpoint import read_card
from vidan.detector.weights.exported import unreadable


class TorchScriptRuntime:
    """An exported TorchScript network, one picture after another.

    Args:
        path: The ``.torchscript`` file.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, or the one that the file was exported in.
        threads: For the CPU, of the whole process; None leaves torch's own choice.

    Raises:
        DeviceError: If there is no such device, or the file was exported in another precision.
        WeightsError: If the file cannot be used.
    """

    def __init__(self, path: Path, *, device: str = "cpu", precision: str = "auto", threads: int | None = None) -> None:
        self._device = find_device(device)
        card = read_card(path)
        self._classes = len(card.classes)
        self._precision = precision_of(card, precision)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # that TorchScript is no longer developed
                self._network = torch.jit.load(str(path), map_location=self._device)
        except RuntimeError as error:
            raise unreadable(path, error) from error

    def infer(self, images: Iterable[NDArray[np.uint8]], options: NmsOptions) -> list[Detections]:
        """See `Runtime.infer`."""
        return infer_singly(self.maps, images, classes=self._classes, options=options)

    def maps(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The head's raw maps (channels, h, w) of one picture, finest first."""
        with torch.inference_mode():
            maps = self._network(torch.from_numpy(image[None]).to(self._device))
        return [level[0].cpu().numpy() for level in maps]

    def describe(self) -> dict[str, str]:
        """See `Runtime.describe`."""
        on_cuda = self._device.type == "cuda"
        name = f"{self._device} ({torch.cuda.get_device_name(self._device)})" if on_cuda else "cpu"
        return {"runtime": f"torchscript, torch {torch.__version__}", "device": name, "precision": self._precision}
