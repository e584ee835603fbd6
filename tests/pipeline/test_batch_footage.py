"""Names, tables and headers of recordings become timelines of cameras."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.batch.footage import Clip, assign, find_clips
from vidan.pipeline.batch.names import NamePattern
from vidan.pipeline.batch.timeline import Probed, lay_out
from vidan.pipeline.batch.workers import Share, share_of
from vidan.pipeline.errors import ConfigError, SourceError
from vidan.pipeline.sources.packet_index import index_packets
from vidan.pipeline.sources.recording import Recording

EIGHT = datetime(2026, 5, 1, 8, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("pattern", "path", "camera", "start"),
    [
        ("{camera}_{start:%Y%m%d_%H%M%S}.mp4", "/x/north_20260501_080000.mp4", "north", EIGHT),
        ("{camera}_{start:%Y%m%d_%H%M%S}", "north_gate-2_20260501_080000.mkv", "north_gate-2", EIGHT),
        ("{camera}/{start:%Y-%m-%d}/*", "/data/south/2026-05-01/part7.avi", "south", EIGHT.replace(hour=0)),
        ("{start:%s}-{camera}", "/x/1777622400-west.ts", "west", EIGHT),
        ("{camera}_{start:%Y%m%dT%H%M%S%z}", "/x/a_20260501T100000+0200.mp4", "a", EIGHT),
        ("{camera}_*", "/x/a_whatever.mp4", "a", None),
    ],
)
def test_a_name_tells_camera_and_start(pattern: str, path: str, camera: str, start: datetime | None) -> None:
    told = NamePattern(pattern, UTC).read(path)
    assert told is not None
    assert (told.camera, told.start) == (camera, start)


def test_a_start_without_offset_is_of_the_time_zone_that_was_named() -> None:
    told = NamePattern("{start:%Y%m%d_%H%M%S}", BERLIN).read("20260501_100000.mp4")
    assert told is not None
    assert told.start == EIGHT


@pytest.mark.parametrize("path", ["/x/north.mp4", "/x/north_20260231_080000.mp4", "/x/north_20260501.mp4"])
def test_a_name_that_does_not_fit_tells_nothing(path: str) -> None:
    assert NamePattern("{camera}_{start:%Y%m%d_%H%M%S}", UTC).read(path) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("plain", "neither {camera} nor {start"),
        ("{camera}_{start}", "needs the format"),
        ("{camera}_{start:%Q}", "%Q is not known"),
        ("{camera}_{start:%H%M}", "no year"),
        ("{camera}_{camera}", "twice"),
        ("{kamera}", "only {camera} and"),
        ("{camera:%Y}", "has no format"),
    ],
)
def test_a_pattern_that_cannot_be_read_is_explained(pattern: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("{", r"\{").replace("}", r"\}")):
        NamePattern(pattern, UTC)


def test_a_pattern_without_a_time_zone_asks_for_one() -> None:
    with pytest.raises(ConfigError, match="--timezone"):
        NamePattern("{camera}_{start:%Y%m%d_%H%M%S}")


@given(
    moment=st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)),
    camera=st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True),
)
@settings(max_examples=50, deadline=None)
def test_what_a_pattern_writes_it_reads(moment: datetime, camera: str) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    told = NamePattern("{camera}_{start:%Y%m%d_%H%M%S}", UTC).read(f"{camera}_{moment:%Y%m%d_%H%M%S}.mp4")
    assert told is not None
    assert (told.camera, told.start) == (camera, moment)


def test_folders_lists_and_tables_give_their_videos_once_each_as_they_are_named(tmp_path: Path) -> None:
    for name in ("deep/er/2.mp4", "deep/10.MP4", "deep/notes.doc", "one.mkv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("# the first\none.mkv\ndeep\n")
    (tmp_path / "table.csv").write_text("path,camera,start\none.mkv,gate,2026-05-01T10:00:00+02:00\n")
    clips = find_clips([str(tmp_path / name) for name in ("table.csv", "list.txt", "deep/*.MP4")], downloads=tmp_path)
    assert [clip.path.name for clip in clips] == ["one.mkv", "10.MP4", "2.mp4"]
    assert clips[0] == Clip(tmp_path / "one.mkv", "gate", EIGHT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("camera,start\n", "1: has no column `path`"),
        ("path,colour\n", "unknown columns colour"),
        ("path\nnone.mp4\n", "2: there is no file"),
        ("path,start\nthere.mp4,yesterday\n", "2: start 'yesterday' is no time"),
        ("path,start\nthere.mp4,2026-05-01 08:00\n", "says no time zone"),
    ],
)
def test_a_table_that_cannot_be_read_is_explained_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "there.mp4").touch()
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(SourceError, match=words):
        find_clips([str(tmp_path / "table.csv")], downloads=tmp_path)


def test_clips_find_their_camera_by_name_by_folder_or_because_there_is_only_one() -> None:
    clips = [
        Clip(Path("/x/North/1.mp4")),
        Clip(Path("/x/2.mp4"), "SOUTH"),
        Clip(Path("/x/3.mp4")),
        Clip(Path("/x/4.mp4"), "roof"),
    ]
    found, left_out = assign(clips, ["north", "south"])
    assert {name: [clip.path.name for clip in own] for name, own in found.items()} == {
        "north": ["1.mp4"],
        "south": ["2.mp4"],
    }
    assert [(Path(left.shown).name, left.reason.split(":")[0]) for left in left_out] == [
        ("3.mp4", "neither its name nor a folder tells its camera"),
        ("4.mp4", "the config has no stream of the camera roof; it has north, south"),
    ]
    found, left_out = assign(clips, ["any"])
    assert sorted(found) == ["SOUTH", "any", "roof"]
    assert not left_out


def _probed(name: str, start: float | None = None, seconds: float = 60.0, created: float | None = None) -> Probed:
    def at(offset: float | None) -> datetime | None:
        return None if offset is None else EIGHT + timedelta(seconds=offset)

    return Probed(Clip(Path(name), "a", at(start)), seconds, round(25 * seconds), at(created))


def test_recordings_are_put_in_the_order_of_their_starts_and_gaps_and_overlaps_are_told() -> None:
    timeline = lay_out([_probed("c", 200), _probed("a", 0), _probed("b", 61), _probed("d", 230)], 2.0)
    assert [file.path.name for file in timeline.placed] == ["a", "b", "c", "d"]
    assert [(span.before.name, span.after.name, span.seconds) for span in timeline.gaps] == [("b", "c", 79.0)]
    assert [(span.before.name, span.after.name, span.seconds) for span in timeline.overlaps] == [("c", "d", 30.0)]
    assert timeline.problems == ("d begins 30.0 s before c ends",)


def test_creation_times_are_believed_only_where_they_fit_the_lengths() -> None:
    good = lay_out([_probed("1", created=100), _probed("2", created=0)], 2.0)
    assert [file.path.name for file in good.placed] == ["2", "1"]
    same = lay_out([_probed("1", created=0), _probed("2", created=0)], 2.0)
    assert [(file.path.name, file.start) for file in same.placed] == [("1", EIGHT), ("2", None)]
    assert "contradict" in same.problems[0]


@pytest.mark.parametrize(
    ("cores", "memory", "wanted", "expected"),
    [(2, 8, None, Share(2, 1)), (8, 3, None, Share(3, 2)), (1, 0, None, Share(1, 1)), (8, 64, 2, Share(2, 4))],
)
def test_a_machine_is_divided_by_its_cores_and_its_memory(
    cores: int, memory: int, wanted: int | None, expected: Share
) -> None:
    assert share_of(cores, memory << 30, wanted) == expected


CODECS = [
    ("libx264", "clip.mp4", {"g": "10", "bf": "2"}),
    ("libx264", "open.ts", {"g": "10", "bf": "3", "x264-params": "open-gop=1"}),
    ("libx265", "clip.mkv", {"x265-params": "keyint=10:min-keyint=10:open-gop=1:log-level=error"}),
    ("mpeg4", "clip.avi", {"g": "10"}),
    ("mjpeg", "clip.mkv", {}),
    ("libvpx-vp9", "clip.webm", {"g": "10", "deadline": "realtime", "cpu-used": "8"}),
    ("libsvtav1", "clip.mp4", {"g": "10", "preset": "12"}),
]


@pytest.mark.parametrize(("codec", "name", "options"), CODECS, ids=[f"{codec}-{name}" for codec, name, _ in CODECS])
def test_pictures_behind_a_cut_are_the_same_as_when_everything_before_was_decoded(
    video_factory: Callable[..., Path], codec: str, name: str, options: dict[str, str]
) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = video_factory(name, codec=codec, options=options, pixel_format=pixel_format, numbers=range(60), fps=10)
    index = index_packets(path)
    assert index is not None
    recording = Recording(path)
    whole = {picture.frame.pts: picture.frame.to_ndarray() for picture in recording.pictures()}
    recording.close()
    assert list(whole) == index.pts.tolist()
    cuts = index.cuts(1.5)
    assert cuts
    for cut in cuts:
        part = Recording(path)
        part.seek(index.key_before(cut))
        behind = [picture.frame for picture in part.pictures() if (picture.frame.pts or 0) >= cut]
        part.close()
        assert [frame.pts for frame in behind] == [pts for pts in whole if pts is not None and pts >= cut]
        for frame in behind:
            np.testing.assert_array_equal(frame.to_ndarray(), whole[frame.pts])
