"""Several processes that train one network together, started by `torchrun`: one GPU or a share of the CPU each.

What they compute is what one process would compute on the whole batch: batch norms see all pictures, the loss is
divided by the objects of all, gradients are summed up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: the first evaluates while they wait."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together; alone by default."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the one that evaluates, writes files and talks."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes; carries no gradient."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    def agree(self, decision: bool) -> bool:
        """The decision of the leading process."""
        if self.count == 1:
            return decision
        answer = [decision]
        dist.broadcast_object_list(answer, src=0)
        return answer[0]


@contextmanager
def joined(device_type: str) -> Iterator[Processes]:
    """The processes that `torchrun` has started, as long as the context is open; none but this one without it.

    Args:
        device_type: ``cuda`` lets GPUs talk to each other directly (NCCL), ``cpu`` takes Gloo.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()


def share_batch_norms(model: nn.Module, device_type: str) -> nn.Module:
    """The model with batch norms that see the pictures of all processes; parameters stay the same objects."""
    if device_type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return model


class SharedBatchNorm(nn.BatchNorm2d):
    """What `torch.nn.SyncBatchNorm` is on GPUs, for CPUs."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        count = differentiable.all_reduce(input.new_tensor(float(input.numel() // input.shape[1])))
        mean = differentiable.all_reduce(input.sum((0, 2, 3))) / count
        centred = input - mean[:, None, None]
        variance = differentiable.all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight / torch.sqrt(variance + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]
