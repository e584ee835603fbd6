"""Whole runs over cameras that are absent, and over recordings that are played like cameras."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import pytest

from vidan.pipeline.frame import FrameResult
from vidan.pipeline.job import Outcome, open_streams, read_config, run_job
from vidan.pipeline.stream_record import StreamRecord

CAMPUS = Path(__file__).parents[3] / "samples" / "campus.mp4"
DETECTOR = "detector: {weights: demo, image_size: 96, device: cpu}\noutput: {folder: runs, video: false}\n"


class Run:
    """A run in a thread, until it is stopped."""

    def __init__(self, config: Path) -> None:
        self.streams: Sequence[StreamRecord] = ()
        self._is_stopped = False
        self._outcome: Outcome | Exception | None = None
        self._thread = threading.Thread(target=self._work, args=(config,))
        self._thread.start()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Waits for something about `streams`, which are there once the detector is loaded."""
        deadline = time.monotonic() + 40.0
        while not (self.streams and condition()):
            assert time.monotonic() < deadline, self.streams
            assert self._outcome is None, self._outcome
            time.sleep(0.02)

    def stop(self) -> Outcome:
        self._is_stopped = True
        self._thread.join(20.0)
        assert isinstance(self._outcome, Outcome), self._outcome
        return self._outcome

    def write(self, result: FrameResult) -> None:
        """A run tells its sinks of every frame; this one only wants the accounts of the streams."""

    def close(self) -> None:
        pass

    def _observe(self, streams: Sequence[StreamRecord]) -> Run:
        self.streams = streams
        return self

    def _work(self, config: Path) -> None:
        try:
            self._outcome = run_job(read_config(config), observers=[self._observe], stopped=lambda: self._is_stopped)
        except Exception as error:
            self._outcome = error


@pytest.mark.needs_rtsp
def test_an_absent_camera_stops_no_run_and_the_others_do_not_notice(rtsp_camera, tmp_path: Path) -> None:
    here, absent = rtsp_camera("--fps", "5"), rtsp_camera("--user", "ann", "--password", "s3cret")
    absent.kill()
    config = tmp_path / "run.yaml"
    config.write_text(
        DETECTOR
        + "rules: {gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}}\n"
        + "streams:\n"
        + f"  - {{name: here, source: {{type: rtsp, url: '{here.url}'}}}}\n"
        + f"  - {{name: away, source: {{type: rtsp, url: 'rtsp://ann:s3cret@127.0.0.1:{absent.port}/cam', "
        + "reconnect: {first_delay: 0.2, max_delay: 0.4}}}\n"
    )
    run = Run(config)
    run.wait_for(lambda: run.streams[0].analysed > 10)
    assert run.streams[1].health.state in ("connecting", "waiting")
    absent.start()
    run.wait_for(lambda: run.streams[1].analysed > 10)
    outcome = run.stop()

    text = outcome.folder.manifest.read_text()
    assert "s3cret" not in text
    first, second = json.loads(text)["streams"]
    assert first["gaps"] == []
    assert (second["width"], second["height"]) == (320, 240)
    missing = second["gaps"][0]
    assert (missing["start"], missing["reason"]) == (0.0, "missing"), "it was absent from the beginning"
    assert 0.0 < missing["end"] < second["seconds"]
    assert any("refuses connections" in problem for problem in second["problems"])


def test_a_recording_can_be_played_like_a_camera(video_factory, tmp_path: Path) -> None:
    video_factory(numbers=range(10), fps=10)
    config = tmp_path / "run.yaml"
    config.write_text(
        DETECTOR + "streams: [{name: a, source: {type: video, path: clip.mp4, live: true, loop: true}}]\n"
    )
    run = Run(config)
    run.wait_for(lambda: run.streams[0].analysed > 15)
    record = json.loads(run.stop().folder.manifest.read_text())
    (stream,) = record["streams"]
    assert stream["frames"]["expected"] is None
    assert stream["start_utc"] is not None
    assert stream["seconds"] == pytest.approx(stream["frames"]["decoded"] / 10, abs=0.2)


def test_streams_of_cameras_are_opened_without_asking_them(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("streams: [{name: a, source: {type: rtsp, url: 'rtsp://u:pw@no.invalid/1'}}]\n")
    (stream,) = open_streams(read_config(config).config)
    assert stream.record.source == "rtsp://u:***@no.invalid/1"
    assert stream.source.live
    stream.source.close()


def unroll(folder: Path, width: int, height: int) -> str:
    folder.mkdir()
    with av.open(str(CAMPUS)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 60:
                break
            picture = frame.reformat(width, height, format="yuv420p").to_ndarray()
            (folder / f"{number:05d}.i420").write_bytes(picture.tobytes())
    return str(folder)


@pytest.mark.needs_rtsp
def test_pictures_are_those_of_the_main_stream_and_counting_goes_on_without_it(rtsp_camera, tmp_path: Path) -> None:
    def play(name: str, width: int, height: int):
        film = unroll(tmp_path / name, width, height)
        size = ("--width", str(width), "--height", str(height), "--fps", "10", "--gop", "10", "--kbps", "3000")
        return rtsp_camera("--film", film, *size)

    small, large = play("small", 384, 288), play("large", 768, 576)
    config = tmp_path / "run.yaml"
    config.write_text(
        "detector: {weights: demo, image_size: 320, device: cpu}\n"
        "output: {folder: runs, evidence: true}\n"
        "rules: {plaza: {type: zone, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}\n"
        f"streams: [{{name: a, source: {{type: rtsp, url: '{small.url}'}}, "
        f"main_stream: {{type: rtsp, url: '{large.url}'}}}}]\n"
    )
    run = Run(config)
    run.wait_for(lambda: run.streams[0].main is not None and run.streams[0].main.shown > 30)
    large.kill()
    before = run.streams[0].analysed
    run.wait_for(lambda: run.streams[0].analysed > before + 10)
    outcome = run.stop()

    (stream,) = json.loads(outcome.folder.manifest.read_text())["streams"]
    main = stream["main_stream"]
    assert (stream["width"], stream["height"]) == (384, 288)
    assert (main["width"], main["height"]) == (768, 576)
    assert main["missing"] > 0
    assert main["problems"]
    assert all(gap["reason"] != "missing" for gap in stream["gaps"]), "a busy machine may drop some at the start"
    events = [json.loads(line) for line in outcome.folder.events.read_text().splitlines()]
    boxes = [event["box"] for event in events if event.get("box")]
    assert boxes, events
    assert max(box[2] for box in boxes) <= 390, "the log is in pixels of the sub-stream"
    stills = [cv2.imread(str(path)) for path in outcome.folder.evidence.glob("*.jpg")]
    assert (576, 768) in {still.shape[:2] for still in stills if still is not None}
    videos = sorted((outcome.folder.segments / "a").glob("*.mp4"))
    with av.open(str(videos[-1])) as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (768, 576)
