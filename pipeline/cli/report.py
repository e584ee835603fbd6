"""vidan report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidan.pipeline.cli.run import Commands


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the command to `vidan`; the options in `common` are those of every command."""
    report = commands.add_parser("report", parents=[common], help="draw the report of a run again, from its folder")
    report.add_argument("run", type=Path, metavar="RUN", help="folder of the run, where its run.json is")
    report.add_argument("--xlsx", action="store_true", help="write report.xlsx, too (needs vidan[excel])")
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> int:
    from vidan.pipeline.report.html import write_report
    from vidan.pipeline.report.recorded import read_run

    run = read_run(options.run)
    written = [run.folder.report]
    write_report(run.folder.report, run)
    if options.xlsx:
        from vidan.pipeline.report.workbook import write_workbook

        write_workbook(run.folder.workbook, run)
        written.append(run.folder.workbook)
    for path in written:
        sys.stdout.write(f"{path}\n")
    return 0
