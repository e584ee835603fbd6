"""GELAN: backbone columns, path-aggregation neck and head as named stages (YOLOv9, arXiv 2402.13616, sec. 4.2).

images ─ column ─ c3, c4, c5 ─ neck ─ p3, p4, p5 ─ head ─ raw maps
         (size e has a second column, fed by links from the first)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidan.detector.models.blocks import ELAN1, SPPELAN, AConv, ADown, CBLinear, Conv, GelanStage, cb_fuse
from vidan.detector.models.heads import DetectHead
from vidan.detector.models.variant import Block


@dataclass(frozen=True, slots=True)
class Stage:
    """Channels of one GELAN stage."""

    out: int
    split: int
    inner: int


@dataclass(frozen=True, slots=True)
class Size:
    """One row of the size table: channels of every stage, from the image to P5.

    Attributes:
        stem: Output channels of the two stride-2 convolutions.
        stage2: First stage, at stride 4.
        plain_stage2: Whether it is an ELAN1, whatever the block of the others.
        downs: Output channels of the three downsamplings of a column.
        stages: Stages 3, 4, 5 (strides 8, 16, 32).
        pooled: Output and hidden channels of the SPPELAN.
        neck: Stages of the neck: top-down 4 and 3, bottom-up 4 and 5.
        neck_downs: Output channels of the neck's two downsamplings.
        depth: Bottlenecks (or convolutions) in each block.
        split_down: Whether downsampling is an ADown instead of an AConv.
        columns: Backbone columns, 1 or 2.
        block: Computational block of the stages.
        elan_depth: Blocks in each stage.
    """

    stem: tuple[int, int]
    stage2: Stage
    plain_stage2: bool
    downs: tuple[int, int, int]
    stages: tuple[Stage, Stage, Stage]
    pooled: tuple[int, int]
    neck: tuple[Stage, Stage, Stage, Stage]
    neck_downs: tuple[int, int]
    depth: int
    split_down: bool
    columns: int = 1
    block: Block = "csp"
    elan_depth: int = 2

    def down(self, c_in: int, c_out: int) -> nn.Module:
        return ADown(c_in, c_out) if self.split_down else AConv(c_in, c_out)

    def elan(self, c_in: int, stage: Stage) -> GelanStage:
        return GelanStage(c_in, stage.out, stage.split, stage.inner, self.block, self.depth, self.elan_depth)

    @property
    def level_channels(self) -> tuple[int, int, int, int, int]:
        """Channels of a column's five outputs, strides 2 to 32."""
        stage3, stage4, stage5 = self.stages
        return self.stem[0], self.stage2.out, stage3.out, stage4.out, stage5.out

    @property
    def fusion_channels(self) -> tuple[int, int, int, int, int]:
        """Channels of a column where links from another column come in: after each halving of the picture."""
        return (*self.stem, *self.downs)


class Column(nn.Module):
    """A backbone column: image to five maps at strides 2, 4, 8, 16, 32.

    Links, where given, are summed in right after each halving of the picture.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        stage2 = size.stage2
        self.stem1 = Conv(3, size.stem[0], 3, 2)
        self.stem2 = Conv(size.stem[0], size.stem[1], 3, 2)
        self.stage2 = (
            ELAN1(size.stem[1], stage2.out, stage2.split, stage2.inner)
            if size.plain_stage2
            else size.elan(size.stem[1], stage2)
        )
        self.down3 = size.down(stage2.out, size.downs[0])
        self.stage3 = size.elan(size.downs[0], size.stages[0])
        self.down4 = size.down(size.stages[0].out, size.downs[1])
        self.stage4 = size.elan(size.downs[1], size.stages[1])
        self.down5 = size.down(size.stages[1].out, size.downs[2])
        self.stage5 = size.elan(size.downs[2], size.stages[2])

    def forward(self, images: Tensor, links: Sequence[Sequence[Tensor]] = ((), (), (), (), ())) -> list[Tensor]:
        c1 = cb_fuse(self.stem1(images), links[0])
        c2 = self.stage2(cb_fuse(self.stem2(c1), links[1]))
        c3 = self.stage3(cb_fuse(self.down3(c2), links[2]))
        c4 = self.stage4(cb_fuse(self.down4(c3), links[3]))
        c5 = self.stage5(cb_fuse(self.down5(c4), links[4]))
        return [c1, c2, c3, c4, c5]


class ColumnLinks(nn.Module):
    """What one column tells the next: every map gives one link to its own level and to each finer one.

    Args:
        channels: Of the giving column's maps, finest first.
        widths: Channels expected at the receiving levels, finest first, as many as `channels`.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.linears = nn.ModuleList(CBLinear(c, widths[: i + 1]) for i, c in enumerate(channels))

    def forward(self, maps: Sequence[Tensor]) -> list[list[Tensor]]:
        """Per receiving level, the links it gets."""
        lists = [linear(x) for linear, x in zip(self.linears, maps, strict=True)]
        return [[given[level] for given in lists[level:]] for level in range(len(lists))]


class TopDown(nn.Module):
    """Pools the coarsest map and carries its meaning down: c3, c4, c5 to three maps of the same sizes."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        c3, c4, c5 = size.level_channels[2:]
        fuse4, fuse3 = size.neck[:2]
        self.spp = SPPELAN(c5, *size.pooled)
        self.fuse4 = size.elan(size.pooled[0] + c4, fuse4)
        self.fuse3 = size.elan(fuse4.out + c3, fuse3)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n5 = self.spp(c5)
        n4 = self.fuse4(torch.cat((_twice(n5), c4), 1))
        n3 = self.fuse3(torch.cat((_twice(n4), c3), 1))
        return n3, n4, n5


class Neck(nn.Module):
    """Path aggregation: top-down, then bottom-up, to P3, P4, P5."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        fuse4, fuse3, out4, out5 = size.neck
        self.top_down = TopDown(size)
        self.down4 = size.down(fuse3.out, size.neck_downs[0])
        self.out4 = size.elan(size.neck_downs[0] + fuse4.out, out4)
        self.down5 = size.down(out4.out, size.neck_downs[1])
        self.out5 = size.elan(size.neck_downs[1] + size.pooled[0], out5)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> list[Tensor]:
        p3, n4, n5 = self.top_down(c3, c4, c5)
        p4 = self.out4(torch.cat((self.down4(p3), n4), 1))
        p5 = self.out5(torch.cat((self.down5(p4), n5), 1))
        return [p3, p4, p5]


class Gelan(nn.Module):
    """The inference network of every size.

    In training mode the answer is the head's raw maps, in evaluation mode the decoded predictions
    (B, 4 + classes, N): cx, cy, w, h in input pixels, then scores.

    Args:
        size: Row of the size table.
        classes: Number of classes.
        class_width: See `DetectHead`.
    """

    def __init__(self, size: Size, classes: int, class_width: int | None = None) -> None:
        super().__init__()
        self.column = Column(size)
        if size.columns == 2:
            self.links = ColumnLinks(size.level_channels, size.fusion_channels)
            self.second_column = Column(size)
        self.neck = Neck(size)
        self.head = DetectHead([size.neck[i].out for i in (1, 2, 3)], classes, class_width)
        self.columns = size.columns

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """See the class; `images` is (B, 3, H, W) RGB in 0..1, H and W multiples of 32."""
        maps = self.maps(self.column(images), images)
        return maps if self.training else self.head.decode(maps)

    def maps(self, column: Sequence[Tensor], images: Tensor) -> list[Tensor]:
        """The head's raw maps from the (first) column's outputs."""
        if self.columns == 2:
            column = self.second_column(images, self.links(column))
        return self.head(self.neck(*column[2:]))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
