"""A clip that is drawn on the spot, weights, and configs that bring both together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from batches import RedAndBlue

from vidan.detector import WeightsCard, save_weights
from vidan.pipeline.cli.main import main
from vidan.pipeline.sources.synthetic import MovingShape, SyntheticSource

RULES = """
rules:
  gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}
  yard: {type: zone, polygon: [[0.3, 0.1], [0.9, 0.1], [0.9, 0.9], [0.3, 0.9]]}
output: {folder: runs, interval_seconds: 2}
"""


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network that was never trained, and yet is sure of many things that it sees."""
    import torch

    from vidan.detector.models.zoo import build_model

    torch.manual_seed(0)
    model = build_model("yolov9-t", 1)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.rand(4, 3, 96, 128))  # so that no layer's answer fades away
    state = model.state_dict()
    for level in range(3):
        state[f"head.scores.{level}.2.weight"] *= 40
        state[f"head.scores.{level}.2.bias"].zero_()
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    card = WeightsCard(
        model="yolov9-t",
        classes=("person",),
        image_size=(96, 128),
        training_data="none",
        licence="MIT",
        source="a test",
    )
    save_weights(path, state, card)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """An H.264 file of so many frames, 25 a second: two shapes that walk past each other."""
    folder = tmp_path_factory.mktemp("clips")

    def draw(count: int) -> Path:
        path = folder / f"{count}.mp4"
        if path.exists():
            return path
        seconds = count / 25
        shapes = [
            MovingShape([(0, 0, 100), (seconds, 320, 130)], 30, 70),
            MovingShape([(0, 320, 120), (seconds, 0, 110)], 26, 64, color=(40, 60, 200), shape="ellipse"),
        ]
        source = SyntheticSource("clip", shapes, fps=25.0, seconds=seconds)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.height, stream.width = source.height, source.width
            for frame in source:
                picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
                picture.pts, picture.time_base = frame.stamp.index, Fraction(1, 25)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    return draw


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory, clip: Callable[[int], Path]) -> Path:
    """100 pictures with a key frame every ten."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(str(clip(100))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "fast", "g": "10", "bf": "2", "crf": "20"})
        stream.height, stream.width = source.streams.video[0].height, source.streams.video[0].width
        for frame in source.decode(video=0):
            picture = frame.reformat(format="yuv420p")
            picture.pict_type = 0
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


@pytest.fixture
def quick_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, detection by colours instead of a network, which would take most of the time."""
    monkeypatch.setattr("vidan.pipeline.batch.detecting.build_detector", lambda config, threads: RedAndBlue())
    monkeypatch.setattr("vidan.pipeline.batch.detecting._loaded", None)
    monkeypatch.setattr("vidan.pipeline.job.build_detector", lambda config: RedAndBlue())


@pytest.fixture
def config(tmp_path: Path, weights: Path) -> Callable[..., Path]:
    """Writes a config over streams of these clips, which are called a, b, ...; further text goes to its end."""

    def write(*clips: Path, text: str = RULES) -> Path:
        path = tmp_path / "config.yaml"
        detector = f"detector: {{weights: {weights}, runtime: torch, device: cpu, max_detections: 20, batch: 4}}\n"
        streams = "".join(f"  - {{name: {name}, source: {clip}}}\n" for name, clip in zip("abcd", clips, strict=False))
        path.write_text(f"{detector}streams:\n{streams}{text}")
        return path

    return write


Vidan = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def vidan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Vidan:
    """Runs the command line in this process, in an empty folder; to start one for each would take seconds."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*map(str, arguments)]
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        try:
            code = main(command)
        except SystemExit as end:  # argparse's
            code = end.code if isinstance(end.code, int) else 1
        said = capfd.readouterr()
        return subprocess.CompletedProcess(command, code, said.out, said.err)

    return run


@pytest.fixture
def vidan_process(tmp_path: Path) -> Vidan:
    """The same in a process of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vidan.pipeline.cli.main", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run
