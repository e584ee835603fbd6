"""YAML text -> plain values, each with its line, and with ``${VARIABLES}`` of the environment filled in.

YAML as people mean it: scalars are read nearly as in the core schema of YAML 1.2, so ``on``, ``no`` and ``12:30`` are
text and ``010`` is ten; keys are text as they stand. Duplicate keys and tags are errors. Anchors and aliases are
followed within limits, so that no small file can grow into a large one.

``${NAME}`` in a value is replaced by the variable, ``${NAME:-default}`` by the default where it is unset or empty,
and ``$${`` stands for ``${``. In a plain value the result is read as if it stood in the file (``batch: ${BATCH}`` is a
number), in a quoted one it is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.reader import ReaderError

from vidan.pipeline.config.problems import Location, Mark, Problem
from vidan.pipeline.masking import MASK, is_secret_place, mask_url_password

MAX_DEPTH = 30  # a coordinate of a zone lies six levels deep
MAX_VALUES = 50_000  # after aliases are followed

Scalar: TypeAlias = str | int | float | bool | None

# A variable, with or without a default; or `${` with something else behind it, which is an error.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\})?")


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A scalar that took something from the environment: its text in the file, and the values it took."""

    text: str
    values: tuple[str, ...]

    def mask(self, text: str) -> str:
        """The text with ``***`` for each of the values, also where the way up of a path was folded away (`../x`)."""
        folded = {value.lstrip("./") for value in self.values if value.startswith(".")} - {""}
        for value in sorted({*self.values, *folded}, key=len, reverse=True):
            text = text.replace(value, MASK)
        return text


@dataclass(slots=True)
class Document:
    """What a YAML file says.

    Attributes:
        data: Mappings, lists and scalars; None if the file is empty or cannot be read at all.
        marks: Where each key (in a list: each item) stands; the root, ``()``, at the top.
        borrowed: The scalars that took something from the environment.
        problems: What is wrong with the file, whatever its values mean.
    """

    data: Any = None
    marks: dict[Location, Mark] = field(default_factory=lambda: {(): Mark(1, 1)})
    borrowed: dict[Location, Borrowed] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def locate(self, location: Location) -> Location:
        """The way along these keys into the file; keys that are not in the file are left out."""
        found: Location = ()
        for key in location:
            if (*found, key) in self.marks:
                found = (*found, key)
        return found

    def value(self, location: Location) -> Any:
        """What stands at a location that is in the file."""
        value = self.data
        for key in location:
            value = value[key]
        return value

    def show(self, location: Location) -> str | None:
        """The scalar that stands there, for a message: no passwords, no values of variables. None for a collection."""
        if location in self.borrowed:
            return f"'{mask_url_password(self.borrowed[location].text)}', filled in from the environment"
        value = self.value(location)
        if isinstance(value, (dict, list)):
            return None
        if is_secret_place(location):
            return f"'{MASK}'"
        return f"'{mask_url_password(value)}'" if isinstance(value, str) else json.dumps(value)

    def problem(self, location: Location, message: str) -> Problem:
        """A problem at this location, marked at the nearest key above it that is in the file."""
        return Problem(self.marks[self.locate(location)], location, message)


def read_document(text: str, environment: Mapping[str, str]) -> Document:
    """Reads YAML text; whatever is wrong with it ends up in the document's ``problems``."""
    document = Document()
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is not None:
            document.data = _Reader(document, environment).value(root, ())
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.problems.append(
            Problem(Mark(line, 1), (), f"holds a control character (#{ord(text[error.position]):x})")
        )
    except yaml.MarkedYAMLError as error:
        document.problems.append(_explain_syntax(error, text))
    return document


class _Loader(yaml.BaseLoader):
    """Composes nodes; the values of scalars are read later, so that variables can be filled in first."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(
                problem=f"tags such as {event.tag} are not allowed", problem_mark=event.start_mark
            )
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="it is nested too deep", problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """Turns nodes into values and notes in the document where they stand."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self._values = 0

    def value(self, node: Node, location: Location) -> Any:
        self._values += 1
        if self._values > MAX_VALUES or len(location) > MAX_DEPTH:
            problem = "its aliases (*name) make it too large or endless"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        if isinstance(node, MappingNode):
            return self._mapping(node, location)
        if isinstance(node, ScalarNode):
            return self._scalar(node, location)
        return [self._item(child, (*location, index)) for index, child in enumerate(node.value)]

    def _item(self, node: Node, location: Location) -> Any:
        self._document.marks[location] = _mark(node.start_mark)
        return self.value(node, location)

    def _mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, ScalarNode):
                self._complain(key, location, "has a key that is not a word; put text with braces in it in quotes")
            elif key.value in values:
                first = self._document.marks[(*location, key.value)].line
                self._complain(key, (*location, key.value), f"stands here twice, first in line {first}")
            else:
                self._document.marks[(*location, key.value)] = _mark(key.start_mark)
                values[key.value] = None
                values[key.value] = self.value(child, (*location, key.value))
        return values

    def _scalar(self, node: ScalarNode, location: Location) -> Scalar:
        borrowed: list[str] = []

        def fill_in(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name, default = match["name"], match["default"]
            if name is None:
                problem = "holds '${' without a variable; write ${NAME} or ${NAME:-default}, or $${ for the characters"
                self._complain(node, location, problem)
                return ""
            value = self._environment.get(name, "")
            if value or (default is None and name in self._environment):
                borrowed.append(value)
                return value
            if default is None:
                problem = f"the environment variable {name} is not set; set it, or give a default: ${{{name}:-...}}"
                self._complain(node, location, problem)
                return ""
            return default.removeprefix(":-")

        text = _REFERENCE.sub(fill_in, node.value)
        if any(borrowed):
            self._document.borrowed[location] = Borrowed(node.value, tuple(filter(None, borrowed)))
        return read_plain(text) if node.style is None else text

    def _complain(self, node: Node, location: Location, message: str) -> None:
        self._document.problems.append(Problem(_mark(node.start_mark), location, message))


def read_plain(text: str) -> Scalar:
    """The value of a scalar without quotes."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return float(text)
    return text


def _explain_syntax(error: yaml.MarkedYAMLError, text: str) -> Problem:
    problem = ", ".join(filter(None, (error.context, error.problem)))
    unfinished = "stream end" in problem or "end of stream" in problem  # the place to look at is where it began
    mark = (error.context_mark if unfinished else error.problem_mark) or error.problem_mark
    line, column = _mark(mark) if mark else Mark(1, 1)
    hint = ""
    if "'\\t'" in problem:
        hint = "; indent with spaces, not with tabs"
    elif "mapping values" in problem:
        hint = "; put text with ': ' in it in quotes, or look at the indentation"
    elif any("${" in shown for shown in text.splitlines()[line - 1 : line]):
        hint = "; inside { } and [ ] a ${VARIABLE} needs quotes"
    return Problem(Mark(line, column), (), f"is no valid YAML: {problem}{hint}")


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)
