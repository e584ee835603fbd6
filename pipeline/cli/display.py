"""What a run shows on a terminal: its progress while it goes on, its counts and files at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from vidan.pipeline.calibration import UNITS
from vidan.pipeline.cli.console import show
from vidan.pipeline.cli.logs import say_error
from vidan.pipeline.coverage import spans_by_reason
from vidan.pipeline.errors import SinkError
from vidan.pipeline.events import EventKind
from vidan.pipeline.frame import FrameResult
from vidan.pipeline.job import Outcome
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import Summary
from vidan.pipeline.stream_record import StreamRecord

_KINDS = {
    "report.html": "report",
    "counts.csv": "counts",
    "occupancy.csv": "occupancy",
    "flows.csv": "flows",
    "queue.csv": "queues",
    "events.jsonl": "events",
    "near_misses.jsonl": "near misses",
    "tracks.parquet": "tracks",
    "tracks": "tracks",
    "events.sqlite": "database",
    "evidence": "evidence",
    "video": "video segments",
    "outbox": "sent so far",
    "run.json": "manifest",
}
_KINDS_BY_ENDING = {".mp4": "annotated video", ".jpg": "scene", ".npz": "heatmap", ".png": "heatmap"}


class Progress:
    """A sink that shows how far each stream is, and what was counted so far.

    Args:
        streams: The accounts of all streams, in the order in which they are shown.
        console: Where to; the terminal by default.
    """

    def __init__(self, streams: Sequence[StreamRecord], console: Console | None = None) -> None:
        self._bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _FramesPerSecond(),
            TimeRemainingColumn(),
            auto_refresh=False,
        )
        self._tasks = {
            stream.name: self._bars.add_task(stream.name, total=stream.health.expected) for stream in streams
        }
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._live = Live(get_renderable=self._picture, console=console or Console(), refresh_per_second=4)
        self._live.start()

    def write(self, result: FrameResult) -> None:
        stamp = result.frame.stamp
        self._bars.update(self._tasks[stamp.stream], completed=stamp.index + 1)
        for event in result.events:
            if event.kind is EventKind.QUEUE_CHANGED:  # a state, and nothing to be counted
                continue
            what = event.details.get("direction") or event.kind.value.removeprefix("zone_").replace("_", " ")
            self._counts.setdefault((event.stream, event.rule), Counter())[str(what)] += 1

    def close(self) -> None:
        self._live.stop()

    def _picture(self) -> RenderableType:
        counts = Table.grid(padding=(0, 2))
        for (stream, rule), counter in sorted(self._counts.copy().items()):
            counted = ", ".join(f"{what} {number}" for what, number in sorted(counter.items()))
            counts.add_row(stream, Text(rule), Text(counted))
        return Group(self._bars, counts)


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} frames/s")


def print_outcome(outcome: Outcome, console: Console | None = None) -> None:
    """Prints what was counted, how the run went, and where everything is."""
    table = _counts_table(outcome.summary)
    tables = [table] if table.row_count else []
    show([*tables, *_account(outcome.manifest), "", *_files(outcome)], console)


def report_destinations(outcome: Outcome) -> int:
    """Says on stderr which destinations lack events, and how they get there; the exit code that follows from it."""
    lacking = [health for health in outcome.manifest.destinations if health.error is not None]
    folder = _shortest(outcome.folder.path)
    for health in lacking:
        command = f"vidan db load {folder} --url URL" if health.name == "database" else f"vidan deliver CONFIG {folder}"
        say_error(
            f"{health.error}\n"
            f"it has only {health.delivered} events; all are in {folder}/{outcome.folder.events.name}, "
            f"and `{command}` brings them there"
        )
    return SinkError.exit_code if lacking else 0


def _counts_table(summary: Summary) -> Table:
    """A row per stream, rule and direction, one per kind of alert, and what was measured."""
    counts: dict[tuple[RuleInfo, str], Counter[str]] = {}
    for row in summary.counts:
        counts.setdefault((row.rule, row.direction), Counter())[row.label] += row.count
    stays = {(dwell.rule.stream, dwell.rule.name): dwell for dwell in summary.dwells if dwell.seconds}
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for title in ("stream", "rule", "", "count", "of these"):
        table.add_column(title, justify="right" if title == "count" else "left")
    for (rule, direction), by_class in counts.items():
        classes = ", ".join(f"{label} {number}" for label, number in by_class.items() if number)
        number = _number(by_class.total(), rule, summary)
        table.add_row(rule.stream, Text(rule.name), Text(direction), number, Text(classes))
    for info, kind, number in summary.alerts:
        table.add_row(info.stream, Text(info.name), kind.value.replace("_", " "), str(number), "")
    for (stream, rule), dwell in stays.items():
        table.add_row(stream, Text(rule), "stays", str(len(dwell.seconds)), f"{dwell.mean:.1f} s on average")
    for info, *cells in [*_speeds(summary), *_journeys(summary), *_waits(summary)]:
        table.add_row(info.stream, Text(info.name), *(Text(cell) for cell in cells))
    return table


def _number(number: int, rule: RuleInfo, summary: Summary) -> str:
    return "missing" if rule in summary.unseen else str(number)


def _speeds(summary: Summary) -> Iterator[tuple[RuleInfo, str, str, str]]:
    for speeds in summary.speeds:
        middle = ""
        if speeds.metres_per_second:
            middle = f"{median(speeds.metres_per_second) * UNITS[speeds.unit]:.1f} {speeds.unit} in the middle"
        yield speeds.rule, "passes", _number(len(speeds.metres_per_second), speeds.rule, summary), middle


def _journeys(summary: Summary) -> Iterator[tuple[RuleInfo, str, str, str]]:
    """Those that somebody made; the whole matrix is in its table."""
    journeys: dict[tuple[RuleInfo, str], Counter[str]] = {}
    for row in summary.flows:
        journeys.setdefault((row.rule, f"{row.origin} → {row.destination}"), Counter())[row.label] += row.count
    for (rule, journey), by_class in journeys.items():
        if by_class.total():
            classes = ", ".join(f"{label} {number}" for label, number in by_class.items() if number)
            yield rule, journey, str(by_class.total()), classes


def _waits(summary: Summary) -> Iterator[tuple[RuleInfo, str, str, str]]:
    for rule in dict.fromkeys(row.rule for row in summary.queues):
        rows = [row for row in summary.queues if row.rule == rule]
        longest = max((row.maximum or 0 for row in rows), default=0)
        for what, waits in (
            ("served", [seconds for row in rows for seconds in row.waits]),
            ("abandoned", [seconds for row in rows for seconds in row.abandoned]),
        ):
            number = _number(len(waits), rule, summary)
            yield rule, what, number, f"{fmean(waits):.1f} s on average" if waits else ""
        yield rule, "longest queue", _number(longest, rule, summary), ""


def _account(manifest: Manifest) -> Iterator[str]:
    """What came in and what was lost, per stream, and how fast it went."""
    yield ""
    for stream in manifest.streams:
        health = stream.health
        lost = {"dropped": stream.dropped, "corrupt": health.corrupt}
        parts = [f"{health.decoded} frames decoded", f"{stream.analysed} analysed"]
        yield f"{stream.name}: " + ", ".join([*parts, *(f"{number} {what}" for what, number in lost.items())])
        yield from (f"{stream.name}: {problem}" for problem in health.problems)
        if gaps := stream.gaps:
            lost = {why: sum(end - start for start, end in spans) for why, spans in spans_by_reason(gaps).items()}
            reasons = ", ".join(f"{seconds:.1f} s {why}" for why, seconds in lost.items())
            yield f"{stream.name}: {stream.seconds_observed:.1f} s were seen; not seen: {reasons}"
        if stream.second_look is not None:
            yield f"{stream.name}: {_second_look(stream.second_look)}"
    if manifest.ended is not None:
        seconds = (manifest.ended - manifest.started).total_seconds()
        frames = sum(stream.analysed for stream in manifest.streams)
        yield f"{manifest.status.value}: {frames} frames in {seconds:.1f} s, {frames / seconds:.1f} frames/s"


def _second_look(record: Mapping[str, Any]) -> str:
    """What stitching did, and the events that it added or took away."""
    changes = [
        f"{event['rule']} {event['direction'] or event['kind']} {event['before']} -> {event['after']}"
        for event in record["events"]
        if event["before"] != event["after"]
    ]
    done = (
        f"the second look joined {record['joined']} tracks, filled in {record['filled_rows']} boxes and found "
        f"{record['found_rows']} before tracks began"
    )
    return f"{done}; events before and after: {', '.join(changes) or 'the same'}"


def _files(outcome: Outcome) -> Iterator[str]:
    """Every file that was written, with what it is."""
    for name in (*outcome.manifest.outputs, outcome.folder.manifest.name):
        path = outcome.folder.path / name
        yield f"{_kind_of(name):<16}{_shortest(path)}"


def _kind_of(name: str) -> str:
    return _KINDS.get(name) or _KINDS_BY_ENDING[Path(name).suffix]


def _shortest(path: Path) -> str:
    """Relative to where the user is, if the path lies below; without detours over `..`."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
