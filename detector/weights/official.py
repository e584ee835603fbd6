"""Published YOLOv9 checkpoints to our state and card, without the publishers' code.

Two layouts are read: whole-model pickles of the official repository (also half-finished trainings, whose averaged
weights are taken), and plain state dicts or Lightning checkpoints of the MIT-licensed one. The auxiliary branch of
training is left behind.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector.errors import WeightsError
from vidan.detector.weights import plain_naming
from vidan.detector.weights.checkpoint import WeightsCard, fresh_model, misfit_of
from vidan.detector.weights.coco_classes import COCO_CLASSES
from vidan.detector.weights.torch_file import StoredObject, StoredTensor, TorchFile
from vidan.detector.weights.unmerge import unmerge

if TYPE_CHECKING:
    from vidan.detector.models.gelan import Gelan

TRAINED_SIZE = 640  # of all published weights
LARGEST_SIZE = 8192
MAX_ENTRIES = 50_000
MAX_NAME_LENGTH = 200

_SIZE_OF_STAGE2 = {32: "t", 64: "s", 128: "m", 256: "c"}  # its output channels
_HEADS_OF_E = (42, 49)  # layer of the single and of the dual head; e shares its stage 2 with c
_HEADS = (22, 29, 38, *_HEADS_OF_E)


def import_weights(path: Path, classes: Sequence[str] | None = None) -> tuple[dict[str, NDArray[Any]], WeightsCard]:
    """State and card of a published checkpoint, ready for `save_weights`.

    Args:
        path: A ``.pt`` or ``.ckpt`` file; nothing in it is executed.
        classes: Class names for a file that carries none; None takes those of COCO if there are 80.

    Returns:
        The state under our names in the file's precision, and a card that does not know licence and training data.

    Raises:
        WeightsError: If the file is refused, broken, of an unknown layout, or does not fit one of the ten models.
    """
    with TorchFile(path) as file:
        try:
            published = _find_weights(file.content)
            graph = _Graph.of(published.tensors)
        except _UnknownLayoutError as error:
            raise WeightsError(f"{path}: {error}; expected a YOLOv9 or GELAN detection checkpoint") from error
        card = _card(path, graph, published, classes)
        model = fresh_model(card)
        canonical, auxiliary = _canonical_names(model, graph)
        values = {name: file.array(tensor) for name, tensor in published.tensors.items() if name not in auxiliary}

    expected = {canonical[own]: tuple(value.shape) for own, value in model.state_dict().items()}
    kernel = canonical["head.dfl.conv.weight"]
    if kernel in values:
        values[kernel] = values[kernel].reshape(1, -1, 1, 1)  # has five dimensions in the plain layout
    values = unmerge(values, expected)
    if misfit := misfit_of({name: value.shape for name, value in values.items()}, expected):
        raise WeightsError(f"{path}: looks like {card.model} but does not fit it: {misfit}")
    if not np.array_equal(values[kernel].ravel(), np.arange(values[kernel].size)):
        raise WeightsError(f"{path}: its head does not integrate over the bins 0, 1, 2, ...; this is no YOLOv9 head")
    return {own: values[name] for own, name in canonical.items()}, card


@dataclass(frozen=True)
class _Published:
    """What was found in a file: tensors by canonical name, and what is known of their meaning."""

    tensors: Mapping[str, StoredTensor]
    plain: bool = False
    class_names: object = None
    options: object = None


class _UnknownLayoutError(ValueError):
    pass


@dataclass(frozen=True)
class _Graph:
    """Which network the canonical names and shapes belong to."""

    size: str
    head: int
    dual: bool
    classes: int
    class_width: int

    @classmethod
    def of(cls, tensors: Mapping[str, StoredTensor]) -> _Graph:
        layers = [int(match[1]) for name in tensors if (match := re.match(r"model\.(\d{1,3})\.", name))]
        head = max(layers, default=-1)
        stem = 0 if "model.0.conv.weight" in tensors else 1
        dual = any(name.startswith(f"model.{head}.cv5.") for name in tensors)
        branch = f"model.{head}.{'cv5' if dual else 'cv3'}.0"
        try:
            stage2 = tensors[f"model.{stem + 2}.cv4.conv.weight"].shape[0]
            classes, class_width = tensors[f"{branch}.2.weight"].shape[0], tensors[f"{branch}.0.conv.weight"].shape[0]
            size = "e" if head in _HEADS_OF_E else _SIZE_OF_STAGE2[stage2]
        except (KeyError, IndexError) as error:
            raise _UnknownLayoutError("its layers are not those of a known size") from error
        if head not in _HEADS:
            raise _UnknownLayoutError(f"its head is layer {head}, which fits no known size")
        return cls(size, head, dual, classes, class_width)


def _find_weights(content: object) -> _Published:
    match content:
        case {"ema": StoredObject() as module, **others} | {"model": StoredObject() as module, **others}:
            return _Published(
                tensors=_module_tensors(module),
                class_names=module.attributes.get("names"),
                options=others.get("opt"),
            )
        case {"state_dict": dict() as state} | dict(state):
            return _plain_weights(state)
    raise _UnknownLayoutError("it holds neither a model nor a state dict")


def _module_tensors(module: StoredObject) -> dict[str, StoredTensor]:
    """Parameters and buffers by dotted name, as ``state_dict()`` would name them."""
    tensors: dict[str, StoredTensor] = {}
    pending = [("", module)]
    visited = 0
    while pending:
        prefix, current = pending.pop()
        entries = {
            f"{prefix}{name}": value
            for kind in ("_parameters", "_buffers", "_modules")
            for name, value in _attribute(current, kind).items()
        }
        visited += 1 + len(entries)
        if visited > MAX_ENTRIES or len(prefix) > MAX_NAME_LENGTH:  # modules may contain each other, or themselves
            raise _UnknownLayoutError("its modules are nested without end")
        tensors |= {name: value for name, value in entries.items() if isinstance(value, StoredTensor)}
        pending += [(f"{name}.", value) for name, value in entries.items() if isinstance(value, StoredObject)]
    return tensors


def _attribute(module: StoredObject, name: str) -> dict[str, Any]:
    value = module.attributes.get(name)
    if not isinstance(value, dict):
        return {}
    return {key: entry for key, entry in value.items() if isinstance(key, str) and len(key) <= MAX_NAME_LENGTH}


def _plain_weights(state: Mapping[object, object]) -> _Published:
    tensors = {
        name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, StoredTensor)
    }
    for prefix in plain_naming.LIGHTNING_PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            break
    if not tensors:
        raise _UnknownLayoutError("it holds no tensors")
    if all(plain_naming.is_plain(name) for name in tensors):
        named = {plain_naming.canonical_name(name): value for name, value in tensors.items()}
        return _Published({name: value for name, value in named.items() if name is not None}, plain=True)
    return _Published(tensors)


def _card(path: Path, graph: _Graph, published: _Published, classes: Sequence[str] | None) -> WeightsCard:
    family = "yolov9" if graph.dual or published.plain or "yolov9" in path.stem else "gelan"
    names = tuple(classes) if classes is not None else _class_names(published.class_names)
    if names is None and graph.classes == len(COCO_CLASSES):
        names = COCO_CLASSES
    if names is None:
        raise WeightsError(f"{path}: it does not name its {graph.classes} classes; name them (`--classes`)")
    if len(names) != graph.classes:
        raise WeightsError(f"{path}: its head has {graph.classes} classes, but {len(names)} are named")
    try:
        return WeightsCard(
            model=f"{family}-{graph.size}",
            classes=names,
            class_width=graph.class_width,
            image_size=_image_size(published.options),
            training_data="not stated in the file",
            licence="not stated in the file",
            source=f"imported from {path.name}",
        )
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error


def _class_names(names: object) -> tuple[str, ...] | None:
    """Class names from the model's attribute: a list, or a dict from class number to name."""
    if isinstance(names, dict) and all(isinstance(number, int) for number in names):
        names = [names[number] for number in sorted(names)]
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _image_size(options: object) -> tuple[int, int]:
    side = options.get("imgsz") if isinstance(options, dict) else None
    if not isinstance(side, int) or not 0 < side <= LARGEST_SIZE:
        side = TRAINED_SIZE
    side = math.ceil(side / 32) * 32
    return side, side


def _canonical_names(model: Gelan, graph: _Graph) -> tuple[dict[str, str], set[str]]:
    """Our names of the inference network to the file's canonical ones, and the canonical names to leave behind."""
    import torch

    from vidan.detector.models.keymap import canonical_names
    from vidan.detector.models.zoo import build_model

    if not graph.dual:
        return canonical_names(model), set()
    with torch.random.fork_rng(devices=[]):
        names = canonical_names(build_model(f"yolov9-{graph.size}", graph.classes, pgi="full"))
    main = {own.removeprefix("main."): name for own, name in names.items() if own.startswith("main.")}
    return main, set(names.values()) - set(main.values())
