"""What is more than a count: journeys between places, speeds, and queues with the time that people lost in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.calibration import UNITS, SpeedUnit
from vidan.pipeline.report.csv_table import COVERAGE, WHEN, coverage, when, write_csv
from vidan.pipeline.report.intervals import Interval, Timeline
from vidan.pipeline.report.rule_events import RuleEvents
from vidan.pipeline.report.rule_info import RuleInfo


@dataclass(frozen=True, slots=True)
class FlowRow:
    """One cell of an origin–destination matrix, for one class.

    Attributes:
        rule: Which flow on which stream.
        origin: Name of the first of its places that the tracks met.
        destination: Name of the last one; the origin again where they met no other after it.
        label: Name of the class.
        count: Finished tracks.
    """

    rule: RuleInfo
    origin: str
    destination: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Speeds:
    """How fast the passes through a speed rule were.

    Attributes:
        rule: Which speed rule on which stream.
        unit: In which people read it.
        limit: In that unit; None where none is set.
        metres_per_second: The median speed of each pass, ascending.
    """

    rule: RuleInfo
    unit: SpeedUnit
    limit: float | None
    metres_per_second: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class QueueRow:
    """How long a queue was during one interval, from samples in the time that was seen, and who left it then.

    Attributes:
        rule: Which queue on which stream.
        interval: When.
        samples: How many samples; without any the next three are None.
        minimum: Fewest waiting.
        mean: Over the samples.
        maximum: Most waiting.
        waits: Seconds that each track which was served in this interval had waited, ascending.
        abandoned: Seconds that each track which gave up in this interval had waited, ascending.
    """

    rule: RuleInfo
    interval: Interval
    samples: int
    minimum: int | None
    mean: float | None
    maximum: int | None
    waits: tuple[float, ...]
    abandoned: tuple[float, ...]

    @property
    def is_unknown(self) -> bool:
        """True where nobody looked, so that nobody who left is no zero."""
        return not self.waits and not self.abandoned and not self.interval.is_observed


def flow_rows(rule: RuleInfo, events: RuleEvents) -> list[FlowRow]:
    """The matrix of a flow, zero-filled; its cells add up to its events."""
    found = events.journeys
    labels = dict.fromkeys((*rule.classes, *sorted({label for *_, label in found})))
    places = dict.fromkeys((*rule.places, *sorted({place for *pair, _ in found for place in pair})))
    return [FlowRow(rule, *cell, found[cell]) for cell in product(places, places, labels)]


def speeds_of(rule: RuleInfo, events: RuleEvents) -> Speeds:
    """The speeds of all passes through a speed rule."""
    return Speeds(rule, rule.unit, rule.limit, tuple(sorted(speed / UNITS[rule.unit] for speed in events.speeds)))


def queue_rows(rule: RuleInfo, events: RuleEvents, timeline: Timeline) -> list[QueueRow]:
    """The length of a queue in each interval, and the waits that ended in it."""
    changes = sorted(events.lengths)
    moments = timeline.moments(rule.every_seconds)
    lengths = np.array([0, *(length for _, length in changes)])
    sampled = lengths[np.searchsorted([seconds for seconds, _ in changes], moments, side="right")]
    rows = []
    for i, (interval, sample) in enumerate(zip(timeline.intervals, timeline.split(moments, sampled), strict=True)):
        served, abandoned = (tuple(sorted(waits.get(i, ()))) for waits in events.waits.values())
        rows.append(QueueRow(rule, interval, len(sample), *extent(sample), served, abandoned))
    return rows


def extent(sample: NDArray[np.int64]) -> tuple[int | None, float | None, int | None]:
    """Minimum, mean and maximum of a sample; None of an empty one."""
    if not len(sample):
        return None, None, None
    return int(sample.min()), float(sample.mean()), int(sample.max())


def write_flows_csv(path: Path, rows: Sequence[FlowRow], unseen: Collection[RuleInfo] = ()) -> None:
    """Writes flows.csv, one line per cell of the matrix and class.

    Args:
        path: File to write.
        rows: What it tells.
        unseen: Flows for which nobody looked: their counts are empty, for missing is not zero.

    Raises:
        SinkError: If it cannot be written.
    """
    header = ("source", "rule", "origin", "destination", "class", "count")
    write_csv(
        path,
        header,
        (
            (
                *(row.rule.stream, row.rule.name, row.origin, row.destination, row.label),
                None if row.rule in unseen else row.count,
            )
            for row in rows
        ),
    )


def write_queue_csv(path: Path, rows: Sequence[QueueRow]) -> None:
    """Writes queue.csv. Where nobody looked and nobody left, it is empty: missing is not zero.

    Raises:
        SinkError: If it cannot be written.
    """
    header = (
        *("source", "rule", *WHEN, "samples", "minimum", "mean", "maximum"),
        *("served", "mean_wait", "longest_wait", "abandoned", *COVERAGE),
    )
    write_csv(
        path,
        header,
        (
            (
                *(row.rule.stream, row.rule.name, *when(row.interval)),
                *(row.samples, row.minimum, None if row.mean is None else round(row.mean, 4), row.maximum),
                None if row.is_unknown else len(row.waits),
                *((round(fmean(row.waits), 3), round(row.waits[-1], 3)) if row.waits else (None, None)),
                None if row.is_unknown else len(row.abandoned),
                *coverage(row.interval),
            )
            for row in rows
        ),
    )
