"""Weights by name: found, fetched from a real HTTP server however it behaves, and verified ever after."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from vidan.detector.errors import WeightsError
from vidan.detector.models.keymap import canonical_names
from vidan.detector.models.zoo import MODEL_NAMES, build_model
from vidan.detector.weights import registry
from vidan.detector.weights.checkpoint import WeightsCard, load_model, read_card, save_weights
from vidan.detector.weights.download import _StaySecure, download
from vidan.detector.weights.registry import PUBLISHED, download_record, fetched_path, pull, resolve

NAME = "yolov9-t-converted"


@dataclass
class Publisher:
    """A server of files with every bad habit that a test asks for.

    Attributes:
        files: Body by path.
        etag: Sent with every answer, None for none.
        last_modified: Likewise.
        ranges: Whether it honours Range.
        cut_after: Bytes of a body after which it hangs up; None for never.
        announces_length: Whether it sends Content-Length.
        redirects: Path to other address.
        requests: Headers of all requests so far.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"v1"'
    last_modified: str | None = None
    ranges: bool = True
    cut_after: int | None = None
    announces_length: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[Message] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    state = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.headers)
            if self.path in state.redirects:
                self.send_response(302)
                self.send_header("Location", state.redirects[self.path])
                self.end_headers()
                return
            if self.path not in state.files:
                self.send_error(404)
                return
            body, start = state.files[self.path], 0
            same = self.headers["If-Range"] in (state.etag, state.last_modified)
            if state.ranges and self.headers["Range"] and same:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            if state.announces_length:
                self.send_header("Content-Length", str(len(body) - start))
            for name, value in (("ETag", state.etag), ("Last-Modified", state.last_modified)):
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            end = len(body) if state.cut_after is None else start + state.cut_after
            self.wfile.write(body[start:end])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


# --- one file over HTTP

BODY = bytes(range(256)) * 8000


def test_a_file_arrives_whole_and_its_progress_is_told(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["/a.pt"] = BODY
    told: list[tuple[int, int | None]] = []
    download(f"{publisher.url}/a.pt", tmp_path / "new" / "a.pt", lambda done, total: told.append((done, total)))
    assert (tmp_path / "new" / "a.pt").read_bytes() == BODY
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "a.pt"]
    assert told[0] == (0, len(BODY))
    assert told[-1] == (len(BODY), len(BODY))
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("etag", "last_modified", "sent"),
    [('"v1"', None, '"v1"'), (None, "Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 GMT")],
)
def test_an_interrupted_download_goes_on_where_it_stopped(
    publisher: Publisher, tmp_path: Path, etag: str | None, last_modified: str | None, sent: str
) -> None:
    publisher.files["/a.pt"], publisher.etag, publisher.last_modified = BODY, etag, last_modified
    publisher.cut_after = 700_000
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"a\.pt: the connection broke .*run it again to go on"):
            download(f"{publisher.url}/a.pt", tmp_path / "a.pt")
        assert not (tmp_path / "a.pt").exists()
    publisher.cut_after = None
    told: list[int] = []
    download(f"{publisher.url}/a.pt", tmp_path / "a.pt", lambda done, total: told.append(done))
    assert (tmp_path / "a.pt").read_bytes() == BODY
    assert [headers["Range"] for headers in publisher.requests] == [None, "bytes=700000-", "bytes=1400000-"]
    assert publisher.requests[2]["If-Range"] == sent
    assert told[0] == 1_400_000


@pytest.mark.parametrize(
    ("at_first", "later", "asks_for_the_rest"),
    [
        ({}, {"ranges": False}, True),
        ({}, {"files": {"/a.pt": BODY[::-1]}, "etag": '"v2"'}, True),
        ({}, {"files": {"/a.pt": BODY[:500]}}, True),
        ({"etag": 'W/"v1"'}, {}, False),
        ({"etag": None}, {}, False),
    ],
    ids=["no ranges", "another version by now", "shorter by now", "only a weak tag", "no tag"],
)
def test_a_download_starts_again_where_the_rest_cannot_be_trusted(
    publisher: Publisher,
    tmp_path: Path,
    at_first: dict[str, object],
    later: dict[str, object],
    asks_for_the_rest: bool,
) -> None:
    behave(publisher, {"files": {"/a.pt": BODY}, "cut_after": 700_000} | at_first)
    with pytest.raises(WeightsError):
        download(f"{publisher.url}/a.pt", tmp_path / "a.pt")
    behave(publisher, {"cut_after": None} | later)
    download(f"{publisher.url}/a.pt", tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == publisher.files["/a.pt"]
    assert (publisher.requests[1]["Range"] is not None) == asks_for_the_rest


def behave(publisher: Publisher, habits: dict[str, object]) -> None:
    for name, value in habits.items():
        setattr(publisher, name, value)


def test_pieces_of_one_address_are_not_continued_from_another(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files |= {"/a.pt": BODY, "/b.pt": BODY[::-1]}
    publisher.cut_after = 700_000
    with pytest.raises(WeightsError):
        download(f"{publisher.url}/a.pt", tmp_path / "x.pt")
    publisher.cut_after = None
    download(f"{publisher.url}/b.pt", tmp_path / "x.pt")
    assert (tmp_path / "x.pt").read_bytes() == BODY[::-1]


def test_a_server_that_tells_no_length_is_believed_when_it_hangs_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["/a.pt"], publisher.announces_length = BODY, False
    told: list[int | None] = []
    download(f"{publisher.url}/a.pt", tmp_path / "a.pt", lambda done, total: told.append(total))
    assert (tmp_path / "a.pt").read_bytes() == BODY
    assert set(told) == {None}


def test_redirects_are_followed_but_not_away_from_encryption(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["/real.pt"] = BODY
    publisher.redirects = {"/a.pt": f"{publisher.url}/real.pt", "/b.pt": "ftp://127.0.0.1/b.pt"}
    download(f"{publisher.url}/a.pt", tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == BODY
    with pytest.raises(WeightsError, match="redirects to ftp://"):
        download(f"{publisher.url}/b.pt", tmp_path / "b.pt")


def test_a_redirect_from_https_to_http_is_refused() -> None:
    request = urllib.request.Request("https://example.org/a.pt")
    with pytest.raises(http.client.HTTPException, match="not https"):
        _StaySecure().redirect_request(
            request, io.BytesIO(), 302, "Found", http.client.HTTPMessage(), "http://example.org/a.pt"
        )


def test_what_a_server_refuses_is_said_in_words(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.pt: the server answers 404 .*moved or withdrawn"):
        download(f"{publisher.url}/nothing.pt", tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"cannot be reached .*check the network"):
        download("http://127.0.0.1:9/a.pt", tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="expected http or https"):
        download("file:///etc/passwd", tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["/a.pt"] = BODY
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match=r"cannot be written .*VIDAN_HOME"):
        download(f"{publisher.url}/a.pt", tmp_path / "file" / "a.pt")


# --- published weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A published file of size t with the names of the official repository."""
    model = build_model("yolov9-t", 80)
    names = canonical_names(model)
    path = tmp_path_factory.mktemp("published") / "t.pt"
    torch.save({names[own]: value.half() for own, value in model.state_dict().items()}, path)
    return path.read_bytes()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDAN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_pulled_weights_are_converted_verified_and_not_fetched_again(
    publisher: Publisher, home: Path, checkpoint: bytes
) -> None:
    publisher.files[f"/{NAME}.pt"] = checkpoint
    path = pull(NAME, base_url=publisher.url)
    assert path == fetched_path(NAME) == resolve(NAME) == home / "weights" / f"{NAME}.safetensors"
    _, card = load_model(path)
    assert card.model == "yolov9-t"
    assert card.licence == "GPL-3.0"
    assert card.training_data == "COCO train2017"
    assert card.source == f"{publisher.url}/{NAME}.pt"
    assert card.metrics == {"coco_val2017_ap50_95": 0.383}
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert record["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{NAME}.json"}
    assert pull(NAME, base_url=publisher.url) == path
    assert len(publisher.requests) == 1


def test_damaged_weights_are_fetched_again(publisher: Publisher, home: Path, checkpoint: bytes) -> None:
    publisher.files[f"/{NAME}.pt"] = checkpoint
    path = pull(NAME, base_url=publisher.url)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    pull(NAME, base_url=publisher.url)
    assert len(publisher.requests) == 2
    load_model(path)


def test_a_file_that_changed_since_the_first_download_is_refused(
    publisher: Publisher, home: Path, checkpoint: bytes
) -> None:
    publisher.files[f"/{NAME}.pt"] = checkpoint
    path = pull(NAME, base_url=publisher.url)
    path.unlink()
    publisher.files[f"/{NAME}.pt"] = checkpoint + b"\0"
    with pytest.raises(WeightsError, match=r"is not the one of the first download .*delete .*\.json and pull again"):
        pull(NAME, base_url=publisher.url)
    assert [file.name for file in path.parent.iterdir()] == [f"{NAME}.json"]


def test_a_page_in_place_of_the_file_is_not_taken_for_the_first_download(
    publisher: Publisher, home: Path, checkpoint: bytes
) -> None:
    publisher.files[f"/{NAME}.pt"] = b"<html>Please log in to this network"
    with pytest.raises(WeightsError, match="not a checkpoint of torch"):
        pull(NAME, base_url=publisher.url)
    assert list(fetched_path(NAME).parent.iterdir()) == []
    publisher.files[f"/{NAME}.pt"] = checkpoint
    pull(NAME, base_url=publisher.url)
    assert download_record(NAME)["sha256"] == hashlib.sha256(checkpoint).hexdigest()


def test_another_model_than_promised_is_refused(publisher: Publisher, home: Path, checkpoint: bytes) -> None:
    publisher.files["/gelan-s.pt"] = checkpoint
    with pytest.raises(WeightsError, match="holds gelan-t, expected gelan-s"):
        pull("gelan-s", base_url=publisher.url)


def test_a_damaged_record_is_named(publisher: Publisher, home: Path) -> None:
    record = fetched_path(NAME).with_suffix(".json")
    record.parent.mkdir(parents=True)
    record.write_text("{")
    with pytest.raises(WeightsError, match=r"\.json: the record of the first download is damaged"):
        pull(NAME, base_url=publisher.url)


# --- names


def test_every_published_entry_is_complete() -> None:
    assert len(PUBLISHED) == 17
    for name, entry in PUBLISHED.items():
        assert entry.name == name
        assert entry.model in MODEL_NAMES
        assert entry.url.startswith("https://github.com/")
        assert entry.file == f"{name}.pt"
        assert (entry.licence == "MIT") == (entry.file_format == "plain state dict")
    assert len({dataclasses.astuple(entry) for entry in PUBLISHED.values()}) == 17


def test_names_and_paths_are_resolved(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"")
    (tmp_path / "theirs.pt").write_bytes(b"")
    assert resolve("mine.safetensors", tmp_path) == tmp_path / "mine.safetensors"
    assert resolve(str(tmp_path / "mine.safetensors"), Path("/elsewhere")) == tmp_path / "mine.safetensors"
    monkeypatch.chdir(tmp_path)
    assert resolve("./mine.safetensors") == Path("mine.safetensors")
    cases = [
        ("v9-s", "'v9-s' are not here yet; get them with `vidan weights pull v9-s`"),
        ("yolo9-c", "no weights are known as 'yolo9-c'; did you mean 'yolov9-c'"),
        ("demmo", "did you mean 'demo'"),
        ("wxyz", "'wxyz'; `vidan weights list` shows all names"),
        ("other.safetensors", r"other\.safetensors: no such weights file"),
        ("folder/other", "folder/other: no such weights file"),
        ("theirs.pt", r"theirs\.pt: a foreign checkpoint; .*`vidan weights import"),
    ]
    for name, reason in cases:
        with pytest.raises(WeightsError, match=reason):
            resolve(name, tmp_path)
    with pytest.raises(WeightsError, match="did you mean 'v9-s'"):
        pull("v9s")


def test_the_demo_is_the_one_file_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "files", lambda package: tmp_path)
    with pytest.raises(WeightsError, match="0 demo weights"):
        resolve("demo")
    (tmp_path / "demo").mkdir()
    card = WeightsCard(
        model="yolov9-t", classes=("person",), image_size=(288, 384), training_data="", licence="MIT", source="here"
    )
    save_weights(tmp_path / "demo" / "yolov9-t-person.safetensors", {}, card)
    assert read_card(resolve("demo")) == card


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"HOME": "/home/x"}, "/home/x/.cache/vidan"),
        ("linux", {"HOME": "/home/x", "XDG_CACHE_HOME": "/var/x"}, "/var/x/vidan"),
        ("darwin", {"HOME": "/Users/x"}, "/Users/x/Library/Caches/vidan"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/vidan"),
        ("linux", {"HOME": "/home/x", "VIDAN_HOME": "/data/vidan"}, "/data/vidan"),
    ],
)
def test_the_cache_lies_where_the_platform_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("VIDAN_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert registry.cache_folder() == Path(expected)


def test_without_a_home_folder_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("VIDAN_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(WeightsError, match="no home folder to keep files in; set VIDAN_HOME"):
        registry.cache_folder()
