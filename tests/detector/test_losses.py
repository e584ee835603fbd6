"""The loss, its gradients and the assignment against reference numbers, and the laws they obey."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidan.detector.models.heads import DetectHead
from vidan.detector.models.keymap import canonical_names
from vidan.detector.models.zoo import build_model
from vidan.detector.train.assigner import assign
from vidan.detector.train.ciou import ciou
from vidan.detector.train.losses import Loss, decode_boxes, detection_loss, distribution_focal_loss, padded_targets

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = json.loads((FIXTURES / "yolov9_losses.json").read_text())
PARTS = ("total", "box", "cls", "dfl")


@pytest.fixture(scope="module")
def pieces() -> dict[str, Tensor]:
    with np.load(FIXTURES / "yolov9_loss_pieces.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.mark.parametrize("name", ["gelan-t", "yolov9-s", "yolov9-c"])
def test_loss_and_gradients_through_the_network_equal_the_reference(
    name: str,
    seed_weights: Callable[[nn.Module], nn.Module],
    waves: Callable[[int, int, int], Tensor],
) -> None:
    model = seed_weights(build_model(name, 80, "full" if name.startswith("yolov9") else "none")).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # the reference took running statistics
    height, width = CASES[name]["image"]
    answer = model(waves(height, width, 2))
    heads = answer if isinstance(answer, tuple) else (answer,)
    loss = detection_loss(heads, torch.tensor(CASES["targets"]))
    loss.total.backward()
    _assert_equals(loss, CASES[name])
    own = {canonical: name for name, canonical in canonical_names(model).items()}
    parameters = dict(model.named_parameters())
    for canonical, norm in CASES[name]["gradient_norms"].items():
        gradient = parameters[own[canonical]].grad
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-6), canonical


@pytest.mark.parametrize("heads", [("main",), ("main", "aux")])
def test_loss_of_stored_maps_equals_the_reference(heads: tuple[str, ...]) -> None:
    wanted = CASES["stored_maps"]["+".join(heads)]
    with np.load(FIXTURES / "yolov9_loss_maps.npz") as file:
        maps = [[torch.from_numpy(file[f"{head}_p{level}"]).double() for level in (3, 4, 5)] for head in heads]
        targets = torch.from_numpy(file["targets"]).double()
    _assert_equals(detection_loss(maps, targets), wanted["targets"])
    nothing = detection_loss(maps, torch.zeros(0, 6, dtype=torch.float64))
    _assert_equals(nothing, wanted["no_targets"])


def test_assignment_equals_the_reference(pieces: dict[str, Tensor]) -> None:
    wanted = assign(
        pieces["scores"],
        pieces["boxes"],
        pieces["anchor_centres"],
        pieces["gt_labels"],
        pieces["gt_boxes"],
        pieces["gt_mask"],
    )
    torch.testing.assert_close(wanted.scores, pieces["target_scores"], rtol=1e-6, atol=1e-9)
    counted = pieces["foreground_with_nonzero_score"]
    assert torch.equal(wanted.positive & (wanted.scores.sum(-1) > 0), counted)
    torch.testing.assert_close(wanted.boxes[counted], pieces["target_boxes"][counted])


def test_an_anchor_wanted_by_two_goes_to_whom_its_box_fits_best_even_if_it_lies_outside() -> None:
    points = torch.tensor([[10.0, 10.0], [60.0, 10.0]])
    predicted = torch.tensor([[[30.0, 0.0, 50.0, 20.0], [56.0, 4.0, 64.0, 16.0]]])
    wide, wider = [0.0, 0.0, 46.0, 20.0], [0.0, 0.0, 50.0, 20.0]
    beside = [30.0, 0.0, 50.0, 20.0]  # fits the first anchor's box exactly, but does not contain the anchor
    classes, valid = torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.bool)
    wanted = assign(
        torch.full((1, 2, 1), 0.5), predicted, points, classes, torch.tensor([[wide, wider, beside]]), valid
    )
    assert wanted.positive.tolist() == [[True, False]]
    assert wanted.boxes[0, 0].tolist() == beside


def test_complete_iou_and_its_gradient_equal_the_reference(pieces: dict[str, Tensor]) -> None:
    a, b = pieces["ciou_box_a"].double().requires_grad_(), pieces["ciou_box_b"].double()
    value = ciou(a, b)
    (gradient,) = torch.autograd.grad(value.sum(), a)
    torch.testing.assert_close(value.detach(), pieces["ciou"], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(gradient, pieces["ciou_grad_wrt_a"], rtol=1e-5, atol=1e-9)


def test_distribution_focal_loss_and_its_gradient_equal_the_reference(pieces: dict[str, Tensor]) -> None:
    logits = pieces["dfl_logits"].requires_grad_()
    value = distribution_focal_loss(logits, pieces["dfl_target"])
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(value.detach().double(), pieces["dfl_loss"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, pieces["dfl_grad"], rtol=1e-4, atol=1e-6)


def test_training_and_inference_decode_the_same_boxes(pieces: dict[str, Tensor]) -> None:
    logits, points = pieces["decode_logits"], pieces["decode_anchor_points"].float()
    in_training = decode_boxes(logits, points)
    torch.testing.assert_close(in_training.double(), pieces["decode_xyxy_grid"], rtol=1e-5, atol=1e-5)
    torch.manual_seed(0)
    head = DetectHead([64, 64, 64], 2)
    maps = [torch.randn(2, 66, 4 // s, 8 // s) for s in (1, 2, 4)]
    flat = torch.cat([m.flatten(2) for m in maps], 2).transpose(1, 2)
    centres = torch.cat([_centres(4 // s, 8 // s) for s in (1, 2, 4)])
    strides = torch.cat([torch.full((32 // s**2, 1), 8.0 * s) for s in (1, 2, 4)])
    xyxy = decode_boxes(flat[..., :64], centres) * strides
    predictions = head.decode(maps).transpose(1, 2)
    half = predictions[..., 2:4] / 2
    corners = torch.cat((predictions[..., :2] - half, predictions[..., :2] + half), -1)
    torch.testing.assert_close(corners, xyxy, rtol=1e-4, atol=1e-3)


def test_order_of_targets_changes_nothing() -> None:
    torch.manual_seed(3)
    maps = [torch.randn(3, 67, 8 // s, 8 // s) for s in (1, 2, 4)]
    targets = torch.cat(
        (torch.randint(0, 3, (9, 1)).float(), torch.randint(0, 3, (9, 1)).float(), torch.rand(9, 4) / 2 + 0.2), 1
    )
    loss = detection_loss([maps], targets)
    shuffled = detection_loss([maps], targets[torch.randperm(9)])
    torch.testing.assert_close(shuffled.total, loss.total, rtol=1e-5, atol=1e-5)


def test_targets_are_padded_per_image() -> None:
    targets = torch.tensor([[2, 1, 0.5, 0.5, 1, 1], [0, 0, 0.25, 0.5, 0.5, 0.5], [2, 0, 0.5, 0.5, 0.5, 0.5]])
    classes, boxes = padded_targets(targets, 3, torch.tensor([100.0, 40.0]))
    assert classes.tolist() == [[0, 0], [0, 0], [1, 0]]
    assert boxes[0].tolist() == [[0, 10, 50, 30], [0, 0, 0, 0]]
    assert boxes[2].tolist() == [[0, 0, 100, 40], [25, 10, 75, 30]]


def _assert_equals(loss: Loss, wanted: dict[str, float]) -> None:
    found = {name: getattr(loss, name).item() for name in PARTS}
    assert found == pytest.approx({name: wanted[name] for name in PARTS}, rel=1e-4, abs=1e-6)


def _centres(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack((x, y), -1).view(-1, 2)
