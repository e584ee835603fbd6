"""All ten networks against the numbers of the published graphs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidan.detector.models.blocks import BLOCKS, RepConv, fuse, merge_rep_convs
from vidan.detector.models.gelan import Gelan
from vidan.detector.models.heads import DetectHead
from vidan.detector.models.keymap import canonical_names
from vidan.detector.models.pgi import PgiNetwork
from vidan.detector.models.variant import Block, Pgi, Variant
from vidan.detector.models.zoo import MODEL_NAMES, build_model

FIXTURES = Path(__file__).parents[1] / "fixtures"
GRAPHS = json.loads((FIXTURES / "yolov9_graphs.json").read_text())
LEVEL_SAMPLES = 64
PAPER_MILLIONS = {"yolov9-s": 7.1, "yolov9-m": 20.0, "yolov9-c": 25.3, "yolov9-e": 57.3}


@pytest.fixture(scope="module", params=MODEL_NAMES)
def network(request: pytest.FixtureRequest, seed_weights: Callable[[nn.Module], nn.Module]) -> tuple[str, nn.Module]:
    model = build_model(request.param, 80, "full" if request.param.startswith("yolov9") else "none")
    return request.param, seed_weights(model).eval()


def test_every_entry_has_the_name_and_shape_of_the_published_graph(network: tuple[str, nn.Module]) -> None:
    name, model = network
    names, state = canonical_names(model), model.state_dict()
    lines = sorted((names[own], tuple(value.shape)) for own, value in state.items())
    digest = hashlib.sha256("\n".join(f"{entry} {shape}" for entry, shape in lines).encode()).hexdigest()
    assert (len(lines), digest) == (GRAPHS[name]["state_entries"], GRAPHS[name]["state_sha256"])
    assert _parameters(model) == GRAPHS[name]["parameters"]


@torch.no_grad()
def test_raw_maps_and_boxes_equal_the_reference(
    network: tuple[str, nn.Module], waves: Callable[[int, int, int], Tensor]
) -> None:
    name, model = network
    with np.load(FIXTURES / "yolov9_outputs.npz") as reference:
        for branch, (maps, head) in _branches(model, waves(256, 320, 1)).items():
            for level, wanted in zip(maps, reference[f"{name}/{branch}/maps"], strict=True):
                at = [(2 * i + 1) * level.numel() // (2 * LEVEL_SAMPLES) for i in range(LEVEL_SAMPLES)]
                np.testing.assert_allclose(level.flatten()[at].numpy(), wanted, rtol=0, atol=1e-4)
            decoded = head.decode(maps)[0].T[reference[f"{name}/{branch}/index"]].numpy()
            wanted = reference[f"{name}/{branch}/decoded"]
            np.testing.assert_allclose(decoded[:, :4], wanted[:, :4], rtol=0, atol=0.01)
            np.testing.assert_allclose(decoded[:, 4:], wanted[:, 4:], rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_inference_network_is_the_main_branch_merged_and_folded(
    network: tuple[str, nn.Module], waves: Callable[[int, int, int], Tensor]
) -> None:
    name, model = network
    images = waves(64, 96, 1)
    answer = model(images)
    inference = model.main if isinstance(model, PgiNetwork) else model
    assert torch.equal(inference(images), answer), "removing the auxiliary branch changes nothing"
    sizes = [_parameters(inference)]
    merge_rep_convs(inference)
    sizes.append(_parameters(inference))
    fuse(inference)
    sizes.append(_parameters(inference))
    assert round(sizes[-1] / 1e6, 1) == PAPER_MILLIONS.get(name, round(sizes[-1] / 1e6, 1))
    assert sizes == [GRAPHS[name][key] for key in ("inference_parameters", "merged_parameters", "fused_parameters")]
    np.testing.assert_allclose(inference(images).numpy(), answer.numpy(), rtol=1e-4, atol=2e-3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in inference.modules())


@pytest.mark.parametrize(("class_width", "millions"), [(None, 2.41), (80, 2.00)])
def test_size_t_exists_with_both_widths_of_the_class_branch(class_width: int | None, millions: float) -> None:
    model = build_model("yolov9-t", 80, class_width=class_width).eval()
    fuse(model)
    assert round(_parameters(model) / 1e6, 2) == millions


@torch.no_grad()
def test_a_merged_rep_conv_answers_as_its_two_branches() -> None:
    torch.manual_seed(0)
    block = RepConv(8, 12).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            module.running_mean, module.running_var = torch.randn(12), torch.rand(12) + 0.5
    x = torch.randn(2, 8, 9, 7)
    before = block(x)
    block.merge()
    torch.testing.assert_close(block(x), before, rtol=1e-5, atol=1e-5)
    assert sum(p.numel() for p in block.parameters()) == 12 * 8 * 9 + 12


@torch.no_grad()
@pytest.mark.parametrize("name", ["yolov9-t", "yolov9-c", "yolov9-e"])
def test_plain_deep_supervision_is_a_second_head_on_the_backbone_and_nothing_else(
    name: str, waves: Callable[[int, int, int], Tensor]
) -> None:
    torch.manual_seed(0)
    model = build_model(name, 2, "deep")
    assert isinstance(model, PgiNetwork)
    trained, inference = _parameters(model), _parameters(model.main)
    assert trained == inference + _parameters(model.auxiliary_head)
    model.train()
    main, auxiliary = model(waves(64, 96, 1))
    assert [tuple(level.shape) for level in main] == [tuple(level.shape) for level in auxiliary]
    with pytest.raises(TypeError, match="as published"):
        canonical_names(model)  # no published graph has it


@torch.no_grad()
@pytest.mark.parametrize("pgi", ["none", "deep", "full"])
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_works_in_every_mode_and_leaves_one_inference_network(
    block: Block, pgi: Pgi, waves: Callable[[int, int, int], Tensor]
) -> None:
    torch.manual_seed(0)
    model = build_model("gelan-t", 2, pgi, variant=Variant(block=block, block_depth=2, elan_depth=1)).eval()
    inference = model.main if isinstance(model, PgiNetwork) else model
    images = waves(64, 96, 1)
    answer = model(images)
    wanted = build_model("gelan-t", 2, variant=Variant(block=block, block_depth=2, elan_depth=1))
    assert inference.state_dict().keys() == wanted.state_dict().keys()
    fuse(inference)
    np.testing.assert_allclose(inference(images).numpy(), answer.numpy(), rtol=1e-4, atol=2e-3)


def test_blocks_differ_in_size_and_depths_add_to_it() -> None:
    sizes = {block: _parameters(build_model("gelan-s", 80, variant=Variant(block=block))) for block in BLOCKS}
    assert sorted(sizes, key=sizes.__getitem__) == ["res", "dark", "csp", "conv"]
    assert sizes["csp"] == GRAPHS["gelan-s"]["parameters"]
    for deeper in (Variant(block_depth=4), Variant(elan_depth=3)):
        assert _parameters(build_model("gelan-s", 80, variant=deeper)) > sizes["csp"]


def test_initial_biases_expect_small_boxes_and_rare_objects() -> None:
    wanted = json.loads((FIXTURES / "yolov9_schedule.json").read_text())["initial_head_bias"]
    head = build_model("gelan-t", 80).head
    assert isinstance(head, DetectHead)
    for stride, box, score in zip((8, 16, 32), head.boxes, head.scores, strict=True):
        assert isinstance(box, nn.Sequential)
        assert isinstance(score, nn.Sequential)
        assert box[-1].bias.tolist() == [wanted["box"]] * 64  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        assert score[-1].bias[0].item() == pytest.approx(wanted["cls"][str(stride)], rel=1e-6)  # pyright: ignore[reportIndexIssue]


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(ValueError, match=r"'yolo9-c'; did you mean 'yolov9-c'\?"):
        build_model("yolo9-c", 80)


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _branches(model: nn.Module, images: Tensor) -> dict[str, tuple[list[Tensor], DetectHead]]:
    if isinstance(model, PgiNetwork):
        column = model.main.column(images)
        return {
            "main": (model.main.maps(column, images), model.main.head),
            "aux": (model.auxiliary_head(model.auxiliary(images, column)), model.auxiliary_head),
        }
    assert isinstance(model, Gelan)
    return {"main": (model.maps(model.column(images), images), model.head)}
