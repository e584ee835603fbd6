"""Memory of counting over a long timeline: recordings of an hour, in which lots were drawn instead of detecting."""

from __future__ import annotations

import argparse
import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.stream import VideoStream
from batch_footage import CONFIG

from vidan.detector import Detections
from vidan.pipeline.batch.counting import Counting, Footage, count_camera
from vidan.pipeline.batch.files import FileFacts, write_facts
from vidan.pipeline.batch.footage import Clip
from vidan.pipeline.batch.parts import PartFacts, Row, part_path, write_part
from vidan.pipeline.job import read_config
from vidan.pipeline.sources.recording import Recording

FPS = 5
HEIGHT, WIDTH = 288, 384
PART_SECONDS = 300
ASKED_BEHIND = 8
"""So often, at most, it is asked whether to stop when all pictures are done."""
WALK_SECONDS, EVERY_SECONDS = 25.0, 8.0
DETECTOR = {"model": "lots", "classes": ["person"], "kept_classes": None}


def memory(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Counts so many hours, and notes the resident memory at every tenth of them."""
    hours = max(1, round(options.hours))
    video = options.output / "hour.mp4"
    _draw_hour(video)
    parts = [_detect_hour(video, options.output / f"parts-{hour}", hour) for hour in range(hours)]
    pictures = hours * 3600 * FPS
    loaded = read_config(CONFIG)
    stream = loaded.config.streams[0]
    kept = {"evidence": None, "video": None, "database": None}
    output = loaded.config.output.model_copy(  # counts of every interval are kept: ten seconds are for a short film
        update={"folder": str(options.output / "campus"), "interval_seconds": 900.0, **kept}
    )
    job = Counting(
        replace(loaded, config=loaded.config.model_copy(update={"streams": (stream,), "output": output})),
        [Footage(Clip(video), f"{hour:064x}", folder) for hour, folder in enumerate(parts)],
        ("person",),
        "memory",
        2.0,
    )
    began, cpu = time.monotonic(), time.process_time()
    watch = _Watch()
    count_camera(job, watch.look)
    seconds = time.process_time() - cpu
    marks = watch.at_shares(10)
    log = (options.output / "campus" / "events.jsonl").read_bytes()
    found = {
        "hours": hours,
        "pictures": pictures,
        "events": log.count(b"\n"),
        "seconds": round(time.monotonic() - began, 1),
        "CPU ms per picture": round(1000 * seconds / pictures, 3),
        "RSS in MB at each tenth": marks,
        "most at any time, report included, in MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    return marks[-1] <= 1.05 * marks[0], found


class _Watch:
    """Is asked before every few pictures whether to stop, and looks at the memory meanwhile."""

    def __init__(self) -> None:
        self._seen: list[float] = []

    def look(self) -> bool:
        self._seen.append(_resident())
        return False

    def at_shares(self, count: int) -> list[float]:
        """MB when each of so many equal shares of the timeline was done; the report is written behind the last."""
        seen = self._seen[:-ASKED_BEHIND]
        return [round(seen[len(seen) * (i + 1) // count - 1], 1) for i in range(count)]


def _resident() -> float:
    """Megabytes of this process that are in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _draw_hour(path: Path) -> None:
    """An hour of an empty place, for whoever wants to see a picture of it."""
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"}))
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 120, np.uint8), format="rgb24")
        picture = picture.reformat(format="yuv420p")
        for number in range(3600 * FPS):
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _detect_hour(video: Path, folder: Path, hour: int) -> Path:
    """People who walk from one side to the other, a new one every few seconds; what a detector would leave behind."""
    folder.mkdir()
    recording = Recording(video)
    ticks = round(1 / (FPS * recording.time_base))
    per_part = PART_SECONDS * FPS
    lots = np.random.default_rng(hour)
    starts = np.arange(-WALK_SECONDS, 3600.0, EVERY_SECONDS)
    starts += lots.uniform(-2, 2, len(starts))
    ways = lots.choice([-1.0, 1.0], len(starts))
    heights = lots.uniform(0.40, 0.60, len(starts)) * HEIGHT
    parts = 3600 * FPS // per_part
    for number in range(parts):
        rows: list[Row] = []
        for picture in range(number * per_part, (number + 1) * per_part):
            share = (picture / FPS - starts) / WALK_SECONDS
            here = (share >= 0) & (share < 1)
            x = np.where(ways > 0, share, 1 - share)[here] * WIDTH + lots.normal(0, 0.7, here.sum())
            y = heights[here]
            boxes = np.stack([x - 8, y - 20, x + 8, y + 20], axis=1).astype(np.float32)
            scores = lots.uniform(0.6, 0.9, len(boxes)).astype(np.float32)
            found = Detections(boxes, scores, np.zeros(len(boxes), np.int64))
            rows.append(Row(picture * ticks, ticks, False, (HEIGHT, WIDTH), found=found))
        write_part(part_path(folder, number), rows, PartFacts(DETECTOR, 0.0))
    for _ in recording.packets():
        pass
    write_facts(
        folder, replace(FileFacts.of(recording, parts=parts, detector=DETECTOR), missing_seconds=0.0, missing_frames=0)
    )
    recording.close()
    return folder
