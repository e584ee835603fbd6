"""What is wrong with a config file: one line per problem, with file, line, key path and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

Location: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists, from the top of the file."""


class Mark(NamedTuple):
    """A place in the file; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, said in words, at one place."""

    mark: Mark
    location: Location
    message: str

    def render(self, file: Path) -> str:
        """``file:line: key.path: message``; the key path is left out where the whole file is meant."""
        parts = [f"{file}:{self.mark.line}", key_path(self.location), self.message]
        return ": ".join(part for part in parts if part)


def key_path(location: Location) -> str:
    """The location as people write it, such as ``rules.gate.points[0]``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in location)
    return text.removeprefix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` with the nearest known word, or nothing where none is near."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f" (did you mean '{by_folded[near[0]]}'?)" if near else ""
