"""vidan eval."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, TypeAlias

from vidan.pipeline.cli.evaluate_detector import add_detector_command
from vidan.pipeline.cli.exits import EXIT_INACCURATE
from vidan.pipeline.cli.tracks import add_box_options

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the commands to `vidan`; the options in `common` are those of every command."""
    evaluate = commands.add_parser("eval", help="judge detections, tracks or counts against the truth")
    actions = evaluate.add_subparsers(title="what", metavar="WHAT", required=True)

    add_detector_command(actions, common)
    tracks = actions.add_parser(
        "tracks",
        parents=[common],
        help="HOTA, MOTA, IDF1 of tracks against MOTChallenge ground truth",
        description="Scores tracks by TrackEval, per sequence and together. Ground truth and tracks are paired by "
        "name; where there is one of each, names do not matter. Picture f (from 0) of a vidan run is frame "
        "f + FIRST_FRAME of the ground truth; frames that the run did not look at (stride) are not asked for.",
    )
    tracks.add_argument(
        "truth", type=Path, metavar="GT", help="a sequence's folder (gt/gt.txt), a folder of them, or a text file"
    )
    tracks.add_argument(
        "predicted", nargs="+", type=Path, metavar="PREDICTED", help="a run, a folder of NAME.txt, or text files"
    )
    add_box_options(tracks)
    tracks.add_argument("--json", type=Path, metavar="FILE", help="write the scores, curves included, as JSON")
    tracks.add_argument("--plot", type=Path, metavar="FILE", help="write a picture of the scores over the IoU (PNG)")
    tracks.set_defaults(command=_tracks)

    counts = actions.add_parser(
        "counts",
        parents=[common],
        help="counts of a run against manual counts",
        description="MANUAL has the columns source, rule, class, direction, start, end, count, or, for single events, "
        "source, rule, class, direction, time. Times are seconds of the stream or ISO 8601 with an offset; an empty "
        "class or direction means all. WAPE is the sum of the errors of all intervals without their signs, relative to "
        "the manual sum; GEH compares hourly volumes and means little where intervals last seconds.",
    )
    counts.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    counts.add_argument("manual", type=Path, metavar="MANUAL", help="CSV file of manual counts")
    counts.add_argument(
        "--tolerance", type=float, default=1.0, metavar="S", help="by which single events may be off; 1 s by default"
    )
    counts.add_argument(
        "--between",
        nargs=2,
        type=float,
        default=(float("-inf"), float("inf")),
        metavar=("START", "END"),
        help="stream seconds in which single events were watched for; the whole run by default",
    )
    counts.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    counts.add_argument(
        "--max-error",
        type=float,
        metavar="PERCENT",
        help=f"exit with {EXIT_INACCURATE} if a WAPE (for single events: the wrong ones) is larger",
    )
    counts.set_defaults(command=_counts)


def _tracks(options: argparse.Namespace) -> int:
    from vidan.pipeline.cli.console import show
    from vidan.pipeline.cli.scores import pair_up, score_table, to_record
    from vidan.pipeline.errors import ConfigError
    from vidan.pipeline.report.score_plot import write_plot
    from vidan.trackers import evaluate_sequences, read_sequences

    try:
        pairs = pair_up(read_sequences(options.truth), options)
        evaluation = evaluate_sequences(pairs.truth, pairs.predicted)
        if options.plot is not None:
            write_plot(options.plot, evaluation)
    except (ValueError, ImportError) as error:
        raise ConfigError(str(error)) from error
    if options.json is not None:
        _write_json(options.json, to_record(evaluation) | {"notes": pairs.notes})
    show([score_table(evaluation), *pairs.notes])
    return 0


def _counts(options: argparse.Namespace) -> int:
    from vidan.pipeline.cli.console import show
    from vidan.pipeline.cli.judgement import CountJudgement, EventJudgement
    from vidan.pipeline.errors import ConfigError
    from vidan.pipeline.report.manual import read_countable, read_manual
    from vidan.pipeline.run_folder import RunFolder
    from vidan.pipeline.sinks.files import read_events

    for name in ("tolerance", "max_error"):
        value = getattr(options, name)
        if value is not None and not 0 <= value < float("inf"):
            raise ConfigError(f"--{name.replace('_', '-')} must not be negative, got {value:g}")
    folder = RunFolder(options.run)
    countable = read_countable(folder)
    counts, events = read_manual(options.manual, countable)
    log = list(read_events(folder.events))
    judgement = (
        CountJudgement(counts, log, countable)
        if counts
        else EventJudgement(events, log, countable, options.tolerance, *options.between)
    )
    if options.json is not None:
        _write_json(options.json, judgement.to_record())
    show(judgement.tables())
    worst, allowed = 100 * judgement.worst_error, options.max_error
    if allowed is not None and worst > allowed:
        sys.stderr.write(f"vidan: the largest error is {worst:.1f} %, more than --max-error {allowed:g}\n")
        return EXIT_INACCURATE
    return 0


def _write_json(path: Path, record: dict[str, Any]) -> None:
    from vidan.pipeline.errors import cannot_write

    try:
        path.write_text(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write("the figures", path, error) from error
