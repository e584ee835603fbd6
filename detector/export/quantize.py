"""Post-training quantization to int8 through NNCF, with ranges from the user's own footage.

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference
(arXiv 1712.05877), are the ground; NNCF places the quantizers and corrects the biases.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_PICTURES = 10
"""Fewer say too little about what the network will see."""


def quantize(
    model: Any, pictures: Sequence[NDArray[np.uint8]], feed: Callable[[NDArray[np.uint8]], Any] = lambda batch: batch
) -> Any:
    """An OpenVINO or ONNX model whose convolutions compute in int8.

    Args:
        model: Takes (1, H, W, 3) uint8 pictures.
        pictures: Letterboxed, (H, W, 3) each, all of one size.
        feed: From a batch of one to what the model's runtime is given.

    Raises:
        ValueError: If there are too few pictures.
        ImportError: If NNCF is not installed.
    """
    if len(pictures) < MIN_PICTURES:
        raise ValueError(
            f"int8 needs at least {MIN_PICTURES} pictures of your footage to set its ranges by, got {len(pictures)}"
        )
    nncf = _import_nncf()
    data = nncf.Dataset([picture[None] for picture in pictures], feed)
    # Mixed: activations keep a sign and a zero point of their own, which SiLU's small negative answers need.
    return nncf.quantize(model, data, subset_size=len(pictures), preset=nncf.QuantizationPreset.MIXED)


def _import_nncf() -> Any:
    # NNCF would report its use to its makers; with this it reports nothing.
    os.environ.setdefault("NNCF_CI", "1")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA is no news here
    try:
        import nncf
    except ImportError as error:
        raise ImportError("int8 needs NNCF: pip install 'vidan[export]'") from error
    nncf.set_log_level(logging.WARNING)
    return nncf
