"""What ships in configs/ and docs/config.md is right: examples load, schema and reference are those of the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidan.pipeline.config.load import load_config
from vidan.pipeline.config.reference import markdown_reference
from vidan.pipeline.config.schema import json_schema

ROOT = Path(__file__).parents[1]
COCO = ("person", "bicycle", "car", "motorcycle", "bus", "truck")  # those of the 80 that the examples may name


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOOTAGE", raising=False)
    loaded = load_config(path, class_names=lambda detector, path: ("person",) if detector.weights == "demo" else COCO)
    assert loaded.config.rules
    assert path.read_text().startswith("# yaml-language-server: $schema=vidan.schema.json\n")


def test_there_are_examples() -> None:
    assert {"campus", "crossroad", "entrance"} <= {path.stem for path in (ROOT / "configs").glob("*.yaml")}


def test_the_schema_for_editors_is_that_of_the_code() -> None:
    shipped = json.loads((ROOT / "configs" / "vidan.schema.json").read_text())
    assert shipped == json_schema(), "run: vidan check --schema > configs/vidan.schema.json"


def test_the_reference_page_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "config.md").read_text()
    assert page == markdown_reference(), "run: python -m vidan.pipeline.config.reference > docs/config.md"
