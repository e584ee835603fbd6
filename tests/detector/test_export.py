"""Exported networks answer as PyTorch does, carry their card, and are refused where they do not."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vidan.detector import Detections, WeightsError, load_detector, load_model, read_card, resolve_weights
from vidan.detector.data.samples import Sample
from vidan.detector.evaluate import AveragePrecision
from vidan.detector.export import Bounds, FootageError, Parity, ParityError, export_weights, parity, sample_footage
from vidan.detector.export import make as making
from vidan.detector.export.network import ExportNetwork
from vidan.detector.weights.checksum import file_sha256

CLIP = Path(__file__).parents[2] / "samples" / "campus.mp4"
SIZE = (96, 128)
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".torchscript"}


@pytest.fixture(scope="module")
def demo() -> Path:
    return resolve_weights("demo")


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    return sample_footage([CLIP], 10)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Speed is measured, but briefly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "ROUNDS", 1)
        patch.setattr(parity, "PICTURES_PER_ROUND", 1)
        yield


@pytest.fixture(scope="module")
def files(demo: Path, pictures: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo weights in every format; the pictures are too small for much, but the numbers are those of a network."""
    folder = tmp_path_factory.mktemp("exported")
    exported = {format: folder / f"demo{suffix}" for format, suffix in SUFFIXES.items()}
    for format, path in exported.items():
        export_weights(demo, path, format=format, image_size=SIZE, pictures=pictures[:3])
    return exported


@pytest.fixture(scope="module")
def expected(demo: Path, pictures: list[NDArray[np.uint8]]) -> dict[tuple[int, int], list[Detections]]:
    """What the weights find, for some sizes of the network's input."""
    sizes = (SIZE, (192, 256), (160, 160))
    return {
        size: load_detector(demo, runtime="torch", device="cpu", image_size=size).detect(pictures[:2]) for size in sizes
    }


@pytest.mark.parametrize("format", SUFFIXES)
def test_an_exported_network_finds_what_the_weights_find_in_pictures_of_any_size(
    files: dict[str, Path],
    expected: dict[tuple[int, int], list[Detections]],
    pictures: list[NDArray[np.uint8]],
    format: str,
) -> None:
    for size, detections in expected.items():
        found = load_detector(files[format], device="cpu", image_size=size).detect(pictures[:2])
        assert any(len(each) for each in detections) or size == SIZE
        for wanted, got in zip(detections, found, strict=True):
            np.testing.assert_allclose(got.xyxy, wanted.xyxy, atol=0.1)
            np.testing.assert_allclose(got.confidence, wanted.confidence, atol=1e-3)


@pytest.mark.parametrize("format", SUFFIXES)
def test_the_card_travels_inside(files: dict[str, Path], demo: Path, format: str) -> None:
    card = read_card(files[format])
    assert card.export is not None
    assert (card.export.format, card.export.precision) == (format, "fp32")
    assert card.export.weights_sha256 == file_sha256(demo)
    assert card.image_size == SIZE
    assert dataclasses.replace(card, export=None, image_size=(288, 384)) == read_card(demo)
    described = load_detector(files[format], device="cpu").describe()
    assert described["precision"] == "fp32" or format == "openvino"
    assert described["weights_sha256"] == file_sha256(files[format])


def test_the_comparison_is_kept_beside_the_file(files: dict[str, Path]) -> None:
    report = json.loads(files["onnx"].with_name("demo.onnx.json").read_text())
    assert report["path"] == "demo.onnx"
    assert report["parity"]["pictures"] == 3
    assert report["parity"]["score"] <= report["bounds"]["score"] == 1e-3
    assert len(report["milliseconds"]) == 3


@pytest.mark.slow
def test_int8_follows_the_footage_and_is_a_third_of_the_size(
    demo: Path, pictures: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    path = tmp_path / "demo.xml"
    report = export_weights(demo, path, format="openvino", precision="int8", image_size=SIZE, pictures=pictures)
    assert report.parity.agreement is not None
    assert report.parity.agreement >= 0.95
    assert 0 < report.parity.score < 0.2, "int8 is not fp32"
    assert path.with_suffix(".bin").stat().st_size < 0.35 * 7_500_000
    detector = load_detector(path)
    assert detector.describe()["precision"] == "int8"
    assert any(len(found) for found in detector.detect(pictures))
    assert report.card.export is not None
    assert report.card.export.calibration_pictures == len(pictures)


def test_a_network_that_answers_otherwise_is_refused_and_leaves_nothing(
    demo: Path, pictures: list[NDArray[np.uint8]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = making.write_torchscript

    def write_another(network: ExportNetwork, *arguments: object) -> None:
        network.model.head.scores[0][2].bias += 1  # pyright: ignore[reportIndexIssue]
        write(network, *arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(making, "write_torchscript", write_another)
    with pytest.raises(ParityError, match=r"torchscript in fp32 is too far from PyTorch: a score differs by 0\.\d+"):
        export_weights(
            demo, tmp_path / "demo.torchscript", format="torchscript", image_size=SIZE, pictures=pictures[:1]
        )
    assert list(tmp_path.iterdir()) == []


def test_every_bound_is_kept_or_named() -> None:
    good = Parity(pictures=1, score=0.0, box_px=0.0, agreement=1.0)
    bounds = Bounds.of("fp32", 0.01)
    assert good.violations(bounds) == []
    bad = Parity(
        pictures=1,
        score=float("inf"),
        box_px=0.7,
        agreement=0.5,
        ap_torch=AveragePrecision(0.5, 0.9, 0.5),
        ap_exported=AveragePrecision(0.5, 0.88, 0.5),
    )
    told = "; ".join(bad.violations(bounds))
    for words in ("a score differs by inf", "a box differs by 0.7 pixels", "is 0.500, less", "loses 0.0200 of AP50"):
        assert words in told
    assert len(bad.violations(Bounds.of("int8", 0.03))) == 1, "int8 is judged by what it finds"


def test_labels_judge_both(demo: Path, pictures: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), pictures[0][:, :, ::-1])
    found = load_detector(demo, device="cpu", confidence=0.5).detect(pictures[:1])[0]
    ignored = np.zeros(len(found), np.bool_)
    sample = Sample(tmp_path / "a.png", pictures[0].shape[:2], found.xyxy, found.class_id, ignored)
    report = export_weights(
        demo, tmp_path / "demo.xml", format="openvino", pictures=pictures[:1], samples=[sample], classes=("person",)
    )
    assert report.parity.ap_torch is not None
    assert report.parity.ap_exported is not None
    assert report.parity.ap_exported.ap50 == pytest.approx(report.parity.ap_torch.ap50) == pytest.approx(1, abs=0.02)


def test_what_cannot_be_exported_is_said(demo: Path, pictures: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least 10 pictures of your footage .* got 3"):
        export_weights(demo, tmp_path / "a.xml", format="openvino", precision="int8", pictures=pictures[:3])
    with pytest.raises(ValueError, match="torchscript is exported in fp32 only"):
        export_weights(demo, tmp_path / "a.torchscript", format="torchscript", precision="int8", pictures=pictures)
    with pytest.raises(ValueError, match=r"a file for onnx ends in \.onnx"):
        export_weights(demo, tmp_path / "a.xml", format="onnx")
    with pytest.raises(ValueError, match="multiples of 32"):
        export_weights(demo, tmp_path / "a.xml", format="openvino", image_size=(100, 100))


def test_without_tensorrt_or_a_gpu_nothing_is_written_and_the_reason_is_told(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sub" / "demo.engine"
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ImportError, match="TensorRT is not installed: pip install tensorrt, on the machine whose GPU"):
        export_weights(demo, path, format="tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ImportError, match="built on the NVIDIA GPU that it is for, and this machine has none"):
        export_weights(demo, path, format="tensorrt", precision="fp16")
    with pytest.raises(ValueError, match="tensorrt is exported in fp32 and fp16"):
        export_weights(demo, path, format="tensorrt", precision="int8")
    with pytest.raises(ValueError, match=r"a file for tensorrt ends in \.engine"):
        export_weights(demo, path.with_suffix(".xml"), format="tensorrt")
    assert not path.parent.exists()


def test_an_openvino_file_knows_its_other_half(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "demo.xml"
    path.write_bytes(files["openvino"].read_bytes())
    with pytest.raises(WeightsError, match=r"demo\.bin: not there, .* copy both"):
        load_detector(path)
    path.with_suffix(".bin").write_bytes(files["openvino"].with_suffix(".bin").read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"demo\.bin: not the file that was exported with demo\.xml"):
        load_detector(path)


@pytest.mark.parametrize("suffix", SUFFIXES.values())
@pytest.mark.parametrize("content", [b"", b"not a network", b"<net><rt_info/></net>"], ids=["empty", "text", "xml"])
def test_what_is_no_exported_network_is_told_in_a_sentence(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"wrong{suffix}: (not an exported network|without the card)"):
        load_detector(path)
    with pytest.raises(WeightsError, match="no such"):
        load_detector(tmp_path / f"missing{suffix}")


def test_an_exported_network_has_its_runtime_and_precision(files: dict[str, Path]) -> None:
    with pytest.raises(
        ValueError, match=r"runtime torch: demo\.onnx is an exported network \(onnx\); use runtime auto"
    ):
        load_detector(files["onnx"], runtime="torch")
    with pytest.raises(ValueError, match="exported in fp32; use auto"):
        load_detector(files["onnx"], precision="fp16")
    with pytest.raises(ValueError, match="device cuda: onnxruntime computes on the CPU here"):
        load_detector(files["onnx"], device="cuda")
    with pytest.raises(WeightsError, match=r"needs the \.safetensors file"):
        load_model(files["onnx"])


def test_footage_is_sampled_evenly(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    assert len(pictures) == 10
    assert all(not np.array_equal(a, b) for a, b in pairwise(pictures))
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((8, 8, 3), 40 * i, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    assert [int(each[0, 0, 0]) for each in sample_footage([tmp_path], 3)] == [40, 120, 200]
    assert len(sample_footage([tmp_path], 100)) == 6
    assert len(sample_footage([tmp_path, CLIP], 5)) == 5


def test_footage_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FootageError, match="missing: no such file or folder"):
        sample_footage([tmp_path / "missing"], 3)
    with pytest.raises(FootageError, match="holds no picture"):
        sample_footage([tmp_path], 3)
    (tmp_path / "wrong.mp4").write_text("no video")
    with pytest.raises(FootageError, match=r"wrong\.mp4: cannot be decoded as video"):
        sample_footage([tmp_path / "wrong.mp4"], 3)
    (tmp_path / "wrong.png").write_text("no picture")
    with pytest.raises(FootageError, match=r"wrong\.png: cannot be read as a picture"):
        sample_footage([tmp_path], 3)
