"""How much of a picture feature maps still hold."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vidan.detector import WeightsCard, save_weights
from vidan.detector.models.zoo import build_model
from vidan.detector.train.features import NETWORKS, random_features, recovered_share, trained_features
from vidan.pipeline.cli.main import main


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth blobs of colour, 64x96."""
    rng = np.random.default_rng(1)
    return cv2.resize(rng.integers(0, 255, (8, 12, 3), dtype=np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)


def test_an_invertible_map_holds_everything_and_noise_nothing() -> None:
    torch.manual_seed(0)
    wanted = F.avg_pool2d(torch.rand(1, 6, 96, 96), 3, 1, 1)
    mixed = torch.einsum("ij,bjhw->bihw", torch.linalg.qr(torch.randn(6, 6))[0], wanted)
    assert recovered_share(mixed, wanted, kernel=1) > 0.99
    assert recovered_share(mixed[:, :3], wanted, kernel=1) == pytest.approx(0.5, abs=0.2)
    assert recovered_share(torch.randn(1, 6, 96, 96), wanted, kernel=1) < 0.02


def test_plain_networks_forget_with_depth_and_residual_ones_less(picture: np.ndarray) -> None:
    maps = random_features(picture, (1, 8), seed=0)
    share = {(found.network, found.depth): found.recovered for found in maps}
    assert len(share) == 2 * len(NETWORKS)
    assert share["plain", 8] < share["plain", 1]
    assert share["residual", 8] > share["plain", 8]
    again = random_features(picture, (1, 8), seed=0)
    assert [found.recovered for found in again] == [found.recovered for found in maps]


def test_maps_of_trained_weights_are_judged_at_each_stride(picture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    card = WeightsCard(
        model="gelan-t", classes=("a",), image_size=(64, 96), training_data="none", licence="CC0", source="a test"
    )
    save_weights(path, build_model("gelan-t", 1).state_dict(), card)
    maps = trained_features(picture, path)
    assert [(found.network, found.depth) for found in maps] == [("own", 8), ("own", 16), ("own", 32)]
    assert [found.energy.shape for found in maps] == [(8, 12), (4, 6), (2, 3)]


def test_the_command_prints_a_table_and_draws_a_sheet(
    picture: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), picture)
    sheet = tmp_path / "sheet.png"
    assert main(["features", str(tmp_path / "picture.png"), "--output", str(sheet), "--depths", "2,1"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].split() == ["blocks", "1", "2"]
    assert [line.split()[0] for line in told[1:5]] == list(NETWORKS)
    drawn = cv2.imread(str(sheet))
    assert drawn is not None
    assert drawn.shape[0] > 4 * 190
    assert main(["features", str(tmp_path / "none.png")]) == 3
    assert "none.png" in capsys.readouterr().err
