"""The size table, and networks by name: gelan-t ... gelan-e, yolov9-t ... yolov9-e.

A ``yolov9`` is a ``gelan`` of the same size that was trained with an auxiliary branch; without that branch both names
give the same network.
"""

from __future__ import annotations

import dataclasses

from vidan.detector.errors import near_miss
from vidan.detector.models.gelan import Gelan, Size, Stage
from vidan.detector.models.pgi import PgiNetwork
from vidan.detector.models.variant import PUBLISHED, Pgi, Variant


def _compact(stem: int, widths: tuple[int, int, int]) -> Size:
    """Sizes t and s: the same shape at two widths."""
    w3, w4, w5 = widths
    stages = (Stage(w3, w3, w3 // 2), Stage(w4, w4, w4 // 2), Stage(w5, w5, w5 // 2))
    return Size(
        stem=(stem, 2 * stem),
        stage2=Stage(2 * stem, 2 * stem, stem),
        plain_stage2=True,
        downs=widths,
        stages=stages,
        pooled=(w5, w5 // 2),
        neck=(stages[1], stages[0], stages[1], stages[2]),
        neck_downs=(w4 // 2, w5 // 2),
        depth=3,
        split_down=False,
    )


_M3, _M4, _M5 = Stage(240, 240, 120), Stage(360, 360, 180), Stage(480, 480, 240)
_C3, _C4 = Stage(512, 256, 128), Stage(512, 512, 256)
_P3 = Stage(256, 256, 128)
_E4 = Stage(1024, 512, 256)

SIZES: dict[str, Size] = {
    "t": _compact(16, (64, 96, 128)),
    "s": _compact(32, (128, 192, 256)),
    "m": Size(
        stem=(32, 64),
        stage2=Stage(128, 128, 64),
        plain_stage2=False,
        downs=(240, 360, 480),
        stages=(_M3, _M4, _M5),
        pooled=(480, 240),
        neck=(_M4, _M3, _M4, _M5),
        neck_downs=(184, 240),  # 180, rounded up to a multiple of 8 as all published widths
        depth=1,
        split_down=False,
    ),
    "c": Size(
        stem=(64, 128),
        stage2=Stage(256, 128, 64),
        plain_stage2=False,
        downs=(256, 512, 512),
        stages=(_C3, _C4, _C4),
        pooled=(512, 256),
        neck=(_C4, _P3, _C4, _C4),
        neck_downs=(256, 512),
        depth=1,
        split_down=True,
    ),
    "e": Size(
        stem=(64, 128),
        stage2=Stage(256, 128, 64),
        plain_stage2=False,
        downs=(256, 512, 1024),
        stages=(_C3, _E4, _E4),
        pooled=(512, 256),
        neck=(_C4, _P3, _C4, Stage(512, 1024, 512)),
        neck_downs=(256, 512),
        depth=2,
        split_down=True,
        columns=2,
    ),
}

MODEL_NAMES = tuple(f"{family}-{size}" for family in ("gelan", "yolov9") for size in SIZES)


def build_model(
    name: str,
    classes: int,
    pgi: Pgi = "none",
    class_width: int | None = None,
    variant: Variant = PUBLISHED,
) -> Gelan | PgiNetwork:
    """A network with fresh weights.

    Args:
        name: One of `MODEL_NAMES`.
        classes: Number of classes.
        pgi: Auxiliary branch of training: none of it, plain deep supervision, or as published.
        class_width: Hidden channels of the class branches, see `DetectHead`.
        variant: Block and depths of the GELAN stages.

    Raises:
        ValueError: If the name is unknown.
    """
    size = size_of(name, variant)
    if pgi == "none":
        return Gelan(size, classes, class_width)
    return PgiNetwork(size, classes, class_width, plain=pgi == "deep")


def size_of(name: str, variant: Variant = PUBLISHED) -> Size:
    """The size table's row for a model name, with the stages of a variant.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in MODEL_NAMES:
        raise ValueError(f"unknown model {name!r}; {near_miss(name, MODEL_NAMES)}known are {', '.join(MODEL_NAMES)}")
    size = SIZES[name[-1]]
    return dataclasses.replace(
        size, block=variant.block, depth=variant.block_depth or size.depth, elan_depth=variant.elan_depth
    )
