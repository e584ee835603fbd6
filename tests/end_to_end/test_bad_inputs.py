"""What people get wrong, and what they are told: lines that say what, where and what to do; never a traceback.

The table in docs/errors.md is made of these cases: `VIDAN_WRITE_DOCS=1 pytest tests/end_to_end/test_bad_inputs.py`.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from vidan.detector import resolve_weights
from vidan.pipeline.cli.main import main
from vidan.pipeline.sinks.tracks import TrackStore

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "errors.md"
CLIP = ROOT / "samples" / "campus.mp4"
HEAD = """\
# What vidan says when something is wrong

Made by tests/end_to_end/test_bad_inputs.py; FOLDER stands for the user's, REASON for the words of a library.
"""
FOREIGN = re.compile(
    r"(?<=is no valid YAML: ).*?(?=; indent with spaces|$)"
    r"|(?<=is no valid outline: ).*(?= near )"
    r"|(?<=cannot be read \().*(?=\))"
    r"|(?<=or cut off \().*(?=\))"
    r"|(?<=run.json is damaged: ).*"
    r"|(?<=tracks.parquet: )Parquet.*"
    r"|(?<=connection failed: ).*",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Case:
    """A mistake: how it is made in a folder, the command, the exit code and the words that must be said."""

    mistake: str
    arrange: Callable[[Path], object]
    command: str
    code: int
    words: str


def config(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "run.yaml").write_text(text)


def source(name: str, content: bytes | None = None) -> Callable[[Path], object]:
    """A right config for a source that is not."""

    def arrange(folder: Path) -> None:
        (folder / "run.yaml").write_text(f"streams: [{{name: gate, source: {name}}}]\n")
        if content is not None:
            (folder / name).write_bytes(content)

    return arrange


def weights(name: str, content: bytes | None = None) -> Callable[[Path], object]:
    def arrange(folder: Path) -> None:
        shutil.copyfile(CLIP, folder / "clip.mp4")
        (folder / "run.yaml").write_text(
            f"detector: {{weights: {name}}}\nstreams: [{{name: gate, source: clip.mp4}}]\n"
        )
        if content is not None:
            (folder / name).write_bytes(content)

    return arrange


def folder_of(*files: tuple[str, bytes]) -> Callable[[Path], object]:
    def arrange(folder: Path) -> None:
        (folder / "shots").mkdir()
        for name, content in files:
            (folder / "shots" / name).write_bytes(content)
        (folder / "run.yaml").write_text("streams: [{name: gate, source: {type: images, path: shots, fps: 5}}]\n")

    return arrange


YOLO_SET = "val: [{format: yolo, images: images}]\n"
MOT_ROWS = "998,1,10,10,30,60,1\n999,1,10,10,30,60,1\n"


def broken_pictures(folder: Path) -> None:
    """A data set of one picture, which is a text."""
    (folder / "d.yaml").write_text("classes: [a]\n" + YOLO_SET)
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    (folder / "images" / "a.jpg").write_text("hello")


@dataclass(frozen=True)
class Hostile:
    """What makes a file when it is unpickled."""

    trace: Path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.trace}'",)


def hostile_checkpoint(folder: Path) -> None:
    with zipfile.ZipFile(folder / "evil.pt", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"model": Hostile(folder / "hacked")}, protocol=2))
        archive.writestr("evil/version", "3")


def past_run(
    change: Callable[[dict[str, Any]], object] = lambda record: None, tracks: bytes | None = None, config: str = ""
) -> Callable[[Path], object]:
    """The folder of a run of stream `gate`, whose run.json is changed."""

    def arrange(folder: Path) -> None:
        record: dict[str, Any] = {
            "run": "1", "status": "complete", "replayed_from": None, "detector": {}, "inputs": {}, "streams": [],
            "config_sha256": "0", "config": {"streams": [{"name": "gate", "rules": None}], "rules": {}},
        }  # fmt: skip
        change(record)
        (folder / "past").mkdir()
        (folder / "past" / "run.json").write_text(json.dumps(record))
        if tracks is not None:
            (folder / "past" / "tracks.parquet").write_bytes(tracks)
        if config:
            (folder / "run.yaml").write_text(config)

    return arrange


def track_file() -> bytes:
    """Tracks without a row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks.parquet"
        TrackStore(path, ("person",)).close()
        return path.read_bytes()


GOOD = "streams: [{name: gate, source: clip.mp4}]\n"
RULES = GOOD + "rules:\n"
RUN = "run FOLDER/run.yaml"
SQUARE = "[[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]"
CASES = [
    Case("no such config", lambda _: None, "run FOLDER/run.yml", 2, "no such file"),
    Case("a folder as config", lambda _: None, "run FOLDER", 2, "is a folder"),
    Case("an empty config", config(""), RUN, 2, "the file is empty"),
    Case("a config that is a list", config("- a\n- b\n"), RUN, 2, "keys and their values"),
    Case("a tab as indentation", config("streams:\n\t- name: gate\n"), RUN, 2, "run.yaml:2"),
    Case("a bracket that never closes", config("streams: [{name: gate\n"), RUN, 2, "run.yaml:"),
    Case("a config that is no UTF-8", lambda f: (f / "run.yaml").write_bytes(b"# caf\xe9\n"), RUN, 2, "UTF-8"),
    Case("a key twice", config(GOOD + "output: {}\noutput: {}\n"), RUN, 2, "output"),
    Case("a misspelt key", config(GOOD + "detektor: {}\n"), RUN, 2, "did you mean 'detector'"),
    Case("a number that is a word", config(GOOD + "detector: {batch: many}\n"), RUN, 2, "detector.batch"),
    Case(
        "a negative stride",
        config("streams: [{name: a, source: {type: video, path: a.mp4, stride: -1}}]\n"),
        RUN,
        2,
        "stride",
    ),
    Case(
        "evidence of a rule that is not there",
        config(GOOD + "output: {evidence: {rules: [gaet]}}\nrules: {gate: {type: line, points: [[0, 0], [1, 1]]}}\n"),
        RUN,
        2,
        "did you mean 'gate'",
    ),
    Case("a report of what is no run", lambda _: None, "report FOLDER", 3, "it has no run.json"),
    Case("no stream", config("streams: []\n"), RUN, 2, "streams"),
    Case(
        "two streams of one name",
        config(GOOD.replace("]", ", {name: gate, source: b.mp4}]")),
        RUN,
        2,
        "streams[1].name",
    ),
    Case(
        "a rule that does not exist",
        config(
            "streams: [{name: gate, source: clip.mp4, rules: [dor]}]\n"
            "rules: {door: {type: line, points: [[0, 0], [1, 1]]}}\n"
        ),
        RUN,
        2,
        "did you mean 'door'",
    ),
    Case("an unknown kind of rule", config(RULES + "  door: {type: lime, points: [[0, 0], [1, 1]]}\n"), RUN, 2, "line"),
    Case(
        "a line of one point", config(RULES + "  door: {type: line, points: [[0, 0]]}\n"), RUN, 2, "rules.door.points"
    ),
    Case("a line without length", config(RULES + "  door: {type: line, points: [[0, 0], [0, 0]]}\n"), RUN, 2, "points"),
    Case(
        "a polygon that crosses itself",
        config(RULES + f"  yard: {{type: zone, polygon: {SQUARE}}}\n"),
        RUN,
        2,
        "polygon",
    ),
    Case(
        "pixels and fractions in one shape",
        config(RULES + "  door: {type: line, points: [[0.5, 0.5], [300, 200]]}\n"),
        RUN,
        2,
        "points",
    ),
    Case(
        "a point far beyond any picture",
        config(RULES + "  door: {type: line, points: [[0, 0], [1e9, 9]]}\n"),
        RUN,
        2,
        "rules.door.points[1][0]",
    ),
    Case(
        "a zone that is looked at too often",
        config(RULES + "  yard: {type: zone, polygon: [[0, 0], [1, 0], [0, 1]], every: 1.0e-9}\n"),
        RUN,
        2,
        "rules.yard.every",
    ),
    Case("intervals without length", config(GOOD + "output: {interval_seconds: 0}\n"), RUN, 2, "interval_seconds"),
    Case(
        "a URL as folder of the run",
        config(GOOD + "output: {folder: 's3://me:secret@runs/a'}\n"),
        RUN,
        2,
        "'s3://me:***@runs/a'",
    ),
    Case(
        "a tracker that trusts everything",
        config(GOOD + "tracker: {low_confidence: 0, high_confidence: 0}\n"),
        RUN,
        2,
        "tracker.high_confidence",
    ),
    Case(
        "a class that the weights lack",
        config(RULES + "  door: {type: line, points: [[0, 0], [1, 1]], classes: [persn]}\n"),
        RUN,
        2,
        "did you mean 'person'",
    ),
    Case(
        "a variable that is not set",
        config("streams: [{name: gate, source: '${NO_SUCH_URL}'}]\n"),
        RUN,
        2,
        "NO_SUCH_URL",
    ),
    Case("a device that does not exist", config(GOOD + "detector: {device: gpu}\n"), RUN, 2, "device"),
    Case("no such video", source("clip.mp4"), RUN, 3, "clip.mp4"),
    Case("a pattern that no file fits", source("'*.mp4'"), RUN, 3, "*.mp4"),
    Case("an empty file", source("clip.mp4", b""), RUN, 3, "empty"),
    Case("a text named .mp4", source("clip.mp4", b"hello world\n" * 99), RUN, 3, "text"),
    Case("noise named .mp4", source("clip.mp4", b"\x93\0\xe1" * 999), RUN, 3, "cannot be opened"),
    Case("a recording cut before its index", source("clip.mp4", CLIP.read_bytes()[:9000]), RUN, 3, "clip.mp4"),
    Case("a folder without pictures", folder_of(("notes.txt", b"-")), RUN, 3, "shots"),
    Case("a folder of broken pictures", folder_of(("1.png", b"-")), RUN, 3, "shots"),
    Case("no such weights", weights("a.safetensors"), RUN, 5, "no such weights"),
    Case("a misspelt name of weights", weights("yolov9c"), RUN, 5, "yolov9"),
    Case("weights that are a text", weights("a.safetensors", b"hello" * 99), RUN, 5, "safetensors"),
    Case(
        "weights that are cut off",
        weights("a.safetensors", resolve_weights("demo").read_bytes()[:900_000]),
        RUN,
        5,
        "cut off",
    ),
    Case(
        "weights without a card",
        lambda f: (weights("a.safetensors")(f), save_file({"a": np.zeros(1, np.float32)}, f / "a.safetensors")),
        RUN,
        5,
        "card",
    ),
    Case("no such checkpoint", lambda _: None, "weights import FOLDER/a.pt", 5, "a.pt"),
    Case(
        "a checkpoint that is a text", lambda f: (f / "a.pt").write_text("-"), "weights import FOLDER/a.pt", 5, "a.pt"
    ),
    Case("a checkpoint that would run a program", hostile_checkpoint, "weights import FOLDER/evil.pt", 5, "system"),
    Case("an unknown name to pull", lambda _: None, "weights pull yolov9-x", 5, "yolov9-"),
    Case("a replay of no run", lambda f: (f / "past").mkdir(), "replay FOLDER/past", 3, "no folder of a run"),
    Case("a replay of nothing", lambda _: None, "replay FOLDER/past", 3, "is no folder"),
    Case(
        "a replay of a damaged run.json",
        lambda f: (past_run()(f), (f / "past" / "run.json").write_text('{"run": ')),
        "replay FOLDER/past",
        3,
        "is damaged",
    ),
    Case("a replay without track file", past_run(), "replay FOLDER/past", 3, "tracks.parquet"),
    Case("a replay of a text named .parquet", past_run(tracks=b"hello"), "replay FOLDER/past", 3, "tracks.parquet"),
    Case(
        "a replay of a run without tracks",
        past_run(lambda record: record["config"].update(output={"tracks": None})),
        "replay FOLDER/past",
        3,
        "output.tracks: false",
    ),
    Case(
        "a replay of a replay",
        past_run(lambda record: record.update(replayed_from={"folder": "runs/a"})),
        "replay FOLDER/past",
        3,
        "replay runs/a",
    ),
    Case(
        "a replay with a stream that the run lacks",
        past_run(
            lambda record: record["streams"].append({"name": "gate"}),
            track_file(),
            "streams: [{name: gat, source: clip.mp4}]\n",
        ),
        "replay FOLDER/past --config FOLDER/run.yaml",
        2,
        "there is no stream gat",
    ),
    Case(
        "a replay with a class that the tracks lack",
        past_run(
            tracks=track_file(), config=RULES + "  door: {type: line, points: [[0, 0], [1, 1]], classes: [persn]}\n"
        ),
        "replay FOLDER/past --config FOLDER/run.yaml",
        2,
        "did you mean 'person'",
    ),
    Case(
        "a replay whose rules took values from the environment",
        past_run(
            lambda record: record["config"].update(rules={"door": {"type": "line", "classes": ["***"]}}), track_file()
        ),
        "replay FOLDER/past",
        2,
        "--config",
    ),
    Case("a difference to no run", past_run(), "diff FOLDER/past FOLDER/gone", 3, "is no folder"),
    Case("a difference to a run without log", past_run(), "diff FOLDER/past FOLDER/past", 3, "events.jsonl"),
    Case(
        "a database that is none",
        config(GOOD + "output: {database: {url: 'mysql://me:secret@here/a'}}\n"),
        RUN,
        2,
        "'mysql://me:***@here/a'",
    ),
    Case(
        "a database password with an @ in it",
        config(GOOD + "output: {database: {url: 'postgresql://me:s@cret@here/a'}}\n"),
        RUN,
        2,
        "write @ as %40",
    ),
    Case("a run for no database", past_run(), "db load FOLDER/past", 2, "VIDAN_DATABASE_URL"),
    Case(
        "a database server that is not there",
        past_run(
            lambda record: record.update(started="2026-05-01T08:00:00Z", ended=None, vidan="0.1.0", semantics="1")
        ),
        "db load FOLDER/past --url postgresql://me:secret@127.0.0.1:1/a",
        4,
        "postgresql://me:***@127.0.0.1:1/a",
    ),
    Case(
        "a recipe with a misspelt key",
        lambda f: (f / "r.yaml").write_text("data: d.yaml\nepoch: 3\n"),
        "train FOLDER/r.yaml",
        2,
        "did you mean 'epochs'",
    ),
    Case(
        "a recipe without its data",
        lambda f: (f / "r.yaml").write_text("data: d.yaml\n"),
        "train FOLDER/r.yaml --output FOLDER/out",
        2,
        "d.yaml",
    ),
    Case(
        "a model that does not exist",
        lambda f: (f / "r.yaml").write_text("data: d\nmodel: yolo9-t\n"),
        "train FOLDER/r.yaml",
        2,
        "did you mean 'yolov9-t'",
    ),
    Case(
        "a data set of an unknown format",
        lambda f: (f / "d.yaml").write_text("classes: [a]\ntrain: [{format: csv, path: a.csv}]\n"),
        "data check FOLDER/d.yaml",
        2,
        "'csv'",
    ),
    Case(
        "a data set without its folders",
        lambda f: (f / "d.yaml").write_text("classes: [a]\ntrain: [{format: mot, folder: MOT17}]\n" + YOLO_SET),
        "data check FOLDER/d.yaml",
        2,
        "cannot list FOLDER/images",
    ),
    Case("a data set of broken pictures", broken_pictures, "data check FOLDER/d.yaml", 2, "can be used"),
    Case(
        "labels of frames that the video lacks",
        lambda f: (shutil.copyfile(CLIP, f / "clip.mp4"), (f / "gt.txt").write_text(MOT_ROWS)),
        "data from-video FOLDER/clip.mp4 FOLDER/gt.txt --output FOLDER/out --val 0.5 --every 1",
        2,
        "ends after 265 frames",
    ),
    Case(
        "a judgement on pictures that are not there",
        lambda f: (f / "d.yaml").write_text("classes: [person]\n" + YOLO_SET),
        "eval detector demo FOLDER/d.yaml",
        2,
        "cannot list FOLDER/images",
    ),
    Case("no ground truth", lambda _: None, "eval tracks FOLDER/gt FOLDER/a.txt", 2, "expected gt/gt.txt"),
    Case(
        "detections instead of tracks",
        lambda f: (f / "a.txt").write_text("1,-1,0,0,5,5,1\n"),
        "eval tracks FOLDER/a.txt FOLDER/a.txt",
        2,
        "detections",
    ),
    Case(
        "tracks without a frame rate",
        lambda f: (f / "a.txt").write_text("1,1,0,0,5,5,1\n"),
        "tracks import FOLDER/a.txt --output FOLDER/run",
        2,
        "give --fps",
    ),
    Case("manual counts of what is no run", lambda _: None, "eval counts FOLDER FOLDER/m.csv", 2, "finished run"),
]


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[int, str]]:
    """What was said to each mistake so far: exit code and message, with the user's folder."""
    return {}


def _ask(case: Case, folder: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main([word.replace("FOLDER", str(folder)) for word in case.command.split()])
    return code, capfd.readouterr().err


def _general(message: str, folder: Path) -> str:
    """The message without what differs from machine to machine."""
    return FOREIGN.sub("REASON", message.replace(str(folder), "FOLDER").strip())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mistake)
def test_a_mistake_is_explained(
    case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str], told: dict[str, tuple[int, str]]
) -> None:
    case.arrange(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code, message = _ask(case, tmp_path, capfd)
    told[case.mistake] = code, _general(message, tmp_path)
    assert code == case.code
    assert case.words.replace("FOLDER", str(tmp_path)) in message
    assert "Traceback" not in message
    assert all(line.startswith("vidan: ") for line in message.splitlines())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before, "nothing is written or lost"


def test_the_page_of_errors_says_what_vidan_says(
    told: dict[str, tuple[int, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = ["| mistake | exit code | what vidan says |", "|---|---|---|"]
    for number, case in enumerate(CASES):
        if case.mistake not in told:  # it was another process's, or was not asked for
            folder = tmp_path / str(number)
            folder.mkdir()
            case.arrange(folder)
            code, message = _ask(case, folder, capfd)
            told[case.mistake] = code, _general(message, folder)
        code, message = told[case.mistake]
        words = "<br>".join(line.removeprefix("vidan: ") for line in message.splitlines()).replace("|", "\\|")
        rows.append(f"| {case.mistake} | {code} | {words} |")
    page = "\n".join([HEAD, *rows]) + "\n"
    if os.environ.get("VIDAN_WRITE_DOCS"):
        DOCS.write_text(page)
    assert DOCS.read_text() == page
