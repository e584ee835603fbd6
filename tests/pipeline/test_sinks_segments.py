"""Video in segments: where they begin and end, what is removed when, and that a full disk stops no run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.pipeline.annotate import Annotator
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks import shelf as shelf_module
from vidan.pipeline.sinks.mp4 import EvenCanvas
from vidan.pipeline.sinks.segments import PAUSE_SECONDS, SegmentedMp4, Segments
from vidan.pipeline.sinks.shelf import SegmentShelf
from vidan.pipeline.sinks.video import QUEUE_LENGTH, AnnotatedVideoSink
from vidan.trackers import Tracks

START = datetime(2026, 5, 1, 9, 59, 57, tzinfo=UTC)
CANVAS = EvenCanvas(48, 64)
PLANES = CANVAS.to_i420(np.zeros((48, 64, 3), np.uint8))


class Disk:
    """A disk whose free space is what the test says, or what its files leave of a size."""

    def __init__(self, free: int = 10**12) -> None:
        self.free = free

    def __call__(self, folder: Path) -> int:
        return self.free


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def segmented(
    folder: Path, seconds: float = 10.0, disk: Callable[[Path], int] | None = None, reserve: int = 0
) -> tuple[SegmentedMp4, Clock]:
    shelf = SegmentShelf(folder, reserve_bytes=reserve, free_bytes=disk or Disk())
    clock = Clock()
    film = SegmentedMp4(folder / "door", Segments(shelf, seconds), encoder="libx264", crf=26, title="door", clock=clock)
    return film, clock


def play(film: SegmentedMp4, clock: Clock, times: Sequence[float], *, utc: bool = True) -> None:
    for i, seconds in enumerate(times):
        clock.now = seconds
        film.encode(PLANES, Stamp("door", i, seconds, START + timedelta(seconds=seconds) if utc else None))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.mp4"))


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [round(frame.time, 3) for frame in container.decode(video=0)]


def old_segment(folder: Path, name: str, *, size: int, age: float) -> Path:
    path = folder / "door" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    written = time.time() - age
    os.utime(path, (written, written))
    return path


def test_segments_end_at_whole_multiples_of_their_length_in_utc(tmp_path: Path) -> None:
    film, clock = segmented(tmp_path)
    play(film, clock, [i / 2 for i in range(30)])
    film.close()
    assert names(tmp_path) == ["20260501T095957Z.mp4", "20260501T100000Z.mp4", "20260501T100010Z.mp4"]
    assert times(tmp_path / "door" / "20260501T095957Z.mp4") == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert times(tmp_path / "door" / "20260501T100000Z.mp4") == [i / 2 for i in range(20)]
    with av.open(str(tmp_path / "door" / "20260501T100000Z.mp4")) as container:
        assert container.metadata["creation_time"].startswith("2026-05-01T10:00:00")


def test_without_a_time_of_day_they_are_named_after_stream_time(tmp_path: Path) -> None:
    film, clock = segmented(tmp_path)
    play(film, clock, [0.0, 9.9, 10.0, 35.0], utc=False)
    film.close()
    assert names(tmp_path) == ["000000000s.mp4", "000000010s.mp4", "000000035s.mp4"]


@given(gaps=st.lists(st.floats(0.01, 30.0), min_size=1, max_size=12), seconds=st.sampled_from([2.0, 7.0, 60.0]))
@settings(max_examples=15, deadline=None)
def test_every_picture_is_in_one_segment_and_none_is_longer_than_asked(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[float], seconds: float
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    film, clock = segmented(folder, seconds)
    moments = [0.0, *np.cumsum(gaps).tolist()]
    play(film, clock, moments, utc=False)
    film.close()
    found = [times(path) for path in sorted(folder.rglob("*.mp4"))]
    assert sum(map(len, found)) == len(moments)
    assert all(shown[0] == 0.0 and shown[-1] < seconds for shown in found)


def test_a_name_that_is_taken_is_not_written_over(tmp_path: Path) -> None:
    for _ in range(2):  # as after a restart within the same second
        film, clock = segmented(tmp_path)
        play(film, clock, [0.0, 0.5])
        film.close()
    assert names(tmp_path) == ["20260501T095957Z-2.mp4", "20260501T095957Z.mp4"]


def test_what_is_too_old_or_too_much_is_removed_the_oldest_first(tmp_path: Path) -> None:
    for hour in range(6):
        old_segment(tmp_path, f"{hour}.mp4", size=100, age=3600 * (6 - hour) - 60)
    SegmentShelf(tmp_path, keep_seconds=4 * 3600, free_bytes=Disk()).tidy()
    assert names(tmp_path) == ["2.mp4", "3.mp4", "4.mp4", "5.mp4"]
    SegmentShelf(tmp_path, keep_bytes=250, free_bytes=Disk()).tidy()
    assert names(tmp_path) == ["4.mp4", "5.mp4"]


def test_the_age_of_segments_is_looked_at_while_no_camera_delivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "SWEEP_SECONDS", 0.01)
    path = old_segment(tmp_path, "a.mp4", size=1, age=100)
    shelf = SegmentShelf(tmp_path, keep_seconds=60, free_bytes=Disk())
    deadline = time.monotonic() + 5
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    shelf.close()
    assert not path.exists()


def test_a_segment_that_is_being_written_stays_whatever_the_limits(tmp_path: Path) -> None:
    path = old_segment(tmp_path, "a.mp4", size=100, age=7200)
    shelf = SegmentShelf(tmp_path, keep_bytes=10, reserve_bytes=1, free_bytes=Disk(0))
    shelf.begin(path)
    assert not shelf.tidy()
    assert path.exists()
    shelf.end(path)
    shelf.tidy()
    assert not path.exists()


def test_beneath_the_reserve_old_segments_go_and_the_video_goes_on(tmp_path: Path) -> None:
    for age in range(5):
        old_segment(tmp_path, f"{age}.mp4", size=100, age=1000 * (5 - age))

    def free(folder: Path) -> int:  # 500 bytes of old segments fill the disk; new ones are not counted
        return 500 - sum(path.stat().st_size for path in folder.glob("door/?.mp4"))

    film, clock = segmented(tmp_path, disk=free, reserve=150)
    play(film, clock, [0.0, 0.5])
    film.close()
    assert names(tmp_path) == ["2.mp4", "20260501T095957Z.mp4", "3.mp4", "4.mp4"]


def test_a_full_disk_pauses_the_video_and_it_goes_on_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    film, clock = segmented(tmp_path, 1000.0, disk, reserve=100)
    moments = [i / 2 for i in range(100)]
    for i, seconds in enumerate(moments):
        disk.free = 50 if 10 <= seconds < 30 else 1000
        clock.now = seconds
        film.encode(PLANES, Stamp("door", i, seconds))
    film.close()
    (path,) = tmp_path.rglob("*.mp4")  # the one before the pause was the oldest, and had to go
    assert 30 <= float(path.stem.rstrip("s")) <= 30 + PAUSE_SECONDS
    assert len(times(path)) == 100 - 20 - film.left_out
    told = [record.getMessage() for record in caplog.records if record.name.endswith("segments")]
    assert len(told) == 2, "once when it pauses, once when it goes on"
    assert "the video of door pauses: the disk is nearly full" in told[0]
    assert f"{film.left_out} pictures were left out" in told[1]


def test_a_folder_that_cannot_be_written_leaves_pictures_out_and_raises_nothing(tmp_path: Path) -> None:
    film, clock = segmented(tmp_path)
    (tmp_path / "door").rmdir()
    (tmp_path / "door").write_text("in the way")
    play(film, clock, [0.0, 0.5, 1.0])
    film.close()
    assert film.left_out == 3


class Counting(Annotator):
    """Counts the events that it is shown, and is slow."""

    shown = 0

    def paint(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
        time.sleep(0.02)
        self.shown += len(result.events)


def test_a_live_stream_never_waits_for_its_video_and_no_event_is_missing_in_its_counts(tmp_path: Path) -> None:
    annotator = Counting(48, 64, class_names=())
    sink = AnnotatedVideoSink(
        tmp_path / "door",
        stream="door",
        make_annotator=lambda height, width: annotator,
        segments=Segments(SegmentShelf(tmp_path, free_bytes=Disk()), 600.0),
        live=True,
    )
    event = Event("0" * 16, EventKind.LINE_CROSSED, "door", "gate", 1, "person", 0.0, None, 0)
    began = time.monotonic()
    for i in range(30):
        frame = Frame.from_array(Stamp("door", i, i / 25), np.zeros((48, 64, 3), np.uint8))
        sink.write(FrameResult(frame, Detections.empty(), Tracks.empty(), (), (event,) if i < 20 else ()))
    assert time.monotonic() - began < 0.3
    assert sink.left_out >= 30 - QUEUE_LENGTH - 10
    time.sleep(0.02 * (QUEUE_LENGTH + 2))
    frame = Frame.from_array(Stamp("door", 30, 30 / 25), np.zeros((48, 64, 3), np.uint8))
    sink.write(FrameResult(frame, Detections.empty(), Tracks.empty(), (), ()))
    sink.close()
    assert annotator.shown == 20
    (path,) = tmp_path.rglob("*.mp4")
    assert len(times(path)) == 31 - sink.left_out


def test_overwriting_a_run_removes_its_segments_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.segments / "door").mkdir(parents=True)
    for name in ("20260501T095957Z.mp4", "20260501T095957Z-2.mp4", "000000010s.mp4", "holiday.mp4"):
        (folder.segments / "door" / name).touch()
    folder.manifest.write_text('{"outputs": ["video"]}')
    RunFolder.create(folder.path, overwrite=True)
    assert names(folder.path) == ["holiday.mp4"]
