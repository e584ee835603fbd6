"""Exported networks: which files they are, and the card that travels inside of them.

| suffix | file | where the card is |
|---|---|---|
| ``.onnx`` | ONNX | the model's metadata |
| ``.xml`` (and ``.bin``) | OpenVINO | the graph's runtime information, with the checksum of the other file |
| ``.torchscript`` | TorchScript | a file of its own in the archive |
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vidan.detector.errors import WeightsError
from vidan.detector.weights.checksum import file_sha256

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".torchscript"}
"""Format -> how the names of its files end."""

CARD = "vidan_card"
BIN_SHA256 = "vidan_bin_sha256"
TORCHSCRIPT_CARD = "vidan_card.json"


def export_format(path: Path) -> str | None:
    """The format of an exported network, by the file's name; None for weights of ours."""
    return next((name for name, suffix in SUFFIXES.items() if path.suffix == suffix), None)


def read_exported_card(path: Path) -> dict[str, str]:
    """The card's fields as JSON texts, as in a weights file; empty if the file has none.

    Raises:
        WeightsError: If the file is missing or broken, or onnxruntime is not installed where it is needed.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    read = {"onnx": _read_onnx, "openvino": _read_openvino, "torchscript": _read_torchscript}[export_format(path) or ""]
    text = read(path)
    try:
        fields: Any = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path}: its card is damaged ({error}); export it again") from error
    return fields if isinstance(fields, dict) else {}


def check_openvino_weights(path: Path) -> None:
    """Makes sure that the ``.bin`` beside an ``.xml`` is the one that was written with it.

    Raises:
        WeightsError: If it is missing or another.
    """
    other = path.with_suffix(".bin")
    if not other.is_file():
        raise WeightsError(f"{other}: not there, and {path.name} is only half of the network; copy both files")
    if file_sha256(other) != _openvino_info(path, BIN_SHA256):
        raise WeightsError(f"{other}: not the file that was exported with {path.name}; copy both again")


def _read_onnx(path: Path) -> str:
    onnxruntime = import_onnxruntime()
    try:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class but this one
        raise unreadable(path, error) from error
    return session.get_modelmeta().custom_metadata_map.get(CARD, "")


def import_onnxruntime() -> Any:
    """The module.

    Raises:
        WeightsError: If it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise WeightsError("ONNX files need onnxruntime: pip install 'vidan[export]'") from error
    return onnxruntime


def unreadable(path: Path, error: Exception) -> WeightsError:
    """The error to raise ``from error`` where a library cannot read an exported network."""
    return WeightsError(f"{path}: not an exported network, or damaged ({str(error).strip().splitlines()[0][:200]})")


def _read_openvino(path: Path) -> str:
    return _openvino_info(path, CARD)


def _openvino_info(path: Path, name: str) -> str:
    try:
        found = ElementTree.parse(path).getroot().find(f"rt_info/{name}")
    except (OSError, ElementTree.ParseError) as error:
        raise unreadable(path, error) from error
    return "" if found is None else found.get("value", "")


def _read_torchscript(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{TORCHSCRIPT_CARD}")]
            return archive.read(names[0]).decode() if names else ""
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
