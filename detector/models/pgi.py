"""Programmable gradient information: the auxiliary branch of training (YOLOv9, arXiv 2402.13616, sec. 4.1).

none    the main branch alone: a `Gelan`
deep    plain deep supervision: a second head straight on the backbone's maps
full    PGI as published: a second head on a branch that carries what these maps may have lost, or mixed

The branch has its own head and loss; its gradients reach the main branch through the shared column. It is not part of
the inference network: `PgiNetwork.main` is exactly that.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vidan.detector.models.gelan import Column, ColumnLinks, Gelan, Size, TopDown
from vidan.detector.models.heads import DetectHead


class PlainSupervision(nn.Module):
    """Deep supervision as it was before PGI: the first column's maps themselves, without a branch of their own."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.channels = size.level_channels[2:]

    def forward(self, images: Tensor, column: Sequence[Tensor]) -> Sequence[Tensor]:
        return column[2:]


class SecondNeck(nn.Module):
    """Auxiliary branch of sizes t, s and e: another top-down neck on the first column."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.top_down = TopDown(size)
        self.channels = (size.neck[1].out, size.neck[0].out, size.pooled[0])

    def forward(self, images: Tensor, column: Sequence[Tensor]) -> Sequence[Tensor]:
        return self.top_down(*column[2:])


class ReversibleColumn(nn.Module):
    """Auxiliary branch of sizes m and c: a second column from the image, told by links what the first one knows.

    It sees the image itself, so its gradients rest on complete information, whatever the main branch has lost.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.links = ColumnLinks(size.level_channels[2:], size.fusion_channels[2:])
        self.column = Column(size)
        self.channels = size.level_channels[2:]

    def forward(self, images: Tensor, column: Sequence[Tensor]) -> Sequence[Tensor]:
        return self.column(images, [(), (), *self.links(column[2:])])[2:]


class PgiNetwork(nn.Module):
    """A `Gelan` with its auxiliary branch and a second head.

    In training mode the answer is (main maps, auxiliary maps), in evaluation mode the main branch's predictions.

    Args:
        size: Row of the size table.
        classes: Number of classes.
        class_width: See `DetectHead`.
        plain: Whether the branch is plain deep supervision instead of the published one.
    """

    def __init__(self, size: Size, classes: int, class_width: int | None = None, plain: bool = False) -> None:
        super().__init__()
        self.main = Gelan(size, classes, class_width)
        self.auxiliary = PlainSupervision(size) if plain else _published_branch(size)
        self.auxiliary_head = DetectHead(self.auxiliary.channels, classes, class_width)

    def forward(self, images: Tensor) -> Tensor | tuple[list[Tensor], list[Tensor]]:
        """See the class; `images` as for `Gelan`."""
        if not self.training:
            return self.main(images)
        column = self.main.column(images)
        return self.main.maps(column, images), self.auxiliary_head(self.auxiliary(images, column))


def _published_branch(size: Size) -> SecondNeck | ReversibleColumn:
    return ReversibleColumn(size) if size.columns == 1 and not size.plain_stage2 else SecondNeck(size)
