"""The training loop: forward, loss, backward, clip, step, average; an epoch at a time, resumable at each."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from vidan.detector.data.dataset import DetectionDataset, collate
from vidan.detector.errors import WeightsError
from vidan.detector.models.gelan import Gelan
from vidan.detector.models.pgi import PgiNetwork
from vidan.detector.models.zoo import build_model
from vidan.detector.train.ema import MovingAverage
from vidan.detector.train.losses import detection_loss
from vidan.detector.train.optim import apply_pace, build_optimizer, pace
from vidan.detector.train.recipe import Recipe
from vidan.detector.weights.atomic import write_atomically

StepCallback: TypeAlias = Callable[[int, int, Tensor], None]
"""Told after every iteration: its number within the epoch, iterations per epoch, mean (box, cls, dfl) so far."""


@dataclass(frozen=True, slots=True)
class EpochLosses:
    """Means over one epoch, gains included."""

    box: float
    cls: float
    dfl: float
    learning_rate: float
    seconds: float


class Trainer:
    """A model, its optimizer and its average, taken through a data set epoch by epoch.

    Args:
        recipe: All hyper-parameters.
        dataset: Training samples.
        classes: Number of classes.
        device: Where to train.
        on_step: Called after each iteration: its number within the epoch, iterations per epoch, mean (box, cls, dfl).
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: DetectionDataset,
        classes: int,
        device: torch.device,
        on_step: StepCallback = lambda _step, _steps, _losses: None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.device = device
        self.epoch = 0
        model = build_model(recipe.model, classes, recipe.pgi, variant=recipe.gelan)
        self.model: nn.Module = model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.optimizer = build_optimizer(self.model, recipe)
        self.average = MovingAverage(self.model, recipe.ema_decay, recipe.ema_warmup_updates)
        self.dataset = dataset
        self.batches_per_epoch = -(-len(dataset) // recipe.batch)
        self._on_step = on_step
        self._iteration = 0
        self._last_step = -1

    @property
    def inference_network(self) -> Gelan:
        """The averaged weights without the auxiliary branch: what is evaluated and saved."""
        return _without_auxiliary(self.average.model)

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Takes over every tensor of an inference network whose name and shape fit; the others keep their start.

        Raises:
            WeightsError: If none fits.
        """
        own = _without_auxiliary(self.model).state_dict()
        fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
        if not fitting:
            raise WeightsError(f"none of the {len(state)} tensors to start from fits a {self.recipe.model}")
        for network in (self.model, self.average.model):
            _without_auxiliary(network).load_state_dict(fitting, strict=False)

    def train_one_epoch(self) -> EpochLosses:
        """One pass over the data set; afterwards `epoch` counts one more."""
        start, recipe = time.perf_counter(), self.recipe
        self.model.train()
        self.dataset.set_epoch(self.epoch)
        if self.epoch >= recipe.epochs - recipe.close_mosaic_epochs:
            self.dataset.close_mosaic()
        self.optimizer.zero_grad()
        sums = torch.zeros(3, device=self.device)
        for step, (images, targets) in enumerate(self._batches()):
            now = pace(recipe, self._iteration, self.batches_per_epoch)
            apply_pace(self.optimizer, now)
            loss = detection_loss(self._heads(images), targets, (1.0, recipe.auxiliary_weight))
            loss.total.backward()
            if self._iteration - self._last_step >= now.accumulate:
                nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.average.update(self.model)
                self._last_step = self._iteration
            self._iteration += 1
            sums += torch.stack((loss.box, loss.cls, loss.dfl)).detach()
            self._on_step(step + 1, self.batches_per_epoch, sums / (step + 1))
        self.epoch += 1
        box, cls, dfl = (sums / self.batches_per_epoch).tolist()
        return EpochLosses(box, cls, dfl, self.optimizer.param_groups[1]["lr"], time.perf_counter() - start)

    def save(self, path: Path) -> None:
        """Writes everything that `resume` needs, as tensors and numbers only.

        Raises:
            OSError: If it cannot be written; the last checkpoint is still there then.
        """
        state = {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "iteration": self._iteration,
            "last_step": self._last_step,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getbuffer())

    def resume(self, path: Path) -> None:
        """Goes on exactly where `save` stood: everything random follows from the seed and the epoch."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self._iteration, self._last_step = state["epoch"], state["iteration"], state["last_step"]

    def _heads(self, images: Tensor) -> tuple[list[Tensor], ...]:
        maps = self.model(images)
        return maps if isinstance(maps, tuple) else (maps,)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of this epoch: images (B, 3, H, W) float 0..1 and targets (K, 6), on the device."""
        order = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.epoch)
        loader = torch.utils.data.DataLoader(
            self.dataset,
            batch_size=self.recipe.batch,
            shuffle=True,
            generator=order,
            num_workers=self.recipe.workers,
            collate_fn=collate,
            pin_memory=self.device.type == "cuda",
        )
        for images, targets in loader:
            images = images.to(self.device, non_blocking=True, memory_format=torch.channels_last)
            yield images.float() / 255, targets.to(self.device, non_blocking=True)


def _without_auxiliary(network: nn.Module) -> Gelan:
    network = network.main if isinstance(network, PgiNetwork) else network
    assert isinstance(network, Gelan)
    return network
