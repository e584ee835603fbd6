"""Running totals of the rules, from the events that were sent; and the sensors by which Home Assistant shows them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidan.pipeline.events import EventKind
from vidan.pipeline.sinks.destination import LoggedEvent

_ARRIVALS, _DEPARTURES = ("entered", "appeared"), ("left", "vanished")


@dataclass(frozen=True, slots=True)
class CountedRule:
    """What totals must know of one rule on one stream.

    Attributes:
        stream: Name of the stream.
        name: Of the rule.
        type: line, zone, speed, flow or queue.
        words: What is counted, as totals call it: directions of a line, the four words of a zone, or nothing else
            than the kinds of the events.
    """

    stream: str
    name: str
    type: str
    words: tuple[str, ...] = ()


class Totals:
    """Counts events by stream, rule and word since the beginning of the run.

    Args:
        rules: All that may have events; those without any are zero.
    """

    def __init__(self, rules: Sequence[CountedRule]) -> None:
        self.rules = tuple(rules)
        self._last = 0  # number of the last event that was counted
        self._types = {(rule.stream, rule.name): rule.type for rule in rules}
        self._counts = {(rule.stream, rule.name): Counter(dict.fromkeys(rule.words, 0)) for rule in rules}

    def add(self, events: Iterable[LoggedEvent]) -> None:
        """Counts events, in the order of the log; those that were counted already, for they are sent again, are not."""
        for number, record in events:
            if number <= self._last:
                continue
            self._last = number
            counts = self._counts.setdefault((record["source"], record["rule"]), Counter())
            counts[_word(record)] += 1

    def records(self, places: Iterable[tuple[str, str]] | None = None) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Stream, rule and totals of these places (stream, rule), or of all."""
        for stream, rule in self._counts if places is None else dict.fromkeys(places):
            counts = self._counts.get((stream, rule), Counter())
            record: dict[str, Any] = dict(counts)
            if self._types.get((stream, rule)) == "zone":
                here = sum(counts[word] for word in _ARRIVALS) - sum(counts[word] for word in _DEPARTURES)
                record["inside"] = here
            yield stream, rule, record


def _word(record: Mapping[str, Any]) -> str:
    kind = record["event"]
    if kind == EventKind.LINE_CROSSED:
        return record["direction"]
    return kind.removeprefix("zone_")


def discovery(
    rules: Sequence[CountedRule], *, node: str, status_topic: str, totals_topic: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sensors of Home Assistant's MQTT discovery: the end of the topic of each, and its configuration.

    A device per stream; a growing total per direction of a line and for the entries of a zone, and how many are inside.

    Args:
        rules: What is counted.
        node: Tells several vidans apart: their topic.
        status_topic: Where ``online`` and ``offline`` are said.
        totals_topic: Of each stream and rule.
    """
    for rule in rules:
        for word in _sensor_words(rule):
            unique = hashlib.sha256("\0".join((node, rule.stream, rule.name, word)).encode()).hexdigest()[:12]
            is_state = word == "inside"
            yield (
                f"sensor/{_slug(f'{node}_{rule.stream}')}/{_slug(f'{rule.name}_{word}')}_{unique}/config",
                {
                    "name": f"{rule.name} {word}",
                    "unique_id": f"vidan_{unique}",
                    "state_topic": totals_topic[rule.stream, rule.name],
                    "value_template": f"{{{{ value_json[{json.dumps(word)}] }}}}",
                    "state_class": "measurement" if is_state else "total_increasing",
                    "icon": "mdi:account-group" if is_state else "mdi:counter",
                    "availability_topic": status_topic,
                    "payload_available": "online",
                    "payload_not_available": "offline",
                    "device": {
                        "identifiers": [f"vidan_{_slug(f'{node}_{rule.stream}')}"],
                        "name": f"vidan {rule.stream}",
                        "manufacturer": "vidan",
                        "model": "video analytics",
                    },
                    "origin": {"name": "vidan"},
                },
            )


def _sensor_words(rule: CountedRule) -> tuple[str, ...]:
    match rule.type:
        case "line":
            return rule.words
        case "zone":
            return ("inside", "entered")
    return ()


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
