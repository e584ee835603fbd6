"""The training loop: forward, loss, backward, clip, step, average; resumable after any optimizer step."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from vidan.detector.data.dataset import DetectionDataset, collate
from vidan.detector.models.gelan import Gelan
from vidan.detector.models.pgi import PgiNetwork
from vidan.detector.models.zoo import build_model
from vidan.detector.train.ema import MovingAverage
from vidan.detector.train.losses import Loss, detection_loss
from vidan.detector.train.optim import apply_pace, build_optimizer, pace
from vidan.detector.train.order import EpochOrder
from vidan.detector.train.processes import Processes, share_batch_norms
from vidan.detector.train.recipe import Recipe
from vidan.detector.train.start import freeze, load_fitting
from vidan.detector.weights.atomic import write_atomically

StepCallback: TypeAlias = Callable[[int, int, Tensor], None]
"""Told after every iteration: its number within the epoch, iterations per epoch, mean (box, cls, dfl) so far."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
        class_width: Hidden channels of the class branches, see `DetectHead`.
        processes: This process among those that train together.

    Raises:
        RecipeError: If the batch cannot be shared by the processes, or a stage to freeze is unknown.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: DetectionDataset,
        classes: int,
        device: torch.device,
        on_step: StepCallback = lambda _step, _steps, _losses: None,
        class_width: int | None = None,
        processes: Processes = Processes(),  # noqa: B008 (immutable)
    ) -> None:
        torch.manual_seed(recipe.seed)
        torch.backends.cudnn.benchmark = not recipe.multi_scale  # finds the fastest kernels, for each size anew
        self.recipe = recipe
        self.device = device
        self.dataset = dataset
        self.epoch = 0
        self.step = 0  # iterations of this epoch that are done
        self.processes = processes
        model = build_model(recipe.model, classes, recipe.pgi, class_width, recipe.gelan)
        # torch's own types know `to` with a device or with a memory format, not with both.
        self.model: nn.Module = model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._frozen = freeze(_without_auxiliary(self.model), recipe.freeze)
        self.optimizer = build_optimizer(self.model, recipe)
        self.average = MovingAverage(self.model, recipe.ema_decay, recipe.ema_warmup_updates)
        self.precision = _precision(recipe.precision, device)
        self._scaler = GradScaler(device.type, enabled=self.precision == "fp16")
        self._network = self._shared(self.model)
        self._order = EpochOrder(len(dataset), recipe.batch, recipe.seed, processes.rank, processes.count)
        self._loader = self._batch_loader()
        self._on_step = on_step
        self._iteration = 0
        self._last_step = -1
        self._sums = torch.zeros(3, device=device)
        self._seconds = 0.0

    @property
    def inference_network(self) -> Gelan:
        """The averaged weights without the auxiliary branch: what is evaluated and saved."""
        return _without_auxiliary(self.average.model)

    @property
    def batches_per_epoch(self) -> int:
        return self._order.batches

    @property
    def saveable(self) -> bool:
        """Whether `save` would hold everything: no gradients wait for more of them."""
        return self._last_step == self._iteration - 1 or self.step == 0

    def start_from(self, state: Mapping[str, Tensor], class_rows: Mapping[int, int] | None = None) -> None:
        """Takes over what fits of an inference network, see `load_fitting`.

        Raises:
            WeightsError: If nothing fits.
        """
        for network in (self.model, self.average.model):
            load_fitting(_without_auxiliary(network), state, class_rows or {})

    def train_one_epoch(self) -> EpochLosses:
        """One pass over the data set, or what is left of it; afterwards `epoch` counts one more."""
        start, recipe = time.perf_counter() - self._seconds, self.recipe
        self.model.train()
        for module in self._frozen:
            module.eval()
        self.dataset.set_epoch(self.epoch)
        if self.epoch >= recipe.epochs - recipe.close_mosaic_epochs:
            self.dataset.close_mosaic()
        self.optimizer.zero_grad()
        for images, targets in self._batches():
            loss = self._train_on(images, targets)
            self._iteration += 1
            self.step += 1
            self._sums += self.processes.sum(torch.stack((loss.box, loss.cls, loss.dfl)).detach())
            self._seconds = time.perf_counter() - start
            self._on_step(self.step, self.batches_per_epoch, self._sums / self.step)
        box, cls, dfl = (self._sums / self.batches_per_epoch).tolist()
        seconds = self._seconds
        self.epoch, self.step, self._seconds = self.epoch + 1, 0, 0.0
        self._sums.zero_()
        return EpochLosses(box, cls, dfl, self.optimizer.param_groups[1]["lr"], seconds)

    def _train_on(self, images: Tensor, targets: Tensor) -> Loss:
        """One iteration: forward, loss, backward, and with enough pictures a step of the optimizer."""
        now = pace(self.recipe, self._iteration, self.batches_per_epoch)
        apply_pace(self.optimizer, now)
        due = self._iteration - self._last_step >= now.accumulate
        shared = self._network if isinstance(self._network, DistributedDataParallel) else None
        with nullcontext() if due or shared is None else shared.no_sync():
            loss = self._loss(images, targets)
            # Gradients of the processes are averaged, and each sees its share of the batch alone.
            self._scaler.scale(loss.total * self.processes.count**2).backward()
        if due:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
            self._scaler.step(self.optimizer)
            self._scaler.update()
            self.optimizer.zero_grad()
            self.average.update(self.model)
            self._last_step = self._iteration
        return loss

    def _loss(self, images: Tensor, targets: Tensor) -> Loss:
        mixed = self.precision != "fp32"
        with torch.autocast(self.device.type, _DTYPES[self.precision] if mixed else None, enabled=mixed):
            maps = self._network(images)
        heads = maps if isinstance(maps, tuple) else (maps,)
        exact = [[level.float() for level in head] for head in heads]
        return detection_loss(exact, targets, (1.0, self.recipe.auxiliary_weight), self.processes.sum)

    def save(self, path: Path) -> None:
        """Writes everything that `resume` needs, as tensors and numbers only; see `saveable`.

        Raises:
            OSError: If it cannot be written; the last checkpoint is still there then.
        """
        state = {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "iteration": self._iteration,
            "last_step": self._last_step,
            "sums": self._sums,
            "seconds": self._seconds,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getbuffer())

    def resume(self, path: Path) -> None:
        """Goes on exactly where `save` stood: everything random follows from the seed, the epoch and the iteration."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.epoch, self.step = state["epoch"], state["step"]
        self._iteration, self._last_step = state["iteration"], state["last_step"]
        self._sums, self._seconds = state["sums"], state["seconds"]

    def _shared(self, model: nn.Module) -> nn.Module:
        """The model to call: itself, or joined with those of the other processes."""
        if self.processes.count == 1:
            return model
        model = share_batch_norms(model, self.device.type)
        ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)

    def _batch_loader(self) -> torch.utils.data.DataLoader[tuple[Tensor, Tensor]]:
        """Worker processes stay from one epoch to the next, and prepare batches while the network computes."""
        return torch.utils.data.DataLoader(
            self.dataset,
            batch_sampler=self._order,
            num_workers=self.recipe.workers,
            persistent_workers=self.recipe.workers > 0,
            prefetch_factor=4 if self.recipe.workers else None,
            collate_fn=collate,
            pin_memory=self.device.type == "cuda",
        )

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of this epoch: images (B, 3, H, W) float 0..1 and targets (K, 6), on the device."""
        self._order.start(self.epoch, self.step)
        for images, targets in self._loader:
            images = images.to(self.device, non_blocking=True, memory_format=torch.channels_last)
            images = self._rescaled(images.float() / 255)
            yield images, targets.to(self.device, non_blocking=True)

    def _rescaled(self, images: Tensor) -> Tensor:
        """The batch at a size of its own, if the recipe wants several; targets are fractions and stay as they are."""
        if not self.recipe.multi_scale:
            return images
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self._iteration)
        share = 1 + self.recipe.multi_scale * (2 * torch.rand((), generator=generator).item() - 1)
        height, width = (max(32, round(side * share / 32) * 32) for side in images.shape[2:])
        return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)


def class_width_of(checkpoint: Path) -> int | None:
    """Hidden channels of the class branches of a saved trainer; None if the file is damaged, which `resume` tells."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return next(
            len(value) for name, value in state["model"].items() if name.endswith("head.scores.0.0.conv.weight")
        )
    except (RuntimeError, KeyError, ValueError, StopIteration, UnpicklingError):
        return None


def _without_auxiliary(network: nn.Module) -> Gelan:
    network = network.main if isinstance(network, PgiNetwork) else network
    assert isinstance(network, Gelan)
    return network


def _precision(wanted: str, device: torch.device) -> str:
    """The recipe's precision; auto is mixed on GPUs and full on CPUs."""
    if wanted != "auto":
        return wanted
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
