"""What `vidan eval tracks` compares and shows."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from vidan.pipeline.cli.tracks import split_names
from vidan.pipeline.config.problems import did_you_mean
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.mot import StreamRows, rows_by_stream
from vidan.pipeline.sinks.tracks import read_tracks
from vidan.trackers import IOU_THRESHOLDS, Evaluation, MotRows, MotSequence, TrackMetrics, read_mot


@dataclass(slots=True)
class Pairs:
    """Ground truth and tracks of the same sequences, and what to know about them."""

    truth: dict[str, MotRows] = field(default_factory=dict)
    predicted: dict[str, MotRows] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def pair_up(sequences: Mapping[str, MotSequence], options: argparse.Namespace) -> Pairs:
    """Ground truth and tracks by name of the sequence.

    Raises:
        ValueError: If the tracks of a sequence are missing or cannot be read, or lie in frames that it does not have.
    """
    found = _predictions(options)
    if len(sequences) == len(found) == 1:
        found = dict(zip(sequences, found.values(), strict=True))
    pairs = Pairs()
    for name, sequence in sequences.items():
        if name not in found:
            near = did_you_mean(name, found)
            raise ValueError(f"no tracks of {name!r} in {_listed(options.predicted)}{near}; there are {_listed(found)}")
        tracks = found[name]
        _check_frames(sequence, tracks)
        truth, rows = sequence.truth, tracks
        if isinstance(tracks, StreamRows):
            seen = np.isin(truth.frame, tracks.frames)
            if skipped := len(np.unique(truth.frame[~seen])):
                pairs.notes.append(f"{name}: left out are {skipped} frames that the run did not look at")
            truth, rows = truth[seen], tracks.rows
        assert isinstance(rows, MotRows)
        pairs.truth[name], pairs.predicted[name] = truth, rows
    if unasked := sorted(found.keys() - sequences.keys()):
        pairs.notes.append(f"not evaluated, for there is no ground truth: {_listed(unasked)}")
    return pairs


def score_table(evaluation: Evaluation) -> Table:
    """A row per sequence and one for all together; ratios in percent."""
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("sequence")
    for title in ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "Frag", "FP", "FN", "boxes"):
        table.add_column(title, justify="right")
    rows = dict(evaluation.sequences)
    for name, metrics in rows.items():
        table.add_row(Text(name), *_cells(metrics))
    if len(rows) > 1:
        table.add_row(Text("all", style="bold"), *_cells(evaluation.combined))
    return table


def to_record(evaluation: Evaluation) -> dict[str, Any]:
    """Plain JSON values; what is not defined is null."""
    return {
        "iou_thresholds": list(IOU_THRESHOLDS),
        "sequences": {name: _to_record(metrics) for name, metrics in evaluation.sequences.items()},
        "combined": _to_record(evaluation.combined),
    }


def _predictions(options: argparse.Namespace) -> dict[str, MotRows | StreamRows]:
    """Tracks by name: of the streams of a run, or of text files.

    Raises:
        ValueError: If there are none, or two of one name.
    """
    found: dict[str, MotRows | StreamRows] = {}
    for path in options.predicted:
        if path.suffix == ".parquet" or (path / "run.json").is_file():
            more: Mapping[str, MotRows | StreamRows] = rows_by_stream(
                read_tracks(path if path.suffix == ".parquet" else RunFolder(path).tracks),
                first_frame=options.first_frame,
                smoothed=options.smoothed,
                classes=split_names(options.classes),
            )
        else:
            more = {file.stem: _read_result(file) for file in _result_files(path)}
        if twice := sorted(found.keys() & more.keys()):
            raise ValueError(f"there are two results for {_listed(twice)}: name one of them")
        found |= more
    return found


def _result_files(path: Path) -> Sequence[Path]:
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} holds neither a run (run.json) nor results (NAME.txt)")
    return files


def _read_result(file: Path) -> MotRows:
    try:
        rows = read_mot(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the tracks {file}: {getattr(error, 'strerror', None) or error}") from error
    if (rows.track_id < 0).any():
        raise ValueError(f"{file} has boxes without id (below 0): these are detections, not tracks")
    return rows


def _check_frames(sequence: MotSequence, tracks: MotRows | StreamRows) -> None:
    count = sequence.info.frame_count
    frames = tracks.frames if isinstance(tracks, StreamRows) else tracks.frame
    outside = frames[(frames < 1) | (frames > (count or np.inf))]
    if len(outside):
        hint = "; does the run begin elsewhere (--first-frame)?" if isinstance(tracks, StreamRows) else ""
        raise ValueError(
            f"sequence {sequence.name!r}: there are tracks of frame {outside[0]}, but its frames are 1 to {count}{hint}"
        )


def _cells(metrics: TrackMetrics) -> list[str]:
    ratios = [metrics.hota, metrics.deta, metrics.assa, metrics.mota, metrics.idf1]
    numbers = [metrics.id_switches, metrics.fragmentations, metrics.false_positives, metrics.misses, metrics.gt_boxes]
    return [*(f"{100 * ratio:.2f}" for ratio in ratios), *map(str, numbers)]


def _to_record(metrics: TrackMetrics) -> dict[str, Any]:
    values = asdict(metrics).items()
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in values}


def _listed(things: Iterable[object]) -> str:
    return ", ".join(map(str, things))
