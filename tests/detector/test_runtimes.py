"""Runtimes: one answer from torch and OpenVINO, whatever the company of a picture; the cache of converted networks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from numpy.typing import NDArray

from vidan.detector.detections import Detections
from vidan.detector.errors import DeviceError, WeightsError
from vidan.detector.models.heads import DetectHead
from vidan.detector.models.zoo import build_model
from vidan.detector.nms import NmsOptions
from vidan.detector.runtimes import openvino_graph, torch_runtime
from vidan.detector.runtimes.base import Runtime
from vidan.detector.runtimes.decode import decode_candidates
from vidan.detector.runtimes.openvino_runtime import OpenVinoRuntime, _compile_options
from vidan.detector.runtimes.torch_runtime import TorchRuntime
from vidan.detector.weights.checkpoint import WeightsCard, load_model, save_weights

CLASSES = ("person", "bicycle", "car")
OPTIONS = NmsOptions(confidence=0.3, iou=0.5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, seed_weights: Callable[..., torch.nn.Module]) -> Path:
    """A network whose values come from a formula: its answers are busy, but not of this world."""
    path = tmp_path_factory.mktemp("weights") / "seeded.safetensors"
    card = WeightsCard(
        model="gelan-t", classes=CLASSES, image_size=(64, 96), training_data="none", licence="MIT", source="a formula"
    )
    save_weights(path, seed_weights(build_model("gelan-t", len(CLASSES))).state_dict(), card, half=False)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def _home(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDAN_HOME", str(cache))


def test_openvino_tells_nobody_that_it_is_used() -> None:
    program = (
        "import vidan.detector, openvino, sys\n"
        "from openvino.tools.ovc import convert_model\n"
        "assert not [name for name, module in sys.modules.items() if 'openvino_telemetry' in name and module]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"CI": ""})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def open_vino(_home: None, weights: Path) -> OpenVinoRuntime:
    return OpenVinoRuntime(weights, _sha256(weights))


@pytest.fixture(params=["openvino", "torch"])
def runtime(request: pytest.FixtureRequest, weights: Path) -> Runtime:
    if request.param == "torch":
        return TorchRuntime(weights)
    return request.getfixturevalue("open_vino")


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    """Noise in two sizes, mixed."""
    rng = np.random.default_rng(7)
    sizes = [(64, 96), (64, 96), (96, 96), (64, 96), (96, 96), (64, 96), (64, 96)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def _same(a: Detections, b: Detections) -> bool:
    return (
        np.array_equal(a.xyxy, b.xyxy)
        and np.array_equal(a.confidence, b.confidence)
        and np.array_equal(a.class_id, b.class_id)
    )


def test_the_company_of_a_picture_does_not_change_a_bit(runtime: Runtime, pictures: list[NDArray[np.uint8]]) -> None:
    together = runtime.infer(pictures, OPTIONS)
    assert all(len(found) > 3 for found in together), "nothing to compare"
    assert len({found.confidence.tobytes() for found in together}) == len(pictures), "pictures got one answer"
    alone = [runtime.infer([picture], OPTIONS)[0] for picture in pictures]
    reversed_again = runtime.infer(pictures[::-1], OPTIONS)[::-1]
    assert all(map(_same, together, alone))
    assert all(map(_same, together, reversed_again))


def test_no_pictures_give_no_answers(runtime: Runtime) -> None:
    assert runtime.infer([], OPTIONS) == []


@pytest.mark.usefixtures("_home")
def test_openvino_computes_what_torch_computes(weights: Path, pictures: list[NDArray[np.uint8]]) -> None:
    model, _ = load_model(weights)
    graph = openvino_graph.load_graph(weights, _sha256(weights))
    for picture in (pictures[0], pictures[2]):
        graph.reshape([1, *picture.shape])
        maps = openvino_graph.the_core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(picture[None])
        found = decode_candidates(
            [maps[level][0] for level in range(3)], classes=len(CLASSES), height=picture.shape[0], confidence=0
        )
        with torch.inference_mode():
            expected = model(torch.from_numpy(picture[None]).permute(0, 3, 1, 2) / 255)[0].numpy()
        assert expected[4:].max() > 0.9, "nothing to compare"
        np.testing.assert_allclose(found[:4], expected[:4], atol=0.05)
        np.testing.assert_allclose(found[4:], expected[4:], atol=1e-4)


@pytest.mark.parametrize("classes", [1, 3])
def test_numpy_decodes_as_the_head_does(classes: int) -> None:
    torch.manual_seed(0)
    maps = [3 * torch.randn(1, 64 + classes, *size) for size in ((8, 12), (4, 6), (2, 3))]
    with torch.inference_mode():
        expected = DetectHead((64, 64, 64), classes).decode(maps)[0].numpy()
    arrays = [level[0].numpy() for level in maps]
    everything = decode_candidates(arrays, classes=classes, height=64, confidence=0)
    np.testing.assert_allclose(everything, expected, atol=1e-4)

    candidates = decode_candidates(arrays, classes=classes, height=64, confidence=0.9)
    wanted = expected[:, expected[4:].max(0) > 0.9]
    assert 0 < len(wanted.T) < len(expected.T)
    np.testing.assert_allclose(candidates, wanted, atol=1e-4)
    assert decode_candidates(arrays, classes=classes, height=64, confidence=1).shape == (4 + classes, 0)


def test_pictures_are_asked_for_while_others_are_in_the_network(open_vino: OpenVinoRuntime) -> None:
    network = open_vino._network((64, 96))
    requests, in_the_network = len(network.idle), []

    def pictures():
        for i in range(9):
            in_the_network.append(requests - len(network.idle))
            yield np.full((64, 96, 3), 20 * i, np.uint8)

    assert len(open_vino.infer(pictures(), OPTIONS)) == 9
    assert in_the_network[0] == 0
    assert all(in_the_network[1:])


def test_only_the_networks_of_the_latest_sizes_are_kept(open_vino: OpenVinoRuntime) -> None:
    sizes = [(32, 32 * i) for i in range(1, 6)]
    for size in (*sizes[:4], sizes[0], sizes[4]):
        open_vino.infer([np.zeros((*size, 3), np.uint8)], OPTIONS)
    assert list(open_vino._networks) == [sizes[2], sizes[3], sizes[0], sizes[4]]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell")
def test_a_process_that_may_use_one_core_runs_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3})
    assert _compile_options("fp32", None)["NUM_STREAMS"] == 1


@pytest.mark.filterwarnings("error")
def test_a_score_next_to_nothing_is_no_overflow() -> None:
    maps = [np.full((65, 1, 1), -1000, np.float32)]
    assert decode_candidates(maps, classes=1, height=32, confidence=0)[4] == 0


def test_a_picture_that_cannot_be_read_leaves_the_runtime_usable(
    open_vino: OpenVinoRuntime, pictures: list[NDArray[np.uint8]]
) -> None:
    expected = open_vino.infer(pictures, OPTIONS)

    def broken():
        yield pictures[0]
        raise OSError("the file is cut off")

    for _ in range(5):  # more often than there are requests
        with pytest.raises(OSError, match="cut off"):
            open_vino.infer(broken(), OPTIONS)
    assert all(map(_same, open_vino.infer(pictures, OPTIONS), expected))


@pytest.mark.usefixtures("open_vino")
def test_a_kept_network_needs_no_torch(weights: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vidan.detector.yolo import load_detector;"
        f"load_detector(Path({str(weights)!r}), device='cpu').warm_up(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.usefixtures("open_vino")
@pytest.mark.parametrize("harm", ["cut", "flip", "remove"])
def test_a_harmed_network_in_the_cache_is_converted_again(
    cache: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    (kept,) = cache.glob("openvino/*")
    whole = (kept / "graph.bin").read_bytes()
    fresh = openvino_graph.the_core().read_model(kept / "graph.xml")
    converted = []
    monkeypatch.setattr(openvino_graph, "_convert", lambda weights: converted.append(weights) or fresh)
    monkeypatch.setenv("VIDAN_HOME", str(tmp_path))
    file = shutil.copytree(kept, tmp_path / "openvino" / kept.name) / "graph.bin"
    if harm == "cut":
        file.write_bytes(whole[:-100])
    elif harm == "flip":
        file.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    else:
        file.unlink()
    for _ in range(2):
        openvino_graph.load_graph(weights, _sha256(weights))
    assert file.read_bytes() == whole
    assert converted == [weights]


@pytest.mark.usefixtures("open_vino")
def test_a_cache_that_cannot_be_written_is_done_without(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fresh = openvino_graph.load_graph(weights, _sha256(weights))
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    monkeypatch.setattr(openvino_graph, "_convert", lambda weights: fresh)
    monkeypatch.setenv("VIDAN_HOME", str(occupied))
    assert openvino_graph.load_graph(weights, _sha256(weights)) is fresh
    assert "VIDAN_HOME" in caplog.text


@pytest.mark.usefixtures("open_vino")
@pytest.mark.parametrize("faster", [True, False], ids=["another run keeps it", "nobody keeps it"])
def test_a_network_that_cannot_be_kept_is_used_all_the_same(
    cache: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    faster: bool,
) -> None:
    (kept,) = cache.glob("openvino/*")
    fresh = openvino_graph.the_core().read_model(kept / "graph.xml")

    def save_on_a_full_disk(*_: object, **__: object) -> None:
        if faster:
            shutil.copytree(kept, tmp_path / "openvino" / kept.name)
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(openvino_graph, "_convert", lambda weights: fresh)
    monkeypatch.setattr(openvino, "save_model", save_on_a_full_disk)
    monkeypatch.setenv("VIDAN_HOME", str(tmp_path))
    graph = openvino_graph.load_graph(weights, _sha256(weights))
    assert (graph is not fresh) == faster
    assert ("iostream error" in caplog.text) == (not faster)


@pytest.mark.usefixtures("open_vino")
def test_without_a_home_folder_the_network_is_not_kept(
    cache: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (kept,) = cache.glob("openvino/*")
    fresh = openvino_graph.the_core().read_model(kept / "graph.xml")

    def homeless() -> Path:
        raise WeightsError("there is no home folder")

    monkeypatch.setattr(openvino_graph, "cache_folder", homeless)
    monkeypatch.setattr(openvino_graph, "_convert", lambda weights: fresh)
    assert openvino_graph.load_graph(weights, _sha256(weights)) is fresh
    assert "there is no home folder" in caplog.text


def test_fp32_is_never_rounded_to_tf32(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, allowed = TorchRuntime(weights), list[bool]()
    predict = runtime._predict
    monkeypatch.setattr(
        runtime, "_predict", lambda images: allowed.append(torch.backends.cudnn.allow_tf32) or predict(images)
    )
    runtime.infer([np.zeros((64, 96, 3), np.uint8)], OPTIONS)
    assert allowed == [False]
    assert torch.backends.cudnn.allow_tf32, "other users of torch keep their setting"


def test_a_gpu_that_is_full_or_too_old_is_told_in_words(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_images: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    runtime = TorchRuntime(weights)
    monkeypatch.setattr(runtime, "_model", full)
    with pytest.raises(DeviceError, match=r"1 pictures of 64x96 at a time; lower detector\.batch"):
        runtime.infer([np.zeros((64, 96, 3), np.uint8)], OPTIONS)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Tesla T4")
    with pytest.raises(DeviceError, match="bf16: Tesla T4 is too old"):
        torch_runtime._precision("bf16", torch.device("cuda"))


def test_a_precision_that_the_device_lacks_is_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"fp16.*use auto"):
        OpenVinoRuntime(weights, _sha256(weights), precision="fp16")
    with pytest.raises(ValueError, match=r"fp16.*use auto"):
        TorchRuntime(weights, precision="fp16")


def test_a_gpu_that_is_not_there_is_refused(weights: Path) -> None:
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=f"device {missing}"):
        TorchRuntime(weights, device=missing)


@pytest.mark.needs_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU, torch finds none")
@pytest.mark.parametrize(("precision", "share"), [("fp32", 0.99), ("fp16", 0.9)])
@pytest.mark.parametrize("batch", [1, 4], ids=["one by one", "by four"])
def test_cuda_finds_what_the_cpu_finds(
    weights: Path, pictures: list[NDArray[np.uint8]], precision: str, share: float, batch: int
) -> None:
    options = replace(OPTIONS, iou=1.0)  # rounding may tip a suppression, but not lose a sure box
    expected = TorchRuntime(weights).infer(pictures, options)
    found = TorchRuntime(weights, device="cuda", precision=precision, batch=batch).infer(pictures, options)
    for wanted, got in zip(expected, found, strict=True):
        near = np.abs(wanted.xyxy[:, None] - got.xyxy[None]).max(-1) < 1.0
        assert near.any(1).mean() >= share


@pytest.mark.usefixtures("open_vino")
def test_a_signal_after_two_detectors_have_gone_is_survived(weights: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from vidan.detector import load_detector
signal.signal(signal.SIGUSR1, lambda number, frame: None)
first, second = (load_detector(Path({str(weights)!r}), runtime="openvino") for _ in range(2))
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
"""
    assert subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], check=False).returncode == 0
