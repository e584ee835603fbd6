"""Our state names and the canonical ones, ``model.<layer>.<path>``, under which published weights are stored.

Inside a stage both agree; only stages (left) and layer numbers (right) are translated. In a dual-head graph the
auxiliary branches carry the names cv2, cv3, dfl and the main ones cv4, cv5, dfl2, in one layer.
"""

from __future__ import annotations

from torch import nn

from vidan.detector.models.gelan import Gelan
from vidan.detector.models.pgi import PgiNetwork, PlainSupervision, ReversibleColumn

_COLUMN = ("stem1", "stem2", "stage2", "down3", "stage3", "down4", "stage4", "down5", "stage5")
_NECK = ("top_down.spp", "top_down.fuse4", "top_down.fuse3", "down4", "out4", "down5", "out5")
_MAIN_HEAD = {"boxes": "cv4", "scores": "cv5", "dfl": "dfl2"}
_ONLY_HEAD = {"boxes": "cv2", "scores": "cv3", "dfl": "dfl"}


def canonical_names(model: nn.Module) -> dict[str, str]:
    """Canonical name of every entry of ``model.state_dict()``.

    Args:
        model: A `Gelan` or a `PgiNetwork`, merged or not.
    """
    layers = layer_table(model)
    return {name: _translate(name, layers) for name in model.state_dict()}


def layer_table(model: nn.Module) -> dict[str, str]:
    """Canonical prefix of every stage of the model."""
    if isinstance(model, PgiNetwork) and not isinstance(model.auxiliary, PlainSupervision):
        if model.main.columns == 2:
            return _prefixed("main.", _two_columns(shift=7, head=49, names=_MAIN_HEAD)) | _second_neck(
                layers=(29, 32, 35), head=49
            )
        if isinstance(model.auxiliary, ReversibleColumn):
            return (
                _prefixed("main.", _one_column(shift=1, head=38, names=_MAIN_HEAD))
                | {f"auxiliary.links.linears.{i}": f"model.{23 + i}" for i in range(3)}
                | _stages("auxiliary.column.", _COLUMN, (26, 27, 28, 29, 31, 32, 34, 35, 37))
                | _head("auxiliary_head.", 38, _ONLY_HEAD)
            )
        return _prefixed("main.", _one_column(shift=0, head=29, names=_MAIN_HEAD)) | _second_neck(
            layers=(22, 25, 28), head=29
        )
    if isinstance(model, Gelan):
        if model.columns == 2:
            return _two_columns(shift=0, head=42, names=_ONLY_HEAD)
        return _one_column(shift=0, head=22, names=_ONLY_HEAD)
    raise TypeError(f"no key map for {type(model).__name__}; expected Gelan or PgiNetwork as published")


def _one_column(shift: int, head: int, names: dict[str, str]) -> dict[str, str]:
    return (
        _stages("column.", _COLUMN, [i + shift for i in range(9)])
        | _stages("neck.", _NECK, [i + shift for i in (9, 12, 15, 16, 18, 19, 21)])
        | _head("head.", head, names)
    )


def _two_columns(shift: int, head: int, names: dict[str, str]) -> dict[str, str]:
    return (
        _stages("column.", _COLUMN, range(1, 10))
        | {f"links.linears.{i}": f"model.{10 + i}" for i in range(5)}
        | _stages("second_column.", _COLUMN, (15, 17, 19, 20, 22, 23, 25, 26, 28))
        | _stages("neck.", _NECK, [i + shift for i in (29, 32, 35, 36, 38, 39, 41)])
        | _head("head.", head, names)
    )


def _second_neck(layers: tuple[int, int, int], head: int) -> dict[str, str]:
    return _stages("auxiliary.", _NECK[:3], layers) | _head("auxiliary_head.", head, _ONLY_HEAD)


def _stages(prefix: str, stages: tuple[str, ...], layers: range | list[int] | tuple[int, ...]) -> dict[str, str]:
    return {prefix + stage: f"model.{layer}" for stage, layer in zip(stages, layers, strict=True)}


def _head(prefix: str, layer: int, names: dict[str, str]) -> dict[str, str]:
    return {prefix + ours: f"model.{layer}.{theirs}" for ours, theirs in names.items()}


def _prefixed(prefix: str, table: dict[str, str]) -> dict[str, str]:
    return {prefix + stage: layer for stage, layer in table.items()}


def _translate(name: str, layers: dict[str, str]) -> str:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        stage = ".".join(parts[:end])
        if stage in layers:
            return ".".join((layers[stage], *parts[end:]))
    raise KeyError(f"no canonical name for {name!r}")
