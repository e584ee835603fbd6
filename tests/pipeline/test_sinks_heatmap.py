"""Heat is time: the same seconds at any frame rate, all of them somewhere, and a file that can be read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import Detections
from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.schedule import WEEKDAYS, Schedule, Window
from vidan.pipeline.sinks import heatmap
from vidan.pipeline.sinks.heatmap import HeatmapSink, read_heatmap
from vidan.trackers import Tracks

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEIGHT, WIDTH = 120, 160

Row = tuple[int, float, float]
"""Track, and x and y of its foot."""


def result(
    index: int, seconds: float, rows: Sequence[Row], ended: tuple[int, ...] = (), class_id: int = 0
) -> FrameResult:
    count = len(rows)
    feet = np.array([row[1:] for row in rows], np.float64).reshape(count, 2)
    xyxy = np.hstack([feet - (5, 20), feet - (-5, 0)]).astype(np.float32)
    tracks = Tracks(
        np.array([row[0] for row in rows], np.int64),
        xyxy,
        np.full(count, 0.9, np.float32),
        np.full(count, class_id),
        np.ones(count, np.float32),
        np.ones(count, np.bool_),
        np.ones(count, np.bool_),
        ended,
    )
    stamp = Stamp("door", index, seconds, NOON + timedelta(seconds=seconds))
    frame = Frame.from_array(stamp, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return FrameResult(frame, Detections.empty(), tracks, (CountedFrame(stamp, tracks, xyxy),), ())


def heat_of(folder: Path, results: Sequence[FrameResult], **options):
    path = folder / "heatmap-door.npz"
    sink = HeatmapSink(path, stream="door", rule="heat", columns=options.pop("columns", 16), **options)
    for one in results:
        sink.write(one)
    sink.close()
    return read_heatmap(path)


def walk_at(path: Sequence[tuple[float, float, float]], seconds: Sequence[float]) -> list[FrameResult]:
    """Frames at these times of one track that walks along (seconds, x, y), straight and evenly in between."""
    when, x, y = np.array(path, float).T
    return [
        result(i, float(now), [(1, float(np.interp(now, when, x)), float(np.interp(now, when, y)))])
        for i, now in enumerate(seconds)
    ]


corners = st.lists(st.tuples(st.integers(-200, 1800), st.integers(-200, 1400)), min_size=2, max_size=6)
extras = st.lists(st.integers(1, 4999), max_size=60, unique=True)


@settings(max_examples=60, deadline=None)
@given(corners=corners, extras=extras)
def test_the_same_walk_leaves_the_same_seconds_at_any_frame_rate(tmp_path_factory, corners, extras) -> None:
    folder = tmp_path_factory.mktemp("heat")
    path = [(float(i), x / 10, y / 10) for i, (x, y) in enumerate(corners)]
    turns = [now for now, *_ in path]
    more = sorted({*turns, *(extra / 1000 for extra in extras if extra / 1000 < turns[-1])})
    few, many = heat_of(folder, walk_at(path, turns)), heat_of(folder, walk_at(path, more))
    assert many.seconds == pytest.approx(few.seconds, abs=1e-3)  # feet stand on a grid of 1/1024 pixel
    assert many.outside == pytest.approx(few.outside, abs=1e-3)


frames = st.lists(
    st.tuples(
        st.floats(0.01, 2),
        st.dictionaries(st.integers(1, 4), st.tuples(st.floats(-50, 250), st.floats(-50, 200)), max_size=4),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(frames=frames, columns=st.integers(1, 40))
def test_all_the_time_of_all_tracks_is_somewhere(tmp_path_factory, frames, columns: int) -> None:
    results, seconds, seen = [], 0.0, {}
    for i, (wait, places) in enumerate(frames):
        seconds += wait
        results.append(result(i, seconds, [(track, *place) for track, place in sorted(places.items())]))
        for track in places:
            first, _ = seen.get(track, (seconds, seconds))
            seen[track] = first, seconds
    heat = heat_of(tmp_path_factory.mktemp("heat"), results, columns=columns)
    assert heat.seconds.min() >= 0
    assert heat.seconds.sum() + heat.outside == pytest.approx(sum(last - first for first, last in seen.values()))


def test_who_stands_heats_one_cell(tmp_path: Path) -> None:
    heat = heat_of(tmp_path, [result(i, i / 10, [(1, 45.0, 77.0)]) for i in range(31)])
    assert heat.cell == 10
    assert heat.seconds.shape == (12, 16)
    assert heat.seconds[7, 4] == pytest.approx(3)
    assert heat.seconds.sum() == pytest.approx(3)


def test_only_classes_that_count_heat(tmp_path: Path) -> None:
    results = [result(i, i / 10, [(1, 45.0, 77.0)], class_id=1) for i in range(11)]
    assert heat_of(tmp_path, results, class_ids=frozenset({0})).seconds.sum() == 0
    assert heat_of(tmp_path, results, class_ids=frozenset({1})).seconds.sum() == pytest.approx(1)


def test_time_outside_of_the_schedule_does_not_heat(tmp_path: Path) -> None:
    window = Window(frozenset(WEEKDAYS), time(12, 0, 1), time(12, 0, 3))
    results = [result(i, i / 10, [(1, 45.0, 77.0)]) for i in range(51)]
    heat = heat_of(tmp_path, results, schedule=Schedule(ZoneInfo("UTC"), (window,)))
    assert heat.seconds.sum() == pytest.approx(1.9)  # from the first frame within to the last


def test_an_ended_track_is_forgotten_and_other_streams_are_not_its_own(tmp_path: Path) -> None:
    path = tmp_path / "heatmap-back.npz"
    sink = HeatmapSink(path, stream="door", rule="heat", columns=16)
    sink.write(result(0, 0.0, [(1, 45.0, 77.0)], ended=(1,)))
    assert not sink._last
    other = HeatmapSink(path, stream="back", rule="heat", columns=16)
    other.write(result(0, 0.0, [(1, 45.0, 77.0)]))
    other.close()
    assert not path.exists()


def test_the_picture_is_hot_where_they_stood_and_grey_elsewhere(tmp_path: Path) -> None:
    heat_of(tmp_path, [result(i, i / 10, [(1, 45.0, 75.0)]) for i in range(31)])
    picture = cv2.imread(str(tmp_path / "heatmap-door.png"))
    assert picture is not None
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert (picture[10, 150] == 90).all()
    assert np.abs(picture[75, 45].astype(int) - 90).max() > 60


def test_a_file_that_is_no_heatmap_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name in ("broken", "other"):
        with pytest.raises(SourceError, match=rf"{name}\.npz is no heatmap"):
            read_heatmap(tmp_path / f"{name}.npz")
    with pytest.raises(SourceError, match="cannot read the heatmap"):
        read_heatmap(tmp_path / "missing.npz")


def test_a_folder_that_is_gone_is_a_sink_error(tmp_path: Path) -> None:
    sink = HeatmapSink(tmp_path / "gone" / "h.npz", stream="door", rule="heat", columns=16)
    sink.write(result(0, 0.0, [(1, 45.0, 77.0)]))
    with pytest.raises(SinkError, match="cannot write the heatmap"):
        sink.close()


def test_a_session_goes_on_with_the_seconds_of_the_earlier_one(tmp_path: Path, caplog) -> None:
    walk = walk_at([(0, 10, 10), (4, 150, 110)], [0.5 * i for i in range(9)])
    once = heat_of(tmp_path, walk)
    twice = heat_of(tmp_path, walk, goes_on=True)
    assert twice.seconds == pytest.approx(2 * once.seconds)
    assert twice.outside == pytest.approx(2 * once.outside)
    assert heat_of(tmp_path, walk).seconds == pytest.approx(once.seconds), "without a word it begins anew"
    other = heat_of(tmp_path, walk, columns=8, goes_on=True)
    assert other.seconds.sum() == pytest.approx(once.seconds.sum())
    assert "begins anew" in caplog.text


def test_a_run_that_is_killed_has_left_the_seconds_of_all_but_the_last_minute(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(heatmap, "SAVE_SECONDS", 0.0)
    path = tmp_path / "heatmap-door.npz"
    sink = HeatmapSink(path, stream="door", rule="heat", columns=16)
    for one in walk_at([(0, 10, 10), (4, 150, 110)], [0.0, 2.0, 4.0]):
        sink.write(one)
    assert read_heatmap(path).seconds.sum() == pytest.approx(4.0)
