"""vidan eval detector: figures, pictures and what is said where they cannot be had."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from vidan.pipeline.cli.main import main

CLIP, TRUTH = (Path(__file__).parents[2] / "samples" / name for name in ("campus.mp4", "campus_gt.txt"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, where the process stands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data(folder: Path, frames: str = "[1, 12]", classes: str = "[person]") -> str:
    part = f"{{format: mot-video, video: {CLIP}, labels: {TRUTH}, frames: {frames}}}"
    (folder / "clip.yaml").write_text(f"classes: {classes}\nval: [{part}]\n")
    return str(folder / "clip.yaml")


def test_the_demo_weights_are_judged_with_figures_and_pictures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "detector", "demo", data(folder), "--output", "judged", "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    record = json.loads((folder / "judged" / "metrics.json").read_text())
    assert record["ap50"] > 0.8
    assert record["pictures"] == 12
    assert record["per_class"]["person"]["ap50"] == record["ap50"]
    (found, missed), (false, nothing) = record["confusion"]["counts"]
    assert found + missed == record["objects"]
    assert nothing == 0
    assert found / (found + false) == pytest.approx(record["precision"])
    assert found / (found + missed) == pytest.approx(record["recall"])
    assert f"{100 * record['ap50_95']:.1f}" in told
    assert f"{record['speed']['milliseconds_median']:.1f} ms a picture" in told
    assert record["detector"]["device"] in told
    for name in ("curves", "confusion", "worst-pictures"):
        picture = cv2.imread(str(folder / "judged" / f"{name}.png"))
        assert picture is not None
        assert picture.std() > 5


def test_the_confidence_can_be_given_and_size_and_runtime_chosen(folder: Path, weights: Path) -> None:
    options = ["--confidence", "0.9", "--image-size", "64x96", "--runtime", "torch", "--device", "cpu", "--batch", "4"]
    assert main(["eval", "detector", str(weights), data(folder, "[1, 4]"), "--output", "judged", *options]) == 0
    record = json.loads((folder / "judged" / "metrics.json").read_text())
    assert record["confidence"] == 0.9
    assert record["detector"]["image_size"] == [64, 96]
    assert record["detector"]["runtime"].startswith("torch")
    assert record["detector"]["device"].startswith("cpu (")
    assert record["speed"]["batch"] == 4


@pytest.mark.parametrize(
    ("arguments", "classes", "code", "words"),
    [
        (["--batch", "0"], "[person]", 2, "--batch must be at least 1"),
        (["--confidence", "7"], "[person]", 2, "--confidence must lie between 0 and 1"),
        (["--image-size", "large"], "[person]", 2, "expected height and width in pixels"),
        (["--split", "train"], "[person]", 2, "has no pictures for 'train'"),
        ([], "[dog]", 2, "does not know ['dog']; its classes are person"),
    ],
)
def test_what_cannot_be_judged_is_said_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], classes: str, code: int, words: str
) -> None:
    assert main(["eval", "detector", "demo", data(folder, classes=classes), *arguments]) == code
    told = capsys.readouterr().err
    assert words in told
    assert len(told.splitlines()) == 1
    assert not (folder / "runs").exists()
