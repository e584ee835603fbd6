"""The track store: everything the rules saw comes back, in order, to the bit, also after a crash."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import Detections
from vidan.pipeline.errors import PipelineError, SinkError
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.provenance import SEMANTICS_VERSION
from vidan.pipeline.sinks import tracks as store
from vidan.pipeline.sinks.track_rows import StoredFrame
from vidan.pipeline.sinks.tracks import TrackStore, read_tracks
from vidan.trackers import Tracks

CLASS_NAMES = ("person", "Fahrrad", "自転車")
BEGAN = datetime(2024, 5, 1, 10, 0, 0, 123_457, tzinfo=UTC)


def counted_frame(index: int, count: int, stream: str = "door", seed: int = 0) -> CountedFrame:
    rng = np.random.default_rng([index, seed])
    seconds = index / 30 + rng.random() / 100
    utc = BEGAN + timedelta(seconds=seconds) if stream == "door" else None
    tracks = Tracks(
        track_id=np.sort(rng.permutation(500)[:count]).astype(np.int64) + 1,
        xyxy=rng.normal(200, 300, (count, 4)).astype(np.float32),
        confidence=rng.random(count).astype(np.float32),
        class_id=rng.integers(0, len(CLASS_NAMES), count),
        class_share=rng.random(count).astype(np.float32),
        confirmed=rng.random(count) > 0.2,
        observed=rng.random(count) > 0.1,
        ended=tuple(rng.integers(1, 500, index % 3).tolist()),
    )
    observed_xyxy = rng.normal(200, 300, (count, 4)).astype(np.float32)
    confirmed = tracks.confirmed
    dismissed = replace(tracks[~confirmed], ended=tuple(tracks.track_id[~confirmed][:1].tolist()))
    return CountedFrame(
        Stamp(stream, index, seconds, utc),
        replace(tracks[confirmed], ended=tuple(set(tracks.ended) - set(tracks.track_id[~confirmed].tolist()))),
        observed_xyxy[confirmed],
        dismissed if len(dismissed) else Tracks.empty(),
    )


def result(*counted: CountedFrame, height: int = 48, width: int = 64) -> FrameResult:
    frame = Frame.from_array(Stamp("door", 0, 0.0), np.zeros((height, width, 3), np.uint8))
    return FrameResult(frame, Detections.empty(), Tracks.empty(), counted, ())


def assert_same(stored: list[StoredFrame], counted: list[CountedFrame]) -> None:
    assert len(stored) == len(counted)
    for back, gave in zip((frame.counted for frame in stored), counted, strict=True):
        assert back.stamp == gave.stamp
        for one, other in ((back.tracks, gave.tracks), (back.dismissed, gave.dismissed)):
            assert one.ended == other.ended
            for name in ("track_id", "xyxy", "confidence", "class_id", "class_share", "confirmed", "observed"):
                assert getattr(one, name).dtype == getattr(other, name).dtype
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(back.observed_xyxy, gave.observed_xyxy)


@settings(max_examples=15, deadline=None)
@given(
    counts=st.lists(st.integers(0, 6), max_size=40),
    batch_rows=st.integers(1, 30),
    group_rows=st.integers(1, 60),
)
def test_what_was_counted_comes_back_to_the_bit(
    counts: list[int], batch_rows: int, group_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("store") / "tracks.parquet"
    counted = [counted_frame(i // 2, count, ("door", "yard")[i % 2]) for i, count in enumerate(counts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "BATCH_ROWS", batch_rows)
        patch.setattr(store, "ROW_GROUP_ROWS", group_rows)
        sink = TrackStore(path, CLASS_NAMES)
        for i in range(0, len(counted), 3):
            sink.write(result(*counted[i : i + 3]))
        sink.close()
    stored = read_tracks(path)
    assert stored.class_names == CLASS_NAMES
    assert stored.semantics == SEMANTICS_VERSION
    assert_same(list(stored), counted)
    assert_same(list(stored), counted)  # it can be read again
    assert [each.name for each in path.parent.iterdir()] == ["tracks.parquet"]


def test_the_table_is_plain_for_other_tools(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    sink = TrackStore(path, CLASS_NAMES)
    counted = [counted_frame(0, 2), counted_frame(1, 0), counted_frame(2, 1)]
    sink.write(result(*counted))
    sink.close()
    table = pq.read_table(path)
    assert table["track"].to_pylist() == [*counted[0].tracks.track_id, None, *counted[2].tracks.track_id]
    assert table["frame"].to_pylist() == [0, 0, 1, 2]
    assert table["class"][0].as_py() == CLASS_NAMES[counted[0].tracks.class_id[0]]
    assert table["sx1"][3].as_py() == counted[2].tracks.xyxy[0, 0]
    assert table["x1"][3].as_py() == counted[2].observed_xyxy[0, 0]
    assert table["ended"].to_pylist() == [[], None, list(counted[1].tracks.ended), list(counted[2].tracks.ended)]
    assert (table["height"][0].as_py(), table["width"][0].as_py()) == (48, 64)
    assert json.loads(table.schema.metadata[b"vidan"])["class_names"] == list(CLASS_NAMES)


def test_rows_reach_the_file_after_ten_seconds_of_stream_time(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    sink = TrackStore(path, CLASS_NAMES)
    counted = [counted_frame(i, 1) for i in range(0, 700, 10)]
    for each in counted:
        sink.write(result(each))
    partial = list(read_tracks(path))
    assert 60 <= len(partial) < len(counted)
    assert_same(partial, counted[: len(partial)])
    sink.close()
    assert_same(list(read_tracks(path)), counted)


def test_a_partial_file_that_was_cut_anywhere_gives_its_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "BATCH_ROWS", 10)
    path = tmp_path / "tracks.parquet"
    sink = TrackStore(path, CLASS_NAMES)
    counted = [counted_frame(i, 5) for i in range(8)]
    for each in counted:
        sink.write(result(each))
    partial = path.with_name("tracks.parquet.partial")
    whole = partial.read_bytes()
    lengths = set()
    with caplog.at_level(logging.CRITICAL):
        for cut in range(len(whole) // 3, len(whole), 211):
            partial.write_bytes(whole[:cut])
            try:
                stored = list(read_tracks(path))
            except PipelineError:  # not even the schema is whole
                stored = []
            assert_same(stored, counted[: len(stored)])
            lengths.add(len(stored))
    assert lengths >= {2, 4, 6}


def test_a_missing_or_foreign_file_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"cannot read the track file .*no\.parquet"):
        read_tracks(tmp_path / "no.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(PipelineError, match=r"cannot read the track file .*text\.parquet"):
        read_tracks(tmp_path / "text.parquet")
    pq.write_table(pq.read_table(_store_of(tmp_path, counted_frame(0, 1))).replace_schema_metadata(), tmp_path / "x")
    with pytest.raises(PipelineError, match="cannot read the track file"):
        read_tracks(tmp_path / "x")


def test_a_missing_folder_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write the track file .*No such file"):
        TrackStore(tmp_path / "no" / "tracks.parquet", CLASS_NAMES)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_full_disk_is_told_and_no_hole_is_counted_over(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    sink = TrackStore(path, CLASS_NAMES)
    sink._file.close()
    with Path("/dev/full").open("wb", buffering=0) as full:
        sink._stream = store.pa.ipc.new_stream(
            full, sink._schema, options=store.pa.ipc.IpcWriteOptions(compression="zstd")
        )
        for i in (0, 400):
            with pytest.raises(SinkError, match="No space left on device"):
                sink.write(result(counted_frame(i, 1), counted_frame(i + 399, 1)))
        sink.close()
        sink.close()
    assert not path.exists()


def test_a_draft_that_does_not_fit_gives_its_space_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    sink = TrackStore(tmp_path / "tracks.parquet", CLASS_NAMES)
    sink.write(result(counted_frame(0, 1)))
    monkeypatch.setattr(store, "_write_row_group", no_space)
    with pytest.raises(SinkError, match="No space left"):
        sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.parquet.partial"]


def test_closing_twice_is_fine_and_writing_afterwards_is_a_mistake(tmp_path: Path) -> None:
    sink = TrackStore(tmp_path / "tracks.parquet", CLASS_NAMES)
    sink.close()
    sink.close()
    assert list(read_tracks(tmp_path / "tracks.parquet")) == []
    with pytest.raises(ValueError, match="write after close"):
        sink.write(result(counted_frame(0, 1)))


def _store_of(folder: Path, *counted: CountedFrame) -> Path:
    sink = TrackStore(folder / "one.parquet", CLASS_NAMES)
    sink.write(result(*counted))
    sink.close()
    return folder / "one.parquet"
