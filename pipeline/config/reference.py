"""The reference page of the config language, written from its JSON Schema.

``python -m vidan.pipeline.config.reference > docs/config.md`` writes it anew; a test compares the two.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from vidan.pipeline.config.schema import json_schema

_INTRODUCTION = """\
# The config file

<!-- written by `python -m vidan.pipeline.config.reference > docs/config.md`; do not edit -->

A run is described by one YAML file. `vidan check FILE` names everything that is wrong with it, each with its line.

- **Paths** are relative to the config file; `~` is the home folder.
- **Coordinates** are `[x, y]`, x to the right and y down. Where all of a shape lie within 0..1 they are fractions of
  the frame's width and height, otherwise pixels of the frame. Both in one shape is an error.
- **Variables** of the environment: `${NAME}` stands for the value, `${NAME:-default}` has a default for a variable
  that is unset or empty, `$${` stands for `${`. In a plain value the result is read as if it stood in the file
  (`batch: ${BATCH}` is a number), in quotes it is text. Inside `{ }` and `[ ]` quotes are needed.
- **Secrets**: what comes from the environment, and passwords in URLs, are `***` in messages and in run.json.
- **Scalars** are those of YAML 1.2: only `true` and `false` are switches, `yes`, `no`, `on` and `off` are text.
- **Editors** complete and check the file with `# yaml-language-server: $schema=vidan.schema.json` in its first line.
  The schema is `configs/vidan.schema.json`, or what `vidan check --schema` prints.
"""


def markdown_reference() -> str:
    """The page: an introduction, then a table of keys for each mapping of the language."""
    schema = json_schema()
    return "\n".join([_INTRODUCTION, *_sections("", schema, schema["$defs"], set())])


def _sections(
    path: str, model: dict[str, Any], definitions: dict[str, Any], told: set[tuple[str, str]]
) -> Iterator[str]:
    """A mapping and all within it; what is the same in several types of a thing is told once, with the first."""
    kind = model["properties"].get("type", {}).get("const")
    yield f"## {f'`{path}`' if path else 'Top level'}{f' of type `{kind}`' if kind else ''}\n"
    yield f"{model['description']}\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    properties = sorted(model["properties"].items(), key=lambda item: item[0] != "type")  # the type comes first
    for key, node in properties:
        default = "required" if key in model.get("required", ()) else _show_default(node)
        yield f"| `{key}` | {_describe(node)} | {default} | {node['description']} |"
    yield ""
    for key, node in properties:
        for inner_path, name in _models(f"{path}.{key}".lstrip("."), node):
            if (inner_path, name) not in told:
                told.add((inner_path, name))
                yield from _sections(inner_path, definitions[name], definitions, told)


def _models(path: str, node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The mappings that may stand at a key: path and name of each."""
    if "$ref" in node:
        yield path, node["$ref"].rpartition("/")[2]
    for alternative in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _models(path, alternative)
    if "items" in node:
        yield from _models(f"{path}[]", node["items"])
    if isinstance(node.get("additionalProperties"), dict):
        yield from _models(f"{path}.NAME", node["additionalProperties"])


def _describe(node: dict[str, Any]) -> str:
    """What may stand at a key, in words."""
    if alternatives := node.get("anyOf") or node.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_describe, alternatives)))
    if choices := node.get("enum") or ([node["const"]] if "const" in node else []):
        return ", ".join(f"`{choice}`" for choice in choices)
    match node.get("type"):
        case "integer":
            return "whole number" + _limits(node)
        case "number":
            return "number" + _limits(node)
        case "string":
            return "date and time" if node.get("format") == "date-time" else "text"
        case "boolean":
            return "true or false"
        case "array" if "prefixItems" in node:
            return f"[{', '.join('number' for _ in node['prefixItems'])}]"
        case "array":
            return f"list of {_describe(node['items'])}"
        case "object":
            return f"names, each with a {_describe(node['additionalProperties'])}"
        case "null":
            return "null"
    return "mapping"


def _limits(node: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "multipleOf": "multiple of"}
    limits = ", ".join(f"{sign} {node[key]:.12g}" for key, sign in signs.items() if key in node)
    return f" {limits}" if limits else ""


def _show_default(node: dict[str, Any]) -> str:
    return f"`{json.dumps(node['default']).strip(chr(34))}`" if "default" in node else "see below"


if __name__ == "__main__":
    sys.stdout.write(markdown_reference())
