"""MOTChallenge text into a run and out of it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.foreign_tracks import ForeignTracks, import_tracks
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.mot import rows_by_stream
from vidan.pipeline.sinks.tracks import read_tracks
from vidan.trackers import MotRows, read_mot, write_mot

FRAMES = 12


def foreign(table: list[tuple[int, int, float, float]], name: str = "yard", frame_count: int = FRAMES) -> ForeignTracks:
    """(frame, id, x, confidence), boxes 10 x 20."""
    frame, track_id, x, confidence = np.array(table, np.float64).reshape(-1, 4).T
    xyxy = np.stack([x, 0 * x, x + 10, 0 * x + 20], axis=1)
    ones = np.ones(len(frame), np.int64)
    rows = MotRows(frame.astype(np.int64), track_id.astype(np.int64), xyxy, confidence, ones)
    return ForeignTracks(name, Path(__file__), rows, 4.0, frame_count, (640, 480))


def stored(folder: Path, *streams: ForeignTracks, smooth_seconds: float = 0.0) -> RunFolder:
    return import_tracks(streams, folder / "run", label="person", smooth_seconds=smooth_seconds, overwrite=True)


tables = st.dictionaries(
    st.tuples(st.integers(1, FRAMES), st.integers(0, 4)),
    st.tuples(st.integers(-5000, 5000).map(lambda x: x / 8), st.integers(1, 8).map(lambda c: c / 8)),
    max_size=25,
).map(lambda boxes: [(*key, *values) for key, values in sorted(boxes.items())])


@settings(deadline=None, max_examples=25)
@given(tables, st.sampled_from([0.0, 0.6]))
def test_rows_survive_the_way_into_a_run_and_back_to_text(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[int, int, float, float]], smooth_seconds: float
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    given_rows = foreign(table).rows
    run = stored(folder, foreign(table), smooth_seconds=smooth_seconds)
    (stream,) = rows_by_stream(read_tracks(run.tracks)).values()
    write_mot(folder / "out.txt", stream.rows)
    back = read_mot(folder / "out.txt")
    for name in ("frame", "track_id", "xyxy", "confidence"):
        np.testing.assert_array_equal(getattr(back, name), getattr(given_rows, name))
    assert stream.frames.tolist() == list(range(1, FRAMES + 1)), "frames without a box are there, too"


def test_time_is_the_frame_over_the_rate_and_every_track_ends_once_at_its_last_box(tmp_path: Path) -> None:
    run = stored(tmp_path, foreign([(1, 7, 0, 1), (3, 7, 5, 1), (3, 8, 90, 1), (12, 9, 0, 1)]))
    frames = list(read_tracks(run.tracks))
    assert [frame.counted.stamp.pts_seconds for frame in frames] == [i / 4 for i in range(FRAMES)]
    assert [frame.counted.tracks.ended for frame in frames if frame.counted.tracks.ended] == [(7, 8), (9,)]
    assert frames[2].counted.tracks.ended == (7, 8)
    assert (frames[0].width, frames[0].height) == (640, 480)


def test_counted_boxes_are_smoothed_and_the_tracks_own_are_kept(tmp_path: Path) -> None:
    zigzag = [(frame, 1, 10.0 * frame + (3 if frame % 2 else -3), 1.0) for frame in range(1, FRAMES + 1)]
    tracks = read_tracks(stored(tmp_path, foreign(zigzag), smooth_seconds=1.0).tracks)
    own, smooth = (rows_by_stream(tracks, smoothed=smoothed)["yard"].rows.xyxy[:, 0] for smoothed in (False, True))
    np.testing.assert_array_equal(own, [x for _, _, x, _ in zigzag])
    assert np.abs(np.diff(smooth[2:-2]) - 10).max() < 3


def test_a_confidence_of_zero_stands_for_a_box_between_sightings(tmp_path: Path) -> None:
    run = stored(tmp_path, foreign([(1, 1, 0, 0.5), (2, 1, 1, 0), (3, 1, 2, 0.5)]))
    observed = [frame.counted.tracks.observed.tolist() for frame in read_tracks(run.tracks)]
    assert observed[:3] == [[True], [False], [True]]


def test_the_run_says_what_it_is(tmp_path: Path) -> None:
    run = stored(tmp_path, foreign([(1, 1, 0, 1)]), foreign([], "street", 4))
    record = json.loads(run.manifest.read_text())
    assert record["status"] == "complete"
    assert record["detector"]["classes"] == ["person"]
    assert [(stream["name"], stream["seconds"]) for stream in record["streams"]] == [("yard", 3.0), ("street", 1.0)]
    assert [stream["name"] for stream in record["config"]["streams"]] == ["yard", "street"]
    assert list(rows_by_stream(read_tracks(run.tracks))) == ["yard", "street"]


def test_frames_can_be_numbered_from_elsewhere_and_classes_chosen(tmp_path: Path) -> None:
    tracks = read_tracks(stored(tmp_path, foreign([(2, 1, 0, 1)])).tracks)
    assert rows_by_stream(tracks, first_frame=101)["yard"].rows.frame.tolist() == [102]
    assert len(rows_by_stream(tracks, classes=["person"])["yard"].rows) == 1
    with pytest.raises(ValueError, match=r"no class 'car' in .*; it has person"):
        rows_by_stream(tracks, classes=["car"])


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ([(13, 1, 0, 1)], "boxes in frame 13, but there are only 12 frames"),
        ([(3, -1, 0, 1)], r"frame 3 has a box without id \(below 0\)"),
        ([(3, 1, 0, 1), (3, 1, 50, 1)], "id 1 appears twice in frame 3"),
    ],
)
def test_what_are_no_tracks_is_refused(table: list[tuple[int, int, float, float]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        foreign(table)
