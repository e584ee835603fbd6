"""What `vidan data check` shows and records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from vidan.detector.data import SPLITS, DatasetReport, FindingKind, Severity

EXAMPLES = 3
_BAR_WIDTH = 24
_MARKS = {Severity.ERROR: "✗", Severity.LEFT_OUT: "!", Severity.NOTE: "·"}


def report_tables(report: DatasetReport) -> Iterator[RenderableType]:
    """Parts, classes, and findings with the first examples of each kind."""
    yield _parts(report)
    yield ""
    for split in SPLITS:
        if report.samples(split):
            yield _classes(report, split)
            yield ""
    yield from _findings(report)


def to_record(report: DatasetReport) -> dict[str, Any]:
    """Plain JSON values, all findings among them."""
    return {
        "classes": list(report.classes),
        "parts": [
            {
                "split": part.split,
                "name": part.name,
                "pictures": len(part.samples),
                "without_objects": sum(len(sample.xyxy) == 0 for sample in part.samples),
                "thinned": part.thinned,
            }
            for part in report.parts
        ],
        "class_counts": {
            split: {name: asdict(counts) for name, counts in report.class_counts(split).items()} for split in SPLITS
        },
        "findings": [
            {"severity": f.kind.severity.value, "kind": f.kind.value, "where": f.where, "what": f.what}
            for f in report.findings
        ],
    }


def _parts(report: DatasetReport) -> Table:
    table = _table("split", "part", "pictures", "empty", "thinned", "objects", "ignored")
    for part in report.parts:
        ignored = sum(int(sample.ignored.sum()) for sample in part.samples)
        objects = sum(len(sample.xyxy) for sample in part.samples) - ignored
        empty = sum(len(sample.xyxy) == 0 for sample in part.samples)
        numbers = (len(part.samples), empty, part.thinned, objects, ignored)
        table.add_row(part.split, Text(part.name), *map(str, numbers))
    return table


def _classes(report: DatasetReport, split: Any) -> Table:
    table = _table(split, "", "objects", "pictures", "small", "medium", "large", "median side")
    counts = report.class_counts(split)
    most = max((each.objects for each in counts.values()), default=0) or 1
    for name, each in counts.items():
        bar = "█" * max(round(_BAR_WIDTH * each.objects / most), int(each.objects > 0))
        side = f"{each.median_px:.0f} px" if each.objects else ""
        table.add_row(Text(name), bar, *map(str, (each.objects, each.pictures, *each.sizes)), side)
    return table


def _findings(report: DatasetReport) -> Iterator[RenderableType]:
    if not report.findings:
        yield "nothing wrong was found"
        return
    order = list(FindingKind)
    severities = list(Severity)
    found = sorted(report.findings, key=lambda f: (severities.index(f.kind.severity), order.index(f.kind)))
    for kind, group in groupby(found, key=lambda finding: finding.kind):
        findings = list(group)
        yield f"{_MARKS[kind.severity]} {kind.value}: {len(findings)}  ({kind.severity.value})"
        yield from (f"    {finding}" for finding in findings[:EXAMPLES])
        if len(findings) > EXAMPLES:
            yield f"    and {len(findings) - EXAMPLES} more"
    yield ""


def _table(first: str, second: str, *numbers: str) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column(first)
    table.add_column(second)
    for title in numbers:
        table.add_column(title, justify="right")
    return table
