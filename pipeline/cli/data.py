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

    video = actions.add_parser(
        "from-video",
        parents=[common],
        help="pictures and labels from a labeled video",
        description="Makes a data set of frames of a video: pictures, COCO files that labelling tools read, and the "
        "data set file for `vidan train`. LABELS are MOTChallenge rows, frames counted from 1, such as labelling tools "
        "and `vidan tracks export` write them. The end of the time is for validation.",
    )
    video.add_argument("video", type=Path, metavar="VIDEO")
    video.add_argument("labels", type=Path, metavar="LABELS", help="text: frame, id, left, top, width, height, ...")
    video.add_argument("--output", type=Path, metavar="DIR", required=True, help="a new folder")
    video.add_argument("--class", dest="class_name", default="person", metavar="NAME", help="person by default")
    video.add_argument(
        "--frames", nargs=2, type=int, metavar=("FIRST", "LAST"), help="from 1; those with rows by default"
    )
    video.add_argument("--every", type=int, default=5, metavar="N", help="one frame in N; 5 by default")
    video.add_argument("--val", type=float, default=0.2, metavar="SHARE", help="for validation; 0.2 by default")
    video.set_defaults(command=_from_video)


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


def _from_video(options: argparse.Namespace) -> int:
    from vidan.detector.data import DataError, VideoChoice, load_dataset, write_video_dataset
    from vidan.pipeline.errors import ConfigError, SinkError, cannot_write

    if options.every < 1:
        raise ConfigError(f"--every must be at least 1, got {options.every}")
    if not 0 < options.val < 1:
        raise ConfigError(f"--val must lie between 0 and 1, got {options.val:g}")
    frames = None if options.frames is None else (options.frames[0], options.frames[1])
    if frames is not None and not 1 <= frames[0] <= frames[1]:
        raise ConfigError(f"--frames go from the first to the last, counted from 1, got {frames[0]} {frames[1]}")
    choice = VideoChoice(frames, options.every, options.val)
    try:
        path = write_video_dataset(options.video, options.labels, options.output, options.class_name, choice)
        counts = {split: len(load_dataset(path, split)[0]) for split in ("train", "val")}
    except DataError as error:
        raise ConfigError(str(error)) from error
    except FileExistsError as error:
        raise SinkError(str(error)) from error
    except OSError as error:
        raise cannot_write("the data set", options.output, error) from error
    sys.stdout.write(f"{counts['train']} pictures to train on, {counts['val']} to judge by\n")
    sys.stdout.write(f"data set  {path}\nlook at it with `vidan data check {path}`\n")
    return 0
