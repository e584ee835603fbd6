"""Evidence: the right picture, the right events, files that are whole, and memory that ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from vidan.detector import Detections
from vidan.pipeline.drawing import LINE_COLOUR, LineShape, Point, track_colour
from vidan.pipeline.errors import SinkError
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.shapes import Shapes
from vidan.pipeline.sinks import evidence
from vidan.pipeline.sinks.evidence import EvidenceSink, Retention
from vidan.pipeline.sinks.scene import SceneSink
from vidan.pipeline.stills import StillPainter, caption
from vidan.trackers import Tracks

RATE = 10
GATE = LineShape("gate", ((64.0, 0.0), (64.0, 96.0)), ("in", "out"))

Picture = Callable[[int, int, int], NDArray[np.uint8]]
ReadNumber = Callable[[NDArray[np.uint8]], int]


class Unpainted(StillPainter):
    """Leaves pictures as they are, and remembers what it should have painted."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self.asked: list[tuple[str, int, list[int], list[Point]]] = []

    def paint(self, picture: NDArray[np.uint8], event: Event, stamp: Stamp, boxes: object, path: object) -> None:
        assert isinstance(boxes, dict)
        assert isinstance(path, list)
        self.asked.append((event.id, stamp.index, sorted(boxes), path))


def an_event(frame: int, track: int | None = 1, certainty: str = "seen", **changes: object) -> Event:
    name = hashlib.sha256(f"{frame} {track}".encode()).hexdigest()[:16]
    fields = {"label": "person", "pts_seconds": frame / RATE, "utc": None, "frame": frame, "point": (20.0, 40.0)}
    fields |= changes
    return Event(name, EventKind.LINE_CROSSED, "door", "gate", track, details={"certainty": certainty}, **fields)  # pyright: ignore[reportArgumentType]


def tracks_at(*ids: int, left: float = 10.0) -> Tracks:
    count = len(ids)
    return Tracks(
        np.array(ids, np.int64),
        np.tile(np.array([[left, 10, left + 20, 60]], np.float32), (count, 1)),
        np.full(count, 0.9, np.float32),
        np.zeros(count, np.int64),
        np.ones(count, np.float32),
        np.ones(count, np.bool_),
        np.ones(count, np.bool_),
        (),
    )


def results(
    picture: Picture,
    count: int,
    events: Mapping[int, Sequence[Event]] | None = None,
    lag: int = 2,
    size: tuple[int, int] = (96, 128),
) -> list[FrameResult]:
    """Frames with their number painted in; tracks 1 and 2 walk to the right and are counted `lag` frames later."""
    found = []
    for number in range(count):
        stamp = Stamp("door", number, number / RATE)
        counted = ()
        if number >= lag:
            tracks = tracks_at(1, 2, left=10.0 + number - lag)
            counted = (CountedFrame(Stamp("door", number - lag, (number - lag) / RATE), tracks, tracks.xyxy),)
        frame = Frame.from_array(stamp, picture(number, *size))
        found.append(
            FrameResult(frame, Detections.empty(), Tracks.empty(), counted, tuple((events or {}).get(number, ())))
        )
    return found


def a_sink(folder: Path, **changes: object) -> EvidenceSink:
    options = {
        "painters": {"door": Unpainted},
        "limit": 100,
        "late_seconds": 2.0,
    }
    return EvidenceSink(folder / "evidence", **(options | changes))  # pyright: ignore[reportArgumentType]


def write_all(sink: EvidenceSink, told: Sequence[FrameResult]) -> None:
    for result in told:
        sink.write(result)
    sink.close()


def test_a_still_shows_the_frame_of_the_event_however_late_it_is_committed(
    tmp_path: Path, picture: Picture, read_number: ReadNumber
) -> None:
    events = {15: [an_event(13)], 30: [an_event(14), an_event(29, 2)]}
    write_all(a_sink(tmp_path), results(picture, 40, events))
    for event in (an_event(13), an_event(14), an_event(29, 2)):
        still = np.asarray(Image.open(tmp_path / "evidence" / f"{event.id}.jpg"))
        assert read_number(still) == event.frame
    assert len(list((tmp_path / "evidence").iterdir())) == 3


def test_it_is_given_the_box_in_that_picture_and_the_way_up_to_it(tmp_path: Path, picture: Picture) -> None:
    painter = Unpainted(96, 128)
    sink = a_sink(tmp_path, painters={"door": lambda height, width: painter})
    write_all(sink, results(picture, 30, {20: [an_event(12), an_event(12, None)]}))
    (name, frame, boxes, path), everybody = painter.asked
    assert (name, frame, boxes) == (an_event(12).id, 12, [1])
    assert path == [(20.0 + i, 60.0) for i in range(13)]
    assert everybody[2:] == ([1, 2], []), "an event without a track shows everybody"


def test_a_clip_has_the_seconds_before_and_after_also_at_the_ends_of_the_stream(
    tmp_path: Path, picture: Picture, read_number: ReadNumber
) -> None:
    events = {4: [an_event(3)], 25: [an_event(20)], 39: [an_event(38)]}
    write_all(a_sink(tmp_path, stills=False, clip_seconds=1.0), results(picture, 40, events))
    shown = {3: range(14), 20: range(10, 31), 38: range(28, 40)}
    for number, numbers in shown.items():
        with av.open(str(tmp_path / "evidence" / f"{an_event(number).id}.mp4")) as container:
            frames = list(container.decode(video=0))
        assert [read_number(frame.to_ndarray(format="rgb24").astype(np.uint8)) for frame in frames] == list(numbers)
        assert [frame.time for frame in frames] == pytest.approx([i / RATE for i in range(len(frames))])
    assert not list((tmp_path / "evidence").glob("*.jpg"))


def test_only_wanted_events_have_evidence(tmp_path: Path, picture: Picture) -> None:
    events = [an_event(4), replace(an_event(4, 2), rule="yard")]
    write_all(a_sink(tmp_path, rules=("yard",)), results(picture, 10, {5: events}))
    assert [path.stem for path in (tmp_path / "evidence").iterdir()] == [an_event(4, 2).id]


def test_memory_stays_within_its_bound_and_the_nearest_picture_is_shown(
    tmp_path: Path, picture: Picture, read_number: ReadNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MEMORY_BYTES", 8 * 96 * 128 * 3 // 2)
    sink = a_sink(tmp_path)
    for result in results(picture, 40, {39: [an_event(25)]}):
        sink.write(result)
        (memory,) = sink._memories.values()
        assert len(memory._frames) <= 8
    sink.close()
    assert abs(read_number(np.asarray(Image.open(tmp_path / "evidence" / f"{an_event(25).id}.jpg"))) - 25) <= 2


def test_an_event_that_is_known_long_after_it_happened_has_no_picture(tmp_path: Path, picture: Picture) -> None:
    write_all(a_sink(tmp_path), results(picture, 60, {59: [an_event(5), an_event(45)]}))
    assert [path.stem for path in (tmp_path / "evidence").iterdir()] == [an_event(45).id]


def test_large_pictures_are_scaled_down(tmp_path: Path, picture: Picture) -> None:
    write_all(a_sink(tmp_path), results(picture, 3, {2: [an_event(1)]}, size=(1080, 1920)))
    assert Image.open(tmp_path / "evidence" / f"{an_event(1).id}.jpg").size == (1280, 720)


def test_evidence_beyond_the_limit_is_removed(tmp_path: Path, picture: Picture) -> None:
    events = [an_event(number) for number in range(20)]
    doubtful = an_event(25, certainty="interpolated")
    told = {event.frame + 2: [event] for event in [*events, doubtful]}
    write_all(a_sink(tmp_path, limit=3, clip_seconds=0.2), results(picture, 30, told))
    kept = {doubtful.id, *sorted(event.id for event in events)[:2]}
    names = {path.name for path in (tmp_path / "evidence").iterdir()}
    assert names == {f"{name}.{ending}" for name in kept for ending in ("jpg", "mp4")}


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(30)), st.integers(1, 31))
def test_what_is_kept_does_not_depend_on_the_order(order: list[int], limit: int) -> None:
    def kept_of(numbers: Sequence[int]) -> set[str]:
        retention, kept = Retention(limit), set[str]()
        for number in numbers:
            event = an_event(number, certainty="bridged" if number % 7 == 0 else "seen")
            admitted, dropped = retention.offer(event)
            kept = (kept | {event.id} if admitted else kept) - {dropped}
        return kept  # pyright: ignore[reportReturnType]

    kept = kept_of(order)
    assert kept == kept_of(range(30))
    assert len(kept) == min(limit, 30)
    doubtful = {an_event(number).id for number in range(0, 30, 7)}
    assert doubtful <= kept or kept <= doubtful


def test_a_folder_that_cannot_be_written_is_told_in_words(tmp_path: Path, picture: Picture) -> None:
    with pytest.raises(SinkError, match=r"cannot write the evidence .*no/evidence: No such file"):
        a_sink(tmp_path / "no")
    sink = a_sink(tmp_path)
    (tmp_path / "evidence").rmdir()
    with pytest.raises(SinkError, match=r"cannot write the evidence .*output\.folder"):
        write_all(sink, results(picture, 5, {3: [an_event(2)]}))
    sink.close()
    with pytest.raises(ValueError, match="write after close"):
        sink.write(results(picture, 1)[0])


def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(self: object, path: Path, *rest: object, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_up)
    with pytest.raises(SinkError, match="No space left on device; free some space"):
        write_all(a_sink(tmp_path), results(picture, 5, {3: [an_event(2)]}))
    assert list((tmp_path / "evidence").iterdir()) == []


def test_the_painter_draws_line_box_and_caption() -> None:
    painter = StillPainter(96, 128, Shapes((GATE,)))
    picture = np.full((96, 128, 3), 90, np.uint8)
    event = an_event(13, pts_seconds=1.25)
    painter.paint(picture, event, Stamp("door", 13, 1.3), {1: [10.0, 10.0, 30.0, 60.0]}, [(5.0, 60.0), (20.0, 60.0)])
    assert np.abs(picture[20, 64].astype(int) - LINE_COLOUR).max() < 32
    assert np.abs(picture[40, 10].astype(int) - track_colour(1)).max() < 16
    what, when = caption(event, Stamp("door", 13, 1.3))
    assert what == "gate: line crossed seen   track 1   person"
    assert when == f"0:00:01.25   picture 13 (+0.05 s)   event {event.id}"


def test_the_scene_is_kept_again_whenever_the_stream_has_doubled(
    tmp_path: Path, picture: Picture, read_number: ReadNumber
) -> None:
    sink = SceneSink(lambda stream: tmp_path / f"scene-{stream}.jpg")
    shown = []
    for result in results(picture, 60):
        sink.write(result)
        shown.append(read_number(np.asarray(Image.open(tmp_path / "scene-door.jpg"))))
    sink.close()
    assert sorted(set(shown)) == [0, 10, 20, 40]
    with pytest.raises(SinkError, match="cannot write the picture of the scene"):
        SceneSink(lambda stream: tmp_path / "no" / "scene.jpg").write(results(picture, 1)[0])


def test_the_limit_holds_over_sessions(tmp_path: Path, picture: Picture) -> None:
    first = [an_event(number) for number in range(2, 8)]
    write_all(a_sink(tmp_path, limit=4), results(picture, 20, {10: first}))
    kept = [event for event in first if (tmp_path / "evidence" / f"{event.id}.jpg").exists()]
    assert len(kept) == 4
    later = [an_event(number, 2) for number in range(2, 8)]
    write_all(a_sink(tmp_path, limit=4, kept=kept), results(picture, 20, {10: later}))
    together = {path.stem for path in (tmp_path / "evidence").iterdir()}
    assert together == set(sorted(event.id for event in (*kept, *later))[:4])
    write_all(a_sink(tmp_path, limit=1, kept=[e for e in (*kept, *later) if e.id in together]), results(picture, 20))
    assert len(list((tmp_path / "evidence").iterdir())) == 1
