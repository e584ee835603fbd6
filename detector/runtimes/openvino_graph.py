"""The OpenVINO graph of a weights file, made through torch once and kept in the cache for every later run."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import openvino

from vidan.detector.weights.registry import cache_folder

logger = logging.getLogger(__name__)


def load_graph(weights: Path, sha256: str, core: openvino.Core) -> openvino.Model:
    """The network as a graph from uint8 pictures to the head's raw maps.

    Its input is (?, H, W, 3) RGB; `reshape` gives it any size of multiples of 32. Its outputs are the three maps,
    (?, channels, h, w) float32, finest first. It is read from the cache; if it is not there, or not whole, it is
    converted again, which is the only time that torch is loaded.

    Args:
        weights: A file of ours.
        sha256: Of that file.
        core: Reads the graph.

    Raises:
        WeightsError: If the weights cannot be used.
    """
    folder = cache_folder() / "openvino" / _key(sha256)
    if _intact(folder):
        return core.read_model(folder / "graph.xml")
    logger.info("converting %s for OpenVINO; this happens once", weights.name)
    graph = _convert(weights)
    try:
        _keep(graph, folder)
    except OSError as error:
        logger.warning("the converted network could not be kept in %s (%s); set VIDAN_HOME", folder, error.strerror)
        return graph
    return core.read_model(folder / "graph.xml")  # what later runs read: the first answers with the same bits


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
        (draft / "sha256").write_text(_digest(draft))
        if _intact(folder):
            return  # another run was faster, and may be reading it
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)


def _intact(folder: Path) -> bool:
    try:
        return (folder / "sha256").read_text() == _digest(folder)
    except OSError:
        return False


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("graph.xml", "graph.bin"):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
