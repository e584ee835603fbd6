"""Footage in real stores: found, copied, gone on with, and explained, as that of a folder here."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

import pytest
from batches import RedAndBlue, batch
from store_servers import SECRET, Store, make_key, missing, start_store

from vidan.pipeline.batch.downloads import Downloads
from vidan.pipeline.batch.footage import VIDEO_ENDINGS, find_clips
from vidan.pipeline.batch.plan import FileStatus, Settings, make_plan
from vidan.pipeline.batch.progress import failures_of
from vidan.pipeline.batch.remote import find_remote
from vidan.pipeline.batch.timeline import probe
from vidan.pipeline.errors import SourceError
from vidan.pipeline.job import read_config

MakeConfig = Callable[..., Path]
MakeClip = Callable[[int], Path]
Vidan = Callable[..., "subprocess.CompletedProcess[str]"]

NAMES = {"names": "{start:%Y%m%d_%H%M%S}", "zone": UTC}
RECORDINGS = {"20260501_080000.mp4": 30, "20260501_080001.mp4": 25}

pytest.importorskip("fsspec", reason="needs vidan[remote]")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, clip: MakeClip) -> Iterator[Callable[[str], Store]]:
    """Each kind of store, with two recordings of camera a, one behind the other; started when first asked for."""
    started: dict[str, Store] = {}

    def get(kind: str) -> Store:
        if (why := missing(kind)) is not None:
            pytest.skip(why)
        if kind not in started:
            started[kind] = start_store(kind, tmp_path_factory.mktemp(kind))
            for name, count in RECORDINGS.items():
                started[kind].put(f"a/{name}", clip(count).read_bytes())
            started[kind].put("a/notes.txt", b"no video")
        return started[kind]

    yield get
    for store in started.values():
        store.server.kill()


def _enter(store: Store, monkeypatch: pytest.MonkeyPatch, **others: str) -> Store:
    """This process finds the store, and forgets what it knew of one before."""
    for name, value in (store.environment | others).items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("AWS_") and name not in store.environment]:
        monkeypatch.delenv(name)
    _forget()
    return store


def _detect_by_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidan.pipeline.batch.detecting.build_detector", lambda config, threads: RedAndBlue())
    monkeypatch.setattr("vidan.pipeline.batch.detecting._loaded", None)


def _forget() -> None:
    import fsspec.asyn

    classes = [fsspec.AbstractFileSystem]
    while classes:
        one = classes.pop()
        one.clear_instance_cache()
        classes += one.__subclasses__()


@pytest.fixture(params=["sftp", "s3", "gs"])
def store(
    request: pytest.FixtureRequest, stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    yield _enter(stores(request.param), monkeypatch)
    _forget()


@pytest.fixture
def sftp(stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    yield _enter(stores("sftp"), monkeypatch)
    _forget()


@pytest.fixture
def s3(stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    yield _enter(stores("s3"), monkeypatch)
    _forget()


def test_a_batch_from_a_store_gives_the_log_of_the_same_files_here(
    store: Store, config: MakeConfig, clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _detect_by_colours(monkeypatch)
    here, local, out = tmp_path / "here/a", tmp_path / "local", tmp_path / "out"
    here.mkdir(parents=True)
    for name, count in RECORDINGS.items():
        shutil.copy(clip(count), here / name)
    path = config(clip(25))
    batch(path, local, here, evidence=True, **NAMES)
    plan, _ = batch(path, out, f"{store.url}/a/", evidence=True, **NAMES)
    assert not failures_of(plan)
    log = (out / "cameras/a/events.jsonl").read_bytes()
    assert log == (local / "cameras/a/events.jsonl").read_bytes() != b""
    pictures = [sorted(path.name for path in folder.glob("cameras/a/evidence/*")) for folder in (out, local)]
    assert pictures[0] == pictures[1] != []
    assert not (out / "downloads").exists()
    account = json.loads((out / "batch.json").read_text())
    assert "@" not in account["cameras"][0]["recordings"][0]["path"]

    _forget()  # as a second process would be
    again, workers = batch(path, out, f"{store.url}/*/*.mp4", evidence=True, **NAMES)
    assert [file.was_there for file in again.files] == [True, True]
    assert not workers.jobs
    store.put("a/20260501_080002.mp4", clip(50).read_bytes())
    _forget()
    settings = Settings((f"{store.url}/a",), out, evidence=True, **NAMES)  # type: ignore[arg-type]
    third = make_plan(read_config(path), settings)
    assert [file.status for file in third.files] == [FileStatus.DETECTED, FileStatus.DETECTED, FileStatus.NEW]


def test_a_copy_goes_on_where_it_broke_off(
    store: Store, clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidan.pipeline.batch.downloads.CHUNK", 4000)
    content = clip(30).read_bytes()
    (remote,) = find_remote(f"{store.url}/a/20260501_080000.mp4", VIDEO_ENDINGS)
    downloads, path = Downloads(tmp_path / "downloads", 1 << 30), tmp_path / "downloads/key/x.mp4"
    asked = iter([False, False, True])
    assert not downloads.fetch(remote, path, lambda: next(asked))
    part = path.with_name("x.mp4.part")
    assert part.read_bytes() == content[:8000]
    part.write_bytes(b"-" * 8000)  # what is there is not asked for again
    assert downloads.fetch(remote, path, lambda: False)
    assert path.read_bytes() == b"-" * 8000 + content[8000:]


def test_a_file_that_changes_while_it_is_copied_is_not_taken(store: Store, clip: MakeClip, tmp_path: Path) -> None:
    store.put("b/1.mp4", clip(25).read_bytes())
    (remote,) = find_remote(f"{store.url}/b/1.mp4", VIDEO_ENDINGS)
    if store.kind == "sftp":  # it tells seconds
        os.utime(remote.path, (1_700_000_000, 1_700_000_000))
    else:
        store.put("b/1.mp4", clip(25).read_bytes()[::-1])
    with pytest.raises(SourceError, match="has changed while it was copied"):
        Downloads(tmp_path, 1 << 30).fetch(remote, tmp_path / "key/x.mp4", lambda: False)


def test_many_threads_read_headers_at_once(store: Store, clip: MakeClip, tmp_path: Path) -> None:
    for number in range(12):
        store.put(f"many/{number}.mp4", clip(25).read_bytes())
    clips = find_clips([f"{store.url}/many"], downloads=tmp_path)
    with ThreadPoolExecutor(8) as probing:
        probed = list(probing.map(probe, clips, timeout=30))
    assert [(one.problem, one.pictures) for one in probed] == [(None, 25)] * 12


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a/missing.mp4", "a/missing.mp4 does not exist"),
        ("nowhere/", "nowhere/ does not exist"),
        ("nowhere/x.mp4", "nowhere/x.mp4 does not exist"),
        ("a/*.mkv", r"no video matches .*/a/\*\.mkv"),
        ("docs", "docs holds no video"),
    ],
)
def test_what_is_not_there_is_told(store: Store, name: str, words: str) -> None:
    store.put("docs/notes.txt", b"no video")
    with pytest.raises(SourceError, match=words):
        find_remote(f"{store.url}/{name}", VIDEO_ENDINGS)


@pytest.mark.parametrize("name", ["no-such-bucket/x.mp4", "no-such-bucket/", "no-such-bucket"])
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_bucket_that_is_not_there_is_told(
    kind: str, name: str, stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    _enter(stores(kind), monkeypatch)
    with pytest.raises(SourceError, match=f"{name} does not exist"):
        find_remote(f"{kind}://{name}", VIDEO_ENDINGS)


@pytest.mark.parametrize("name", ["a/20260501_080000.mp4", "*/*.mp4"])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": SECRET},
            "may not be read: the other side refuses; check the URL and the credentials",
        ),
        ({"AWS_ACCESS_KEY_ID": "AKIA" + SECRET}, "may not be read: the other side refuses"),
        ({"AWS_ACCESS_KEY_ID": ""}, "may not be read: there are no credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, r"cannot be reached: .*http://127\.0\.0\.1:9"),
    ],
)
def test_wrong_credentials_and_hosts_of_s3_are_told(
    s3: Store,
    wrong: dict[str, str],
    words: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for key, value in wrong.items():
        monkeypatch.setenv(key, value) if value else monkeypatch.delenv(key)
    with pytest.raises(SourceError, match=words) as caught:
        find_remote(f"{s3.url}/{name}", VIDEO_ENDINGS)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value) + "".join(capfd.readouterr())


def test_a_worker_reads_from_s3_though_this_process_has_spoken_with_it(
    s3: Store, config: MakeConfig, clip: MakeClip, vidan: Vidan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _detect_by_colours(monkeypatch)
    path, footage, out = config(clip(25)), f"{s3.url}/a/20260501_08000[01].mp4", tmp_path / "out"
    batch(path, out, footage, part_seconds=300.0)
    done = vidan("batch", path, footage, "--output", out, "--workers=1", "--evidence")  # pictures, by a new process
    assert (done.returncode, done.stderr) == (0, "")
    assert list(out.glob("cameras/a/evidence/*"))


@pytest.mark.parametrize("name", ["/x.mp4", "/", "/*.mp4"])
def test_wrong_credentials_and_hosts_of_sftp_are_told(
    sftp: Store, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    known = Path(sftp.environment["HOME"], ".ssh/known_hosts").read_text()
    here = sftp.url.partition("@")[2].partition("/")[0]
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))  # without the key

    def said(server: str, known_hosts: str) -> str:
        (ssh / "known_hosts").write_text(known_hosts)
        with pytest.raises(SourceError) as caught:
            find_remote(f"sftp://me:{SECRET}@{server}{name}", VIDEO_ENDINGS)
        return str(caught.value).replace(f"sftp://{server}{name} ", "")

    refused = said(here, known)
    assert refused.startswith("may not be read: the other side refuses; check the URL and the credentials")
    assert said("127.0.0.1:9", known) == "cannot be reached: Unable to connect to port 9 on 127.0.0.1"
    assert "cannot be reached: " in said("no.such.host.invalid", known)
    unknown = said(here, "")
    assert "its key is not in ~/.ssh/known_hosts; if it is ssh-ed25519 SHA256:" in unknown
    assert unknown.endswith(f"say: ssh-keyscan -p {here.partition(':')[2]} 127.0.0.1 >> ~/.ssh/known_hosts")
    other = make_key(tmp_path / "other").split()
    assert "its key is not the one in known_hosts" in said(here, f"{known.split()[0]} {other[0]} {other[1]}\n")
    assert SECRET not in "".join(capfd.readouterr()) + refused + unknown


def test_a_server_that_says_nothing_of_itself_may_be_trusted_on_wish(
    sftp: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import fsspec.config

    (tmp_path / ".ssh").mkdir()
    shutil.copy(Path(sftp.environment["HOME"], ".ssh/id_ed25519"), tmp_path / ".ssh")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(fsspec.config.conf, "sftp", {"host_key_policy": "auto_add"})
    assert len(find_remote(f"{sftp.url}/a", VIDEO_ENDINGS)) >= 2


def test_sftp_within_another_file_system_is_refused_for_nobody_would_check_its_key(sftp: Store) -> None:
    with pytest.raises(SourceError, match="sftp is read by itself alone"):
        find_remote(f"simplecache::{sftp.url}/a/20260501_080000.mp4", VIDEO_ENDINGS)


def test_a_copy_survives_an_sftp_server_that_goes_and_comes(
    sftp: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidan.pipeline.batch.remote.PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("vidan.pipeline.batch.downloads.CHUNK", 1 << 18)
    content = os.urandom(3 << 20)
    sftp.put("c/1.mp4", content)
    (remote,) = find_remote(f"{sftp.url}/c/1.mp4", VIDEO_ENDINGS)
    pieces = iter(range(100))

    def restart() -> bool:
        if next(pieces) in (3, 7):
            _kill_sessions(sftp)
            sftp.server.start()
        return False

    assert Downloads(tmp_path, 1 << 30).fetch(remote, tmp_path / "key/x.mp4", restart)
    assert (tmp_path / "key/x.mp4").read_bytes() == content


def _kill_sessions(sftp: Store) -> None:
    """Ends the server and all that it has begun: it has a process per connection."""
    assert sftp.server._process is not None
    parent = sftp.server._process.pid
    family = [parent]
    for pid in family:
        family += map(int, subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split())
    for pid in family[1:]:
        os.kill(pid, 9)
    sftp.server.kill()


def test_links_count_as_their_files_and_folders_that_cannot_be_read_are_told(sftp: Store) -> None:
    user = "nobody" if getpass.getuser() == "root" else getpass.getuser()  # root may read everything
    server = sftp.url.partition("@")[2].partition("/")[0]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "a").mkdir()
        (root / "a/1.mp4").write_bytes(b"1")
        (root / "2.mp4").symlink_to(root / "a/1.mp4")
        (root / "b.mp4").symlink_to(root)  # going there would never end
        (root / "3.mp4").symlink_to(root / "nowhere")
        found = find_remote(f"sftp://{user}@{server}{folder}", VIDEO_ENDINGS)
        assert sorted((one.place.name, one.size) for one in found) == [("1.mp4", 1), ("2.mp4", 1)]
        (root / "a").chmod(0)
        with pytest.raises(SourceError, match="may not be read: the other side refuses"):
            find_remote(f"sftp://{user}@{server}{folder}", VIDEO_ENDINGS)
        (root / "a").chmod(0o755)
