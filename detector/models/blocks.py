"""Building blocks of GELAN (YOLOv9, arXiv 2402.13616, sec. 4): convolutions, ELAN stages, pooling, column links.

State names inside a block (``cv1``, ``conv``, ``bn``, ``m``) are those of the published checkpoints, so that a key map
only has to translate the names of the stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidan.detector.models.variant import Block

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.03


class Conv(nn.Module):
    """Convolution without bias, batch norm, SiLU. Padding keeps the size at stride 1."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(c_out, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)
        self.act = nn.SiLU(inplace=True) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))

    def fold_batch_norm(self) -> None:
        """Moves the batch norm into the convolution; for inference only."""
        if isinstance(self.bn, nn.BatchNorm2d):
            kernel, bias = folded(self)
            self.conv, self.bn = _conv_with_bias(self.conv, kernel, bias), nn.Identity()


class AConv(nn.Module):
    """Halves the picture: average pool 2x2 (stride 1), then a 3x3 convolution of stride 2."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.cv1 = Conv(c_in, c_out, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv1(F.avg_pool2d(x, 2, 1))


class ADown(nn.Module):
    """Halves the picture: one half of the channels through a 3x3 convolution, the other through max pool and 1x1."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.cv1 = Conv(c_in // 2, c_out // 2, 3, 2)
        self.cv2 = Conv(c_in // 2, c_out // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = F.avg_pool2d(x, 2, 1).chunk(2, 1)
        return torch.cat((self.cv1(first), self.cv2(F.max_pool2d(second, 3, 2, 1))), 1)


class RepConv(nn.Module):
    """A 3x3 and a 1x1 branch, summed, SiLU; both merge into one 3x3 for inference (RepVGG, arXiv 2101.03697)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = Conv(c_in, c_out, 3, activation=False)
        self.conv2 = Conv(c_in, c_out, 1, activation=False)
        self.act = nn.SiLU(inplace=True)
        self.merged = False

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x) if self.merged else self.conv1(x) + self.conv2(x))

    def merge(self) -> None:
        """Turns both branches into one 3x3 convolution with bias; for inference only."""
        if self.merged:
            return
        kernel3, bias3 = folded(self.conv1)
        kernel1, bias1 = folded(self.conv2)
        self.conv = _conv_with_bias(self.conv1.conv, kernel3 + F.pad(kernel1, [1, 1, 1, 1]), bias3 + bias1)
        del self.conv1, self.conv2
        self.merged = True


class RepNBottleneck(nn.Module):
    """RepConv, then a 3x3 convolution, with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cv1 = RepConv(channels, channels)
        self.cv2 = Conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x))


class RepNCSP(nn.Module):
    """Cross-stage partial block: half of the channels through `depth` bottlenecks, half past them."""

    def __init__(self, c_in: int, c_out: int, depth: int) -> None:
        super().__init__()
        hidden = c_out // 2
        self.cv1 = Conv(c_in, hidden)
        self.cv2 = Conv(c_in, hidden)
        self.cv3 = Conv(2 * hidden, c_out)
        self.m = nn.Sequential(*(RepNBottleneck(hidden) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class ResBottleneck(nn.Module):
    """1x1 to half of the channels, 3x3, 1x1 back, with a residual where widths agree (ResNet, arXiv 1512.03385)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.cv1 = Conv(c_in, c_out // 2)
        self.cv2 = Conv(c_out // 2, c_out // 2, 3)
        self.cv3 = Conv(c_out // 2, c_out)
        self.residual = c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv3(self.cv2(self.cv1(x)))
        return x + y if self.residual else y


class DarkBottleneck(nn.Module):
    """1x1 to half of the channels, 3x3 back, with a residual where widths agree (Darknet-53, arXiv 1804.02767)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.cv1 = Conv(c_in, c_out // 2)
        self.cv2 = Conv(c_out // 2, c_out, 3)
        self.residual = c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.residual else y


def _chain(link: Callable[[int, int], nn.Module]) -> Callable[[int, int, int], nn.Module]:
    def build(c_in: int, c_out: int, depth: int) -> nn.Module:
        return nn.Sequential(link(c_in, c_out), *(link(c_out, c_out) for _ in range(depth - 1)))

    return build


BLOCKS: Mapping[Block, Callable[[int, int, int], nn.Module]] = {
    "csp": RepNCSP,
    "res": _chain(ResBottleneck),
    "dark": _chain(DarkBottleneck),
    "conv": _chain(lambda c_in, c_out: Conv(c_in, c_out, 3)),
}
"""Computational blocks of a GELAN stage by name, from input channels, output channels and depth."""


class GelanStage(nn.Module):
    """An ELAN of any computational block; with `csp`, twice, it is the published RepNCSPELAN4.

    Each block is followed by a 3x3 convolution. State names are those of the published stage, where the blocks are
    ``cv2``, ``cv3`` and the last 1x1 is ``cv4``; of other ELAN depths the last has another number.

    Args:
        c_in: Input channels.
        c_out: Output channels.
        split: Channels after the first 1x1, half of which go through the blocks.
        inner: Output channels of each block.
        block: Name in `BLOCKS`.
        block_depth: Of each block.
        elan_depth: Number of blocks.
    """

    def __init__(
        self, c_in: int, c_out: int, split: int, inner: int, block: Block, block_depth: int, elan_depth: int
    ) -> None:
        super().__init__()
        self.cv1 = Conv(c_in, split)
        for i in range(elan_depth):
            first = BLOCKS[block](inner if i else split // 2, inner, block_depth)
            self.add_module(f"cv{i + 2}", nn.Sequential(first, Conv(inner, inner, 3)))
        self.add_module(f"cv{elan_depth + 2}", Conv(split + elan_depth * inner, c_out))

    def forward(self, x: Tensor) -> Tensor:
        split, *blocks, join = self.children()
        return join(_elan(split(x), *blocks))


class ELAN1(nn.Module):
    """The same stage with plain 3x3 convolutions as blocks: the first stage of sizes t and s."""

    def __init__(self, c_in: int, c_out: int, split: int, inner: int) -> None:
        super().__init__()
        self.cv1 = Conv(c_in, split)
        self.cv2 = Conv(split // 2, inner, 3)
        self.cv3 = Conv(inner, inner, 3)
        self.cv4 = Conv(split + 2 * inner, c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv4(_elan(self.cv1(x), self.cv2, self.cv3))


class SPPELAN(nn.Module):
    """Spatial pyramid pooling as an ELAN: three chained 5x5 max pools, all four maps joined."""

    def __init__(self, c_in: int, c_out: int, hidden: int) -> None:
        super().__init__()
        self.cv1 = Conv(c_in, hidden)
        self.cv5 = Conv(4 * hidden, c_out)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.cv1(x)]
        for _ in range(3):
            maps.append(F.max_pool2d(maps[-1], 5, 1, 2))
        return self.cv5(torch.cat(maps, 1))


class CBLinear(nn.Module):
    """A 1x1 convolution whose output is split into one map per width (CBNet, arXiv 2107.00420)."""

    def __init__(self, c_in: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)
        self.conv = nn.Conv2d(c_in, sum(widths), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.conv(x).split(self.widths, 1)


def cb_fuse(x: Tensor, links: Sequence[Tensor]) -> Tensor:
    """`x` plus all `links`, each enlarged to the size of `x` (nearest neighbour); sizes differ by powers of two."""
    for link in links:
        x = x + F.interpolate(link, scale_factor=float(x.shape[2] // link.shape[2]), mode="nearest")
    return x


def merge_rep_convs(model: nn.Module) -> None:
    """Merges every RepConv of `model` in place."""
    for module in list(model.modules()):
        if isinstance(module, RepConv):
            module.merge()


def fuse(model: nn.Module) -> None:
    """Makes the inference graph in place: RepConvs merged, batch norms folded."""
    merge_rep_convs(model)
    for module in list(model.modules()):
        if isinstance(module, Conv):
            module.fold_batch_norm()


def folded(block: Conv) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the convolution that equals `block`'s convolution followed by its batch norm."""
    bn = block.bn
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    return block.conv.weight * scale[:, None, None, None], bn.bias - bn.running_mean * scale


def _elan(x: Tensor, *blocks: nn.Module) -> Tensor:
    maps = list(x.chunk(2, 1))
    for block in blocks:
        maps.append(block(maps[-1]))
    return torch.cat(maps, 1)


def _conv_with_bias(like: nn.Conv2d, kernel: Tensor, bias: Tensor) -> nn.Conv2d:
    size, stride, padding = (
        tuple(v) for v in (like.kernel_size, like.stride, like.padding)
    )  # pairs: torch's types do not say so
    conv = nn.Conv2d(like.in_channels, like.out_channels, size, stride, padding, groups=like.groups)  # pyright: ignore[reportArgumentType]
    conv = conv.to(kernel.device, kernel.dtype)
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(kernel)
        conv.bias.copy_(bias)
    return conv.requires_grad_(False)
