"""`vidan check --observe` on the sample clip: bad places are found, good ones left alone, and a run tells the same."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

CLIP = Path(__file__).parents[2] / "samples" / "campus.mp4"
RULES = """
rules:
  good: {type: line, points: [[0.55, 0.31], [0.55, 0.75]]}
  sky: {type: line, points: [[0.1, 0.05], [0.4, 0.05]]}
  path: {type: line, points: [[0.1, 0.40], [0.9, 0.52]]}
  edge: {type: line, points: [[0.985, 0.3], [0.985, 0.8]]}
  roof: {type: zone, polygon: [[0.5, 0.02], [0.7, 0.02], [0.7, 0.06], [0.5, 0.06]]}
output: {folder: runs, video: false, report: false}
"""
EXPECTED = {"good": [], "sky": ["unreached"], "path": ["parallel"], "edge": ["near_edge"], "roof": ["empty"]}


def _kinds(stream: dict) -> dict[str, list[str]]:
    return {
        verdict["name"]: [finding["kind"] for finding in verdict["findings"]]
        for verdict in stream["verdicts"]
        if verdict["type"] != "stream"
    }


@pytest.mark.slow
def test_bad_places_are_found_and_a_finished_run_tells_the_same(vidan, tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text(f"streams: [{{name: campus, source: {CLIP}}}]\n{RULES}")
    done = vidan("check", "--observe", config, "--json", "--output", "places.png")
    assert (done.returncode, done.stderr) == (0, ""), "advice is no error"
    (stream,) = json.loads(done.stdout)["streams"]
    assert _kinds(stream) == EXPECTED
    assert stream["seconds"] == pytest.approx(26.5, abs=0.2)
    picture = cv2.imread(str(tmp_path / "places.png"))
    assert picture is not None
    assert picture.shape == (720, 960, 3)

    assert vidan("run", config, "--quiet").returncode == 0
    again = vidan("check", "--observe", tmp_path / "runs", "--json")
    assert (again.returncode, again.stderr) == (0, "")
    (stored,) = json.loads(again.stdout)["streams"]
    assert (_kinds(stored), stored["tracks"]) == (EXPECTED, stream["tracks"])
    assert (tmp_path / "observe-campus.png").exists()


def test_a_config_without_rules_gets_suggestions_that_it_can_be_given(vidan, tmp_path: Path) -> None:
    config = tmp_path / "new.yaml"
    config.write_text(f"streams: [{{name: campus, source: {{type: video, path: {CLIP}, stride: 3}}}}]\n")
    done = vidan("check", "--observe", config, "--seconds", "26")
    assert (done.returncode, done.stderr) == (0, "")
    assert "→ too few frames for the speed of the objects" in done.stdout, "3.3 frames/s"
    assert "stream campus: 26 s of it" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("  flow_")]
    assert lines, done.stdout
    config.write_text(config.read_text() + "rules:\n" + "\n".join(lines) + "\n")
    assert vidan("check", config).returncode == 0


@pytest.mark.slow
def test_rules_are_judged_by_what_moves_within_their_schedules(vidan, tmp_path: Path) -> None:
    config = tmp_path / "day.yaml"
    windows = {"day": ("07:00", "20:00"), "night": ("20:00", "07:00")}
    rules = "".join(
        f"  {name}: {{type: line, points: [[0.55, 0.31], [0.55, 0.75]], schedule: {{time_zone: UTC, windows: "
        f"[{{from: '{start}', to: '{end}'}}]}}}}\n"
        for name, (start, end) in windows.items()
    )
    source = f"{{type: video, path: {CLIP}, stride: 3, start_time: 2026-05-04T19:59:50Z}}"
    config.write_text(f"streams: [{{name: campus, source: {source}}}]\nrules:\n{rules}")
    done = vidan("check", "--observe", config, "--seconds", "9", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (stream,) = json.loads(done.stdout)["streams"]
    day, night = (verdict for verdict in stream["verdicts"] if verdict["type"] == "line")
    assert day["summary"].endswith("within its schedule")
    assert day["figures"]["tracks"] == stream["tracks"] > 0
    assert (night["figures"]["tracks"], night["findings"]) == (0, [])
    assert night["summary"] == "its schedule is closed whenever something moves in the sample"


def test_what_is_no_config_and_no_run_is_said(vidan, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = vidan("check", "--observe", "empty")
    assert done.returncode == 3
    assert (
        done.stderr
        == "vidan: empty is no folder of a finished run: run.json cannot be read (No such file or directory)\n"
    )
    done = vidan("check", "--observe", "missing.yaml")
    assert done.returncode == 2
    assert "there is no such file" in done.stderr
    assert vidan("check", "--observe", "missing.yaml", "--seconds", "0").returncode == 2
