"""PyTorch: the reference on a CPU, and the road to CUDA."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidan.detector.detections import Detections
from vidan.detector.errors import DeviceError
from vidan.detector.models.blocks import fuse
from vidan.detector.nms import NmsOptions, suppress, suppress_tensor
from vidan.detector.weights.checkpoint import load_model

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchRuntime:
    """A fused network in eager PyTorch, channels last.

    On a CPU every picture is computed by itself: kernels round differently for different batch sizes, and a picture's
    answer must not depend on its company. On CUDA it may, in the last bits: pictures of one size go up together, so all
    of a call are prepared before the first is computed.

    Args:
        weights: A file of ours.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto`` (fp16 on CUDA, fp32 on a CPU), ``fp32``, ``fp16`` or ``bf16`` (both CUDA only).
        batch: Pictures at a time on CUDA, at most.
        threads: For the CPU, of the whole process; None leaves torch's own choice.

    Raises:
        DeviceError: If there is no such device, or it does not have that precision.
        WeightsError: If the weights cannot be used.
    """

    def __init__(
        self,
        weights: Path,
        *,
        device: str = "cpu",
        precision: str = "auto",
        batch: int = 8,
        threads: int | None = None,
    ) -> None:
        self._device = find_device(device)
        self._precision = _precision(precision, self._device)
        self._dtype = _DTYPES[self._precision]
        self._batch = batch if self._device.type == "cuda" else 1
        if threads is not None:
            torch.set_num_threads(threads)

        model, _ = load_model(weights)
        fuse(model)
        # With its batch norms folded, the raw maps are all that training mode still stands for. They are decoded in
        # fp32: in half precision the pixels of a large picture have no exact numbers.
        self._model = model.train().to(self._device, self._dtype).to(memory_format=torch.channels_last)
        self._head = self._model.head
        self._head.dfl.float()

    def infer(self, images: Iterable[NDArray[np.uint8]], options: NmsOptions) -> list[Detections]:
        """See `Runtime.infer`.

        Raises:
            DeviceError: If the GPU has not enough memory for so many pictures at a time.
        """
        images = list(images)
        survivors: dict[int, Detections] = {}
        # cuDNN would round fp32 to the 10 bits of TF32, by which boxes move.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for indices in _batches(images, self._batch):
                predictions = self._predict(np.stack([images[i] for i in indices]))
                for i, prediction in zip(indices, predictions, strict=True):
                    survivors[i] = self._suppress(prediction, options)
        return [survivors[i] for i in range(len(images))]

    def describe(self) -> dict[str, str]:
        """See `Runtime.describe`."""
        on_cuda = self._device.type == "cuda"
        name = f"{self._device} ({torch.cuda.get_device_name(self._device)})" if on_cuda else "cpu"
        return {"runtime": f"torch {torch.__version__}", "device": name, "precision": self._precision}

    def _suppress(self, prediction: Tensor, options: NmsOptions) -> Detections:
        # On a CPU numpy's is as good, and spares the seconds that importing torchvision takes.
        on_cuda = self._device.type == "cuda"
        return suppress_tensor(prediction, options) if on_cuda else suppress(prediction.numpy(), options)

    def _predict(self, images: NDArray[np.uint8]) -> Tensor:
        """Predictions (B, 4 + classes, N) float32 of images (B, H, W, 3)."""
        try:
            pixels = torch.from_numpy(images).to(self._device)
            # The bytes are channels last already; only the names of the axes change.
            maps = self._model(pixels.permute(0, 3, 1, 2).to(self._dtype) / 255)
            return self._head.decode([level.float() for level in maps])
        except torch.OutOfMemoryError as error:
            count, height, width, _ = images.shape
            raise DeviceError(
                f"device {self._device}: not enough memory for {count} pictures of {height}x{width} at a time; "
                "lower detector.batch"
            ) from error


def cuda_is_available() -> bool:
    return torch.cuda.is_available()


def find_device(name: str) -> torch.device:
    """The device of a name: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceError: If this machine has no such GPU.
    """
    device = torch.device(name)
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(f"device {name}: PyTorch {torch.__version__} finds no CUDA GPU; use device auto or cpu")
    if (device.index or 0) >= count:
        raise DeviceError(f"device {name}: there are {count} CUDA GPUs, the last one is cuda:{count - 1}")
    return device


def _batches(images: list[NDArray[np.uint8]], batch: int) -> Iterator[list[int]]:
    """Indices of images of one size, at most `batch` together."""
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        by_size[image.shape].append(i)
    for indices in by_size.values():
        for start in range(0, len(indices), batch):
            yield indices[start : start + batch]


def _precision(wanted: str, device: torch.device) -> str:
    if device.type != "cuda":
        if wanted not in ("auto", "fp32"):
            raise DeviceError(f"precision {wanted}: PyTorch computes in fp32 on a CPU here; use auto, or a GPU")
        return "fp32"
    if wanted == "bf16" and torch.cuda.get_device_capability(device) < (8, 0):
        raise DeviceError(f"precision bf16: {torch.cuda.get_device_name(device)} is too old for it; use auto")
    return "fp16" if wanted == "auto" else wanted
