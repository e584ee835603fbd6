"""What `vidan train` shows of a training: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from torch import Tensor

    from vidan.detector.train import EpochRecord

STEPS_PER_LINE = 25
ROWS_SHOWN = 15


class TrainingView(Protocol):
    """Is told of every iteration and every epoch."""

    def on_step(self, step: int, steps: int, losses: Tensor) -> None: ...

    def on_epoch(self, record: EpochRecord) -> None: ...


@contextmanager
def training_view() -> Iterator[TrainingView]:
    """The view that fits where the output goes; of processes that `torchrun` started only the first shows anything."""
    if not sys.stdout.isatty() or os.environ.get("RANK", "0") != "0":
        yield TrainingLines()
        return
    table = TrainingTable()
    with Live(get_renderable=table.render, console=Console(), refresh_per_second=4):
        yield table


class TrainingLines:
    """A line now and then, one per epoch."""

    def on_step(self, step: int, steps: int, losses: Tensor) -> None:
        if step % STEPS_PER_LINE == 0:
            sys.stdout.write(f"  {step}/{steps}  box {losses[0]:.3f}  cls {losses[1]:.3f}  dfl {losses[2]:.3f}\n")
            sys.stdout.flush()

    def on_epoch(self, record: EpochRecord) -> None:
        losses, metrics = record.losses, record.metrics
        line = f"epoch {record.epoch}/{record.epochs}  {losses.seconds:.0f} s"
        line += f"  box {losses.box:.3f}  cls {losses.cls:.3f}  dfl {losses.dfl:.3f}"
        if metrics is not None:
            line += f"  AP {metrics.ap50_95:.3f}  AP50 {metrics.ap50:.3f}" + ("  best so far" if record.best else "")
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class TrainingTable:
    """The last epochs, the one that runs, and how far it is; losses leave the GPU only when they are drawn."""

    def __init__(self) -> None:
        self._records: list[EpochRecord] = []
        self._running: tuple[int, int, Tensor] | None = None

    def on_step(self, step: int, steps: int, losses: Tensor) -> None:
        self._running = (step, steps, losses)

    def on_epoch(self, record: EpochRecord) -> None:
        self._records = [*self._records[-(ROWS_SHOWN - 1) :], record]
        self._running = None

    def render(self) -> Group:
        table = Table("epoch", "box", "cls", "dfl", "AP", "AP50", "rate", "s", box=None, pad_edge=False)
        for column in table.columns:
            column.justify = "right"
        for record in self._records:
            losses, metrics = record.losses, record.metrics
            scores = ("", "") if metrics is None else (f"{metrics.ap50_95:.3f}", f"{metrics.ap50:.3f}")
            table.add_row(
                f"{record.epoch}/{record.epochs}",
                *(f"{value:.3f}" for value in (losses.box, losses.cls, losses.dfl)),
                *scores,
                f"{losses.learning_rate:.2g}",
                f"{losses.seconds:.0f}",
                style="bold green" if record.best else None,
            )
        if self._running is None:
            return Group(table, Text("best so far is green", style="dim") if self._records else Text("loading"))
        step, steps, losses = self._running
        table.add_row("now", *(f"{value:.3f}" for value in losses.tolist()), "", "", "", "", style="dim")
        return Group(table, ProgressBar(total=steps, completed=step, width=40), Text(f"batch {step} of {steps}"))
