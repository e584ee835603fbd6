"""HOTA, DetA and AssA over the IoU that a match must have: where a tracker loses, in boxes or in identities."""

from __future__ import annotations

import importlib
from pathlib import Path

from vidan.pipeline.errors import cannot_write
from vidan.trackers import IOU_THRESHOLDS, Evaluation

_PANELS = ("hota", "deta", "assa")
_TITLES = {"hota": "HOTA", "deta": "DetA (boxes)", "assa": "AssA (identities)"}
_INCHES = (12.0, 4.2)


def write_plot(path: Path, evaluation: Evaluation) -> None:
    """Writes the picture, a PNG: one curve per sequence and a black one for all of them together.

    Raises:
        ImportError: If matplotlib is not installed.
        SinkError: If the file cannot be written.
    """
    try:
        figure_class = importlib.import_module("matplotlib.figure").Figure  # without pyplot: no window, no global state
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'vidan[eval]'") from error
    figure = figure_class(figsize=_INCHES, layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    curves = dict(evaluation.sequences)
    for panel, name in zip(panels, _PANELS, strict=True):
        for sequence, metrics in curves.items():
            label = f"{sequence}  {100 * metrics.hota:.1f}"
            panel.plot(IOU_THRESHOLDS, _percent(getattr(metrics, f"{name}_curve")), label=label, linewidth=1.3)
        if len(curves) > 1:
            combined = evaluation.combined
            panel.plot(
                IOU_THRESHOLDS,
                _percent(getattr(combined, f"{name}_curve")),
                label=f"all  {100 * combined.hota:.1f}",
                color="black",
                linewidth=2.4,
            )
        panel.set(title=_TITLES[name], xlabel="IoU threshold", xlim=(0, 1), ylim=(0, 100))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("%")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", title="HOTA", frameon=False)
    try:
        figure.savefig(path, dpi=120, format="png")
    except OSError as error:
        raise cannot_write("the plot", path, error) from error


def _percent(values: tuple[float, ...]) -> list[float]:
    return [100 * value for value in values]
