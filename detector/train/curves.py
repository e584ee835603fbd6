"""The table of epochs as curves: a picture, and TensorBoard's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

LOSSES, SCORES = ("box", "cls", "dfl"), ("ap50_95", "ap50", "ap75")


def draw_curves(rows: Sequence[Mapping[str, str]], path: Path) -> None:
    """Losses, scores and learning rate over the epochs as PNG; nothing where matplotlib is not installed.

    Args:
        rows: Of metrics.csv; empty scores were not measured.
        path: Is overwritten.
    """
    if find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = zip(
        figure.subplots(1, 3), (LOSSES, SCORES, ("learning_rate",)), ("loss", "AP", "learning rate"), strict=True
    )
    for axes, names, title in panels:
        for name in names:
            points = [(int(row["epoch"]), float(row[name])) for row in rows if row[name]]
            if points:
                axes.plot(*zip(*points, strict=True), marker="." if len(points) < 50 else "", label=name)
        axes.set(xlabel="epoch", title=title)
        axes.grid(alpha=0.3)
        if len(names) > 1 and axes.lines:
            axes.legend()
    figure.savefig(path, dpi=110)


def check_tensorboard() -> None:
    """Asks for TensorBoard before a training begins.

    Raises:
        ImportError: If it is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ImportError("tensorboard: true needs TensorBoard: pip install 'vidan[train]'")


def add_to_tensorboard(row: Mapping[str, str], folder: Path) -> None:
    """Adds one epoch; what an interrupted run wrote of this and later epochs is forgotten."""
    from torch.utils.tensorboard import SummaryWriter

    epoch = int(row["epoch"])
    with SummaryWriter(str(folder), purge_step=epoch) as writer:
        for group, names in (("loss", LOSSES), ("score", SCORES), ("pace", ("learning_rate", "seconds"))):
            for name in names:
                if row[name]:
                    writer.add_scalar(f"{group}/{name}", float(row[name]), epoch)
