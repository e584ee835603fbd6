"""OpenVINO: the fast road on CPUs, without torch once a network has been converted."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from vidan.detector.detections import Detections
from vidan.detector.errors import DeviceError
from vidan.detector.nms import NmsOptions, suppress
from vidan.detector.runtimes.decode import decode_candidates
from vidan.detector.runtimes.openvino_graph import load_graph, the_core
from vidan.detector.weights.checkpoint import read_card

MAX_STREAMS = 4
MAX_NETWORKS = 4
"""Compiled for so many sizes of pictures at once; each holds the weights anew."""


class OpenVinoRuntime:
    """A network on the CPU, several pictures at a time, each by itself.

    Every picture is a request of its own, so its answer has the same bits whatever came in with it. Requests run on
    parallel streams: one thread per picture costs a quarter less than two threads on one (yolov9-t, 288x384).
    Streams depend on the machine only, never on the batch size; the caller's thread prepares the next picture and
    suppresses the last one meanwhile.

    Args:
        weights: A file of ours, or an exported ``.xml``.
        sha256: Of that file; the converted network is kept in the cache under it.
        precision: ``auto`` (bf16 where the CPU computes with it, else fp32), ``fp32`` or ``bf16``.
        threads: For the network; None for as many as this process may use.

    Raises:
        DeviceError: If the CPU does not have that precision.
        WeightsError: If the weights cannot be used.
    """

    def __init__(self, weights: Path, sha256: str, *, precision: str = "auto", threads: int | None = None) -> None:
        self._core = the_core()
        self._precision = _precision(precision, self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        self._compile_options = _compile_options(self._precision, threads)
        card = read_card(weights)
        self._classes = len(card.classes)
        self._exported = card.export
        self._graph = load_graph(weights, sha256)
        self._networks: dict[tuple[int, int], _Network] = {}

    def infer(self, images: Iterable[NDArray[np.uint8]], options: NmsOptions) -> list[Detections]:
        """See `Runtime.infer`."""
        survivors: list[Detections] = []
        running: deque[_Running] = deque()
        try:
            for image in images:
                network = self._network((image.shape[0], image.shape[1]))
                while not network.idle:
                    survivors.append(self._finish(running, options))
                request = network.idle.pop()
                running.append(_Running(network, request))
                request.start_async({0: image[None]})
            while running:
                survivors.append(self._finish(running, options))
        finally:
            for left in running:  # only after an error: the requests are used again
                left.request.wait()
                left.network.idle.append(left.request)
        return survivors

    def maps(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The head's raw maps (channels, h, w) of one picture, finest first."""
        request = self._network((image.shape[0], image.shape[1])).idle[-1]
        request.infer({0: image[None]})
        return [request.get_output_tensor(level).data[0].copy() for level in range(len(request.output_tensors))]

    def describe(self) -> dict[str, str]:
        """See `Runtime.describe`."""
        return {
            "runtime": f"openvino {version('openvino')}",
            "device": f"cpu ({self._core.get_property('CPU', 'FULL_DEVICE_NAME')})",
            # int8 is a property of the file; what is not int8 in it computes in the precision of this CPU.
            "precision": "int8" if self._exported and self._exported.precision == "int8" else self._precision,
        }

    def _finish(self, running: deque[_Running], options: NmsOptions) -> Detections:
        """Survivors of the oldest running request, which is idle afterwards."""
        network, request = running[0].network, running[0].request
        request.wait()
        maps = [request.get_output_tensor(level).data[0] for level in range(len(request.output_tensors))]
        prediction = decode_candidates(
            maps, classes=self._classes, height=network.height, confidence=options.confidence
        )
        running.popleft()
        network.idle.append(request)
        return suppress(prediction, options)

    def _network(self, size: tuple[int, int]) -> _Network:
        network = self._networks.pop(size, None) or self._compile(size)
        self._networks[size] = network  # the first one is the one that was not used for longest
        if len(self._networks) > MAX_NETWORKS:
            del self._networks[next(iter(self._networks))]
        return network

    def _compile(self, size: tuple[int, int]) -> _Network:
        self._graph.reshape([1, *size, 3])
        compiled = self._core.compile_model(self._graph, "CPU", self._compile_options)
        # One more than run at once, so that no stream waits for the caller.
        requests = [compiled.create_infer_request() for _ in range(compiled.get_property("NUM_STREAMS") + 1)]
        return _Network(size[0], requests)


@dataclass(frozen=True, slots=True)
class _Network:
    """The network compiled for one size of pictures, and its requests that are free."""

    height: int
    idle: list[openvino.InferRequest]


@dataclass(frozen=True, slots=True)
class _Running:
    network: _Network
    request: openvino.InferRequest


def _compile_options(precision: str, threads: int | None) -> dict[str, object]:
    options: dict[str, object] = {
        "NUM_STREAMS": min(threads or _cores(), MAX_STREAMS),
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        # Decoder, encoder and other runs want these cores too; a pinned thread could not step aside.
        "ENABLE_CPU_PINNING": False,
    }
    return options if threads is None else options | {"INFERENCE_NUM_THREADS": threads}


def _cores() -> int:
    """How many this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _precision(wanted: str, capabilities: list[str]) -> str:
    available = ["fp32", "bf16"] if "BF16" in capabilities else ["fp32"]
    if wanted == "auto":
        return available[-1]
    if wanted not in available:
        raise DeviceError(f"precision {wanted}: OpenVINO on this CPU computes in {' or '.join(available)}; use auto")
    return wanted
