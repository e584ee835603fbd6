"""Which pictures make up each batch of an epoch: a function of the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from vidan.detector.train.recipe import RecipeError


class EpochOrder(torch.utils.data.Sampler[list[int]]):
    """Batches of picture numbers, shuffled anew for every epoch, from any batch on.

    Several processes share each batch. Where the last one of an epoch does not divide evenly among them, pictures from
    the start of the epoch fill it up.

    Args:
        length: Number of pictures.
        batch: Pictures of one batch, over all processes.
        seed: With the epoch it decides the order.
        rank: Number of this process.
        processes: How many share a batch.

    Raises:
        RecipeError: If `batch` does not divide evenly among the processes.
    """

    def __init__(self, length: int, batch: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        if batch % processes:
            raise RecipeError(f"batch ({batch}) must be a multiple of the number of processes ({processes})")
        self.batches = -(-length // batch)
        self._length, self._batch, self._seed = length, batch, seed
        self._rank, self._processes = rank, processes
        self._epoch, self._first_batch = 0, 0

    def start(self, epoch: int, first_batch: int = 0) -> None:
        """What the next iteration gives: the batches of this epoch, without the first ones."""
        self._epoch, self._first_batch = epoch, first_batch

    def __len__(self) -> int:
        return self.batches - self._first_batch

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order = torch.randperm(self._length, generator=generator).tolist()
        for first in range(self._first_batch * self._batch, self._length, self._batch):
            batch = order[first : first + self._batch]
            batch += order[: -len(batch) % self._processes]
            yield batch[self._rank :: self._processes]
