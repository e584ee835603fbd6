"""Values put into the text of a config file: comments, order and everything else stay as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node

from vidan.pipeline.config.document import read_document
from vidan.pipeline.errors import ConfigError


def with_values(text: str, values: Mapping[str, float | int], path: Path) -> str:
    """The text of a config with these values.

    A value that is there is replaced, a key that is missing is put first in its section, and a section that is missing
    comes to the end.

    Args:
        text: A config that can be loaded.
        values: By keys such as ``tracker.new_confidence``.
        path: Of the file, for messages.

    Raises:
        ConfigError: If the file is written in a way (anchors, for example) in which that would change other values.
    """
    wanted = deepcopy(_data(text))
    for key, value in values.items():
        section, name = key.split(".")
        wanted.setdefault(section, {})[name] = value
        text = _with_value(text, section, name, str(value))
    if _data(text) != wanted:
        listed = ", ".join(f"{key}: {value:g}" for key, value in values.items())
        raise ConfigError(f"{path}: cannot be rewritten without changing more than {listed}; write these by hand")
    return text


def with_comment(text: str, lines: Sequence[str]) -> str:
    """The text with a comment above it; a first line that tells editors the schema stays the first."""
    comment = "".join(f"# {line}\n" for line in lines)
    first, newline, rest = text.partition("\n")
    return f"{first}\n{comment}{rest}" if newline and "yaml-language-server" in first else comment + text


def _data(text: str) -> Any:
    """What the text says; None where it is no YAML."""
    return read_document(text, os.environ).data


def _with_value(text: str, section: str, name: str, value: str) -> str:
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    mapping = _child(root, section)
    if mapping is None:
        return f"{text.rstrip()}\n\n{section}:\n  {name}: {value}\n"
    old = _child(mapping, name)
    if old is not None:
        return text[: old.start_mark.index] + value + text[old.end_mark.index :]
    if not isinstance(mapping, MappingNode):
        return text  # which the caller will notice
    start = mapping.start_mark
    if mapping.flow_style:
        comma = ", " if mapping.value else ""
        return f"{text[: start.index + 1]}{name}: {value}{comma}{text[start.index + 1 :]}"
    return f"{text[: start.index]}{name}: {value}\n{' ' * start.column}{text[start.index :]}"


def _child(node: Node | None, name: str) -> Node | None:
    if not isinstance(node, MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)
