"""The annotated video: the source's times, odd sizes, kills, full disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.pipeline.annotate import Annotator
from vidan.pipeline.errors import SinkError
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.sinks import mp4, video
from vidan.pipeline.sinks.video import AnnotatedVideoSink
from vidan.trackers import Tracks


class Unpainted(Annotator):
    """Leaves pictures as they are."""

    def paint(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
        pass


def unpainted(height: int, width: int) -> Annotator:
    return Unpainted(height, width, class_names=())


def result(seconds: float, height: int = 48, width: int = 64, stream: str = "door", level: int = 90) -> FrameResult:
    stamp = Stamp(stream, round(seconds * 100), seconds, datetime(2024, 5, 1, 10, 0, tzinfo=UTC))
    frame = Frame.from_array(stamp, np.full((height, width, 3), level, np.uint8))
    return FrameResult(frame, Detections.empty(), Tracks.empty(), (), ())


def write_all(path: Path, *results: FrameResult) -> AnnotatedVideoSink:
    sink = AnnotatedVideoSink(path, stream="door", make_annotator=unpainted)
    for each in results:
        sink.write(each)
    sink.close()
    return sink


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_the_times_of_the_source_are_kept_when_they_are_irregular(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.0801, 0.5, 0.5333, 2.6, 2.601, 7.0, 7.04]
    write_all(tmp_path / "a.mp4", *(result(seconds) for seconds in times))
    frames = decode(tmp_path / "a.mp4")
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-5)
    assert [frame.time for frame in frames if frame.key_frame] == pytest.approx([0.0, 2.6, 7.0], abs=1e-5)


def test_browsers_can_play_it(tmp_path: Path) -> None:
    write_all(tmp_path / "a.mp4", *(result(i / 25) for i in range(60)))
    data = (tmp_path / "a.mp4").read_bytes()
    assert b"ftyp" in data[:16]
    assert data.index(b"moov") < data.index(b"moof") < data.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.duration, stream.time_base) == (round(60 / 25 / mp4.TIME_BASE), mp4.TIME_BASE)
        assert container.metadata["creation_time"].startswith("2024-05-01T10:00:00")


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 64), (48, 63), (45, 61)])
def test_odd_sides_grow_by_one_pixel_that_repeats_its_neighbour(tmp_path: Path, height: int, width: int) -> None:
    each = result(0.0, height, width)
    each.frame.image[:, :, 0] = np.linspace(0, 255, width).astype(np.uint8)
    write_all(tmp_path / "a.mp4", each)
    (frame,) = decode(tmp_path / "a.mp4")
    assert (frame.height, frame.width) == (height + height % 2, width + width % 2)
    back = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(back[:height, :width] - each.frame.image).mean() < 6
    assert np.abs(back[:height, -1] - each.frame.image[:, -1]).mean() < 16


def test_colours_come_back_as_they_were(tmp_path: Path) -> None:
    for rgb in [(200, 30, 40), (20, 180, 60), (30, 40, 220), (255, 255, 255), (0, 0, 0)]:
        each = result(0.0)
        each.frame.image[:] = rgb
        write_all(tmp_path / "a.mp4", each)
        (frame,) = decode(tmp_path / "a.mp4")
        assert np.abs(frame.to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0) - rgb).max() < 5


def test_a_later_picture_of_another_size_is_scaled(tmp_path: Path) -> None:
    write_all(tmp_path / "a.mp4", result(0.0), result(0.1, 96, 128, level=200), result(0.2))
    frames = decode(tmp_path / "a.mp4")
    assert [(frame.height, frame.width) for frame in frames] == [(48, 64)] * 3
    assert frames[1].to_ndarray(format="rgb24").mean() == pytest.approx(200, abs=4)


def test_the_picture_of_the_result_is_not_painted_on(tmp_path: Path) -> None:
    class Blackening(Unpainted):
        def paint(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
            picture[:] = 0

    sink = AnnotatedVideoSink(
        tmp_path / "a.mp4", stream="door", make_annotator=lambda h, w: Blackening(h, w, class_names=())
    )
    each, other = result(0.0), result(0.1, 96, 128)
    sink.write(each)
    sink.write(other)
    sink.close()
    assert (each.frame.image == 90).all()
    assert (other.frame.image == 90).all()
    assert decode(tmp_path / "a.mp4")[1].to_ndarray(format="rgb24").mean() < 5


def test_results_of_other_streams_are_ignored_and_names_may_be_any_text(tmp_path: Path) -> None:
    path = tmp_path / "Tür 入口.mp4"
    sink = AnnotatedVideoSink(path, stream="Tür 入口", make_annotator=unpainted)
    sink.write(result(0.0, stream="Tür 入口"))
    sink.write(result(0.0, stream="other"))
    sink.close()
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 1
        assert container.metadata["title"] == "Tür 入口"


def test_closing_twice_is_fine_and_writing_afterwards_is_a_mistake(tmp_path: Path) -> None:
    sink = write_all(tmp_path / "a.mp4", result(0.0))
    sink.close()
    with pytest.raises(ValueError, match="write after close"):
        sink.write(result(1.0))


def test_a_run_without_pictures_leaves_an_empty_file(tmp_path: Path) -> None:
    write_all(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").stat().st_size == 0


def test_a_missing_folder_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write the annotated video .*No such file"):
        AnnotatedVideoSink(tmp_path / "no" / "a.mp4", stream="door", make_annotator=unpainted)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_full_disk_is_told_once_and_never_hangs_the_run() -> None:
    sink = AnnotatedVideoSink(Path("/dev/full"), stream="door", make_annotator=unpainted)
    told = []
    rng = np.random.default_rng(0)
    for i in range(100):
        each = result(i / 5)
        each.frame.image[:] = rng.integers(0, 255, each.frame.image.shape)
        try:
            sink.write(each)
        except SinkError as error:
            told.append(str(error))
    try:
        sink.close()
    except SinkError as error:
        told.append(str(error))
    assert len(told) == 1
    assert "No space left on device" in told[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_disk_that_is_full_only_at_the_end_is_told_by_close() -> None:
    sink = AnnotatedVideoSink(Path("/dev/full"), stream="door", make_annotator=unpainted)
    sink.write(result(0.0))  # stays in the encoder's look-ahead until the end
    told: list[SinkError] = []

    def close() -> None:
        try:
            sink.close()
        except SinkError as error:
            told.append(error)

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(timeout=20)
    assert len(told) == 1


def test_a_bug_in_the_painter_reaches_the_caller_as_itself(tmp_path: Path) -> None:
    class Broken(Unpainted):
        def paint(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
            raise ZeroDivisionError("bug")

    sink = AnnotatedVideoSink(
        tmp_path / "a.mp4", stream="door", make_annotator=lambda h, w: Broken(h, w, class_names=())
    )
    sink.write(result(0.0))
    with pytest.raises(ZeroDivisionError, match="bug"):
        sink.close()
    sink.close()


def test_writing_waits_while_the_queue_is_full_and_no_picture_is_lost(tmp_path: Path) -> None:
    class Slow(Unpainted):
        def paint(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
            time.sleep(0.01)

    sink = AnnotatedVideoSink(tmp_path / "a.mp4", stream="door", make_annotator=lambda h, w: Slow(h, w, class_names=()))
    began = time.monotonic()
    for i in range(20):
        sink.write(result(i / 25))
    assert time.monotonic() - began > 0.01 * (20 - video.QUEUE_LENGTH - 2)
    sink.close()
    assert len(decode(tmp_path / "a.mp4")) == 20
    assert 0 < sink.stage_seconds["encode"] < 1
    assert set(sink.stage_seconds) == {"draw", "encode"}


def test_an_ffmpeg_without_encoder_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mp4.ENCODERS, "h264", ("libnothing", "libnothing2"))
    with pytest.raises(SinkError, match=r"no h264 encoder.*libnothing, libnothing2.*output\.video"):
        AnnotatedVideoSink(tmp_path / "a.mp4", stream="door", make_annotator=unpainted)


def test_the_next_encoder_of_the_list_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mp4.ENCODERS, "h264", ("libnothing", "libx264"))
    assert mp4.choose_encoder("h264") == "libx264"


def test_a_killed_process_leaves_a_playable_file(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        import numpy as np
        from vidan.detector import Detections
        from vidan.pipeline.annotate import Annotator
        from vidan.pipeline.frame import Frame, FrameResult, Stamp
        from vidan.pipeline.sinks.video import AnnotatedVideoSink
        from vidan.trackers import Tracks

        annotator = lambda height, width: Annotator(height, width, class_names=())
        sink = AnnotatedVideoSink(Path(sys.argv[1]), stream="door", make_annotator=annotator)
        for i in range(100):
            frame = Frame.from_array(Stamp("door", i, i / 10), np.full((48, 64, 3), i, np.uint8))
            sink.write(FrameResult(frame, Detections.empty(), Tracks.empty(), (), ()))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "a.mp4"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)], timeout=60, check=False, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL
    frames = decode(path)
    # 9.9 s were written: less the queue, the encoder's 10 pictures of look-ahead and one fragment of 2 s
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(len(frames))])
    assert len(frames) >= 60
