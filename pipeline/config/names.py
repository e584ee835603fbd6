"""What one part of a config wants of another: rules, classes and calibrations that must be there, names that differ.

These checks look at the plain values, not at the models, so that they speak up beside all other problems of the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from vidan.pipeline.config.document import Document
from vidan.pipeline.config.problems import Location, Problem, did_you_mean
from vidan.pipeline.config.values import FILE_NAME


def check_names(document: Document, class_names: Collection[str] | None) -> list[Problem]:
    """The names in a run config that nothing answers to.

    Args:
        document: Of a run config; it may be wrong in any other way.
        class_names: Classes that the detector knows, or None to trust the names of classes.
    """
    return [*_check_streams(document), *_check_rules(document), *_check_classes(document, class_names)]


def _check_streams(document: Document) -> Iterator[Problem]:
    rules = _mapping(document.data.get("rules"))
    first_lines: dict[str, int] = {}
    for index, stream in enumerate(map(_mapping, _list(document.data.get("streams")))):
        name, location = stream.get("name"), ("streams", index, "name")
        if isinstance(name, str):
            folded = name.casefold()  # on some disks, case does not tell files apart
            if folded in first_lines:
                yield document.problem(location, f"is the name of the stream in line {first_lines[folded]} already")
            first_lines.setdefault(folded, document.marks[location].line)
        for at, rule in _names(stream, "rules", ("streams", index)):
            if rule not in rules:
                yield _unknown(document, at, "rule", rule, rules)
    output = _mapping(document.data.get("output"))
    sections = [(("output", key), _mapping(output.get(key))) for key in ("evidence", "mqtt", "redis", "kafka")]
    webhooks = enumerate(map(_mapping, _list(output.get("webhooks"))))
    for place, section in [*sections, *((("output", "webhooks", index), webhook) for index, webhook in webhooks)]:
        for at, rule in _names(section, "rules", place):
            if rule not in rules:
                yield _unknown(document, at, "rule", rule, rules)


def _check_rules(document: Document) -> Iterator[Problem]:
    """Rules that need another rule, the ground under a stream, or a name for a file."""
    rules = _mapping(document.data.get("rules"))
    for key, rule in ((key, _mapping(rule)) for key, rule in rules.items()):
        match rule.get("type"):
            case "flow":
                for at, place in _names(rule, "places", ("rules", key)):
                    yield from _check_place(document, at, place, rules, ("line", "zone"))
            case "queue" if isinstance(line := rule.get("line"), str):
                yield from _check_place(document, ("rules", key, "line"), line, rules, ("line",))
            case "speed" if rule.get("calibration") is None:
                for stream in map(_mapping, _list(document.data.get("streams"))):
                    watches = stream.get("rules") is None or key in _list(stream["rules"])
                    if watches and stream.get("calibration") is None:
                        message = (
                            f"is missing, and stream '{stream.get('name')}' has none: without it there is no speed"
                        )
                        yield document.problem(("rules", key, "calibration"), message)
            case "heatmap" if not re.fullmatch(FILE_NAME, key):
                yield document.problem(
                    ("rules", key), "names a file, so it may hold only the letters A-Z and a-z, digits, - and _"
                )


def _check_place(
    document: Document, at: Location, name: str, rules: dict[str, Any], types: tuple[str, ...]
) -> Iterator[Problem]:
    """A rule that another one refers to: it must be there, and be of one of these types."""
    fitting = [key for key, rule in rules.items() if _mapping(rule).get("type") in types]
    if name not in rules:
        yield _unknown(document, at, "rule", name, fitting)
    elif name not in fitting:
        yield document.problem(at, f"should name a rule of type {' or '.join(types)}, got {document.show(at)}")


def _check_classes(document: Document, class_names: Collection[str] | None) -> Iterator[Problem]:
    detector, groups = _mapping(document.data.get("detector")), _mapping(document.data.get("class_groups"))
    kept = [name for _, name in _names(detector, "classes", ("detector",))] or class_names
    if class_names is not None:
        members = [found for group in groups for found in _names(groups, group, ("class_groups",))]
        for at, name in (*_names(detector, "classes", ("detector",)), *members):
            if name not in class_names:
                yield _unknown(document, at, "class", name, class_names)
        for group in groups:
            if group in class_names:
                yield document.problem(("class_groups", group), "is the name of a class already")
    if kept is not None:
        for key, rule in _mapping(document.data.get("rules")).items():
            for at, name in _names(_mapping(rule), "classes", ("rules", key)):
                if name not in kept and name not in groups:
                    yield _unknown(document, at, "class", name, (*kept, *groups))


def _unknown(document: Document, location: Location, noun: str, name: str, known: Collection[str]) -> Problem:
    near = "" if location in document.borrowed else did_you_mean(name, known)
    return document.problem(location, f"there is no {noun} {document.show(location)}{near}")


def _names(section: dict[str, Any], key: str, location: Location) -> Iterator[tuple[Location, str]]:
    """The texts in a list under a key, each with its location."""
    for index, name in enumerate(_list(section.get(key))):
        if isinstance(name, str):
            yield (*location, key, index), name


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
