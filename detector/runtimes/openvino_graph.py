"""The OpenVINO graph of a weights file, made through torch once and kept in the cache for every later run."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import openvino

from vidan.detector.errors import WeightsError
from vidan.detector.weights.checksum import file_sha256
from vidan.detector.weights.exported import check_openvino_weights, export_format, unreadable
from vidan.detector.weights.registry import cache_folder

logger = logging.getLogger(__name__)


@cache
def the_core() -> openvino.Core:
    """The one OpenVINO core of this process, which is never let go.

    A core gives the thread that first uses its CPU plugin a signal stack, and frees that stack when it goes, even where
    another core has remembered it as the one to return to: the next signal then ends the process (seen with 2026.4).
    """
    return openvino.Core()


def load_graph(weights: Path, sha256: str) -> openvino.Model:
    """The network as a graph from uint8 pictures to the head's raw maps.

    Its input is (?, H, W, 3) RGB; `reshape` gives it any size of multiples of 32. Its outputs are the three maps,
    (?, channels, h, w) float32, finest first. It is read from the cache; if it is not there, or not whole, it is
    converted again, which is the only time that torch is loaded. An exported network is such a graph already.

    Args:
        weights: A file of ours, or an exported ``.xml``.
        sha256: Of that file.

    Raises:
        WeightsError: If the weights cannot be used.
    """
    if export_format(weights):
        return _exported(weights)
    try:
        folder = cache_folder() / "openvino" / _key(sha256)
    except WeightsError as error:
        logger.warning("the converted network cannot be kept: %s", error)
        return _convert(weights)
    if kept := _kept(folder):
        return kept
    logger.info("converting %s for OpenVINO; this happens once", weights.name)
    graph = _convert(weights)
    problem: Exception | None = None
    try:
        _keep(graph, folder)
    except (OSError, RuntimeError) as error:  # OpenVINO tells of a full disk by a RuntimeError
        problem = error
    if kept := _kept(folder):
        return kept  # what later runs read: the first answers with the same bits
    logger.warning("the converted network could not be kept in %s (%s); set VIDAN_HOME", folder, problem)
    return graph


def _exported(path: Path) -> openvino.Model:
    check_openvino_weights(path)
    try:
        return the_core().read_model(path)
    except RuntimeError as error:
        raise unreadable(path, error) from error


def _key(sha256: str) -> str:
    """Whatever changes the graph: the weights, the converter, and our network's code."""
    return f"{sha256[:16]}-openvino-{version('openvino')}-vidan-{version('vidan')}"


def _convert(weights: Path) -> openvino.Model:
    import torch
    from openvino.preprocess import PrePostProcessor

    from vidan.detector.models.blocks import fuse
    from vidan.detector.weights.checkpoint import load_model

    model, card = load_model(weights)
    fuse(model)
    # With its batch norms folded, the raw maps are all that training mode still stands for. Decoding stays outside:
    # its grid would tie the graph to one size, and bf16 has no room for coordinates.
    model.train()
    example = torch.zeros(1, 3, *card.image_size)
    graph = openvino.convert_model(torch.export.export(model, (example,)))

    pictures = PrePostProcessor(graph)
    pictures.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    pictures.input().model().set_layout(openvino.Layout("NCHW"))
    pictures.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    return pictures.build()


def _keep(graph: openvino.Model, folder: Path) -> None:
    """Puts the graph into the cache, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".draft-") as scratch:
        draft = Path(scratch) / folder.name
        openvino.save_model(graph, draft / "graph.xml", compress_to_fp16=False)
        (draft / "sha256").write_bytes(_digest(draft))
        if _intact(folder):
            return  # another run was faster, and may be reading it
        with suppress(FileNotFoundError):
            os.replace(folder, Path(scratch) / "harmed")
        os.replace(draft, folder)


def _kept(folder: Path) -> openvino.Model | None:
    """The graph in the cache; None if it is not there or not whole, or another run moves it at this moment."""
    with suppress(OSError, RuntimeError):
        if _intact(folder):
            return the_core().read_model(folder / "graph.xml")
    return None


def _intact(folder: Path) -> bool:
    try:
        return (folder / "sha256").read_bytes() == _digest(folder)
    except OSError:
        return False


def _digest(folder: Path) -> bytes:
    return "\n".join(file_sha256(folder / name) for name in ("graph.xml", "graph.bin")).encode()
