"""Footage at URLs is found, copied piece by piece, and explained where it cannot be had."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from range_server import RangeServer, range_server

from vidan.pipeline.batch.downloads import Downloads
from vidan.pipeline.batch.footage import VIDEO_ENDINGS, find_clips
from vidan.pipeline.batch.remote import find_remote
from vidan.pipeline.batch.remote_errors import shown_url
from vidan.pipeline.cli.main import main
from vidan.pipeline.errors import SourceError

pytest.importorskip("fsspec", reason="needs vidan[remote]")
pytest.importorskip("aiohttp", reason="needs vidan[remote]")

MakeClip = Callable[[int], Path]


@pytest.fixture
def server(tmp_path: Path, clip: MakeClip) -> Iterator[RangeServer]:
    """Two recordings of camera a, one behind the other."""
    folder = tmp_path / "there" / "a"
    folder.mkdir(parents=True)
    shutil.copy(clip(30), folder / "20260501_080000.mp4")
    shutil.copy(clip(25), folder / "20260501_080001.mp4")
    with range_server(tmp_path / "there") as serving:
        yield serving


def test_a_copy_goes_on_where_it_broke_off(
    server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidan.pipeline.batch.remote.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("vidan.pipeline.batch.downloads.CHUNK", 4000)
    name = "a/20260501_080000.mp4"
    content = (server.folder / name).read_bytes()
    (remote,) = find_remote(f"{server.url}/{name}", VIDEO_ENDINGS)
    downloads, path = Downloads(tmp_path / "downloads", 1 << 30), tmp_path / "downloads/key/x.mp4"
    asked = iter([False, False, True])
    assert not downloads.fetch(remote, path, lambda: next(asked))  # stopped after two pieces
    downloads.release(path)
    assert path.with_name("x.mp4.part").read_bytes() == content[:8000]
    server.sent.clear()
    server.breaks_at = 1000  # a connection that breaks is asked again
    assert downloads.fetch(remote, path, lambda: False)
    assert path.read_bytes() == content
    assert server.sent[name] == len(content) - 8000 + 1000
    downloads.release(path)
    downloads.close()
    assert not (tmp_path / "downloads").exists()


def test_a_file_that_changes_while_it_is_copied_is_not_taken(server: RangeServer, tmp_path: Path) -> None:
    name = "a/20260501_080000.mp4"
    (remote,) = find_remote(f"{server.url}/{name}", VIDEO_ENDINGS)
    with (server.folder / name).open("r+b") as file:
        file.write(b"other")
    with pytest.raises(SourceError, match="has changed while it was copied"):
        Downloads(tmp_path, 1 << 30).fetch(remote, tmp_path / "key/x.mp4", lambda: False)


def test_object_stores_are_listed_and_searched_like_folders(clip: MakeClip, tmp_path: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    for name in ("b/north/2.mp4", "b/north/10.mp4", "b/south/1.mp4", "b/north/notes.txt"):
        store.pipe(f"/{tmp_path.name}/{name}", clip(25).read_bytes())
    bucket = f"memory://{tmp_path.name}/b"
    whole = find_clips([bucket], downloads=tmp_path)
    some = find_clips([f"{bucket}/north/*"], downloads=tmp_path)
    assert ["/".join(found.place.parts[-2:]) for found in whole] == ["north/2.mp4", "north/10.mp4", "south/1.mp4"]
    assert [found.place.name for found in some] == ["2.mp4", "10.mp4"]
    listed = tmp_path / "list.txt"
    listed.write_text(f"{bucket}/south/1.mp4\n")
    table = tmp_path / "table.csv"
    table.write_text(f"path,camera,start\n{bucket}/south/1.mp4,west,2026-05-01T08:00:00Z\n")
    assert find_clips([str(listed)], downloads=tmp_path)[0].path == whole[2].path
    assert find_clips([str(table)], downloads=tmp_path)[0].camera == "west"
    table.write_text(f"path,start\n{bucket}/*/*.mp4,2026-05-01T08:00:00Z\n")
    with pytest.raises(SourceError, match=r"table\.csv:2: .* cannot all begin at one time"):
        find_clips([str(table)], downloads=tmp_path)
    recording = whole[0].open()
    assert sum(1 for _ in recording.pictures()) == 25
    recording.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("{server}/a/missing.mp4", "missing.mp4 does not exist"),
        ("{server}/a/secret.mp4?signature=hush-hush", r"secret.mp4\?… may not be read: the other side refuses"),
        ("{server}/a/*.mkv", "no video matches"),
        ("http://127.0.0.1:9/x.mp4", "x.mp4 cannot be reached"),
        ("carrier://pigeon/x.mp4", "carrier is no known kind of URL"),
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_its_secrets(url: str, words: str, server: RangeServer) -> None:
    server.forbidden.add("a/secret.mp4")
    with pytest.raises(SourceError, match=words) as caught:
        find_remote(url.format(server=server.url), VIDEO_ENDINGS)
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "library"), [("s3", "s3fs"), ("gs", "gcsfs"), ("sftp", "paramiko")])
def test_what_must_be_installed_is_told(scheme: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = import_module("fsspec.registry")  # the name of which, within fsspec, is another thing
    monkeypatch.delitem(registry._registry, scheme, raising=False)
    monkeypatch.delitem(sys.modules, "vidan.pipeline.batch.sftp", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SourceError, match=rf"needs pip install 'vidan\[{scheme}\]'"):
        find_remote(f"{scheme}://place/x.mp4", VIDEO_ENDINGS)


def test_a_server_without_parts_of_files_is_named(server: RangeServer) -> None:
    server.has_ranges = False
    (remote,) = find_remote(f"{server.url}/a/20260501_080000.mp4", VIDEO_ENDINGS)
    file = remote.open()
    file.seek(5000)
    with pytest.raises(SourceError, match="gives no parts of files"):
        file.read(10)
    file.close()
    server.says_so = True
    (remote,) = find_remote(f"{server.url}/a/20260501_080000.mp4", VIDEO_ENDINGS)
    with pytest.raises(SourceError, match="gives no parts of files"):
        remote.open()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sftp://me:pass@host/rec/a.mp4", "sftp://host/rec/a.mp4"),
        ("https://me:p@ss@host/a.mp4?X-Amz-Signature=1", "https://host/a.mp4?…"),
        ("s3://bucket/a@b.mp4", "s3://bucket/a@b.mp4"),
        ("HTTPS://host/a.mp4?sig=1", "HTTPS://host/a.mp4?…"),
        ("simplecache::https://me:pass@host/a.mp4?sig=1", "simplecache::https://host/a.mp4?…"),
        ("recordings/a.mp4", "recordings/a.mp4"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(("option", "value"), [("--part", "0"), ("--workers", "two"), ("--cache", "-1")])
def test_an_amount_that_cannot_be_is_named(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["batch", "config.yaml", f"{option}={value}"])
    assert f"argument {option}: {value} is no" in capsys.readouterr().err


def test_an_unknown_option_is_named_without_the_footage_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["batch", "config.yaml", "--output", "out", "http://me:hush-hush@host/a.mp4", "--faster"])
    said = capsys.readouterr().err
    assert "unrecognized arguments: --faster" in said
    assert "hush-hush" not in said
