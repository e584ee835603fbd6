"""docs/rules.md is true: its examples load, its rule works and passes its own test, and nothing is left out."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from vidan.pipeline.config.load import load_config
from vidan.pipeline.config.schema import json_schema
from vidan.pipeline.events import EventKind
from vidan.pipeline.rules.near_misses import Reason

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
STREAM = "streams: [{name: a, source: {type: video, path: a.mp4}}]\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: text.split()[1])
def test_every_example_is_right(tmp_path: Path, text: str) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(STREAM + textwrap.dedent(text))
    assert load_config(path).config.rules


def test_the_rule_that_is_added_passes_its_test(walk, watch) -> None:
    names: dict[str, object] = {"__name__": "example"}
    for code in blocks("python"):
        exec(code, names)
    test = names["test_who_stays_is_told_once"]
    assert callable(test)
    test(walk, watch)


def test_every_rule_and_every_event_is_explained() -> None:
    for kind in json_schema()["properties"]["rules"]["additionalProperties"]["discriminator"]["mapping"]:
        assert f"\n## {kind.capitalize()}\n" in PAGE
    for kind in EventKind:
        assert f"`{kind.value}`" in PAGE
    for reason in (Reason.SCHEDULE, Reason.COOLDOWN, Reason.DIRECTION, Reason.SHORT, Reason.VANISHED):
        assert f"`{reason.value}`" in PAGE
