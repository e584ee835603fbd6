"""A recorded run -> one HTML page that needs nothing else: no font, no file, no network, and without a script a little
less comfort."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from vidan.pipeline.calibration import UNITS
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.report.charts import (
    CHART_WIDTH,
    Chart,
    band_chart,
    count_chart,
    coverage,
    coverage_chart,
    duration,
    gaps_of,
    histogram,
)
from vidan.pipeline.report.ledger import COLUMNS, Ledger, Stills
from vidan.pipeline.report.measures import QueueRow, Speeds
from vidan.pipeline.report.recorded import RecordedRun
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.scene import scenes_of
from vidan.pipeline.report.summary import Dwell, Summary
from vidan.pipeline.report.tables import FlowMatrix, NearMissTable, RuleTable


def write_report(path: Path, run: RecordedRun) -> None:
    """Writes report.html.

    Args:
        path: File to write.
        run: What it tells of.

    Raises:
        SinkError: If it cannot be written.
        SourceError: If a file of the run cannot be read.
    """
    page = render_report(run)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise cannot_write("the report", path, error) from error


def render_report(run: RecordedRun) -> str:
    """The page as text; see `write_report`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vidan.pipeline.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "percent": lambda share: f"{share:.1%}",
        "number": lambda count: "missing" if count is None else str(count),
    }
    manifest, origin = run.manifest, run.origin
    streams = manifest["streams"]
    starts = {stream["name"]: stream["start_utc"] for stream in streams}
    widths = {stream["name"]: stream["width"] for stream in streams if stream["width"]}
    script = files("vidan.pipeline.report").joinpath("report.js").read_text(encoding="utf-8")
    style = files("vidan.pipeline.report").joinpath("report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        title=run.title,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        manifest=manifest,
        config=json.dumps(manifest["config"], ensure_ascii=False, indent=2),
        streams=[(stream, *coverage(stream), gaps_of(stream), coverage_chart(stream)) for stream in streams],
        coverage_share=_share_seen(manifest),
        sections=sections_of(run.summary),
        scenes=scenes_of(run.folder, origin, manifest),
        near_misses=NearMissTable.of(run.summary),
        columns=COLUMNS,
        ledgers=[
            Ledger.of("events", run.events, starts),
            Ledger.of("near misses", run.near_misses, starts),
        ],
        stills=Stills.of(run.folder, origin, chain(run.events, run.near_misses), widths),
        plot_width=CHART_WIDTH,
    )


@dataclass(frozen=True, slots=True)
class RuleSection:
    """What the page shows of one rule.

    Attributes:
        rule: Which rule on which stream.
        table: Its totals; None for rules that count by no direction.
        charts: In this order.
        alerts: Kinds of events that call for somebody, and how many.
        facts: Sentences with the numbers that a chart only shows.
        flows: The matrix of a flow.
    """

    rule: RuleInfo
    table: RuleTable | None
    charts: tuple[Chart, ...]
    alerts: tuple[tuple[str, int], ...]
    facts: tuple[str, ...]
    flows: FlowMatrix | None


def sections_of(summary: Summary) -> list[RuleSection]:
    """One section per rule and stream, in the order of the summary."""
    measured = (*summary.counts, *summary.flows, *summary.speeds, *summary.queues)
    return [_section(rule, summary) for rule in dict.fromkeys(row.rule for row in measured)]


def _section(rule: RuleInfo, summary: Summary) -> RuleSection:
    counts = [row for row in summary.counts if row.rule == rule]
    occupancy = [row for row in summary.occupancy if row.rule == rule]
    queue = [row for row in summary.queues if row.rule == rule]
    flows = [row for row in summary.flows if row.rule == rule]
    dwell = next((dwell for dwell in summary.dwells if dwell.rule == rule), None)
    speeds = next((speeds for speeds in summary.speeds if speeds.rule == rule), None)
    charts: list[Chart] = []
    facts: list[str] = []
    if counts:
        charts.append(count_chart(counts))
    if occupancy:
        charts.append(band_chart(occupancy, "Occupancy", "objects inside"))
    is_unseen = rule in summary.unseen
    if is_unseen:
        facts.append("Nobody looked at any time, so nothing is known: missing is not zero.")
    elif dwell is not None:
        _add_dwell(dwell, charts, facts)
    elif queue:
        _add_queue(queue, charts, facts)
    elif speeds is not None:
        _add_speeds(speeds, charts, facts)
    return RuleSection(
        rule=rule,
        table=RuleTable.of(counts) if counts else None,
        charts=tuple(charts),
        alerts=tuple((kind.value, count) for owner, kind, count in summary.alerts if owner == rule),
        facts=tuple(facts),
        flows=FlowMatrix.of(flows) if flows and not is_unseen else None,
    )


def _add_dwell(dwell: Dwell, charts: list[Chart], facts: list[str]) -> None:
    if not dwell.seconds:
        facts.append("No stay has ended.")
        return
    charts.append(histogram(dwell.seconds, "Length of stays", "stay, seconds", "stays", "s"))
    facts.append(
        f"{len(dwell.seconds)} stays: mean {dwell.mean:.1f} s, median {dwell.quantile(0.5):.1f} s, 90 % up to "
        f"{dwell.quantile(0.9):.1f} s, longest {dwell.seconds[-1]:.1f} s; {dwell.vanished} ended inside and may have "
        "been longer."
    )


def _add_queue(rows: list[QueueRow], charts: list[Chart], facts: list[str]) -> None:
    charts.append(band_chart(rows, "Length of the queue", "waiting"))
    waits = sorted(seconds for row in rows for seconds in row.waits)
    abandoned = sorted(seconds for row in rows for seconds in row.abandoned)
    if waits:
        charts.append(histogram(waits, "Waiting time of those served", "wait, seconds", "served", "s"))
        facts.append(
            f"{len(waits)} served after {np.mean(waits):.1f} s on average, median {np.median(waits):.1f} s, longest "
            f"{waits[-1]:.1f} s."
        )
    else:
        facts.append("Nobody was served.")
    if abandoned:
        facts.append(f"{len(abandoned)} gave up, after {np.mean(abandoned):.1f} s on average.")


def _add_speeds(speeds: Speeds, charts: list[Chart], facts: list[str]) -> None:
    values = [speed * UNITS[speeds.unit] for speed in speeds.metres_per_second]
    if not values:
        facts.append("No speed was measured.")
        return
    mark = None if speeds.limit is None else (speeds.limit, f"limit {speeds.limit:g}")
    charts.append(histogram(values, "Speeds", f"speed, {speeds.unit}", "passes", speeds.unit, mark))
    faster = "" if speeds.limit is None else f"; {sum(value > speeds.limit for value in values)} above {speeds.limit:g}"
    facts.append(
        f"{len(values)} passes, the median speed of each: "
        f"mean {np.mean(values):.1f} {speeds.unit}, median {np.median(values):.1f}, 85 % up to "
        f"{np.quantile(values, 0.85):.1f}, fastest {values[-1]:.1f}{faster}."
    )


def _share_seen(manifest: Mapping[str, Any]) -> float | None:
    """Of all streams together; None where there is nothing to see."""
    covered = [coverage(stream) for stream in manifest["streams"]]
    promised = sum(total for _, total in covered)
    return sum(seen for seen, _ in covered) / promised if promised else None
