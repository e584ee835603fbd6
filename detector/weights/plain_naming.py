"""State names of the MIT-licensed YOLO repository, which stores plain state dicts of the training graph.

There the main branch comes first and its head is layer 22, so the auxiliary branch is whatever follows; layers have the
numbers of our canonical single-head graph (for sizes t, s, m and c; the layout of e has not been seen).

    4.conv2.0.bottleneck.0.conv1.conv2.bn.bias   model.4.cv2.0.m.0.cv1.conv2.bn.bias
    3.conv.conv.weight                           model.3.cv1.conv.weight
    22.heads.1.anchor_conv.0.bn.bias             model.22.cv2.1.0.bn.bias
    22.heads.0.anc2vec.anc2vec.weight            model.22.dfl.conv.weight
    30.heads.0.class_conv.2.weight               (auxiliary)
"""

from __future__ import annotations

import re

HEAD = 22
LIGHTNING_PREFIXES = ("ema.model.", "model.model.")  # the averaged weights are the better ones

_HEAD_BRANCHES = {"anchor_conv": "cv2", "class_conv": "cv3"}


def canonical_name(name: str) -> str | None:
    """The canonical single-head name of an entry, None for one that inference does without.

    The three levels have one integral kernel each, all equal; the first stands for them.
    """
    layer, _, path = name.partition(".")
    if int(layer) > HEAD:
        return None
    if int(layer) < HEAD:
        return f"model.{layer}.{_block_path(path)}"
    _, level, branch, rest = path.split(".", 3)
    if branch in _HEAD_BRANCHES:
        return f"model.{HEAD}.{_HEAD_BRANCHES[branch]}.{level}.{rest}"
    return f"model.{HEAD}.dfl.conv.weight" if level == "0" else None


def is_plain(name: str) -> bool:
    """Whether a name belongs to this layout (prefixes removed), where layer 22 is a head and nothing else."""
    pattern = rf"(?!{HEAD}\.)\d{{1,3}}\.(conv|bn\.|bottleneck\.)|\d{{1,3}}\.heads\.\d\.\w+\."
    return re.match(pattern, name) is not None


def _block_path(path: str) -> str:
    if path.startswith(("conv.conv.", "conv.bn.")):  # AConv
        return f"cv1.{path.removeprefix('conv.')}"
    path = path.replace("bottleneck.", "m.")
    # a numbered convolution right below another is a branch of a RepConv, which keeps its name
    return re.sub(r"(?<!conv\d\.)\bconv(\d)", r"cv\1", path)
