"""What people get wrong, and what they are told: lines that say what, where and what to do; never a traceback.

The table in docs/errors.md is made of these cases: `VIDAN_WRITE_DOCS=1 pytest tests/end_to_end/test_bad_inputs.py`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from mistakes import Case
from mistakes_in_configs import IN_CONFIGS
from mistakes_in_data import IN_DATA
from mistakes_in_inputs import IN_INPUTS
from mistakes_in_runs import IN_RUNS

from vidan.pipeline.cli.main import main

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"
CASES = [*IN_CONFIGS, *IN_INPUTS, *IN_RUNS, *IN_DATA]
HEAD = """\
# What vidan says when something is wrong

Made by tests/end_to_end/test_bad_inputs.py; FOLDER stands for the user's, REASON for the words of a library.
"""
FOREIGN = re.compile(
    r"(?<=is no valid YAML: ).*?(?=; indent with spaces|$)"
    r"|(?<=is no valid outline: ).*(?= near )"
    r"|(?<=cannot be read \().*(?=\))"
    r"|(?<=or cut off \().*(?=\))"
    r"|(?<=run.json is damaged: ).*"
    r"|(?<=tracks.parquet: )Parquet.*"
    r"|(?<=connection failed: ).*",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[int, str]]:
    """What was said to each mistake so far: exit code and message, with the user's folder."""
    return {}


def _ask(case: Case, folder: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main([word.replace("FOLDER", str(folder)) for word in case.command.split()])
    return code, capfd.readouterr().err


def _general(message: str, folder: Path) -> str:
    """The message without what differs from machine to machine."""
    return FOREIGN.sub("REASON", message.replace(str(folder), "FOLDER").strip())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mistake)
def test_a_mistake_is_explained(
    case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str], told: dict[str, tuple[int, str]]
) -> None:
    case.arrange(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code, message = _ask(case, tmp_path, capfd)
    told[case.mistake] = code, _general(message, tmp_path)
    assert code == case.code
    assert case.words.replace("FOLDER", str(tmp_path)) in message
    assert "Traceback" not in message
    assert all(line.startswith("vidan: ") for line in message.splitlines())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before, "nothing is written or lost"


def test_the_page_of_errors_says_what_vidan_says(
    told: dict[str, tuple[int, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = ["| mistake | exit code | what vidan says |", "|---|---|---|"]
    for number, case in enumerate(CASES):
        if case.mistake not in told:  # it was another process's, or was not asked for
            folder = tmp_path / str(number)
            folder.mkdir()
            case.arrange(folder)
            code, message = _ask(case, folder, capfd)
            told[case.mistake] = code, _general(message, folder)
        code, message = told[case.mistake]
        words = "<br>".join(line.removeprefix("vidan: ") for line in message.splitlines()).replace("|", "\\|")
        rows.append(f"| {case.mistake} | {code} | {words} |")
    page = "\n".join([HEAD, *rows]) + "\n"
    if os.environ.get("VIDAN_WRITE_DOCS"):
        DOCS.write_text(page)
    assert DOCS.read_text() == page
