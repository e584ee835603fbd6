"""vidan data."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from vidan.detector.data import DatasetReport

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the commands to `vidan`; the options in `common` are those of every command."""
    data = commands.add_parser("data", help="check data sets for training, and make them of videos")
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)

    check = actions.add_parser(
        "check",
        parents=[common],
        help="what is in a data set, and what is wrong with it",
        description="Reads every label and decodes every picture. Says what is wrong (errors, for which training "
        "refuses the data set), what is left out and what is odd, and how often each class occurs; writes a contact "
        "sheet of each split and all findings. The exit code is 2 if there are errors.",
    )
    check.add_argument("data", type=Path, metavar="DATA", help="data set file, as `vidan train` takes it")
    check.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of what is written; runs/data/DATA by default"
    )
    check.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    from vidan.detector.data import SPLITS, DataError, check_dataset
    from vidan.pipeline.cli.console import show
    from vidan.pipeline.cli.dataset_tables import report_tables, to_record
    from vidan.pipeline.errors import ConfigError, cannot_write
    from vidan.pipeline.report.dataset_sheet import contact_sheet
    from vidan.pipeline.report.picture_sheet import write_sheet

    output: Path = options.output or Path("runs/data") / options.data.stem
    try:
        report = check_dataset(options.data)
        show(report_tables(report))
        sheets = {
            output / f"contact-{split}.png": contact_sheet(f"{options.data.stem} {split}", parts, report.classes)
            for split in SPLITS
            if (parts := [part.samples for part in report.parts if part.split == split])
        }
    except DataError as error:
        raise ConfigError(str(error)) from error
    for path, sheet in sheets.items():
        write_sheet(path, sheet)
    path = output / "report.json"
    try:
        output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(to_record(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write("the report", path, error) from error
    sys.stdout.write("".join(f"{'contact sheet' if p != path else 'all findings':<15}{p}\n" for p in (*sheets, path)))
    return _exit_code(report)


def _exit_code(report: DatasetReport) -> int:
    from vidan.pipeline.errors import ConfigError

    if not report.has_errors:
        return 0
    sys.stderr.write("vidan: the data set has errors; training refuses it until they are mended\n")
    return ConfigError.exit_code
