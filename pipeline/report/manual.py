"""Manual counts: a table that somebody filled in by watching, against which a run is judged.

A CSV file (commas, or semicolons as some spreadsheets write them) with a line of titles, in one of two forms:

    source,rule,class,direction,start,end,count    how many within start <= time < end
    source,rule,class,direction,time               one line per true event

Times are seconds of the stream, or ISO 8601 with an offset (`2026-05-01T10:00:00+02:00`) where the run knows the clock.
`class` and `direction` may be left empty, for one rule in all of its lines: then all classes (directions) are meant.
`source` may be left empty where the run has one stream only. A class may also be the name of a class group.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import isfinite
from pathlib import Path

from vidan.pipeline.config.problems import did_you_mean
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.run_folder import RunFolder

_KEY = ("source", "rule", "class", "direction")
_COUNTED = ("start", "end", "count")


@dataclass(frozen=True, slots=True)
class Movement:
    """What is counted together; None stands for all.

    Attributes:
        source: Name of the stream.
        rule: Name of the rule.
        label: Class, or name of a class group.
        direction: Display name.
    """

    source: str
    rule: str
    label: str | None
    direction: str | None


@dataclass(frozen=True, slots=True)
class ManualCount:
    """How often somebody saw it between two moments, in stream seconds, the second one not included."""

    movement: Movement
    start: float
    end: float
    count: int


@dataclass(frozen=True, slots=True)
class ManualEvent:
    """When somebody saw it, in stream seconds."""

    movement: Movement
    seconds: float


@dataclass(frozen=True, slots=True)
class Countable:
    """What a run counts, and so what a manual count may name.

    Attributes:
        directions: Display names by (source, rule).
        classes: Names by (source, rule).
        groups: Classes by name of the class group.
        start_utc: Wall-clock time of each source's second 0, where it is known.
        seconds: How long each source was recorded.
    """

    directions: Mapping[tuple[str, str], frozenset[str]]
    classes: Mapping[tuple[str, str], frozenset[str]]
    groups: Mapping[str, frozenset[str]]
    start_utc: Mapping[str, datetime | None]
    seconds: Mapping[str, float]


def read_countable(folder: RunFolder) -> Countable:
    """What a finished run has counted, from its counts.csv, which has a line even for what never happened.

    Raises:
        ConfigError: If it is no finished run.
    """
    directions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    classes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    try:
        with folder.counts.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                directions[row["source"], row["rule"]].add(row["direction"])
                classes[row["source"], row["rule"]].add(row["class"])
        record = json.loads(folder.manifest.read_text(encoding="utf-8"))
        clocks = {stream["name"]: stream["start_utc"] for stream in record["streams"]}
        groups = record["config"].get("class_groups", {})
        return Countable(
            {key: frozenset(names) for key, names in directions.items()},
            {key: frozenset(names) for key, names in classes.items()},
            {name: frozenset(members) for name, members in groups.items()},
            {name: None if clock is None else datetime.fromisoformat(clock) for name, clock in clocks.items()},
            {stream["name"]: float(stream["seconds"]) for stream in record["streams"]},
        )
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise ConfigError(f"{folder.path} is no folder of a finished run: it has no {missing}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"cannot read the run {folder.path}, damaged or of another vidan: {error!r}") from error


def read_manual(path: Path, countable: Countable) -> tuple[list[ManualCount], list[ManualEvent]]:
    """The manual counts, or the events, of a file; one of the two lists is empty.

    Raises:
        ConfigError: With one line per problem: a column, rule or direction that is not there, a wrong number, what is
            counted twice.
    """
    problems: list[str] = []
    counts: list[tuple[int, ManualCount]] = []
    events: list[ManualEvent] = []
    for line, row in _rows(path):
        try:
            movement = _movement(row, countable)
            start_utc = countable.start_utc[movement.source]
            if "time" in row:
                events.append(ManualEvent(movement, _seconds(row["time"], start_utc)))
                continue
            start, end = (_seconds(row[key], start_utc) for key in ("start", "end"))
            if not start < end:
                raise ValueError(f"start {row['start']} is not before end {row['end']}")
            counts.append((line, ManualCount(movement, start, end, _count(row["count"]))))
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
    if not problems:
        problems = [f"{path}:{problem}" for problem in _counted_twice(counts)]
        problems += [f"{path}: {problem}" for problem in _mixed([*(count for _, count in counts), *events])]
    if not (problems or counts or events):
        problems.append(f"{path} has no line below its titles")
    if problems:
        raise ConfigError("\n".join(problems))
    return [count for _, count in counts], events


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by lower-case title, without the spaces around them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            titles = file.readline()
            delimiter = ";" if titles.count(";") > titles.count(",") else ","
            names = [title.strip().lower() for title in next(csv.reader([titles], delimiter=delimiter), [])]
            wanted = (*_KEY, "time") if "time" in names else (*_KEY, *_COUNTED)
            if missing := [name for name in wanted if name not in names]:
                raise ConfigError(
                    f"{path}: no column {', '.join(missing)}; the titles are {','.join((*_KEY, *_COUNTED))}, "
                    f"or {','.join((*_KEY, 'time'))} for single events"
                )
            reader = csv.reader(file, delimiter=delimiter)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    padded = [*map(str.strip, cells), *[""] * len(names)]
                    yield reader.line_num + 1, dict(zip(names, padded, strict=False))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the manual counts {path}: {reason}") from error


def _movement(row: Mapping[str, str], countable: Countable) -> Movement:
    sources = sorted({source for source, _ in countable.directions})
    source = row["source"] or (sources[0] if len(sources) == 1 else "")
    if source not in sources:
        raise ValueError(_unknown("stream", source, sources))
    rules = [rule for of, rule in countable.directions if of == source]
    if row["rule"] not in rules:
        raise ValueError(_unknown("rule", row["rule"], rules))
    key = source, row["rule"]
    if row["direction"] and row["direction"] not in countable.directions[key]:
        raise ValueError(_unknown(f"direction of {row['rule']}", row["direction"], countable.directions[key]))
    labels = countable.classes[key] | countable.groups.keys()
    if row["class"] and row["class"] not in labels:
        raise ValueError(_unknown(f"class of {row['rule']}", row["class"], labels))
    return Movement(*key, row["class"] or None, row["direction"] or None)


def _unknown(what: str, word: str, known: Sequence[str] | frozenset[str]) -> str:
    return f"no {what} {word!r} in the run{did_you_mean(word, known)}; there is {', '.join(sorted(known))}"


def _seconds(text: str, start_utc: datetime | None) -> float:
    """Stream seconds of a cell."""
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_of_clock(text, start_utc)
    if not isfinite(seconds):
        raise ValueError(f"{text} is no time")
    return seconds


def _seconds_of_clock(text: str, start_utc: datetime | None) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time: expected seconds of the stream, or ISO 8601 with an offset") from error
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset: write {text}Z for UTC, or {text}+02:00 and the like")
    if start_utc is None:
        raise ValueError(f"{text}: the run knows no clock (no start_time, none in the file); give stream seconds")
    return (moment - start_utc).total_seconds()


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"count {text!r} is no whole number from 0")
    return int(text)


def _counted_twice(counts: Sequence[tuple[int, ManualCount]]) -> Iterator[str]:
    """What stands in two lines."""
    by_movement: dict[Movement, list[tuple[float, float, int]]] = {}
    for line, count in counts:
        by_movement.setdefault(count.movement, []).append((count.start, count.end, line))
    for spans in by_movement.values():
        for (_, end, line), (start, _, later) in pairwise(sorted(spans)):
            if start < end:
                yield f"{later}: counts again a part of the time that line {line} counts"


def _mixed(entries: Sequence[ManualCount | ManualEvent]) -> Iterator[str]:
    """Rules for which some lines name a class (direction) and others mean all of them."""
    movements = {entry.movement for entry in entries}
    for source, rule in sorted({(movement.source, movement.rule) for movement in movements}):
        own = [movement for movement in movements if (movement.source, movement.rule) == (source, rule)]
        for what, values in (("class", [m.label for m in own]), ("direction", [m.direction for m in own])):
            if None in values and len(set(values)) > 1:
                yield f"rule {rule} of {source}: name the {what} in all of its lines, or in none"
