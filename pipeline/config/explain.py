"""pydantic's errors -> problems in words, at their place in the file, with what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vidan.pipeline.config.document import Document
from vidan.pipeline.config.problems import Location, Problem, did_you_mean

_MAPPING = "should be a mapping of keys to values"
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no key that is known here",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "string_type": "should be text, in quotes if need be",
    "tuple_type": "should be a list",
    "model_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "greater_than": "should be above {gt:g}",
    "greater_than_equal": "should be at least {ge:g}",
    "less_than_equal": "should be at most {le:.12g}",
    "multiple_of": "should be a multiple of {multiple_of:g}",
    "string_too_short": "should not be empty",
    "string_too_long": "should have at most {max_length} characters",
    "too_short": "should have {min_length} or more entries, has {actual_length}",
    "too_long": "should have {max_length} entries or fewer, has {actual_length}",
    "value_error": "{error}",
}


def explain(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """What pydantic complains of, each thing once, and not where the document has a complaint already."""
    complained = {problem.location for problem in document.problems}
    schema = _json_schema(model)
    all_details = [details for details in error.errors(include_url=False) if not _is_echo(details)]
    problems = dict.fromkeys(_explain_one(details, document, schema) for details in all_details)
    return [problem for problem in problems if problem.location not in complained]


@cache
def _json_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _is_echo(error: ErrorDetails) -> bool:
    """True for a list called too short only because items in it are wrong, which is told at the items."""
    return error["type"] == "too_short" and len(error["input"]) >= error.get("ctx", {})["min_length"]


def _explain_one(error: ErrorDetails, document: Document, schema: dict[str, Any]) -> Problem:
    kind, keys, context = error["type"], error["loc"], error.get("ctx", {})
    location = document.locate(keys)  # without the tags of unions that pydantic puts in
    match kind:
        case "missing":
            return document.problem((*location, keys[-1]), _WORDS[kind])
        case "extra_forbidden":
            known = [key for node in _schemas_at(schema, keys[:-1]) for key in node.get("properties", {})]
            return document.problem(location, _WORDS[kind] + did_you_mean(str(keys[-1]), known))
        case "union_tag_not_found":
            known = [str(tag) for node in _schemas_at(schema, keys) for tag in _tags(node)]
            return document.problem((*location, "type"), f"is missing; it should be {_one_of(known)}")
        case "union_tag_invalid":
            return _wrong_choice(document, (*location, "type"), context["expected_tags"])
        case "literal_error":
            return _wrong_choice(document, location, context["expected"])
    words = _WORDS[kind].format(**context) if kind in _WORDS else error["msg"]
    return document.problem(location, words + _got(document, location))


def _wrong_choice(document: Document, location: Location, expected: str) -> Problem:
    """`expected` is pydantic's list of the choices, each in quotes."""
    choices = re.findall(r"'([^']*)'", expected)
    near = "" if location in document.borrowed else did_you_mean(str(document.value(location)), choices)
    return document.problem(location, f"should be {_one_of(choices)}{_got(document, location)}{near}")


def _got(document: Document, location: Location) -> str:
    value = document.show(location)
    return f", got {value}" if value else ""


def _one_of(choices: Sequence[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def _schemas_at(schema: dict[str, Any], keys: Location) -> list[dict[str, Any]]:
    """All parts of a JSON Schema that may describe what stands at the location, tags of unions included in it."""
    nodes = list(_unfold(schema, schema))
    for key in keys:
        found = [{"$ref": _tags(node)[key]} for node in nodes if key in _tags(node)]  # a tag may be a key, too: `line`
        found = found or [child for node in nodes for child in _children(node, key)]
        nodes = [unfolded for node in found for unfolded in _unfold(node, schema)] or nodes
    return nodes


def _unfold(node: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The node and all that it stands for."""
    yield node
    if "$ref" in node:
        yield from _unfold(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    for alternative in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _unfold(alternative, schema)


def _children(node: dict[str, Any], key: str | int) -> Iterator[dict[str, Any]]:
    if isinstance(key, int):
        if "items" in node:
            yield node["items"]
    elif key in node.get("properties", {}):
        yield node["properties"][key]
    elif isinstance(node.get("additionalProperties"), dict):
        yield node["additionalProperties"]


def _tags(node: dict[str, Any]) -> dict[str | int, str]:
    """Name of each type of a union -> reference to its schema."""
    return node.get("discriminator", {}).get("mapping", {})
