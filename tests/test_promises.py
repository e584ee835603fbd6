"""What README and the packages' faces promise is there."""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path

import pytest

from vidan.pipeline.cli.main import _parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_command_has_help_and_a_line_in_the_readme() -> None:
    (commands,) = [action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert set(commands.choices) == {
        *("run", "batch", "check", "replay", "diff", "report", "tracks", "eval", "db", "deliver", "data"),
        *("train", "tune", "features", "export", "weights", "version"),
    }
    assert len(commands._choices_actions) == len(commands.choices), "each with a line of help"
    for name in commands.choices:
        assert f"`vidan {name}" in README


def test_every_file_that_the_readme_links_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("floor", ["vidan.detector", "vidan.trackers"])
def test_the_face_of_a_floor_is_complete(floor: str) -> None:
    face = importlib.import_module(floor)
    assert face.__all__ == sorted(face.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    for name in face.__all__:
        assert getattr(face, name).__doc__ or name.isupper() or name == "ImageLike"
