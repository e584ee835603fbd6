"""vidan replay, diff."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vidan.pipeline.cli.exits import EXIT_DIFFERENT, EXIT_INTERRUPTED
from vidan.pipeline.cli.signals import stop_on_signals

if TYPE_CHECKING:
    from vidan.pipeline.difference import Difference, Total
    from vidan.pipeline.events import Event

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the commands to `vidan`; the options in `common` are those of every command."""
    replay = commands.add_parser("replay", parents=[common], help="count a run again from its tracks, without detector")
    replay.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    replay.add_argument("--config", type=Path, metavar="FILE", help="count by the rules of this config instead")
    replay.add_argument("--output", type=Path, metavar="DIR", help="folder of the replay, instead of RUN-replay")
    replay.add_argument("--overwrite", action="store_true", help="replace an earlier run instead of going to DIR-2")
    replay.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    replay.set_defaults(command=_replay)

    diff = commands.add_parser("diff", parents=[common], help="compare the events of two runs")
    diff.add_argument("before", type=Path, metavar="RUN_A", help="folder of a run")
    diff.add_argument("after", type=Path, metavar="RUN_B", help="folder of another one")
    diff.add_argument(
        "--tolerance",
        type=_seconds,
        metavar="SECONDS",
        default=0.5,
        help="how far one event may have moved in time and still be the same one (default: 0.5)",
    )
    diff.add_argument("--json", action="store_true", help="print the difference as JSON")
    diff.set_defaults(command=_diff)


def _replay(options: argparse.Namespace) -> int:
    from vidan.pipeline.cli.display import Progress, print_outcome, report_destinations
    from vidan.pipeline.manifest import RunStatus
    from vidan.pipeline.replay import replay_run

    with stop_on_signals() as is_stopped:
        outcome = replay_run(
            options.run,
            options.config,
            output=options.output,
            overwrite=options.overwrite,
            observers=[Progress] if sys.stdout.isatty() and not options.quiet else [],
            stopped=is_stopped,
        )
    if not options.quiet:
        print_outcome(outcome)
    code = report_destinations(outcome)
    return EXIT_INTERRUPTED if outcome.manifest.status is RunStatus.INTERRUPTED else code


def _diff(options: argparse.Namespace) -> int:
    from vidan.pipeline.difference import compare
    from vidan.pipeline.past_run import PastRun
    from vidan.pipeline.sinks.files import read_events

    logs = [read_events(PastRun.open(path).folder.events) for path in (options.before, options.after)]
    difference = compare(*logs, tolerance_seconds=options.tolerance)
    if options.json:
        record = {"before": str(options.before), "after": str(options.after), **difference.to_record()}
        sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _tell(difference)))
    return 0 if difference.is_empty else EXIT_DIFFERENT


def _tell(difference: Difference) -> Iterator[str]:
    """The totals side by side, then every event that is not the same in both."""
    yield from _table(difference.totals)
    counts = {
        "moved": len(difference.moved),
        "vanished": len(difference.vanished),
        "appeared": len(difference.appeared),
    }
    yield ", ".join(
        [f"{difference.same} events are the same", *(f"{number} {what}" for what, number in counts.items())]
    )
    if not difference.is_empty:
        yield ""
    for moved in difference.moved:
        shift = moved.after.pts_seconds - moved.before.pts_seconds
        yield f"moved     {_describe(moved.before)}: {shift:+.3f} s; differs in {', '.join(moved.changed)}"
    for event in difference.vanished:
        yield f"vanished  {_describe(event)}"
    for event in difference.appeared:
        yield f"appeared  {_describe(event)}"


def _table(totals: tuple[Total, ...]) -> Iterator[str]:
    rows = [("stream", "rule", "", "RUN_A", "RUN_B", "")]
    for total in totals:
        change = total.after - total.before
        shown = f"{change:+d}" if change else ""
        rows.append((total.source, total.rule, total.what, str(total.before), str(total.after), shown))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if i >= 3 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    yield ""


def _describe(event: Event) -> str:
    from vidan.pipeline.difference import what_happened

    who = "" if event.track_id is None else f", {event.label} {event.track_id}"
    return f"{event.pts_seconds:9.3f} s  {event.stream} {event.rule} {what_happened(event)}{who} (frame {event.frame})"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"should be 0 or more seconds, got {text}")
    return seconds
