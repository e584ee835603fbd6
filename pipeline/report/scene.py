"""A stream's scene with what happened in it: the ways of the tracks, the time spent per place, lines and zones."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from vidan.pipeline.config.shapes import in_fractions, to_pixels
from vidan.pipeline.errors import SourceError
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.heatmap import read_heatmap

MOST_WAYS = 400  # of a stream in one picture: more cannot be told apart
_PARTITIONS = ds.partitioning(pa.schema([("source", pa.string()), ("day", pa.string())]), flavor="hive")
# One row group at a time: reading ahead keeps 2 million rows in memory.
_SCAN: dict[str, Any] = {
    "batch_readahead": 0,
    "fragment_readahead": 0,
    "fragment_scan_options": ds.ParquetFragmentScanOptions(pre_buffer=False),
}


@dataclass(frozen=True, slots=True)
class Outline:
    """A line or the ring of a zone, in pixels.

    Attributes:
        rule: Name of the rule.
        points: As the attribute `points` of SVG wants them.
        closed: Whether it is a ring.
        label_at: Where its name is written.
    """

    rule: str
    points: str
    closed: bool
    label_at: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Heat:
    """Seconds per place.

    Attributes:
        stream: Name of the stream.
        rule: Name of the rule.
        picture: One pixel per cell, as a data URI.
        width: Of what the cells cover, in pixels of the scene; the last column may reach out of it.
        height: Of what the cells cover, in pixels of the scene.
        most_seconds: In one cell.
    """

    stream: str
    rule: str
    picture: str
    width: float
    height: float
    most_seconds: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What is drawn of one stream, in pixels of its pictures.

    Attributes:
        stream: Its name.
        width: Of the pictures.
        height: Of the pictures.
        picture: The scene as a data URI, or None where no picture was kept.
        outlines: Of its rules.
        ways: (d attribute of a path, hue in degrees) per track.
        tracks: How many tracks there were, shown or not.
        heatmaps: Where time was spent, one per heatmap of the stream.
    """

    stream: str
    width: int
    height: int
    picture: str | None
    outlines: tuple[Outline, ...]
    ways: tuple[tuple[str, int], ...]
    tracks: int
    heatmaps: tuple[Heat, ...] = ()


def scenes_of(folder: RunFolder, origin: RunFolder, manifest: Mapping[str, Any]) -> list[Scene]:
    """The scenes of all streams that had a picture; tracks and pictures of a replay are in the folder of its run."""
    sizes = {stream["name"]: (stream["width"], stream["height"]) for stream in manifest["streams"] if stream["width"]}
    ways = _ways(origin.tracks, sizes)
    heats = [_heat(path) for path in sorted(folder.path.glob("heatmap-*.npz"))]
    scenes = []
    for stream, (width, height) in sizes.items():
        picture = origin.scene(stream)
        own_ways, tracks = ways.get(stream, ((), 0))
        scenes.append(
            Scene(
                stream,
                width,
                height,
                _data_uri("jpeg", picture.read_bytes()) if picture.is_file() else None,
                tuple(_outlines(manifest["config"], stream, width, height)),
                own_ways,
                tracks,
                tuple(heat for heat in heats if heat.stream == stream),
            )
        )
    return scenes


def _heat(path: Path) -> Heat:
    """A heatmap of the run, translucent: clear where nobody was.

    The colours grow with the square root: a doorway where people wait should not hide the ways to it.

    Raises:
        SourceError: If the file cannot be read.
    """
    heatmap = read_heatmap(path)
    seconds = heatmap.seconds
    most = float(seconds.max())
    share = np.sqrt(seconds / (most or 1.0))
    colours = cv2.applyColorMap(np.round(64 + share * 191).astype(np.uint8), cv2.COLORMAP_INFERNO)  # no black
    alpha = np.round(np.where(seconds > 0, 90 + 150 * share, 0)).astype(np.uint8)
    _, png = cv2.imencode(".png", np.dstack([colours, alpha]))
    rows, columns = seconds.shape
    return Heat(
        heatmap.stream,
        heatmap.rule,
        _data_uri("png", png.tobytes()),
        width=columns * heatmap.cell,
        height=rows * heatmap.cell,
        most_seconds=most,
    )


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _outlines(config: Mapping[str, Any], stream: str, width: int, height: int) -> Iterator[Outline]:
    wanted = next((entry.get("rules") for entry in config["streams"] if entry["name"] == stream), None)
    for name, rule in config["rules"].items():
        if wanted is not None and name not in wanted:
            continue
        rings = [rule.get("polygon"), *(rule.get("polygons") or ()), *(rule.get("holes") or ())]
        for points, closed in ((rule.get("points"), False), *((ring, True) for ring in rings)):
            if points:
                shape = [(float(x), float(y)) for x, y in points]
                shape = to_pixels(shape, width, height) if in_fractions(shape) else shape
                text = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape)
                yield Outline(name, text, closed, min(shape, key=lambda point: (point[1], point[0])))


def _ways(path: Path, sizes: Mapping[str, tuple[int, int]]) -> dict[str, tuple[tuple[tuple[str, int], ...], int]]:
    """Per stream the simplified ways of at most `MOST_WAYS` of its tracks, and how many tracks there are.

    Tracks are spread evenly over the run. The rows are read twice, some columns of some row groups at a time, so that a
    day of tracks needs no more memory than a minute.
    """
    if not path.exists():
        return {}
    try:
        tracks = ds.dataset(path, format="parquet", partitioning=_PARTITIONS)
        ids = {stream: own for stream, own in _track_ids(tracks).items() if stream in sizes}
        chosen = {
            stream: set(np.sort(own)[np.unique(np.linspace(0, len(own) - 1, MOST_WAYS).astype(int))].tolist())
            for stream, own in ids.items()
        }
        feet = _feet(tracks, chosen)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"cannot read the track file {path}: {error}") from error
    found = {}
    for stream, own in ids.items():
        paths = [
            (_simplified(feet[stream, track], sizes[stream][0]), track * 157 % 360) for track in sorted(chosen[stream])
        ]
        found[stream] = tuple(way for way in paths if way[0]), len(own)
    return found


def _track_ids(tracks: ds.Dataset) -> dict[str, NDArray[np.int64]]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for batch in tracks.to_batches(columns=["source", "track"], filter=ds.field("confirmed"), **_SCAN):
        for stream in batch["source"].unique().to_pylist():
            own = batch.filter(pc.call_function("equal", [batch["source"], stream]))["track"]
            found[stream].update(own.unique().to_pylist())
    return {stream: np.array(sorted(ids), np.int64) for stream, ids in found.items()}


def _feet(
    tracks: ds.Dataset, chosen: Mapping[str, set[int]]
) -> defaultdict[tuple[str, int], list[NDArray[np.float32]]]:
    """Pieces of (N, 2) foot points per stream and track, in order."""
    columns = ["source", "track", "sx1", "sx2", "sy2"]
    found: defaultdict[tuple[str, int], list[NDArray[np.float32]]] = defaultdict(list)
    for stream, ids in chosen.items():
        wanted = (ds.field("source") == stream) & ds.field("track").isin(pa.array(sorted(ids), pa.int64()))
        for batch in tracks.to_batches(columns=columns, filter=wanted, **_SCAN):
            left, right, bottom = (batch[name].to_numpy(zero_copy_only=False) for name in columns[2:])
            feet = np.stack([(left + right) / 2, bottom], axis=1).astype(np.float32)
            track = batch["track"].to_numpy(zero_copy_only=False)
            order = np.argsort(track, kind="stable")
            bounds = np.flatnonzero(np.diff(track[order])) + 1
            for rows in np.split(order, bounds):
                if len(rows):
                    found[stream, int(track[rows[0]])].append(feet[rows])
    return found


def _simplified(pieces: Sequence[NDArray[np.float32]], width: int) -> str:
    """The way as an SVG path with no point that it can do without; empty for one that leads nowhere."""
    if not pieces:
        return ""
    points = cv2.approxPolyDP(np.concatenate(pieces).reshape(-1, 1, 2), width / 500, closed=False).reshape(-1, 2)
    if len(points) < 2:
        return ""
    return "M" + " ".join(f"{x:.0f},{y:.0f}" for x, y in points.tolist())
