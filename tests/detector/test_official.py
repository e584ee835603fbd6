"""Published checkpoints become our state: whole models and plain state dicts, merged or not, with PGI or without."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidan.detector.errors import WeightsError
from vidan.detector.models.blocks import fuse, merge_rep_convs
from vidan.detector.models.gelan import Gelan
from vidan.detector.models.keymap import canonical_names
from vidan.detector.models.pgi import PgiNetwork
from vidan.detector.models.zoo import build_model
from vidan.detector.weights.checkpoint import load_model, save_weights
from vidan.detector.weights.official import import_weights
from vidan.detector.weights.plain_naming import canonical_name, is_plain

FIXTURES = Path(__file__).parents[1] / "fixtures"


def random_network(name: str, classes: int, auxiliary: bool, class_width: int | None = None) -> Gelan | PgiNetwork:
    """A network in which no two batch norms are alike."""
    torch.manual_seed(1)
    model = build_model(name, classes, "full" if auxiliary else "none", class_width)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


def canonical_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's state under the names of published files, in half precision."""
    names = canonical_names(model)
    return {
        names[own]: value.half() if value.is_floating_point() else value for own, value in model.state_dict().items()
    }


@pytest.fixture
def official_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes whole modules of classes that live in `models.yolo` and `models.common` only while they are pickled."""
    yolo, common = types.ModuleType("models.yolo"), types.ModuleType("models.common")
    models = types.ModuleType("models")
    yolo.DetectionModel = type("DetectionModel", (nn.Module,), {"__module__": "models.yolo"})  # pyright: ignore[reportAttributeAccessIssue]
    common.Block = type("Block", (nn.Module,), {"__module__": "models.common"})  # pyright: ignore[reportAttributeAccessIssue]
    for name, module in {"models": models, "models.yolo": yolo, "models.common": common}.items():
        monkeypatch.setitem(sys.modules, name, module)

    def make(state: Mapping[str, Tensor], **attributes: Any) -> nn.Module:
        root: nn.Module = sys.modules["models.yolo"].DetectionModel()
        for name, value in state.items():
            *path, leaf = name.split(".")
            parent = root
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, sys.modules["models.common"].Block())
                parent = parent.get_submodule(part)
            if leaf in ("running_mean", "running_var", "num_batches_tracked"):
                parent.register_buffer(leaf, value)
            else:
                parent.register_parameter(leaf, nn.Parameter(value, requires_grad=False))
        for name, value in attributes.items():
            setattr(root, name, value)
        return root

    return make


def assert_equals_half_of(state: Mapping[str, np.ndarray], model: nn.Module) -> None:
    expected = model.state_dict()
    assert list(state) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value.half().numpy() if value.is_floating_point() else value, name)


# --- whole-model pickles


@pytest.mark.parametrize("size", ["t", "m"])
def test_a_dual_head_model_loses_its_auxiliary_branch(tmp_path: Path, official_module: Any, size: str) -> None:
    network = random_network(f"yolov9-{size}", classes=3, auxiliary=True, class_width=80 if size == "t" else None)
    assert isinstance(network, PgiNetwork)
    module = official_module(canonical_state(network), names={0: "person", 1: "car", 2: "dog"}, nc=3)
    torch.save({"epoch": -1, "model": module, "ema": None, "opt": {"imgsz": 416}}, tmp_path / "last.pt")
    state, card = import_weights(tmp_path / "last.pt")
    assert_equals_half_of(state, network.main)
    assert card.model == f"yolov9-{size}"
    assert card.classes == ("person", "car", "dog")
    assert card.class_width == (80 if size == "t" else 240)
    assert card.image_size == (416, 416)
    assert card.source == "imported from last.pt"


def test_the_averaged_weights_of_an_unfinished_training_are_taken(tmp_path: Path, official_module: Any) -> None:
    network = random_network("gelan-t", classes=1, auxiliary=False)
    state = canonical_state(network)
    model = official_module({name: torch.zeros_like(value) for name, value in state.items()}, names=["person"])
    content = {
        "model": model,
        "ema": official_module(state, names=["person"]),
        "best_fitness": np.array([0.5]),
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"params": [0]}]},
    }
    torch.save(content, tmp_path / "gelan.pt")
    imported, card = import_weights(tmp_path / "gelan.pt")
    assert_equals_half_of(imported, network)
    assert card.model == "gelan-t"


@pytest.mark.parametrize("merge", [merge_rep_convs, fuse])
def test_merged_weights_are_taken_apart_without_changing_the_answer(
    tmp_path: Path, official_module: Any, merge: Any
) -> None:
    network = random_network("gelan-t", classes=2, auxiliary=False, class_width=32)
    merged = copy.deepcopy(network)
    merge(merged)
    module = official_module({k: v.float() for k, v in canonical_state(merged).items()}, names=["a", "b"])
    torch.save({"model": module, "ema": None}, tmp_path / "yolov9-t-converted.pt")
    state, card = import_weights(tmp_path / "yolov9-t-converted.pt")
    assert card.model == "yolov9-t"
    save_weights(tmp_path / "ours.safetensors", state, card)
    loaded, _ = load_model(tmp_path / "ours.safetensors")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        difference = (loaded(images) - network(images)).abs()
    assert difference[:, :4].max() < 0.2  # pixels
    assert difference[:, 4:].max() < 2e-3


def test_size_e_is_recognised(tmp_path: Path) -> None:
    network = random_network("gelan-e", classes=1, auxiliary=False)
    torch.save(canonical_state(network), tmp_path / "gelan-e.pt")
    state, card = import_weights(tmp_path / "gelan-e.pt", classes=["person"])
    assert card.model == "gelan-e"
    assert state.keys() == network.state_dict().keys()


# --- plain state dicts


def plain_state(canonical: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Single-head canonical names as the MIT-licensed repository writes them, by the inverse of its naming rule."""
    plain = {}
    for name, value in canonical.items():
        layer, path = re.fullmatch(r"model\.(\d+)\.(.+)", name).groups()  # pyright: ignore[reportOptionalMemberAccess]
        if layer == "22" and path.startswith("dfl"):
            for level in range(3):
                plain[f"22.heads.{level}.anc2vec.anc2vec.weight"] = value.view(1, -1, 1, 1, 1)
            continue
        if layer == "22":
            path = re.sub(r"cv2\.(\d)", r"heads.\1.anchor_conv", re.sub(r"cv3\.(\d)", r"heads.\1.class_conv", path))
        elif layer in ("3", "5", "7", "16", "19") and f"model.{layer}.cv2.conv.weight" not in canonical:
            path = path.replace("cv1", "conv")
        else:
            path = re.sub(r"\bcv(\d)", r"conv\1", path).replace("m.", "bottleneck.")
        plain[f"{layer}.{path}"] = value
    return plain


@pytest.mark.parametrize("size", ["t", "s", "m", "c"])
def test_the_naming_rule_equals_the_published_layout(size: str) -> None:
    fixture = json.loads((FIXTURES / "plain_naming.json").read_text())[f"v9-{size}"]
    network = build_model(f"yolov9-{size}", 80)
    canonical = dict(zip(canonical_names(network).values(), network.state_dict().values(), strict=True))
    lines = sorted(
        f"{name} {canonical_name(name) or 'model.22.dfl.conv.weight'} {list(value.shape)}"
        for name, value in plain_state(canonical).items()
    )
    assert len(lines) == fixture["entries"]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == fixture["sha256"]


@pytest.mark.parametrize("size", ["t", "s", "m", "c"])
def test_every_name_of_the_reference_table_is_translated(shared: Path, size: str) -> None:
    reference = shared / "reference" / "yolov9"
    table = json.loads((reference / "alternate_naming" / f"v9-{size}.json").read_text())["alternate_to_canonical"]
    key_map = json.loads((reference / "graphs" / f"yolov9-{size}.json").read_text())["inference_key_map"]
    single_head = {dual: single for single, dual in key_map.items()}
    for name, dual in table.items():
        is_copy = re.fullmatch(r"22\.heads\.[12]\.anc2vec\.anc2vec\.weight", name)
        assert is_plain(name)
        assert canonical_name(name) == (None if is_copy else single_head.get(dual)), name


@pytest.fixture(scope="module")
def plain_network() -> Gelan:
    network = random_network("yolov9-t", classes=80, auxiliary=False)
    assert isinstance(network, Gelan)
    return network


def with_auxiliary(plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(plain) | {"23.conv1.conv.weight": torch.zeros(1), "30.heads.0.class_conv.2.bias": torch.zeros(1)}


@pytest.mark.parametrize("layout", ["plain", "lightning", "lightning with average", "official names"])
def test_state_dicts_of_every_layout_are_read(tmp_path: Path, plain_network: Gelan, layout: str) -> None:
    canonical = canonical_state(plain_network)
    plain = with_auxiliary(plain_state(canonical))
    zeros = {f"model.model.{name}": torch.zeros_like(value) for name, value in plain.items()}
    content = {
        "plain": plain,
        "lightning": {"state_dict": {f"model.model.{name}": value for name, value in plain.items()}, "epoch": 3},
        "lightning with average": {
            "state_dict": zeros | {f"ema.model.{name}": value for name, value in plain.items()},
            "optimizer_states": [],
        },
        "official names": canonical,
    }[layout]
    torch.save(content, tmp_path / "yolov9.ckpt")
    state, card = import_weights(tmp_path / "yolov9.ckpt")
    assert_equals_half_of(state, plain_network)
    assert card.model == "yolov9-t"
    assert card.classes[:3] == ("person", "bicycle", "car")
    assert len(card.classes) == 80


# --- what does not fit


def _replaced(state: dict[str, Tensor], name: str, value: Tensor | None) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in (state | {name: value}).items() if tensor is not None}


def test_a_file_that_fits_no_model_is_refused_with_the_reason(tmp_path: Path, plain_network: Gelan) -> None:
    state = canonical_state(plain_network)
    path = tmp_path / "yolov9.pt"
    kernel, bias = "model.22.dfl.conv.weight", "model.22.cv3.0.2.bias"
    cases: list[tuple[Any, str]] = [
        ([1, 2], "neither a model nor a state dict"),
        ({}, "holds no tensors"),
        ({"a.weight": torch.zeros(1)}, "not those of a known size"),
        ({f"backbone.{name}": value for name, value in state.items()}, "not those of a known size"),
        (_replaced(state, "model.23.conv.weight", torch.zeros(1)), "not those of a known size"),
        ({"0.conv.weight": torch.zeros(1), "22.conv1.conv.weight": torch.zeros(1)}, "not those of a known size"),
        (_replaced(state, bias, None), rf"looks like yolov9-t but does not fit it: 1 missing \({bias}\)"),
        (_replaced(state, bias, torch.zeros(3)), "1 of wrong shape"),
        (_replaced(state, "model.2.cv9.bias", torch.zeros(3)), r"1 unknown \(model.2.cv9.bias\)"),
        (_replaced(state, kernel, torch.zeros(1, 16, 1, 1)), "does not integrate over the bins"),
        (_replaced(state, kernel, torch.zeros(1, 8, 1, 1)), "1 of wrong shape"),
        (_replaced(state, "model.22.cv3.0.2.weight", torch.zeros(7, 128, 1, 1)), r"does not name its 7 classes"),
        (_replaced(state, "model.22.cv3.0.0.conv.weight", torch.zeros(5000, 1)), "width 1..1024 are possible"),
    ]
    for content, reason in cases:
        torch.save(content, path)
        with pytest.raises(WeightsError, match=rf"yolov9\.pt: .*{reason}"):
            import_weights(path)


def test_class_names_must_be_as_many_as_the_head_has(tmp_path: Path, plain_network: Gelan) -> None:
    torch.save(canonical_state(plain_network), tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="head has 80 classes, but 2 are named"):
        import_weights(tmp_path / "x.pt", classes=["a", "b"])
    with pytest.raises(WeightsError, match="none twice"):
        import_weights(tmp_path / "x.pt", classes=["a"] * 80)


def test_modules_that_contain_each_other_do_not_make_the_walk_endless(tmp_path: Path, official_module: Any) -> None:
    module = official_module({"a.b.weight": torch.zeros(1)}, names=["x"])
    module.a._modules["a"] = module
    for _ in range(40):  # 2 ** 40 paths
        outer = official_module({}, names=["x"])
        outer._modules.update(left=module, right=module)
        module = outer
    torch.save({"model": module}, tmp_path / "knot.pt")
    with pytest.raises(WeightsError, match="nested without end"):
        import_weights(tmp_path / "knot.pt")


# --- against the reference


@pytest.fixture(scope="module")
def seeded(shared: Path) -> Any:
    spec = importlib.util.spec_from_file_location("seeded", shared / "reference" / "yolov9" / "seeded_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_official_trainers_file_gives_the_reference_weights_and_outputs(
    shared: Path, seeded: Any, tmp_path: Path
) -> None:
    reference = shared / "reference" / "yolov9"
    state, card = import_weights(shared / "reference" / "checkpoints" / "yolov9-t_stripped.pt")
    assert card.model == "yolov9-t"
    names = canonical_names(build_model("yolov9-t", 80))
    key_map = json.loads((reference / "graphs" / "yolov9-t.json").read_text())["inference_key_map"]
    for own, value in state.items():
        expected = seeded.seeded_tensor(key_map[names[own]], value.shape)
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-6, err_msg=own)

    save_weights(tmp_path / "t.safetensors", state, card)
    model, _ = load_model(tmp_path / "t.safetensors")
    images = torch.from_numpy(seeded.test_image(256, 320))
    logits = np.load(reference / "outputs" / "yolov9-t_256x320_logits.npz")
    decoded = np.load(reference / "outputs" / "yolov9-t_256x320_decoded.npz")
    with torch.no_grad():
        maps = model.maps(model.column(images), images)
        predictions = model(images)[0].T.numpy()[decoded["main_index"]]
    for level, raw in zip(("p3", "p4", "p5"), maps, strict=True):
        np.testing.assert_allclose(raw.numpy(), logits[f"main_{level}"], rtol=0, atol=0.02, err_msg=level)
    np.testing.assert_allclose(predictions[:, :4], decoded["main_values"][:, :4], rtol=0, atol=0.2)  # pixels
    np.testing.assert_allclose(predictions[:, 4:], decoded["main_values"][:, 4:], rtol=0, atol=2e-3)
