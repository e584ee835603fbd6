"""Damaged, cut-off and wrong files: what is lost is counted and said, the rest is read."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import av
import numpy as np
import pytest

from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources.recording import Recording
from vidan.pipeline.sources.video import VideoSource


def cut(path: Path, share: float) -> Path:
    """Keeps the first part of a file."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def rounded(gaps: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(round(start, 3), round(end, 3)) for start, end in gaps]


def test_a_corrupt_picture_is_skipped_counted_and_reported(video_factory, read_number) -> None:
    path = video_factory("motion.avi", codec="mjpeg", pixel_format="yuvj420p", numbers=range(20), ruined=[4, 5, 11])
    source = VideoSource("gate", path)
    frames = list(source)
    assert [read_number(frame.image) for frame in frames] == [n for n in range(20) if n not in (4, 5, 11)]
    assert [round(frame.stamp.pts_seconds, 3) for frame in frames] == [n / 10 for n in range(20) if n not in (4, 5, 11)]
    assert [frame.stamp.index for frame in frames] == list(range(17))
    assert (source.health.expected, source.health.decoded, source.health.corrupt) == (20, 17, 3)
    assert rounded(source.health.gaps) == [(0.4, 0.6), (1.1, 1.2)]
    assert source.health.problems == [
        "motion.avi is damaged: packets or pictures that were skipped: 3, the first before 0.60 s"
    ]


def test_pictures_that_may_refer_to_a_lost_one_are_called_unsure(video_factory, monkeypatch) -> None:
    path = video_factory("clip.avi", codec="mpeg4", options={"g": "10"}, numbers=range(30))
    decode_next, calls = Recording._decode_next, count()

    def lose_two(self: Recording) -> list[av.VideoFrame] | None:
        frames, call = decode_next(self), next(calls)
        if call not in (4, 23):
            return frames
        self.corrupt += 1
        return []

    source = VideoSource("gate", path)
    monkeypatch.setattr(Recording, "_decode_next", lose_two)
    assert len(list(source)) == 28  # 6 and 25 are lost, and 7-9 and 26-29 may refer to them
    assert source.health.problems[0] == (
        "clip.avi is damaged: packets or pictures that were skipped: 2, the first before 0.70 s; "
        "the 7 pictures from there to the next key frame may be smeared, counts there are unsure"
    )


def test_packets_that_the_decoder_swallows_silently_are_missed(video_factory, read_number) -> None:
    source = VideoSource("gate", video_factory(options={"g": "1", "bf": "0"}, ruined=[4, 5, 20]))
    assert [read_number(frame.image) for frame in source] == [n for n in range(30) if n not in (4, 5, 20)]
    assert source.health.problems == ["clip.mp4 has holes: of the 30 pictures that its header promises, 3 are missing"]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi", "raw.h264"])
@pytest.mark.parametrize("seed", range(2))
def test_scattered_damage_never_stops_the_reading(name, seed, video_factory) -> None:
    path = video_factory(name, options={"g": "2"}, codec="mpeg4" if name.endswith("avi") else "libx264")
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    data[rng.integers(int(len(data) * 0.4), int(len(data) * 0.7), 12)] ^= 0xFF
    path.write_bytes(data.tobytes())
    source = VideoSource("gate", path)
    frames = list(source)
    seconds = [frame.stamp.pts_seconds for frame in frames]
    assert seconds == sorted(set(seconds))
    assert 1 <= len(frames) <= 30
    assert all(frame.image.shape == (96, 128, 3) for frame in frames)
    if not name.endswith((".ts", ".h264")):  # these two promise nothing
        assert len(frames) == 30 or source.health.problems


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("faststart.mp4", {"container_options": {"movflags": "faststart"}, "options": {"g": "5"}}),
        ("clip.avi", {"codec": "mpeg4", "options": {"g": "5"}}),
        ("motion.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("clip.mkv", {"options": {"g": "5"}}),
    ],
)
def test_a_truncated_file_is_read_as_far_as_it_goes_and_reported(name, settings, video_factory, read_number) -> None:
    source = VideoSource("gate", cut(video_factory(name, **settings), 0.7))
    numbers = [read_number(frame.image) for frame in source]
    assert numbers == sorted(numbers)
    assert 2 <= len(numbers) < 27
    assert source.health.expected == 30
    (truncated,) = [problem for problem in source.health.problems if "truncated" in problem]
    assert re.fullmatch(
        rf"{name} is truncated: the last \d\.\d s of the 3\.0 s that its header promises are missing", truncated
    )
    assert source.health.gaps[-1][1] == pytest.approx(3.0)


def test_an_mp4_without_its_index_says_so(video_factory) -> None:
    with pytest.raises(SourceError, match=r"clip.mp4 cannot be opened as a video: its index is missing, as if the rec"):
        VideoSource("gate", cut(video_factory(), 0.3))


def test_in_a_list_the_damaged_file_is_skipped_and_time_goes_on_after_a_cut_one(video_factory, read_number) -> None:
    settings = {"container_options": {"movflags": "faststart"}, "options": {"g": "1", "bf": "0"}}
    paths = [
        video_factory("1.mp4", numbers=range(5)),
        cut(video_factory("2.mp4", numbers=range(5, 9)), 0.5),
        cut(video_factory("3.mp4", numbers=range(20, 40), **settings), 0.7),
        video_factory("4.mp4", numbers=range(40, 45)),
    ]
    source = VideoSource("gate", paths)
    seconds = {read_number(frame.image): round(frame.stamp.pts_seconds, 3) for frame in source}
    assert seconds[4] == 0.4
    assert seconds[20] == 0.5
    assert seconds[40] == 2.5, "the cut file keeps the two seconds that it promised"
    assert source.health.gaps[-1][1] == pytest.approx(2.5)
    skipped, *_, truncated = source.health.problems
    assert skipped.startswith(f"{paths[1]} cannot be opened as a video")
    assert skipped.endswith("; skipped")
    assert truncated.startswith("3.mp4 is truncated")
    assert source.health.expected == 30


def test_a_damaged_time_in_a_transport_stream_is_repaired_and_counted(video_factory) -> None:
    path = video_factory("clip.ts", numbers=range(10), options={"bf": "0", "g": "1"})
    data = path.read_bytes()
    # ISO 13818-1, 2.4.3.6: start code, stream id, length, then flags that promise five bytes of presentation time.
    stamps = [found.end() for found in re.finditer(rb"\x00\x00\x01\xe0..[\x80-\x8f]\x80\x05", data, re.DOTALL)]
    assert len(stamps) == 10
    third = stamps[3]
    path.write_bytes(data[:third] + bytes([data[third] ^ 0x02]) + data[third + 1 :])  # bit 30: more than three hours
    source = VideoSource("gate", path)
    assert [round(frame.stamp.pts_seconds, 3) for frame in source] == [round(n / 10, 3) for n in range(10)]
    assert source.health.repaired_pts == 1


def test_a_file_that_vanishes_before_its_turn_is_reported(video_factory) -> None:
    paths = [video_factory("1.mp4", numbers=range(5)), video_factory("2.mp4", numbers=range(5))]
    source = VideoSource("gate", paths)
    paths[1].unlink()
    assert len(list(source)) == 5
    assert "2.mp4 cannot be opened as a video: No such file" in source.health.problems[0]


def audio_only(folder: Path) -> Path:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none.mp4", "none.mp4 does not exist"),
        (lambda folder: folder, "is a folder: name a file or a glob such as"),
        (lambda folder: written(folder, "zero.mp4", b""), "zero.mp4 is empty (0 bytes)"),
        (lambda folder: written(folder, "config.mp4", b"streams:\n" * 99), "cannot be opened as a video: it is a text"),
        (lambda folder: written(folder, "notes.txt", b"hello world\n" * 99), "notes.txt is a text file, not a video"),
        (lambda folder: written(folder, "noise.mp4", b"\x93\0\xe1" * 999), "cannot be opened as a video: FFmpeg"),
        (audio_only, "sound.mp4 has no video, only audio"),
    ],
)  # fmt: skip
def test_what_is_no_video_is_refused_in_one_sentence(make, message, tmp_path) -> None:
    with pytest.raises(SourceError, match=re.escape(message)) as caught:
        VideoSource("gate", make(tmp_path))
    assert "\n" not in str(caught.value)
    assert "Errno" not in str(caught.value)


def test_an_unknown_codec_is_named_as_the_reason(video_factory) -> None:
    path = video_factory("odd.avi", codec="mpeg4", numbers=[0])
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"ZZZ9"))
    with pytest.raises(SourceError, match="video codec that this FFmpeg cannot decode: convert it"):
        VideoSource("gate", path)


def test_a_video_without_one_good_picture_is_an_error(video_factory) -> None:
    path = video_factory(ruined=range(30))
    with pytest.raises(SourceError, match=r"no picture can be decoded: clip\.mp4 is damaged"):
        VideoSource("gate", path)


def test_a_forbidden_file_says_so(video_factory, monkeypatch) -> None:
    def forbid(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    path = video_factory()
    monkeypatch.setattr(av, "open", forbid)  # chmod would not stop root, as which tests run in containers
    with pytest.raises(SourceError, match=r"clip\.mp4 may not be read by this user: check its permissions"):
        VideoSource("gate", path)
