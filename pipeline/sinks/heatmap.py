"""Where tracks spend their time: HeatmapSink sums it up, `read_heatmap` is its mirror, and a picture shows it."""

from __future__ import annotations

import logging
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.errors import SinkError, SourceError, cannot_write
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult
from vidan.pipeline.geometry import Anchor, anchors_of
from vidan.pipeline.schedule import Schedule

SAVE_SECONDS = 60.0  # between two writes of the numbers while a run goes on

_STRONGEST = 0.75  # opacity of the hottest cell over the picture
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """Seconds that tracks spent in each cell of a grid over the picture.

    Attributes:
        stream: Name of the stream.
        rule: Name of the rule.
        seconds: (rows, columns) float64.
        outside: Seconds with the anchor out of the picture; with those of the cells, they are all track-seconds.
        cell: Side of a cell in pixels; the last row and column may reach out of the picture.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
    """

    stream: str
    rule: str
    seconds: NDArray[np.float64]
    outside: float
    cell: float
    height: int
    width: int


class HeatmapSink:
    """Sums up the time that the tracks of one stream spend in each cell, and writes it when the stream is over.

    From one sighting to the next a track walks straight and evenly, also where it was lost in between, and every cell
    gets the seconds of its piece of the way. So it does not matter how many frames there are: the same walk leaves the
    same seconds at any frame rate. A track's time begins with its first sighting and ends with its last.

    Args:
        path: File to write, ending in .npz; the picture goes beside it, ending in .png.
        stream: Which stream.
        rule: Name of the rule.
        columns: Cells across the width of the picture.
        class_ids: Classes to count, by the vote at the end of each step; None for all.
        anchor: Point of the box at which an object stands.
        schedule: When time counts; None for always. Steps count whose two ends are both within.
        goes_on: Whether what an earlier session has left in the file is added to; of one that was killed it is at most
            `SAVE_SECONDS` short.
    """

    def __init__(
        self,
        path: Path,
        *,
        stream: str,
        rule: str,
        columns: int,
        class_ids: frozenset[int] | None = None,
        anchor: Anchor = "bottom_center",
        schedule: Schedule | None = None,
        goes_on: bool = False,
    ) -> None:
        self.path = path
        self._stream = stream
        self._rule = rule
        self._columns = columns
        self._class_ids = None if class_ids is None else sorted(class_ids)
        self._anchor: Anchor = anchor
        self._schedule = schedule
        self._last: dict[int, tuple[float, float, float]] = {}
        self._heat: _Grid | None = None
        self._scene: Frame | None = None
        self._goes_on = goes_on
        self._save_at = time.monotonic() + SAVE_SECONDS

    def write(self, result: FrameResult) -> None:
        """Adds the time of the frames that the rules have seen."""
        if result.frame.stamp.stream != self._stream:
            return
        if self._heat is None:
            self._heat = _Grid(result.frame.height, result.frame.width, self._columns)
            if self._goes_on:
                self._take_earlier(self._heat)
        self._scene = result.frame
        for counted in result.counted:
            self._add(counted, self._heat)
        if time.monotonic() >= self._save_at:
            self._save_at = time.monotonic() + SAVE_SECONDS
            try:
                self._save(self._heat)
            except SinkError as error:
                _logger.warning("%s; it is tried again", error)

    def close(self) -> None:
        """Writes the file and the picture, if there was a frame.

        Raises:
            SinkError: If they cannot be written.
        """
        if self._heat is None or self._scene is None:
            return
        grid, self._heat = self._heat, None
        heatmap = self._save(grid)
        picture = paint_heatmap(heatmap, self._scene.resized(grid.height, grid.width))
        encoded, png = cv2.imencode(".png", picture[:, :, ::-1])
        assert encoded  # PNG takes any uint8 picture
        try:
            self.path.with_suffix(".png").write_bytes(png.tobytes())
        except OSError as error:
            raise cannot_write("the heatmap", self.path, error) from error

    def _save(self, grid: _Grid) -> Heatmap:
        heatmap = Heatmap(self._stream, self._rule, grid.seconds, grid.outside, grid.cell, grid.height, grid.width)
        draft = self.path.with_name(self.path.name + ".tmp")
        try:
            with draft.open("wb") as file:
                np.savez_compressed(file, **{name: getattr(heatmap, name) for name in Heatmap.__slots__})
            draft.replace(self.path)
        except OSError as error:
            raise cannot_write("the heatmap", self.path, error) from error
        return heatmap

    def _take_earlier(self, grid: _Grid) -> None:
        if not self.path.exists():
            return
        try:
            earlier = read_heatmap(self.path)
        except SourceError as error:
            _logger.warning("%s; it begins anew", error)
            return
        if earlier.seconds.shape != grid.seconds.shape or (earlier.height, earlier.width) != (grid.height, grid.width):
            _logger.warning("%s is of another size than the pictures are now; it begins anew", self.path)
            return
        grid.seconds += earlier.seconds
        grid.outside += earlier.outside

    def _add(self, counted: CountedFrame, grid: _Grid) -> None:
        stamp, tracks = counted.stamp, counted.tracks
        if self._schedule is not None and (stamp.utc is None or not self._schedule.is_open(stamp.utc)):
            self._last.clear()
            return
        counts = np.ones(len(tracks), np.bool_)
        if self._class_ids is not None:
            counts = np.isin(tracks.class_id, self._class_ids)
        now = stamp.pts_seconds
        steps: list[tuple[float, float, float, float, float]] = []
        points = anchors_of(tracks.xyxy, self._anchor).tolist()
        for track_id, (x, y), does_count in zip(tracks.track_id.tolist(), points, counts.tolist(), strict=True):
            before = self._last.get(track_id)
            self._last[track_id] = now, x, y
            if before is not None and does_count:
                steps.append((*before[1:], x, y, now - before[0]))
        grid.add(np.array(steps).reshape(-1, 5))
        for track_id in tracks.ended:
            self._last.pop(track_id, None)


class _Grid:
    """Seconds per cell; square cells over a picture of this size, counted from its top left corner."""

    def __init__(self, height: int, width: int, columns: int) -> None:
        self.height, self.width = height, width
        self.cell = width / columns
        self.seconds = np.zeros((int(np.ceil(height / self.cell)), columns))
        self.outside = 0.0

    def add(self, steps: NDArray[np.float64]) -> None:
        """Adds (N, 5) steps: from x, y to x, y in pixels, and the seconds that each took."""
        starts, ends, seconds = steps[:, :2] / self.cell, steps[:, 2:4] / self.cell, steps[:, 4]
        stays = (np.floor(starts) == np.floor(ends)).all(axis=1)
        self._put(starts[stays], seconds[stays])
        for start, end, duration in zip(starts[~stays], ends[~stays], seconds[~stays].tolist(), strict=True):
            cuts = _cuts(start, end)
            middles = (cuts[1:] + cuts[:-1]) / 2
            self._put(start + middles[:, None] * (end - start), np.diff(cuts) * duration)

    def _put(self, places: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
        """Adds seconds to the cells at (N, 2) places in units of cells."""
        columns, rows = np.floor(places).astype(np.int64).T
        height, width = self.seconds.shape
        is_inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        np.add.at(self.seconds, (rows[is_inside], columns[is_inside]), seconds[is_inside])
        self.outside += float(seconds[~is_inside].sum())


def _cuts(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far along a step, from 0 to 1, it goes over an edge between two cells; in order, with 0 and 1."""
    cuts = [np.array([0.0, 1.0])]
    for begin, stop in zip(start.tolist(), end.tolist(), strict=True):
        if begin != stop:
            edges = np.arange(np.ceil(min(begin, stop)), np.floor(max(begin, stop)) + 1)
            cuts.append(np.clip((edges - begin) / (stop - begin), 0, 1))
    return np.unique(np.concatenate(cuts))


def paint_heatmap(heatmap: Heatmap, scene: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The heat over a greyed picture of the scene, (H, W, 3) uint8 RGB; the hottest cell is the strongest.

    Args:
        heatmap: What to show.
        scene: (H, W, 3) uint8 RGB of the heatmap's size.
    """
    rows, columns = heatmap.seconds.shape
    size = (max(1, round(columns * heatmap.cell)), max(1, round(rows * heatmap.cell)))
    heat = cv2.resize(heatmap.seconds, size, interpolation=cv2.INTER_LINEAR)[: heatmap.height, : heatmap.width]
    share = np.sqrt(heat / max(float(heat.max()), np.finfo(np.float64).tiny))  # one who stood long must not hide all
    colours = cv2.applyColorMap(np.round(share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    grey = np.repeat(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    opacity = (_STRONGEST * np.minimum(1.0, 3 * share))[:, :, None]
    return np.round(grey * (1 - opacity) + colours * opacity).astype(np.uint8)


def read_heatmap(path: Path) -> Heatmap:
    """The heatmap in a .npz file that `HeatmapSink` wrote.

    Raises:
        SourceError: If the file cannot be read, or is none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return Heatmap(
                stream=str(file["stream"]),
                rule=str(file["rule"]),
                seconds=file["seconds"],
                outside=float(file["outside"]),
                cell=float(file["cell"]),
                height=int(file["height"]),
                width=int(file["width"]),
            )
    except OSError as error:
        raise SourceError(f"cannot read the heatmap {path}: {error.strerror}") from error
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} is no heatmap of vidan ({error})") from error
