"""What of a GELAN may be exchanged: the block inside its stages and how deep they are (arXiv 2402.13616, sec. 5.4).

Loads no torch, for cards of weights and recipes speak of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field

Block: TypeAlias = Literal["csp", "res", "dark", "conv"]
Pgi: TypeAlias = Literal["none", "deep", "full"]
Depth: TypeAlias = Annotated[int, Field(ge=1, le=16)]  # a bound, for a damaged file could ask for any amount of memory


@dataclass(frozen=True, slots=True)
class Variant:
    """How a network differs from the published one of its size; the defaults do not.

    Attributes:
        block: Computational block of the stages: `csp` (RepNCSP), `res` (ResNet bottlenecks), `dark` (Darknet
            bottlenecks) or `conv` (3x3 convolutions).
        block_depth: Bottlenecks or convolutions in each block; None takes the number of the size table.
        elan_depth: Blocks in each stage, one after the other.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    block: Block = "csp"
    block_depth: Depth | None = None
    elan_depth: Depth = 2


PUBLISHED = Variant()
