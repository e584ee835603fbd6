"""Sound recordings of every kind come out upright, in order, with their times and colours."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vidan.pipeline.frame import Frame
from vidan.pipeline.sources.video import VideoSource


def read(source: VideoSource) -> list[Frame]:
    frames = list(source)
    source.close()
    return frames


def seconds_of(frames: list[Frame]) -> list[float]:
    return [round(frame.stamp.pts_seconds, 6) for frame in frames]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("b_frames.mp4", {"options": {"bf": "3", "g": "30"}}),
        ("clip.mkv", {}),
        ("clip.ts", {}),
        ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("clip.avi", {"codec": "mpeg4"}),
        ("motion.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        (
            "ten_bits.mkv",
            {"codec": "libx265", "pixel_format": "yuv420p10le", "options": {"x265-params": "log-level=none"}},
        ),
        ("cam:1 [é].mp4", {}),
    ],
)
def test_every_picture_comes_in_order_with_its_time(name, settings, video_factory, read_number) -> None:
    source = VideoSource("gate", video_factory(name, numbers=range(20), **settings))
    frames = read(source)
    assert [read_number(frame.image) for frame in frames] == list(range(20))
    assert [frame.stamp.index for frame in frames] == list(range(20))
    assert seconds_of(frames) == [round(i / 10, 6) for i in range(20)]
    assert {frame.stamp.stream for frame in frames} == {"gate"}
    assert source.health.problems == []
    assert (source.health.decoded, source.health.delivered, source.health.corrupt) == (20, 20, 0)
    assert source.health.expected == (None if name.endswith(".ts") else 20)
    assert source.health.gaps == []


def test_variable_frame_rate_keeps_its_times(video_factory) -> None:
    times = [0, 40, 80, 200, 360, 401, 2000, 2040]
    path = video_factory("vfr.mp4", numbers=range(8), times=times, time_base=Fraction(1, 1000))
    source = VideoSource("gate", path)
    assert seconds_of(read(source)) == [time / 1000 for time in times]
    assert source.health.repaired_pts == 0
    ((start, end),) = source.health.gaps
    assert 0.401 < start < 1.0
    assert end == 2.0


def test_a_raw_stream_without_times_gets_those_of_its_own_rate(video_factory, read_number) -> None:
    source = VideoSource("gate", video_factory("raw.h264", numbers=range(12), options={"bf": "2"}))
    frames = read(source)
    assert [read_number(frame.image) for frame in frames] == list(range(12))
    assert seconds_of(frames) == [round(i / 10, 6) for i in range(12)]
    assert source.health.repaired_pts == 12
    assert source.health.expected is None


@pytest.mark.parametrize(
    ("degrees", "mirror_x", "mirror_y"),
    [(degrees, False, False) for degrees in (0, 90, 180, 270)]
    + [(degrees, mirror_x, not mirror_x) for degrees in (0, 90) for mirror_x in (True, False)],
)
def test_pictures_are_turned_as_the_camera_was_held(degrees, mirror_x, mirror_y, video_factory, picture) -> None:
    path = video_factory(size=(90, 130), pixel_format="yuv444p", numbers=[21], rotation=(degrees, mirror_x, mirror_y))
    upright = np.rot90(picture(21, 90, 130), degrees // 90)  # counter-clockwise, as `rotation` is; mirrored after it
    upright = upright[:, ::-1] if mirror_x else upright
    upright = upright[::-1] if mirror_y else upright
    (frame,) = read(VideoSource("gate", path))
    assert (frame.height, frame.width) == upright.shape[:2]
    assert frame.image.flags.c_contiguous
    assert np.abs(frame.image.astype(int) - upright).mean() < 6
    assert frame.resized(45, 45).shape == (45, 45, 3)


@pytest.mark.parametrize("size", [(241, 321), (97, 131), (2, 2)])
def test_odd_and_tiny_sizes_are_read_whole(size, video_factory, picture) -> None:
    path = video_factory("odd.avi", codec="mpeg4", size=size, numbers=[5], options={"q": "2"})
    (frame,) = read(VideoSource("gate", path))
    assert frame.image.shape == (*size, 3)
    if size[0] > 2:
        assert np.abs(frame.image[-1].astype(int) - picture(5, *size)[-1]).mean() < 12, "the last row is there"
        assert np.abs(frame.image[:, -1].astype(int) - picture(5, *size)[:, -1]).mean() < 12, "the last column, too"


@pytest.mark.parametrize(
    ("codec", "name", "pixel_format"),
    [
        ("ffv1", "gray.mkv", "gray"),
        ("ffv1", "gray16.mkv", "gray16le"),
        ("ffv1", "alpha.mkv", "yuva420p"),
        ("ffv1", "ten.mkv", "yuv422p10le"),
        ("ffv1", "rgba.mkv", "bgra"),
        ("rawvideo", "raw.avi", "bgr24"),
    ],
)
def test_every_pixel_format_becomes_rgb(codec, name, pixel_format, video_factory, picture) -> None:
    (frame,) = read(VideoSource("gate", video_factory(name, codec=codec, pixel_format=pixel_format, numbers=[9])))
    expected = picture(9, 96, 128).astype(float)
    if "gray" in pixel_format:
        expected = np.repeat((expected @ [0.299, 0.587, 0.114])[..., None], 3, axis=-1)
    assert np.abs(frame.image - expected).mean() < 4


@pytest.mark.parametrize(("colorspace", "red", "blue"), [(1, 0.2126, 0.0722), (6, 0.299, 0.114)])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_follow_the_matrix_and_range_of_the_file(tmp_path, colorspace, red, blue, full_range) -> None:
    """A plain colour, put into YUV by the formulas of BT.709 and BT.601, comes back from a tagged lossless file."""
    rgb = np.array([200, 60, 40])
    luma = (rgb / 255) @ [red, 1 - red - blue, blue]
    chroma = (rgb[2] / 255 - luma) / (2 * (1 - blue)), (rgb[0] / 255 - luma) / (2 * (1 - red))
    scale, offset, chroma_scale = (255, 0, 255) if full_range else (219, 16, 224)
    planes = [offset + scale * luma, 128 + chroma_scale * chroma[0], 128 + chroma_scale * chroma[1]]

    path = tmp_path / "colour.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = colorspace
        stream.codec_context.color_range = 2 if full_range else 1
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.colorspace, frame.color_range = colorspace, 2 if full_range else 1
        for plane, value in zip(frame.planes, planes, strict=True):
            plane.update(bytes([round(value)]) * plane.buffer_size)
        container.mux([*stream.encode(frame), *stream.encode(None)])

    (read_frame,) = read(VideoSource("gate", path))
    assert np.abs(read_frame.image.astype(int) - rgb).max() <= 4
    assert np.abs(read_frame.resized(24, 32).astype(int) - rgb).max() <= 4


def test_the_resized_picture_is_the_full_one_scaled_and_always_the_same(shared: Path) -> None:
    path = shared / "media" / "campus" / "campus.avi"
    first, again = VideoSource("gate", path), VideoSource("gate", path)
    for _, one, other in zip(range(3), first, again, strict=False):
        small = one.resized(288, 384)
        assert np.array_equal(small, cv2.resize(one.image, (384, 288), interpolation=cv2.INTER_LINEAR))
        assert np.array_equal(small, other.resized(288, 384))
    first.close()
    again.close()


def test_stride_and_max_fps_skip_pictures_but_count_them(video_factory, read_number) -> None:
    path = video_factory(numbers=range(30))
    source = VideoSource("gate", path, stride=4)
    frames = read(source)
    assert [frame.stamp.index for frame in frames] == [0, 4, 8, 12, 16, 20, 24, 28]
    assert [read_number(frame.image) for frame in frames] == [0, 4, 8, 12, 16, 20, 24, 28]
    assert (source.health.decoded, source.health.delivered) == (30, 8)

    frames = read(VideoSource("gate", path, max_fps=4))
    assert [frame.stamp.index for frame in frames] == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]


def test_the_wall_clock_comes_from_the_config_or_the_container_or_nowhere(video_factory) -> None:
    created = video_factory("created.mp4", numbers=[0, 1], metadata={"creation_time": "2024-05-06T07:08:09Z"})
    first = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert [frame.stamp.utc for frame in read(VideoSource("gate", created))] == [first, first + timedelta(seconds=0.1)]
    told = datetime(2020, 1, 1, tzinfo=UTC)
    assert next(iter(VideoSource("gate", created, start_time=told))).stamp.utc == told
    assert next(iter(VideoSource("gate", video_factory("plain.mp4")))).stamp.utc is None


def test_several_files_are_one_stream(video_factory, read_number) -> None:
    for part, numbers in [(1, range(10)), (2, range(10, 25)), (10, range(25, 30))]:
        path = video_factory(f"part{part}.mp4", numbers=numbers)
    source = VideoSource("gate", path.parent / "part*.mp4")
    frames = read(source)
    assert [read_number(frame.image) for frame in frames] == list(range(30))
    assert [frame.stamp.index for frame in frames] == list(range(30))
    assert seconds_of(frames) == [round(i / 10, 6) for i in range(30)]
    assert (source.health.expected, source.health.duration_seconds) == (30, pytest.approx(3.0))
    assert source.health.problems == []


def test_a_change_of_size_is_reported_and_scaled_away(video_factory, read_number) -> None:
    paths = [video_factory("a.mp4", numbers=range(5)), video_factory("b.mp4", numbers=range(5, 10), size=(192, 256))]
    source = VideoSource("gate", paths)
    frames = read(source)
    assert {frame.image.shape for frame in frames} == {(96, 128, 3)}
    assert [read_number(frame.image) for frame in frames] == list(range(10))
    assert source.health.problems == [
        "pictures change from 128×96 to 256×192 at 0.5 s; they are scaled to the first size"
    ]


def test_the_size_can_change_in_the_middle_of_a_file(video_factory, tmp_path, read_number) -> None:
    raw = [video_factory("a.h264", numbers=range(5)), video_factory("b.h264", numbers=range(5, 10), size=(192, 256))]
    joined = tmp_path / "joined.h264"
    joined.write_bytes(b"".join(path.read_bytes() for path in raw))
    source = VideoSource("gate", joined)
    frames = read(source)
    assert {frame.image.shape for frame in frames} == {(96, 128, 3)}
    assert [read_number(frame.image) for frame in frames] == list(range(10))
    assert len(source.health.problems) == 1


def test_pictures_that_an_edit_list_hides_are_not_missed(video_factory, read_number) -> None:
    source = VideoSource("gate", video_factory(times=range(-5, 25), options={"bf": "0"}))
    frames = read(source)
    assert [read_number(frame.image) for frame in frames] == list(range(5, 30))
    assert frames[0].stamp.pts_seconds == 0.0
    assert (source.health.expected, source.health.problems) == (25, [])


def test_frames_outlive_the_source_and_convert_in_any_thread(video_factory, read_number) -> None:
    source = VideoSource("gate", video_factory(numbers=range(16)))
    frames = read(source)
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda part=frames[k::4]: numbers.extend(read_number(f.image) for f in part))
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(16))


def test_closing_from_another_thread_ends_the_reading_quietly(video_factory) -> None:
    path = video_factory(size=(240, 320), numbers=range(60))
    for pause in range(5):
        source = VideoSource("gate", path)
        started = threading.Event()
        failures: list[BaseException] = []

        def consume(source=source, started=started, failures=failures) -> None:
            try:
                for frame in source:
                    started.set()
                    assert frame.image.any()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=consume)
        thread.start()
        started.wait(5)
        threading.Event().wait(0.004 * pause)
        source.close()
        source.close()
        thread.join(5)
        assert not thread.is_alive()
        assert failures == []
        assert source.health.problems == [], "what was not read is not called truncated"


def test_a_source_describes_itself_in_plain_values(video_factory) -> None:
    path = video_factory(numbers=range(10))
    description = VideoSource("gate", path).describe()
    assert (description["type"], description["width"], description["height"]) == ("video", 128, 96)
    (file,) = description["files"]
    assert file["path"] == str(path)
    assert (file["codec"], file["fps"], file["frames"], file["duration_seconds"]) == ("h264", 10.0, 10, 1.0)
