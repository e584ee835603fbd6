"""The rows of stored tracks: counted frames as an Arrow table, and back.

One row per track and frame, in the order in which the rules saw them, and behind the tracks of a frame the tracklets
that were never confirmed. A frame without either has one row whose `track` is null, so that "nobody there" and "not
looked at" stay different. Columns:

    source       string      name of the stream
    frame        int64       number of the picture in decoding order
    time         float64     seconds from the stream's first frame
    utc          timestamp   wall-clock time (us, UTC), null where unknown
    height width int32       of the picture, in pixels
    ended        list<int64> tracks given up at this frame, and unconfirmed ones that were seen in it for the last time;
                             in the first row of a frame, null in its other rows
    track        int64       track id, null in a frame without tracks (then all below are null too)
    class        string      name of the class that the track's vote gives
    class_id     int16       its index in `class_names`
    class_share  float32     0..1, share of the vote
    confidence   float32     0..1, of the detection
    confirmed    bool        false for tracklets that died before they were confirmed: nothing counts them
    observed     bool        false where the box was put between two sightings
    x1 y1 x2 y2        float32  the tracker's own box, pixels of the source
    sx1 sy1 sx2 sy2    float32  the smoothed box, on which the rules count
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from vidan.pipeline.frame import CountedFrame, Stamp
from vidan.trackers import Tracks

_BOX, _SMOOTHED = ["x1", "y1", "x2", "y2"], ["sx1", "sy1", "sx2", "sy2"]
TRACK_COLUMNS = [
    pa.field("track", pa.int64()),
    pa.field("class", pa.string()),
    pa.field("class_id", pa.int16()),
    pa.field("class_share", pa.float32()),
    pa.field("confidence", pa.float32()),
    pa.field("confirmed", pa.bool_()),
    pa.field("observed", pa.bool_()),
    *(pa.field(name, pa.float32()) for name in _BOX + _SMOOTHED),
]
FRAME_COLUMNS = [
    pa.field("source", pa.string(), nullable=False),
    pa.field("frame", pa.int64(), nullable=False),
    pa.field("time", pa.float64(), nullable=False),
    pa.field("utc", pa.timestamp("us", tz="UTC")),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("ended", pa.list_(pa.int64())),
]
_FLOATS = [field.name for field in FRAME_COLUMNS + TRACK_COLUMNS if pa.types.is_floating(field.type)]
_REPEATED = ["source", "class", "class_id", "height", "width"]
PARQUET_OPTIONS: dict[str, Any] = {"compression": "zstd", "use_dictionary": _REPEATED, "use_byte_stream_split": _FLOATS}


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrame:
    """A counted frame and the size of its picture, as the store keeps them.

    Attributes:
        counted: What the rules saw.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
    """

    counted: CountedFrame
    height: int
    width: int


def to_batch(frames: Sequence[StoredFrame], schema: pa.Schema, class_names: pa.StringArray) -> pa.RecordBatch:
    """The rows of frames, in their order; `from_table` is the mirror."""
    counted = [_joined(frame.counted) for frame in frames]
    rows = np.array([len(frame.tracks) for frame in counted])
    empty = np.repeat(rows == 0, np.maximum(rows, 1))  # the rows that stand for frames without tracks
    place = np.cumsum(~empty) - 1  # of each row in the concatenated tracks
    first = np.diff(np.repeat(np.arange(len(rows)), np.maximum(rows, 1)), prepend=-1) > 0

    def per_frame(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(pa.array(np.cumsum(first) - 1))

    def per_track(values: Sequence[np.ndarray], kind: pa.DataType) -> pa.Array:
        return pa.array(np.concatenate(values), kind).take(pa.array(place, mask=empty))

    stamps = [frame.stamp for frame in counted]
    ended = iter([frame.tracks.ended for frame in counted])
    class_ids = per_track([frame.tracks.class_id for frame in counted], pa.int16())
    columns = {
        "source": per_frame([stamp.stream for stamp in stamps], pa.string()),
        "frame": per_frame([stamp.index for stamp in stamps], pa.int64()),
        "time": per_frame([stamp.pts_seconds for stamp in stamps], pa.float64()),
        "utc": per_frame([stamp.utc for stamp in stamps], pa.timestamp("us", tz="UTC")),
        "height": per_frame([frame.height for frame in frames], pa.int32()),
        "width": per_frame([frame.width for frame in frames], pa.int32()),
        "ended": pa.array([next(ended) if is_first else None for is_first in first], pa.list_(pa.int64())),
        "track": per_track([frame.tracks.track_id for frame in counted], pa.int64()),
        "class": class_names.take(class_ids),
        "class_id": class_ids,
        "class_share": per_track([frame.tracks.class_share for frame in counted], pa.float32()),
        "confidence": per_track([frame.tracks.confidence for frame in counted], pa.float32()),
        "confirmed": per_track([frame.tracks.confirmed for frame in counted], pa.bool_()),
        "observed": per_track([frame.tracks.observed for frame in counted], pa.bool_()),
    }
    for i, (observed, smoothed) in enumerate(zip(_BOX, _SMOOTHED, strict=True)):
        columns[observed] = per_track([frame.observed_xyxy[:, i] for frame in counted], pa.float32())
        columns[smoothed] = per_track([frame.tracks.xyxy[:, i] for frame in counted], pa.float32())
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def from_table(table: pa.Table) -> Iterator[StoredFrame]:
    """The frames of whole rows that `to_batch` wrote."""
    starts = np.flatnonzero(table["ended"].is_valid().to_numpy())
    present = table["track"].is_valid().to_numpy()
    track_id, class_id = (_column(table, name, np.int64) for name in ("track", "class_id"))
    class_share, confidence = (_column(table, name, np.float32) for name in ("class_share", "confidence"))
    confirmed, observed = (_column(table, name, np.bool_) for name in ("confirmed", "observed"))
    smoothed, tracker_xyxy = (
        np.stack([_column(table, name, np.float32) for name in names], axis=1) for names in (_SMOOTHED, _BOX)
    )
    heads = table.select([field.name for field in FRAME_COLUMNS]).take(pa.array(starts)).to_pylist()
    for head, start, stop in zip(heads, starts, [*starts[1:], len(table)], strict=True):
        rows = slice(start, stop if present[start] else start)
        tracks = Tracks(
            track_id[rows],
            smoothed[rows],
            confidence[rows],
            class_id[rows],
            class_share[rows],
            confirmed[rows],
            observed[rows],
            tuple(head["ended"]),
        )
        stamp = Stamp(head["source"], head["frame"], head["time"], head["utc"])
        counted = _apart(CountedFrame(stamp, tracks, tracker_xyxy[rows]))
        yield StoredFrame(counted, head["height"], head["width"])


def with_positions(tables: Iterable[pa.Table]) -> Iterator[tuple[int, StoredFrame]]:
    """The frames of one stream, each with its place among those of all streams."""
    for table in tables:
        yield from zip(table["position"].filter(table["ended"].is_valid()).to_pylist(), from_table(table), strict=True)


def _joined(counted: CountedFrame) -> CountedFrame:
    """The frame with the tracklets that were dismissed as the last rows of its tracks."""
    tracks, dismissed = counted.tracks, counted.dismissed
    if len(dismissed) == 0:
        return counted
    return CountedFrame(
        counted.stamp,
        Tracks.concatenated([tracks, dismissed], ended=tracks.ended + dismissed.ended),
        np.concatenate([counted.observed_xyxy, dismissed.xyxy]),
    )


def _apart(joined: CountedFrame) -> CountedFrame:
    """The frame that `_joined` took."""
    tracks, confirmed = joined.tracks, joined.tracks.confirmed
    if confirmed.all():
        return joined
    dismissed = tracks[~confirmed]
    young = set(dismissed.track_id.tolist())
    return CountedFrame(
        joined.stamp,
        replace(tracks[confirmed], ended=tuple(track_id for track_id in tracks.ended if track_id not in young)),
        joined.observed_xyxy[confirmed],
        replace(dismissed, ended=tuple(track_id for track_id in tracks.ended if track_id in young)),
    )


def _column(table: pa.Table, name: str, dtype: type[np.generic]) -> np.ndarray:
    column = table[name]
    return column.fill_null(False if pa.types.is_boolean(column.type) else 0).to_numpy().astype(dtype, copy=False)
