"""Training pictures: reproducible, complete, and where their boxes say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vidan.detector.data.augment import Augmentation
from vidan.detector.data.dataset import DetectionDataset, collate
from vidan.detector.data.samples import DataError, Sample

INPUT = (64, 96)  # height, width
BOX = (20, 10, 60, 40)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Four pictures of 120x80 pixels with a white block, of class 0..3, and an ignored object."""
    result = []
    for index in range(4):
        image = np.full((80, 120, 3), 40 * index, np.uint8)
        left, top, right, bottom = BOX
        image[top:bottom, left:right] = 255
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), image)
        boxes = np.array([BOX, (0, 0, 9, 9)], np.float32)
        result.append(Sample(path, (80, 120), boxes, np.array([index, 0]), np.array([False, True])))
    return result


def everything(dataset: DetectionDataset) -> tuple[torch.Tensor, torch.Tensor]:
    return collate([dataset[index] for index in range(len(dataset))])


def test_without_augmentation_a_picture_is_letterboxed(samples: list[Sample]) -> None:
    image, targets = DetectionDataset(samples, INPUT, None, seed=0)[2]
    assert image.shape == (3, *INPUT)
    assert image.dtype == torch.uint8
    # 120x80 fits into 96x64 at ratio 0.8 without padding.
    expected = [[2, 40 / 120, 25 / 80, 40 / 120, 30 / 80]]
    np.testing.assert_allclose(targets.numpy(), expected, rtol=1e-5)
    assert image[0, 20, 30] == 255
    assert image[0, 60, 90] == 80


def test_without_augmentation_small_pictures_are_not_enlarged(samples: list[Sample]) -> None:
    dataset = DetectionDataset(samples, (128, 192), None, seed=0)
    image, targets = dataset[0]
    assert (image[:, :24] == 114).all()
    assert (image[:, :, :36] == 114).all()
    centre_x, centre_y, width, height = (targets[0, 1:].numpy() * (192, 128, 192, 128)).tolist()
    assert (width, height) == pytest.approx((40, 30))
    box = np.array([[centre_x - 20, centre_y - 15, centre_x + 20, centre_y + 15]], np.float32)
    np.testing.assert_allclose(dataset.letterbox(0).undo(box)[0], BOX, atol=1e-3)


def test_randomness_is_a_function_of_seed_epoch_and_index(samples: list[Sample]) -> None:
    first = DetectionDataset(samples, INPUT, Augmentation(), seed=1)
    first.set_epoch(3)
    images, targets = everything(first)
    first.set_epoch(4)
    other_images, _ = everything(first)
    resumed = DetectionDataset(samples, INPUT, Augmentation(), seed=1)
    resumed.set_epoch(3)
    again_images, again_targets = everything(resumed)
    other_seed_images, _ = everything(DetectionDataset(samples, INPUT, Augmentation(), seed=2))
    assert torch.equal(images, again_images)
    assert torch.equal(targets, again_targets)
    assert not torch.equal(images, other_images)
    assert not torch.equal(images, other_seed_images)


def test_running_workers_hear_of_a_new_epoch_and_of_the_closed_mosaic(samples: list[Sample]) -> None:
    dataset = DetectionDataset(samples, INPUT, Augmentation(), seed=1)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=4, num_workers=1, persistent_workers=True, collate_fn=collate, timeout=60
    )
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        if epoch == 1:
            dataset.close_mosaic()
        ((images, targets),) = loader
        expected_images, expected_targets = everything(dataset)
        assert torch.equal(images, expected_images)
        assert torch.equal(targets, expected_targets)


def test_pictures_outside_of_the_cache_are_the_same(samples: list[Sample]) -> None:
    kept = DetectionDataset(samples, INPUT, Augmentation(), seed=5)
    read = DetectionDataset(samples, INPUT, Augmentation(), seed=5, cache_bytes=-1)
    for item in range(4):
        for tensor, expected in zip(read[item], kept[item], strict=True):
            assert torch.equal(tensor, expected)


@pytest.mark.parametrize("open_mosaic", [True, False], ids=["mosaic", "closed"])
def test_augmented_boxes_lie_on_their_blocks(samples: list[Sample], open_mosaic: bool) -> None:
    calm = Augmentation(hsv_h=0, hsv_s=0, hsv_v=0, mixup=0, scale=0.3)
    dataset = DetectionDataset(samples, INPUT, calm, seed=0)
    if not open_mosaic:
        dataset.close_mosaic()
    seen = 0
    for epoch in range(10):
        dataset.set_epoch(epoch)
        for index in range(len(dataset)):
            image, targets = dataset[index]
            height, width = INPUT
            for _, x, y, w, h in (targets.numpy() * (1, width, height, width, height)).tolist():
                inner = image[
                    0, round(y - h / 2) + 2 : round(y + h / 2) - 2, round(x - w / 2) + 2 : round(x + w / 2) - 2
                ]
                assert (inner > 250).all()
                seen += inner.numel() > 0
    assert seen > 30


def test_a_batch_numbers_its_pictures(samples: list[Sample]) -> None:
    dataset = DetectionDataset([samples[0], _bare(samples[1]), samples[2]], INPUT, None, seed=0)
    images, targets = everything(dataset)
    assert images.shape == (3, 3, *INPUT)
    assert targets.shape == (2, 6)
    assert targets[:, :2].tolist() == [[0, 0], [2, 2]]


def test_a_picture_of_another_size_than_its_labels_is_refused(samples: list[Sample]) -> None:
    wrong = Sample(samples[0].image, (120, 80), samples[0].xyxy, samples[0].class_id, samples[0].ignored)
    with pytest.raises(DataError, match=r"0\.png is 120x80 pixels, its annotations are for 80x120"):
        DetectionDataset([wrong], INPUT, None, seed=0)


def _bare(sample: Sample) -> Sample:
    return Sample(sample.image, sample.size, sample.xyxy[:0], sample.class_id[:0], sample.ignored[:0])


def test_objects_are_copied_along_outlines_only(samples: list[Sample]) -> None:
    copying = Augmentation(mosaic=1, mixup=0, scale=0, translate=0, hsv_h=0, hsv_s=0, hsv_v=0, fliplr=0, copy_paste=1)
    with pytest.raises(DataError, match="copy_paste cuts objects out along their outlines, and none of the pictures"):
        DetectionDataset(samples, INPUT, copying, seed=0)
    left, top, right, bottom = BOX
    ring = np.array([[left, top], [right - 1, top], [right - 1, bottom - 1], [left, bottom - 1]], np.float32)
    outlined = [replace(sample, outlines=((ring,), ())) for sample in samples]
    plain = DetectionDataset(outlined, INPUT, copying.model_copy(update={"copy_paste": 0.0}), seed=0)
    assert not any(sample.outlines for sample in plain.samples)  # nobody keeps what nobody needs
    more = DetectionDataset(outlined, INPUT, copying, seed=0)
    counts = [(len(plain[i][1]), len(more[i][1])) for i in range(len(samples))]
    assert all(before <= after <= 2 * before for before, after in counts)
    assert sum(after for _, after in counts) > sum(before for before, _ in counts)
    more.close_mosaic()
    plain.close_mosaic()
    for i in range(len(samples)):
        assert torch.equal(more[i][0], plain[i][0])
