"""On paper: how well a batch would use many workers, from what its pieces were measured to cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAMERAS, HOURS, FPS = 40, 168.0, 25
RECORDING_SECONDS, PART_SECONDS, GB_PER_HOUR = 3600.0, 300.0, 2.0
SURVEYORS = 2
"""Threads of the first process that hash and index recordings before their parts can start."""


def paper(measured: Mapping[str, float]) -> dict[str, Any]:
    """A week of 40 cameras with 1, 10, 100 and 1000 workers: how long each limit takes, and the efficiency.

    Detecting is shared by all workers. Beside it, the first process reads every recording once (hash) and once more
    (index); it cannot be faster than that. A camera is counted by one worker when all of it is detected, and the
    last one is waited for. Efficiency is the work of one worker over that of all, waiting included.

    Args:
        measured: Seconds of `overheads`.
    """
    recordings = CAMERAS * HOURS * 3600 / RECORDING_SECONDS
    pictures = CAMERAS * HOURS * 3600 * FPS
    parts = recordings * RECORDING_SECONDS / PART_SECONDS
    detecting = pictures * measured["detect, s per picture"] + parts * measured["a part more, s"]
    reading = (
        recordings * measured["probe, s per recording"] / 8
        + (
            recordings * RECORDING_SECONDS / 3600 * GB_PER_HOUR * measured["hash, s per GB"]
            + pictures / 1000 * measured["index, s per 1000 pictures"]
        )
        / SURVEYORS
    )
    sealing = pictures / 1000 * measured["seal, s per 1000 pictures"]
    counting_one = HOURS * 3600 * FPS * measured["count, s per picture"]
    work = detecting + CAMERAS * counting_one
    table: dict[str, Any] = {}
    for workers in (1, 10, 100, 1000):
        shared = detecting / workers + measured["start of a process with its network, s"]
        tail = counting_one * max(1.0, CAMERAS / workers)
        serial = reading + sealing
        seconds = max(shared, serial) + tail
        table[f"{workers} workers"] = {
            "hours": round(seconds / 3600, 2),
            "detecting": round(shared / 3600, 2),
            "first process": round(serial / 3600, 2),
            "last camera counted": round(tail / 3600, 2),
            "efficiency": f"{work / (workers * seconds):.0%}",
        }
    return {"footage": f"{CAMERAS} cameras, {HOURS:.0f} h each, {FPS} fps, {GB_PER_HOUR} GB/h", **table}
