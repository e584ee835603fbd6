"""Pictures of how good a detector is: curves of precision and recall, and which classes it mixes up."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector.evaluate import PrecisionRecall
from vidan.pipeline.errors import cannot_write

_CURVES_NAMED = 12  # with more classes only the mean is told in the legend
_CELLS_NUMBERED = 25


def matplotlib_figure() -> Any:
    """matplotlib's class of figures, without pyplot: no window, no global state.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        return importlib.import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'vidan[eval]'") from error


def write_curves(
    path: Path,
    together: PrecisionRecall,
    per_class: Mapping[str, PrecisionRecall],
    ap50: Mapping[str, float],
    at: float,
) -> None:
    """Precision over recall, and both with F1 over the confidence; a dotted line at the confidence `at`.

    Args:
        path: The PNG.
        together: Of all classes.
        per_class: By class name.
        ap50: By class name, for the legend.
        at: The confidence that reports use.

    Raises:
        ImportError: If matplotlib is not installed.
        SinkError: If the file cannot be written.
    """
    figure = matplotlib_figure()(figsize=(12.5, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    few = len(per_class) <= _CURVES_NAMED
    for name, curve in per_class.items():
        label = f"{name}  {100 * ap50[name]:.1f}" if few else None
        style = {} if few else {"color": "tab:gray", "alpha": 0.2}
        left.plot(100 * curve.recall, 100 * curve.precision, label=label, linewidth=1.3, **style)
    if len(per_class) > 1:
        left.plot(100 * together.recall, 100 * together.precision, label="all", color="black", linewidth=2.2)
    precision, recall = together.at(at)
    left.plot(100 * recall, 100 * precision, "o", color="black", markersize=5)
    left.set(xlabel="recall (%)", ylabel="precision (%)", xlim=(0, 100), ylim=(0, 101), title="at IoU 0.5")
    left.legend(title="AP50" if few else None, frameon=False, loc="lower left")
    for name, values in (("precision", together.precision), ("recall", together.recall), ("F1", together.f1)):
        right.plot(together.confidence, 100 * values, label=name, linewidth=1.6)
    right.axvline(at, color="black", linestyle=":", linewidth=1.2)
    right.set(xlabel="confidence", ylabel="%", xlim=(0, 1), ylim=(0, 101))
    right.set_title(f"all classes; at {at:g}: precision {100 * precision:.1f} %, recall {100 * recall:.1f} %")
    right.legend(frameon=False, loc="lower left")
    for panel in (left, right):
        panel.grid(alpha=0.3)
    _save(figure, path)


def write_confusion(path: Path, matrix: NDArray[np.int64], classes: Sequence[str], at: float) -> None:
    """The confusion matrix. Numbers are counts; colours are shares of the objects of a row, at the bottom of the
    detections of a column.

    Args:
        path: The PNG.
        matrix: (C + 1, C + 1), see `confusion_matrix`.
        classes: C names.
        at: The confidence from which detections count.

    Raises:
        ImportError: If matplotlib is not installed.
        SinkError: If the file cannot be written.
    """
    met = np.flatnonzero(matrix[:-1].sum(axis=1) + matrix[:, :-1].sum(axis=0)[: len(classes)] > 0)
    kept = np.append(met, len(classes))
    shown = matrix[np.ix_(kept, kept)]
    names = [*(classes[index] for index in met.tolist()), "nothing"]
    shares = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    shares[-1] = shown[-1] / np.maximum(shown.sum(axis=0), 1)
    side = 3.2 + 0.28 * len(names) if len(names) > _CELLS_NUMBERED else 3.2 + 0.55 * len(names)
    figure = matplotlib_figure()(figsize=(side + 0.8, side), layout="constrained")
    panel = figure.subplots()
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    panel.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0)
    panel.set_yticks(range(len(names)), names)
    panel.set(xlabel=f"found as (confidence from {at:g})", ylabel="is (IoU from 0.5)")
    if len(names) <= _CELLS_NUMBERED:
        for row, column in np.argwhere(shown > 0).tolist():
            colour = "white" if shares[row, column] > 0.55 else "black"
            panel.text(column, row, str(shown[row, column]), ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, ax=panel, label="share of the row; at the bottom, of the column", shrink=0.8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, format="png")
    except OSError as error:
        raise cannot_write("the plot", path, error) from error
