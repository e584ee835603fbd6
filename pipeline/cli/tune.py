"""vidan tune."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.table import Table

    from vidan.pipeline.tune.tuning import Tuning

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_MOST_ROWS = 10  # the rest is in the table that is written


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the commands to `vidan`; the options in `common` are those of every command."""
    tune = commands.add_parser("tune", help="choose settings by an annotated clip")
    actions = tune.add_subparsers(title="by what", metavar="WHAT", required=True)

    counts = actions.add_parser(
        "counts",
        parents=[common],
        help="confidences and tracker thresholds by count error and HOTA",
        description="Detects a clip once, counts it with every combination of values, and writes the config that "
        "counts it best, with the table it rests on, beside CONFIG. Fewest wrong counts win; among equals the "
        "largest HOTA. Without --counts, the rules count the ground truth of --tracks to know what is right.",
    )
    counts.add_argument("config", type=Path, metavar="CONFIG", help="config whose stream is the clip")
    counts.add_argument("--counts", type=Path, metavar="MANUAL", help="manual counts, as for `vidan eval counts`")
    counts.add_argument(
        "--tracks", type=Path, metavar="GT", help="ground truth in MOTChallenge form, as for `vidan eval tracks`"
    )
    counts.add_argument("--stream", metavar="NAME", help="which one of CONFIG; needed where there are several")
    counts.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=N,N,...",
        help="values to try, such as tracker.lost_after_seconds=1,2.5; may be repeated (default: confidences of "
        "detector and tracker)",
    )
    counts.add_argument("--class", dest="label", default="person", metavar="NAME", help="of the boxes in GT; person")
    counts.add_argument(
        "--first-frame", type=int, default=1, metavar="N", help="number in GT of the clip's first picture; 1 by default"
    )
    counts.add_argument(
        "--tolerance", type=float, default=1.0, metavar="S", help="by which single events may be off; 1 s by default"
    )
    counts.add_argument("--output", type=Path, metavar="FILE", help="instead of CONFIG.tuned.yaml, in the same folder")
    counts.add_argument("--overwrite", action="store_true", help="replace an earlier result; never CONFIG itself")
    counts.add_argument(
        "--detections",
        type=Path,
        metavar="DIR",
        help="where what the network sees is kept, for the next time; runs/tune/CONFIG by default",
    )
    counts.set_defaults(command=_counts)


def _counts(options: argparse.Namespace) -> int:
    from vidan.pipeline.cli.console import show
    from vidan.pipeline.errors import ConfigError
    from vidan.pipeline.job import read_config
    from vidan.pipeline.tune.sweep import parse_grid
    from vidan.pipeline.tune.tuning import Request, check_target, summary, tune, write_tuned

    if not 0 <= options.tolerance < float("inf"):
        raise ConfigError(f"--tolerance must not be negative, got {options.tolerance:g}")
    if options.counts is None and options.tracks is None:
        raise ConfigError("what is true? give --counts MANUAL, --tracks GT, or both")
    request = Request(
        stream=options.stream,
        counts=options.counts,
        tracks=options.tracks,
        label=options.label,
        first_frame=options.first_frame,
        tolerance=options.tolerance,
        grid=parse_grid(options.sweep),
        detections=options.detections or Path("runs") / "tune" / options.config.stem,
    )
    loaded = read_config(options.config)
    target = options.output or options.config.with_name(f"{options.config.stem}.tuned.yaml")
    inputs = [path for path in (options.counts, options.tracks) if path is not None]
    check_target(loaded.path, target, inputs, overwrite=options.overwrite)
    progress = _Progress()
    try:
        tuning = tune(loaded, request, detected=progress.detected, tried=progress.tried)
    finally:
        progress.clear()
    table = write_tuned(tuning, loaded, target, inputs, overwrite=options.overwrite)
    show([_table(tuning), "", *summary(tuning), *_written(tuning, target, table)])
    return 0


def _table(tuning: Tuning) -> Table:
    """The best settings, and the config as it was."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for title in (*tuning.best.setting.values, "right", "wrong", "HOTA", "IDF1"):
        table.add_column(title, justify="right")
    table.add_column("")
    best = tuning.scores[:_MOST_ROWS]
    for score in best if tuning.configured in best else [*best, tuning.configured]:
        metrics = ["" if value is None else f"{100 * value:.2f}" for value in (score.hota, score.idf1)]
        roles = [name for name, one in (("chosen", tuning.best), ("as configured", tuning.configured)) if one is score]
        values = [f"{value:g}" for value in score.setting.values.values()]
        table.add_row(*values, str(score.right), str(score.wrong), *metrics, ", ".join(roles))
    return table


def _written(tuning: Tuning, target: Path, table: Path) -> Iterator[str]:
    if not tuning.best.setting.changed:
        yield "no setting is better than the config as it is"
    yield f"{target}: the config with the chosen values; {table}: all {len(tuning.scores)} settings"


class _Progress:
    """One line on a terminal that says how far it is."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._pictures = 0

    def detected(self, pictures: int) -> None:
        self._pictures += pictures
        self._show(f"{self._pictures} pictures detected")

    def tried(self, done: int, settings: int) -> None:
        self._show(f"{done} of {settings} settings tried")

    def clear(self) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        if self._is_shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
