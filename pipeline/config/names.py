"""Names that point elsewhere: the rules of a stream, the classes of a rule. Each must be there, and streams differ.

These checks look at the plain values, not at the models, so that they speak up beside all other problems of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from vidan.pipeline.config.document import Document
from vidan.pipeline.config.problems import Location, Problem, did_you_mean


def check_names(document: Document, class_names: Collection[str] | None) -> list[Problem]:
    """The names in a run config that nothing answers to.

    Args:
        document: Of a run config; it may be wrong in any other way.
        class_names: Classes that the detector knows, or None to trust the names of classes.
    """
    return [*_check_streams(document), *_check_classes(document, class_names)]


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
