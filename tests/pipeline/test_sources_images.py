"""Folders of pictures: natural order, a steady rate, and every kind of picture as upright RGB."""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources.images import ImageFolderSource


def save(path: Path, rgb: NDArray[np.uint8] | NDArray[np.uint16]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = rgb[..., [2, 1, 0, *range(3, rgb.shape[-1])]] if rgb.ndim == 3 else rgb
    path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(stored))[1].tobytes())
    return path


@pytest.fixture
def folder(tmp_path: Path, picture) -> Path:
    """Twelve pictures, numbered without leading zeros."""
    for number in range(12):
        save(tmp_path / "yard" / f"frame{number}.png", picture(number, 48, 64))
    (tmp_path / "yard" / "notes.txt").write_text("not a picture")
    (tmp_path / "yard" / "._frame0.png").write_text("what macOS leaves beside a picture")
    return tmp_path / "yard"


def test_pictures_come_in_natural_order_at_the_given_rate(folder, picture) -> None:
    start = datetime(2024, 5, 6, tzinfo=UTC)
    source = ImageFolderSource("yard", folder, fps=4, start_time=start)
    frames = list(source)
    assert [frame.stamp.index for frame in frames] == list(range(12))
    assert [frame.stamp.pts_seconds for frame in frames] == [number / 4 for number in range(12)]
    assert frames[3].stamp.utc == start + timedelta(seconds=0.75)
    assert all(np.array_equal(frame.image, picture(number, 48, 64)) for number, frame in enumerate(frames))
    assert (source.height, source.width) == (48, 64)
    assert (source.health.expected, source.health.decoded, source.health.delivered) == (12, 12, 12)
    assert source.health.duration_seconds == 3.0
    assert source.health.problems == []


def test_a_glob_chooses_and_thinning_skips_without_opening(folder) -> None:
    assert len(list(ImageFolderSource("yard", folder / "frame1*.png", fps=10))) == 3
    (folder / "frame1.png").write_bytes(b"broken, but never opened")
    source = ImageFolderSource("yard", folder, fps=10, stride=4)
    assert [frame.stamp.index for frame in source] == [0, 4, 8]
    assert (source.health.decoded, source.health.delivered, source.health.corrupt) == (12, 3, 0)
    assert [f.stamp.index for f in ImageFolderSource("yard", folder, fps=10, max_fps=4)] == [0, 3, 5, 8, 10]


def test_a_corrupt_picture_leaves_its_place_in_time_empty(folder) -> None:
    whole = (folder / "frame4.png").read_bytes()
    (folder / "frame4.png").write_bytes(whole[: len(whole) // 2])
    (folder / "frame5.png").write_bytes(b"")
    (folder / "frame7.png").write_bytes(b"hello")
    source = ImageFolderSource("yard", folder, fps=10)
    assert [frame.stamp.index for frame in source] == [0, 1, 2, 3, 6, 8, 9, 10, 11]
    assert (source.health.decoded, source.health.corrupt) == (9, 3)
    assert source.health.gaps == [(0.4, 0.6), (0.7, 0.8)]
    assert source.health.problems == ["frame4.png cannot be read as a picture; such files are skipped"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".bmp", ".webp", ".tif"])
def test_every_kind_of_file_is_read(suffix, tmp_path, picture) -> None:
    image = picture(9, 48, 64)
    save(tmp_path / f"höhe 1{suffix}", image)
    (frame,) = ImageFolderSource("yard", tmp_path, fps=1)
    assert np.abs(frame.image.astype(int) - image).mean() < 4


@pytest.mark.parametrize("kind", ["gray", "gray16", "rgb16", "rgba"])
def test_every_depth_and_channel_count_becomes_rgb(kind, tmp_path, picture) -> None:
    image = picture(9, 48, 64)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    stored, expected = {
        "gray": (gray, np.repeat(gray[..., None], 3, axis=-1)),
        "gray16": (gray.astype(np.uint16) * 257, np.repeat(gray[..., None], 3, axis=-1)),
        "rgb16": (image.astype(np.uint16) * 257, image),
        "rgba": (np.dstack([image, np.full((48, 64), 128, np.uint8)]), image),
    }[kind]
    save(tmp_path / "1.png", stored)
    (frame,) = ImageFolderSource("yard", tmp_path, fps=1)
    assert frame.image.dtype == np.uint8
    assert np.abs(frame.image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_orientation_of_a_phone_is_applied(orientation, turns, tmp_path, picture) -> None:
    image = picture(9, 48, 64)
    plain = save(tmp_path / "1.jpg", image).read_bytes()
    # Exif 2.3: a little-endian TIFF header and a directory with the one tag 0x0112, behind the JPEG's start marker.
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    (tmp_path / "1.jpg").write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    (frame,) = ImageFolderSource("yard", tmp_path, fps=1)
    assert np.abs(frame.image.astype(int) - np.rot90(image, turns)).mean() < 6
    assert (frame.height, frame.width) == frame.image.shape[:2]


def test_pictures_of_other_sizes_are_scaled_to_the_first_and_reported_once(folder, picture, read_number) -> None:
    for number in (5, 6):
        save(folder / f"frame{number}.png", picture(number, 96, 128))
    source = ImageFolderSource("yard", folder, fps=10)
    frames = list(source)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert [read_number(frame.image) for frame in frames] == list(range(12))
    assert source.health.problems == [
        "frame5.png is 128×96, the first picture 64×48: pictures of another size are scaled to that of the first"
    ]


def test_folders_without_a_readable_picture_are_errors(tmp_path) -> None:
    with pytest.raises(SourceError, match=re.escape(f"{tmp_path} holds no pictures (.bmp, .jpeg,")):
        ImageFolderSource("yard", tmp_path, fps=10)
    (tmp_path / "1.png").write_bytes(b"hello")
    with pytest.raises(SourceError, match=r"none of the 1 pictures in .* can be read"):
        ImageFolderSource("yard", tmp_path, fps=10)
    with pytest.raises(SourceError, match="does not exist"):
        ImageFolderSource("yard", tmp_path / "yrad", fps=10)
    with pytest.raises(ValueError, match="fps must be above 0"):
        ImageFolderSource("yard", tmp_path, fps=0)


def test_closing_ends_the_stream_and_the_description_is_plain(folder) -> None:
    source = ImageFolderSource("yard", folder, fps=10)
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    assert source.describe() == {
        "type": "images",
        "path": str(folder),
        "width": 64,
        "height": 48,
        "fps": 10,
        "frames": 12,
        "first": "frame0.png",
        "last": "frame11.png",
    }
