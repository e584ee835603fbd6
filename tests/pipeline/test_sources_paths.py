"""What a config names becomes files in the order people expect; thinning chooses among pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources.paths import expand
from vidan.pipeline.sources.thinning import Thinning


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_globs_are_in_natural_order_and_lists_in_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "cam10.mp4", "cam9.mp4", "cam1.mp4", "a/cam2.mp4", "notes.txt")
    assert [path.name for path in expand(tmp_path / "*.mp4")] == ["cam1.mp4", "cam9.mp4", "cam10.mp4"]
    assert len(expand(str(tmp_path / "**" / "*.mp4"))) == 4
    named = [tmp_path / "cam10.mp4", tmp_path / "cam1.mp4"]
    assert expand(named) == named
    assert [path.name for path in expand([tmp_path / "a" / "*.mp4", named[1]])] == ["cam2.mp4", "cam1.mp4"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "gate [north]?.mp4")
    assert expand(path) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("campos.mp4", "campos.mp4 does not exist; did you mean {0}/Campus.mp4?"),
        ("viedos/campus.mp4", "viedos/campus.mp4 does not exist; did you mean {0}/videos?"),
        ("zebra.mkv", "zebra.mkv does not exist"),
        ("*.avi", "no file matches {0}/*.avi"),
    ],
)
def test_a_missing_file_is_named_with_the_nearest_one_that_exists(tmp_path: Path, name: str, message: str) -> None:
    touch(tmp_path, "Campus.mp4", "videos/other.mp4")
    with pytest.raises(SourceError, match=re.escape(message.format(tmp_path)) + "$"):
        expand(tmp_path / name)


def test_an_empty_list_is_an_error() -> None:
    with pytest.raises(SourceError, match="at least one path"):
        expand([])


def test_stride_counts_pictures() -> None:
    thinning = Thinning(stride=3)
    assert [index for index in range(10) if thinning.keeps(index, index / 25)] == [0, 3, 6, 9]


@pytest.mark.parametrize(
    ("fps", "max_fps", "kept_in_ten_seconds"),
    [(25.0, 10.0, 100), (30.0, 30.0, 300), (29.97, 30.0, 300), (30.0, 29.0, 290), (25.0, 0.5, 5), (10.0, 60.0, 100)],
)
def test_max_fps_is_kept_on_the_clock_without_drift(fps: float, max_fps: float, kept_in_ten_seconds: int) -> None:
    thinning = Thinning(max_fps=max_fps)
    milliseconds = [
        int(index / fps * 1000) / 1000 for index in range(int(10 * fps) + 1)
    ]  # rounded down, as Matroska does
    kept = sum(thinning.keeps(index, seconds) for index, seconds in enumerate(milliseconds) if seconds < 10)
    assert abs(kept - kept_in_ten_seconds) <= 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=60), st.floats(0.3, 40))
def test_max_fps_holds_for_any_frame_times(waits: list[float], max_fps: float) -> None:
    thinning = Thinning(max_fps=max_fps)
    seconds, kept = 0.0, []
    for index, wait in enumerate(waits):
        if thinning.keeps(index, seconds):
            kept.append(seconds)
        seconds += wait
    assert kept[0] == 0.0
    assert len(kept) <= seconds * max_fps + 2


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"max_fps": 0.0}, {"max_fps": -1.0}])
def test_thinning_refuses_what_would_keep_nothing(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Thinning(**wrong)  # type: ignore[arg-type]
