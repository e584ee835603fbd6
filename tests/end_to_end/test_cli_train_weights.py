"""`vidan train` and `vidan weights` in this process: what they say when training ends early, and about names."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vidan.detector import PUBLISHED, DeviceError, WeightsCard, fetched_path, save_weights
from vidan.pipeline.cli.main import main

RunTrain = Callable[[Exception | KeyboardInterrupt | signal.Signals], int]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunTrain]:
    """Runs `vidan train` with a training that ends at once as it is told."""
    from vidan.detector import train as room

    (tmp_path / "recipe.yaml").write_text("data: data.yaml\n")
    before = signal.getsignal(signal.SIGTERM)

    def run(end: Exception | KeyboardInterrupt | signal.Signals) -> int:
        def fit(*_: object, **__: object) -> None:
            if not isinstance(end, signal.Signals):
                raise end
            os.kill(os.getpid(), end)
            signal.pause()

        monkeypatch.setattr(room, "fit", fit)
        return main(["train", str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "run")])

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 4, "run: No space left on device; free some space"),
        (FileExistsError("run: holds a training run already"), 4, "vidan: run: holds a training run already\n"),
        (DeviceError("device cuda: PyTorch finds no CUDA GPU"), 2, "vidan: device cuda: PyTorch finds no CUDA GPU\n"),
    ],
)
def test_why_there_is_no_training_is_told_in_a_sentence(
    train: RunTrain, capsys: pytest.CaptureFixture[str], error: Exception, code: int, told: str
) -> None:
    assert train(error) == code
    stderr = capsys.readouterr().err
    assert told in stderr
    assert len(stderr.splitlines()) == 1


@pytest.mark.parametrize("end", [KeyboardInterrupt(), signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_training_promises_only_what_is_saved(
    train: RunTrain, capsys: pytest.CaptureFixture[str], tmp_path: Path, end: KeyboardInterrupt | signal.Signals
) -> None:
    assert train(end) == 130
    assert "--resume" not in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").touch()
    assert train(end) == 130
    assert "goes on from the last checkpoint with --resume" in capsys.readouterr().err


def test_published_weights_are_shown_before_and_after_they_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDAN_HOME", str(tmp_path))
    entry = PUBLISHED["v9-s"]
    assert main(["weights", "show", "v9-s"]) == 0
    told = capsys.readouterr().out
    assert all(fact in told for fact in ("vidan weights pull v9-s", entry.licence, entry.publisher, entry.url))

    card = WeightsCard(
        model="yolov9-s", classes=("dog",), image_size=(64, 96), training_data="", licence="MIT", source="here"
    )
    save_weights(fetched_path("v9-s"), {}, card)
    fetched_path("v9-s").with_suffix(".json").write_text('{"sha256": "ab12"}')
    assert main(["weights", "show", "v9-s"]) == 0
    told = capsys.readouterr().out
    assert "64×96 (height × width)" in told
    assert "fetched sha256  ab12" in told
