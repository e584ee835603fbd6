"""Samples as a torch data set: pictures of one size, their objects, and batches of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidan.detector.boxes import xyxy_to_cxcywh
from vidan.detector.data.augment import (
    Augmentation,
    LabeledImage,
    copy_paste,
    flip_left_right,
    flip_up_down,
    mixup,
    mosaic,
    random_affine,
    random_hsv,
)
from vidan.detector.data.samples import DataError, ImageSource, Sample, VideoFrame, read_images
from vidan.detector.letterbox import Letterbox


class DetectionDataset(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Pictures of one size with their objects, varied as a function of (seed, epoch, index) alone.

    Pictures are scaled to the network's input once and kept in memory: frames of videos always, picture files until
    ``cache_bytes`` are used; the rest is read again each time. `set_epoch` and `close_mosaic` also reach worker
    processes that run already, since their state lies in shared memory.

    Args:
        samples: What to show. The same picture may occur several times; it is kept once.
        image_size: Height and width of the network's input.
        augmentation: How to vary pictures, or None: each picture as it is, scaled down to fit (never up) and padded.
        seed: With the epoch and the index it decides everything random.
        cache_bytes: Memory for picture files; frames of videos count too but are never left out.

    Raises:
        DataError: If a picture cannot be read, or is not as large as its sample says, or objects are to be copied and
            none has an outline.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        image_size: tuple[int, int],
        augmentation: Augmentation | None,
        seed: int,
        cache_bytes: int = 4 << 30,
    ) -> None:
        self._copies = augmentation is not None and augmentation.copy_paste > 0
        if self._copies and not any(sample.outlines for sample in samples):
            raise DataError(
                "augmentation.copy_paste cuts objects out along their outlines, and none of the pictures has any "
                "(a box would paste its background, too): label polygons, as COCO's segmentation or in YOLO files, or "
                "set copy_paste to 0"
            )
        # Outlines of a large data set take much memory, in every worker process.
        self.samples = tuple(samples if self._copies else (replace(sample, outlines=()) for sample in samples))
        self.image_size = image_size
        self.augmentation = augmentation
        self.seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._mosaic_open = torch.ones((), dtype=torch.bool).share_memory_()
        self._cache = self._filled_cache(cache_bytes)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """The input (3, H, W) uint8 and its targets (M, 5) float32: class, cx, cy, w, h as fractions of the input."""
        if self.augmentation is None:
            labeled = self._padded(index)
        else:
            rng = np.random.default_rng((self.seed, int(self._epoch), index))
            labeled = self._augmented(index, self.augmentation, rng)
        image = torch.from_numpy(np.ascontiguousarray(labeled.image.transpose(2, 0, 1)))
        return image, torch.from_numpy(_targets(labeled))

    @property
    def mosaic_open(self) -> bool:
        return bool(self._mosaic_open)

    def set_epoch(self, epoch: int) -> None:
        """From here on pictures are varied as in this epoch."""
        self._epoch.fill_(epoch)

    def close_mosaic(self) -> None:
        """From here on no mosaic and no mixup, so that training ends on pictures like the real ones."""
        self._mosaic_open.fill_(False)

    def letterbox(self, index: int) -> Letterbox:
        """How a picture lies in the input when it is not varied; its ``undo`` takes predictions back to the picture."""
        scaleup = self.augmentation is not None
        return Letterbox.fit(self.samples[index].size, self.image_size, auto=False, scaleup=scaleup)

    def _augmented(self, index: int, augmentation: Augmentation, rng: np.random.Generator) -> LabeledImage:
        if self.mosaic_open and rng.random() < augmentation.mosaic:
            labeled = self._mosaic(index, augmentation, rng)
            if rng.random() < augmentation.mixup:
                other = self._mosaic(int(rng.integers(len(self))), augmentation, rng)
                labeled = mixup(labeled, other, rng)
        else:
            labeled = random_affine(self._padded(index), rng, self.image_size, augmentation)
        labeled = labeled._replace(image=random_hsv(labeled.image, rng, augmentation))
        if rng.random() < augmentation.flipud:
            labeled = flip_up_down(labeled)
        if rng.random() < augmentation.fliplr:
            labeled = flip_left_right(labeled)
        return labeled

    def _mosaic(self, index: int, augmentation: Augmentation, rng: np.random.Generator) -> LabeledImage:
        indices = rng.permutation([index, *rng.integers(len(self), size=3)])
        tiles = [self._load(int(tile)) for tile in indices]
        labeled = mosaic(tiles, rng, self.image_size)
        if self._copies:
            labeled = copy_paste(labeled, rng, augmentation.copy_paste)
        return random_affine(labeled, rng, self.image_size, augmentation)

    def _padded(self, index: int) -> LabeledImage:
        letterbox = self.letterbox(index)
        top, left = letterbox.top_left
        loaded = self._load(index)
        xyxy = loaded.xyxy + np.array([left, top, left, top], np.float32)
        return LabeledImage(letterbox.apply(loaded.image), xyxy, loaded.class_id)

    def _load(self, index: int) -> LabeledImage:
        """One picture, scaled to fit the input, with the boxes to learn."""
        sample = self.samples[index]
        image = self._cache.get(sample.image)
        if image is None:
            image = self._fitted(next(read_images([sample.image])), index)
        kept = ~sample.ignored
        (height, width), (rows, columns) = image.shape[:2], sample.size
        scale = np.array([width / columns, height / rows], np.float32)
        outlines = compress(sample.outlines, kept.tolist())
        scaled = tuple(tuple(polygon * scale for polygon in outline) for outline in outlines)
        return LabeledImage(image, sample.xyxy[kept] * np.tile(scale, 2), sample.class_id[kept], scaled)

    def _filled_cache(self, cache_bytes: int) -> dict[ImageSource, NDArray[np.uint8]]:
        cache: dict[ImageSource, NDArray[np.uint8]] = {}
        used = 0
        index_of = {sample.image: index for index, sample in enumerate(self.samples)}
        # Frames first and always: a video is decoded in one go, and reading one frame later means decoding up to it.
        sources = sorted(index_of, key=lambda source: not isinstance(source, VideoFrame))
        images = read_images(sources)
        for source in sources:
            if used > cache_bytes and not isinstance(source, VideoFrame):
                break
            cache[source] = self._fitted(next(images), index_of[source])
            used += cache[source].nbytes
        return cache

    def _fitted(self, image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        sample = self.samples[index]
        if image.shape[:2] != sample.size:
            height, width = image.shape[:2]
            rows, columns = sample.size
            raise DataError(f"{sample.image} is {width}x{height} pixels, its annotations are for {columns}x{rows}")
        height, width = self.letterbox(index).scaled
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def collate(batch: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A batch: pictures (B, 3, H, W) uint8, and targets (K, 6) float32 with the index of the picture in front."""
    images, targets = zip(*batch, strict=True)
    numbered = [torch.nn.functional.pad(rows, (1, 0), value=float(i)) for i, rows in enumerate(targets)]
    return torch.stack(images), torch.cat(numbered)


def _targets(labeled: LabeledImage) -> NDArray[np.float32]:
    height, width = labeled.image.shape[:2]
    fractions = xyxy_to_cxcywh(labeled.xyxy) / np.array([width, height, width, height], np.float32)
    return np.column_stack([labeled.class_id, fractions]).astype(np.float32)
