"""What `vidan eval detector` shows and records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from vidan.detector.evaluate import SIZES, AveragePrecision, PrecisionRecall
from vidan.pipeline.report.detection_judgement import DetectionJudgement

_SLOW_SHARE = 95  # percent of the pictures that are faster than what is told as slow


def judgement_tables(judgement: DetectionJudgement) -> Iterator[RenderableType]:
    """Figures of all classes and of each, in percent; then what the detector is and how fast."""
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("%")
    for title in ("AP", "AP50", "AP75", *(f"AP {size}" for size in SIZES), "precision", "recall", "F1", "objects"):
        table.add_column(title, justify="right")
    objects = judgement.confusion[:-1].sum(axis=1)
    metrics, at = judgement.metrics, judgement.confidence
    if len(metrics.per_class) > 1:
        table.add_row(Text("all", style="bold"), *_cells(metrics, judgement.together, at), str(objects.sum()))
    for name, count in zip(judgement.classes, objects.tolist(), strict=True):
        if name in metrics.per_class:
            table.add_row(Text(name), *_cells(metrics.per_class[name], judgement.per_class[name], at), str(count))
    yield table
    yield ""
    pictures = f"{metrics.images} pictures, {len(judgement.worst)} of them with mistakes"
    yield f"{pictures}; precision, recall and F1 at confidence {at:g}"
    yield f"{_size(judgement)}, {judgement.detector['runtime']} {judgement.detector['precision']}"
    slow, median = np.percentile(judgement.milliseconds, _SLOW_SHARE), np.median(judgement.milliseconds)
    together = "one at a time" if judgement.batch == 1 else f"{judgement.batch} at a time"
    speed = f"{median:.1f} ms a picture (median; {_SLOW_SHARE} % within {slow:.1f} ms), {together}"
    yield f"{speed}, on {judgement.detector['device']}"
    yield ""


def to_record(judgement: DetectionJudgement) -> dict[str, Any]:
    """Plain JSON values; ratios from 0 to 1."""
    metrics = judgement.metrics
    precision, recall = judgement.together.at(judgement.confidence)
    return {
        "detector": judgement.detector,
        "pictures": metrics.images,
        "objects": metrics.objects,
        **_record(metrics),
        "confidence": judgement.confidence,
        "precision": precision,
        "recall": recall,
        "per_class": {
            name: _record(each)
            | dict(zip(("precision", "recall"), judgement.per_class[name].at(judgement.confidence), strict=True))
            for name, each in metrics.per_class.items()
        },
        "confusion": {"classes": [*judgement.classes, None], "counts": judgement.confusion.tolist()},
        "speed": {
            "batch": judgement.batch,
            "milliseconds_median": float(np.median(judgement.milliseconds)),
            "milliseconds_p95": float(np.percentile(judgement.milliseconds, _SLOW_SHARE)),
        },
    }


def _record(ap: AveragePrecision) -> dict[str, Any]:
    by_size = {f"ap50_95_{size}": ap.by_size.get(size) for size in SIZES}
    return {"ap50_95": ap.ap50_95, "ap50": ap.ap50, "ap75": ap.ap75, **by_size}


def _cells(ap: AveragePrecision, curve: PrecisionRecall, at: float) -> list[str]:
    sizes = [_percent(ap.by_size[size]) if size in ap.by_size else "" for size in SIZES]
    precision, recall = curve.at(at)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return [*map(_percent, (ap.ap50_95, ap.ap50, ap.ap75)), *sizes, *map(_percent, (precision, recall, f1))]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _size(judgement: DetectionJudgement) -> str:
    size: Any = judgement.detector["image_size"]
    return f"{judgement.detector['model']} at {size[0]}×{size[1]}"
