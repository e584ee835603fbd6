"""The network as every exported file holds it: uint8 pictures in, the head's raw maps out, any size, any batch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vidan.detector.models.blocks import fuse
from vidan.detector.models.gelan import Gelan
from vidan.detector.weights.checkpoint import load_model

INPUT = "images"
OUTPUTS = ("p3", "p4", "p5")


class ExportNetwork(nn.Module):
    """The fused inference network behind the interface of our runtimes.

    Decoding stays outside: its grid would tie a file to one size, and neither fp16 nor int8 has room for coordinates.

    Args:
        model: Of the weights; it is fused here.
        half: Whether to compute in float16.
    """

    def __init__(self, model: Gelan, *, half: bool = False) -> None:
        super().__init__()
        fuse(model)
        self.model = model.half() if half else model
        self.dtype = torch.float16 if half else torch.float32

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps (B, 4 * bins + classes, h, w) float32, finest first, of images (B, H, W, 3) uint8 RGB."""
        # Converted first: TensorRT takes uint8 at an input only, and only if that is the first thing done with it.
        pixels = images.to(self.dtype).permute(0, 3, 1, 2) / 255
        maps = self.model.maps(self.model.column(pixels), pixels)
        # Not `.float()` in any case: NNCF does not bear a conversion that converts nothing at an ONNX output.
        return tuple(level if level.dtype == torch.float32 else level.float() for level in maps)


def load_network(weights: Path, *, half: bool = False) -> ExportNetwork:
    """The network of a weights file, on the CPU.

    Raises:
        WeightsError: If the weights cannot be used.
    """
    model, _ = load_model(weights)
    return ExportNetwork(model, half=half).eval().requires_grad_(False)
