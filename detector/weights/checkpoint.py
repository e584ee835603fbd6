"""Our weights file: safetensors with a card in the header, so that no weights travel without their origin.

The tensors carry the names of ``state_dict()`` of the inference network with its RepConvs not merged. The card is the
file's metadata: one JSON value per field, readable without loading a tensor (and without torch).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from vidan.detector.errors import WeightsError
from vidan.detector.models.variant import PUBLISHED, Variant
from vidan.detector.weights.atomic import write_atomically
from vidan.detector.weights.exported import export_format, read_exported_card

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from vidan.detector.models.gelan import Gelan

FORMAT = "vidan-weights-1"
NAMES_SHOWN = 3
MAX_CLASSES = 10_000
MAX_CLASS_WIDTH = 1024


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class ExportRecord:
    """How an exported network was made.

    Attributes:
        format: ``onnx``, ``openvino`` or ``torchscript``.
        precision: In which it computes, or keeps its weights: ``fp32``, ``fp16`` or ``int8``.
        weights_sha256: Of the weights file.
        calibration_pictures: How many pictures set the ranges of int8.
    """

    format: str
    precision: str
    weights_sha256: str
    calibration_pictures: int = 0


@dataclass(frozen=True, kw_only=True)
class WeightsCard:
    """What a weights file says about itself.

    Attributes:
        model: Name in the size table, ``gelan-t`` ... ``yolov9-e``.
        classes: Class names, in the order of the class scores.
        variant: Block and depths of the GELAN stages, if they are not the published ones.
        class_width: Hidden channels of the head's class branches; None for the rule of the size table.
        image_size: Height and width in pixels for which the weights were trained.
        training_data: What they were trained on.
        licence: Of the weights, as their publisher states it.
        source: Where they come from: a URL, a file, a training run.
        metrics: Name to value, for example ``ap50_95``, on data named in the key or in `training_data`.
        recipe_sha256: Of the training recipe, if they were trained here.
        provenance: Of a training: what it started from, data file, device, precision; names to facts.
        vidan_version: That wrote the file.
        created: When, ISO 8601 in UTC.
        export: Of an exported network, how it was made; None for weights of ours.

    Raises:
        ValueError: If there is no class, a class name twice, a size that is no multiple of 32, or a width or number
            of classes that no sane network has (a file could otherwise ask for any amount of memory).
    """

    model: str
    classes: tuple[str, ...]
    variant: Variant = PUBLISHED
    class_width: int | None = None
    image_size: tuple[int, int]
    training_data: str
    licence: str
    source: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    recipe_sha256: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    vidan_version: str = field(default_factory=lambda: version("vidan"))
    created: str = field(default_factory=_now)
    export: ExportRecord | None = None

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must be at least one name, none twice; got {list(self.classes)[:100]}")
        if len(self.classes) > MAX_CLASSES or not (self.class_width is None or 0 < self.class_width <= MAX_CLASS_WIDTH):
            raise ValueError(
                f"at most {MAX_CLASSES} classes of width 1..{MAX_CLASS_WIDTH} are possible; "
                f"got {len(self.classes)} of width {self.class_width}"
            )
        if any(side <= 0 or side % 32 for side in self.image_size):
            raise ValueError(f"image_size must be two positive multiples of 32; got {self.image_size}")


def save_weights(
    path: Path, state: Mapping[str, NDArray[Any] | Tensor], card: WeightsCard, *, half: bool = True
) -> None:
    """Writes a weights file, atomically.

    Args:
        path: Ends in ``.safetensors``.
        state: Values under the names of the inference network's ``state_dict()``.
        card: Goes into the header.
        half: Whether to store floating values as float16; otherwise they keep their type.

    Raises:
        WeightsError: If a value is not finite (in half precision, if asked for), or the file cannot be written.
    """
    import torch
    from safetensors.torch import save

    tensors = {}
    for name, value in state.items():
        tensor = torch.as_tensor(value).detach().cpu()
        tensors[name] = tensor.half() if half and tensor.is_floating_point() else tensor
    if broken := _not_finite(tensors):
        raise WeightsError(
            f"{path}: not written, {broken} would hold values that are not finite"
            + ("; store them with half=False" if half else "")
        )
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()}, card_fields(card))
    try:
        write_atomically(path, data)
    except OSError as error:
        raise WeightsError(f"{path}: the weights cannot be written ({error.strerror})") from error


def card_fields(card: WeightsCard) -> dict[str, str]:
    """A card as files carry it: one JSON text per field, and the name of this format."""
    return {"format": FORMAT} | {key: json.dumps(value) for key, value in dataclasses.asdict(card).items()}


def read_card(path: Path) -> WeightsCard:
    """The card of a weights file or an exported network; only the header is read, torch is not loaded.

    Raises:
        WeightsError: If the file is missing, broken, or not one of ours.
    """
    if export_format(path):
        metadata, made_by = read_exported_card(path), "`vidan export`"
    else:
        metadata, made_by = _read_header(path), "`vidan train`, `vidan weights pull` or `vidan weights import`"
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: without the card of {FORMAT} (format {metadata.get('format')!r}); use a file that {made_by} wrote"
        )
    known = {f.name for f in dataclasses.fields(WeightsCard)}
    try:
        values = {key: json.loads(text) for key, text in metadata.items() if key in known}
        return TypeAdapter(WeightsCard).validate_python(values)
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path}: its card is damaged, a field is not JSON ({error}); get the file again") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'card'}: {p['msg']}" for p in error.errors())
        raise WeightsError(f"{path}: its card is wrong ({problems}); get the file again") from error


def _read_header(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, as stored, on the CPU.

    Raises:
        WeightsError: If the file is missing or broken.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def load_model(path: Path) -> tuple[Gelan, WeightsCard]:
    """The inference network of a weights file: float32, on the CPU, in evaluation mode, RepConvs not merged.

    Raises:
        WeightsError: If the file is missing or broken, or its tensors do not fit the model that the card names.
    """
    if export_format(path):
        raise WeightsError(f"{path}: an exported network; this needs the .safetensors file that it was made of")
    card = read_card(path)
    state = load_state(path)
    try:
        model = fresh_model(card)
    except ValueError as error:
        raise WeightsError(f"{path}: its card names an {error}; a newer vidan may know it") from error
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if misfit := misfit_of({name: tuple(value.shape) for name, value in state.items()}, expected):
        raise WeightsError(f"{path}: does not fit {card.model} with {len(card.classes)} classes: {misfit}")
    if broken := _not_finite(state):
        raise WeightsError(f"{path}: {broken} holds values that are not finite; get the file again or train again")
    model.load_state_dict(state)  # copies, and so converts to float32
    return model.eval(), card


def fresh_model(card: WeightsCard) -> Gelan:
    """The network that a card describes, with values that mean nothing; torch's random state stays as it was.

    Raises:
        ValueError: If the model name is unknown.
    """
    import torch

    from vidan.detector.models.gelan import Gelan
    from vidan.detector.models.zoo import build_model

    with torch.random.fork_rng(devices=[]):
        model = build_model(card.model, len(card.classes), class_width=card.class_width, variant=card.variant)
    assert isinstance(model, Gelan)
    return model


def misfit_of(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str:
    """In words, how names and shapes differ from the expected ones; empty if they do not."""
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    wrong = [
        f"{name} is {found[name]} instead of {shape}"
        for name, shape in expected.items()
        if found.get(name, shape) != shape
    ]
    kinds = (("missing", missing), ("unknown", unknown), ("of wrong shape", wrong))
    return "; ".join(f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds if names)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")


def _not_finite(state: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor that holds an infinity or a NaN."""
    import torch

    for name, value in state.items():
        if not torch.isfinite(value).all():
            return name
    return None


def _unreadable(path: Path, error: Exception) -> WeightsError:
    if isinstance(error, FileNotFoundError):
        return WeightsError(f"{path}: no such weights file")
    if isinstance(error, OSError):
        return WeightsError(f"{path}: cannot be read ({error.strerror or error})")
    hint = "; `vidan weights import` reads published .pt files" if path.suffix in (".pt", ".pth", ".ckpt") else ""
    return WeightsError(f"{path}: not a safetensors file, or cut off ({error}){hint}")
