"""onnxruntime: exported ONNX files on a CPU."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidan.detector.detections import Detections
from vidan.detector.nms import NmsOptions
from vidan.detector.runtimes.single import infer_singly, precision_of
from vidan.detector.weights.checkpoint import read_card
from vidan.detector.weights.exported import import_onnxruntime, unreadable


class OnnxRuntime:
    """An exported ONNX network, one picture after another, so that a picture's answer does not depend on its company.

    Args:
        path: The ``.onnx`` file.
        precision: ``auto``, or the one that the file was exported in.
        threads: For the network; None for as many as this machine has.

    Raises:
        DeviceError: If the file was exported in another precision.
        WeightsError: If the file cannot be used, or onnxruntime is not installed.
    """

    def __init__(self, path: Path, *, precision: str = "auto", threads: int | None = None) -> None:
        onnxruntime = import_onnxruntime()
        card = read_card(path)
        self._classes = len(card.classes)
        self._precision = precision_of(card, precision)
        self._version: str = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # Decoder, encoder and other runs want these cores too: a thread that spins for work would keep them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class but this one
            raise unreadable(path, error) from error
        self._input: str = self._session.get_inputs()[0].name

    def infer(self, images: Iterable[NDArray[np.uint8]], options: NmsOptions) -> list[Detections]:
        """See `Runtime.infer`."""
        return infer_singly(self.maps, images, classes=self._classes, options=options)

    def maps(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The head's raw maps (channels, h, w) of one picture, finest first."""
        return [np.asarray(level)[0] for level in self._session.run(None, {self._input: image[None]})]

    def describe(self) -> dict[str, str]:
        """See `Runtime.describe`."""
        return {"runtime": f"onnxruntime {self._version}", "device": "cpu", "precision": self._precision}
