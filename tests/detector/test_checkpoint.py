"""Our weights file: what is saved is loaded, and what is wrong with a file is said in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from vidan.detector.errors import WeightsError
from vidan.detector.models.gelan import Gelan
from vidan.detector.models.zoo import build_model
from vidan.detector.weights.checkpoint import FORMAT, WeightsCard, load_model, load_state, read_card, save_weights


def make_card(**changes: Any) -> WeightsCard:
    values: dict[str, Any] = {
        "model": "gelan-t",
        "classes": ("person", "Fußgänger 'x'"),
        "class_width": 16,
        "image_size": (288, 384),
        "training_data": "two pictures",
        "licence": "MIT",
        "source": "a test",
        "metrics": {"ap50_95": 0.5},
        "recipe_sha256": "ab" * 32,
    }
    return WeightsCard(**values | changes)


@pytest.fixture(scope="module")
def network() -> Gelan:
    torch.manual_seed(0)
    model = build_model("gelan-t", classes=2, class_width=16)
    assert isinstance(model, Gelan)
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
    return model.eval()


@pytest.fixture(scope="module")
def weights(network: Gelan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, network.state_dict(), make_card())
    return path


def test_a_saved_network_comes_back_within_half_precision(network: Gelan, weights: Path) -> None:
    loaded, card = load_model(weights)
    assert card == make_card(created=card.created)
    assert not loaded.training
    state = network.state_dict()
    for name, value in loaded.state_dict().items():
        assert value.dtype == state[name].dtype
        torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-6)
    images = torch.rand(1, 3, 64, 96)
    torch.testing.assert_close(loaded(images), network(images), rtol=1e-2, atol=0.1)


def test_full_precision_is_kept_when_asked_for(network: Gelan, tmp_path: Path) -> None:
    save_weights(tmp_path / "full.safetensors", network.state_dict(), make_card(), half=False)
    loaded = load_state(tmp_path / "full.safetensors")
    assert all(torch.equal(value, loaded[name]) for name, value in network.state_dict().items())


def test_half_precision_halves_the_file_and_arrays_are_as_good_as_tensors(network: Gelan, tmp_path: Path) -> None:
    arrays = {name: value.numpy() for name, value in network.state_dict().items()}
    save_weights(tmp_path / "a.safetensors", arrays, make_card())
    save_weights(tmp_path / "b.safetensors", network.state_dict(), make_card(), half=False)
    small, large = (path.stat().st_size for path in (tmp_path / "a.safetensors", tmp_path / "b.safetensors"))
    assert 0.45 < small / large < 0.6


def test_a_card_is_read_without_torch(weights: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from vidan.detector import read_card; "
        "card = read_card(Path(sys.argv[1])); assert 'torch' not in sys.modules; print(card.model)"
    )
    answer = subprocess.run([sys.executable, "-c", script, str(weights)], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "gelan-t"


def test_loading_leaves_the_random_state_alone(weights: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_model(weights)
    torch.testing.assert_close(torch.rand(4), expected, rtol=0, atol=0)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    network: Gelan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.safetensors"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WeightsError, match=r"kept\.safetensors: the weights cannot be written \(No space left"):
        save_weights(path, network.state_dict(), make_card())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_values_that_half_precision_cannot_hold_are_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(WeightsError, match=r"not written, head\.bias"):
        save_weights(tmp_path / "x.safetensors", {"head.bias": np.array([value], np.float32)}, make_card())
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize("kept", [0, 4, 8, 500, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(weights: Path, tmp_path: Path, kept: float) -> None:
    data = weights.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    for read in (read_card, load_state, load_model):
        with pytest.raises(WeightsError, match=r"cut\.safetensors: not a safetensors file, or cut off"):
            read(path)


def metadata(**changes: str | None) -> dict[str, str]:
    values: dict[str, str | None] = {
        "format": FORMAT,
        "model": '"gelan-t"',
        "classes": '["person"]',
        "image_size": "[288, 384]",
        "training_data": '"none"',
        "licence": '"MIT"',
        "source": '"test"',
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


WRONG_CARDS = [
    (metadata(format=None), "without the card"),
    (metadata(format="pt"), "without the card"),
    (metadata(model=None), "model: "),
    (metadata(licence="3"), "licence: "),
    (metadata(classes="[]"), "at least one name"),
    (metadata(classes='["a", "a"]'), "none twice"),
    (metadata(classes='["a", 1]'), r"classes\.1: "),
    (metadata(classes=json.dumps([str(i) for i in range(10_001)])), "at most 10000 classes"),
    (metadata(class_width="1000000000"), "width 1000000000"),
    (metadata(class_width="0"), "width 0"),
    (metadata(image_size="[288]"), "image_size"),
    (metadata(image_size="[288, 385]"), "multiples of 32"),
    (metadata(image_size="[288, -32]"), "multiples of 32"),
    (metadata(metrics='{"ap50": "good"}'), r"metrics\.ap50: "),
    (metadata(model="gelan-t"), "a field is not JSON"),
]


@pytest.mark.parametrize(("header", "reason"), WRONG_CARDS)
def test_a_wrong_card_is_refused_with_the_field(tmp_path: Path, header: dict[str, str], reason: str) -> None:
    save_file({"x": np.zeros(1)}, tmp_path / "wrong.safetensors", header)
    with pytest.raises(WeightsError, match=rf"wrong\.safetensors: .*{reason}"):
        read_card(tmp_path / "wrong.safetensors")


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    save_file({"x": np.zeros(1)}, tmp_path / "later.safetensors", metadata(colour='"green"'))
    assert read_card(tmp_path / "later.safetensors").classes == ("person",)


def _without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != name}


def test_tensors_that_do_not_fit_the_card_are_named(network: Gelan, tmp_path: Path) -> None:
    state, path = dict(network.state_dict()), tmp_path / "misfit.safetensors"
    bias = "head.scores.0.2.bias"
    cases = [
        (_without(state, bias), make_card(), rf"1 missing \({bias}\)"),
        (state | {"extra": torch.zeros(1)}, make_card(), r"1 unknown \(extra\)"),
        (state | {bias: torch.zeros(3)}, make_card(), rf"1 of wrong shape \({bias} is \(3,\) instead of \(2,\)\)"),
        (state, make_card(classes=("a", "b", "c")), r"does not fit gelan-t with 3 classes: 6 of wrong shape"),
        (state, make_card(model="gelan-s"), "does not fit gelan-s"),
        (state, make_card(model="gelan-x"), r"names an unknown model 'gelan-x'"),
    ]
    for tensors, card, reason in cases:
        save_weights(path, tensors, card)
        with pytest.raises(WeightsError, match=rf"misfit\.safetensors: .*{reason}"):
            load_model(path)


def test_values_that_are_not_numbers_are_found_on_loading(network: Gelan, tmp_path: Path) -> None:
    arrays = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    arrays["column.stem1.bn.weight"][3] = np.nan
    card = metadata(classes='["a", "b"]', class_width="16")
    save_file(arrays, tmp_path / "nan.safetensors", card)
    with pytest.raises(WeightsError, match=r"nan\.safetensors: column\.stem1\.bn\.weight holds values"):
        load_model(tmp_path / "nan.safetensors")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such weights file"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "`vidan weights import` reads published .pt files"),
    ],
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, make: Any, reason: str) -> None:
    make(tmp_path / "thing.pt")
    for read in (read_card, load_state, load_model):
        with pytest.raises(WeightsError, match=rf"thing\.pt: .*{reason}"):
            read(tmp_path / "thing.pt")
