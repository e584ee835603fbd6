"""GPU memory of this process, as torch knows it; a process that uses none need not load torch to say so."""

from __future__ import annotations

import sys


def gpu_memory() -> dict[str, int]:
    """Bytes that torch holds on each GPU, by device (``cuda:0``); empty while this process uses no GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {f"cuda:{index}": torch.cuda.memory_reserved(index) for index in range(torch.cuda.device_count())}
