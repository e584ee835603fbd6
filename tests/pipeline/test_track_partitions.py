"""Tracks by stream and day: plain tables for data tools, and for a replay the same frames in the same order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import Detections
from vidan.pipeline.errors import SourceError
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.sinks import track_partitions, tracks
from vidan.pipeline.sinks.tracks import TrackStore, hash_tracks, read_tracks
from vidan.trackers import Tracks

MIDNIGHT = datetime(2026, 5, 2, tzinfo=UTC)


def counted_frame(stream: str, index: int, count: int, utc: datetime | None) -> CountedFrame:
    rng = np.random.default_rng([index, count])
    boxes = rng.normal(200, 300, (count, 4)).astype(np.float32)
    shown = Tracks(
        np.arange(1, count + 1),
        boxes + 1,
        rng.random(count).astype(np.float32),
        np.zeros(count, np.int64),
        rng.random(count).astype(np.float32),
        np.ones(count, np.bool_),
        np.ones(count, np.bool_),
        tuple(range(index % 3)),
    )
    return CountedFrame(Stamp(stream, index, index / 10, utc), shown, boxes)


def store(folder: Path, frames: list[CountedFrame], *, partitioned: bool) -> Path:
    sink = TrackStore(folder / "tracks.parquet", ("person",), partitions=folder / "tracks" if partitioned else None)
    for frame in frames:
        picture = Frame.from_array(frame.stamp, np.zeros((48, 64, 3), np.uint8))
        sink.write(FrameResult(picture, Detections.empty(), Tracks.empty(), (frame,), ()))
    sink.close()
    return folder / ("tracks" if partitioned else "tracks.parquet")


def content(path: Path) -> list[tuple[object, ...]]:
    return [
        (
            frame.counted.stamp,
            frame.height,
            frame.width,
            frame.counted.tracks.ended,
            *(getattr(frame.counted.tracks, name).tolist() for name in ("track_id", "xyxy", "confidence", "observed")),
            frame.counted.observed_xyxy.tolist(),
        )
        for frame in read_tracks(path)
    ]


@settings(max_examples=25, deadline=None)
@given(
    frames=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(-2, 2)), min_size=1, max_size=40),
    group_rows=st.integers(1, 20),
    batch_rows=st.integers(1, 20),
)
def test_the_frames_come_back_as_from_a_single_file(
    frames: list[tuple[str, int, int]], group_rows: int, batch_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever streams are mixed how, also where the days of a stream jump back or its clock is unknown (stream c)."""
    folder = tmp_path_factory.mktemp("store")
    counted = [
        counted_frame(stream, index, count, None if stream == "c" else MIDNIGHT + timedelta(hours=20 * days))
        for index, (stream, count, days) in enumerate(frames)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(track_partitions, "ROW_GROUP_ROWS", group_rows)
        patch.setattr(tracks, "BATCH_ROWS", batch_rows)
        single, many = (store(folder, counted, partitioned=partitioned) for partitioned in (False, True))
    assert content(many) == content(single)
    assert read_tracks(many).class_names == ("person",)


def test_data_tools_read_the_folder_as_one_table(tmp_path: Path) -> None:
    frames = [counted_frame("gate", i, 2, MIDNIGHT + timedelta(seconds=i - 2)) for i in range(4)]
    frames += [counted_frame("yard", i, 1, None) for i in range(3)]
    folder = store(tmp_path, frames, partitioned=True)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet")) == [
        "source=gate/day=2026-05-01/part-0.parquet",
        "source=gate/day=2026-05-02/part-0.parquet",
        "source=yard/day=unknown/part-0.parquet",
    ]
    table = pq.read_table(folder)
    assert len(table) == 4 * 2 + 3
    second = pq.read_table(folder, filters=[("day", "=", "2026-05-02")])
    assert second["frame"].to_pylist() == [2, 2, 3, 3]
    assert set(table["source"].to_pylist()) == {"gate", "yard"}
    assert [path.name for path in tmp_path.iterdir()] == ["tracks"]


def test_the_hash_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    folders = []
    for name, count in (("a", 2), ("b", 2), ("c", 3)):
        (tmp_path / name).mkdir()
        folders.append(store(tmp_path / name, [counted_frame("gate", 0, count, None)], partitioned=True))
    first, same, other = map(hash_tracks, folders)
    assert first == same != other


def test_an_empty_folder_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "tracks").mkdir()
    with pytest.raises(SourceError, match="holds no tracks"):
        read_tracks(tmp_path / "tracks")


def test_a_file_of_another_vidan_is_told_in_words(tmp_path: Path) -> None:
    path = store(tmp_path, [counted_frame("gate", 0, 1, None)], partitioned=False)
    pq.write_table(pq.read_table(path).drop_columns(["observed"]), path)
    with pytest.raises(SourceError, match="lacks observed"):
        read_tracks(path)
