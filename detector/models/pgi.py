"""Programmable gradient information: the auxiliary branch of training (YOLOv9, arXiv 2402.13616, sec. 4.1).

The branch has its own head and loss; its gradients reach the main branch through the shared column. It is not part of
the inference network: `PgiNetwork.main` is exactly that.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vidan.detector.models.gelan import Column, ColumnLinks, Gelan, Size, TopDown
from vidan.detector.models.heads import DetectHead


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
    """

    def __init__(self, size: Size, classes: int, class_width: int | None = None) -> None:
        super().__init__()
        self.main = Gelan(size, classes, class_width)
        reversible = size.columns == 1 and not size.plain_stage2
        self.auxiliary = ReversibleColumn(size) if reversible else SecondNeck(size)
        self.auxiliary_head = DetectHead(self.auxiliary.channels, classes, class_width)

    def forward(self, images: Tensor) -> Tensor | tuple[list[Tensor], list[Tensor]]:
        """See the class; `images` as for `Gelan`."""
        if not self.training:
            return self.main(images)
        column = self.main.column(images)
        return self.main.maps(column, images), self.auxiliary_head(self.auxiliary(images, column))
