"""vidan eval and vidan tracks as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vidan.pipeline.cli.main import main

INFO = "[Sequence]\nname=yard\nframeRate=5\nseqLength=10\nimWidth=640\nimHeight=480\n"
WALK = "".join(f"{frame},{who},{20 * frame},{100 * who},30,60,1\n" for frame in range(1, 11) for who in (1, 2))

Tell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Runs a command; its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """A folder with the sequences yard and street."""
    for name in ("yard", "street"):
        folder = tmp_path / "truth" / name
        (folder / "gt").mkdir(parents=True)
        (folder / "gt" / "gt.txt").write_text(WALK)
        (folder / "seqinfo.ini").write_text(INFO.replace("yard", name))
    return tmp_path / "truth"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Tracks of both; in one of them, nobody is seen after frame 5."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "yard.txt").write_text(WALK)
    (folder / "street.txt").write_text("".join(WALK.splitlines(keepends=True)[:10]))
    return folder


def test_tracks_are_scored_per_sequence_and_together(tell: Tell, truth: Path, results: Path, tmp_path: Path) -> None:
    code, out, err = tell("eval", "tracks", truth, results, "--json", tmp_path / "a.json", "--plot", tmp_path / "a.png")
    assert (code, err) == (0, "")
    table = [line.split() for line in out.splitlines()]
    assert table[0] == ["sequence", "HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "Frag", "FP", "FN", "boxes"]
    assert [row[0] for row in table[1:]] == ["street", "yard", "all"]
    assert table[2][1:] == ["100.00"] * 5 + ["0", "0", "0", "0", "20"]
    assert (table[1][4], table[3][4]) == ("50.00", "75.00")
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["combined"]["misses"] == 10
    assert len(record["sequences"]["street"]["hota_curve"]) == len(record["iou_thresholds"]) == 19
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000


def test_a_run_is_scored_in_the_frames_that_it_looked_at(tell: Tell, truth: Path, tmp_path: Path) -> None:
    assert tell("tracks", "import", truth / "yard", "--output", tmp_path / "run", "--smooth-seconds", 0)[0] == 0
    code, out, err = tell("eval", "tracks", truth / "yard", tmp_path / "run")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[:2] == ["yard", "100.00"]
    code, _, err = tell("eval", "tracks", truth / "yard", tmp_path / "run", "--first-frame", 3)
    assert code == 2
    assert "tracks of frame 11, but its frames are 1 to 10; does the run begin elsewhere (--first-frame)?" in err
    (truth / "yard" / "seqinfo.ini").unlink()
    code, out, _ = tell("eval", "tracks", truth / "yard", tmp_path / "run", "--first-frame", 3)
    assert "left out are 2 frames that the run did not look at" in out
    assert out.splitlines()[1].split()[-1] == "16"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("TRUTH/gone RESULTS", "gone does not exist: expected gt/gt.txt, folders with it, or a text file"),
        ("TRUTH RESULTS/yard.txt", "no tracks of 'street' in RESULTS/yard.txt; there are yard"),
        ("TRUTH RESULTS/gone.txt", "cannot read the tracks RESULTS/gone.txt: No such file or directory"),
        ("TRUTH TRUTH", "TRUTH holds neither a run (run.json) nor results (NAME.txt)"),
        ("TRUTH RESULTS RESULTS/yard.txt", "there are two results for yard"),
        ("TRUTH/yard RESULTS/late.txt", "sequence 'yard': there are tracks of frame 11, but its frames are 1 to 10"),
        ("TRUTH/yard RESULTS/twins.txt", "sequence 'yard': an id appears twice in frame 1 of the prediction: 3"),
        ("TRUTH/yard RESULTS/boxes.txt", "has boxes without id (below 0): these are detections, not tracks"),
    ],
)
def test_tracks_that_do_not_fit_the_truth_are_a_sentence(
    tell: Tell, truth: Path, results: Path, arguments: str, complaint: str
) -> None:
    code, out, err = 0, "", ""
    for name, line in {"late": "11,1,0,0,5,5,1\n", "twins": "1,3,0,0,5,5,1\n" * 2, "boxes": "1,-1,0,0,5,5,1\n"}.items():
        if name in arguments:
            (results / f"{name}.txt").write_text(line)
    words = arguments.replace("TRUTH", str(truth)).replace("RESULTS", str(results)).split()
    code, out, err = tell("eval", "tracks", *words)
    assert (code, out) == (2, "")
    assert err.startswith("vidan: ")
    assert err.count("\n") == 1
    assert complaint.replace("TRUTH", str(truth)).replace("RESULTS", str(results)) in err


def test_without_trackeval_or_matplotlib_the_extra_is_named(
    tell: Tell, truth: Path, results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert tell("eval", "tracks", truth, results, "--plot", tmp_path / "a.png") == (
        2,
        "",
        "vidan: plots need matplotlib: pip install 'vidan[eval]'\n",
    )
    monkeypatch.setitem(__import__("sys").modules, "trackeval", None)
    assert tell("eval", "tracks", truth, results) == (
        2,
        "",
        "vidan: scoring tracks needs TrackEval: pip install 'vidan[eval]'\n",
    )


def test_tracks_go_out_as_they_came_in(tell: Tell, truth: Path, results: Path, tmp_path: Path) -> None:
    code, out, _ = tell("tracks", "import", results / "yard.txt", "--info", truth / "yard" / "seqinfo.ini",
                        "--output", tmp_path / "run")  # fmt: skip
    assert code == 0
    assert "stream yard, 10 frames, 20 boxes of 2 tracks" in out
    assert tell("tracks", "export", tmp_path / "run", tmp_path / "out.txt")[0] == 0
    assert tell("tracks", "export", tmp_path / "run", tmp_path / "folder")[0] == 0
    assert (tmp_path / "out.txt").read_text() == (tmp_path / "folder" / "yard.txt").read_text()
    written = [line.split(",")[:6] for line in (tmp_path / "out.txt").read_text().splitlines()]
    assert [[float(cell) for cell in line] for line in written] == [
        [float(cell) for cell in line.split(",")[:6]] for line in WALK.splitlines()
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("import yard.txt --output run", "yard.txt: how many frames are there per second? give --fps N"),
        ("import yard.txt --output run --fps 0 --size 64x48", "how many frames are there per second?"),
        ("import yard.txt --output run --fps 5", "yard.txt: how large are the pictures? give --size WxH"),
        ("import yard.txt --output run --fps 5 --size 64", "--size 64: expected width and height in pixels"),
        (
            "import yard.txt --output run --fps 5 --size 64x48 --frames 3",
            "frame 10, but there are only 3 frames",
        ),
        ("import yard.txt --output run --fps 5 --size 64x48 --name a/b", "give another name with --name"),
        ("import yard.txt --output run --smooth-seconds -1", "--smooth-seconds must not be negative, got -1"),
        ("import gone.txt --output run --fps 5 --size 64x48", "gone.txt"),
        ("export gone out.txt", "gone does not exist; name the folder of a run"),
    ],
)
def test_what_cannot_be_imported_or_exported_is_a_sentence(
    tell: Tell, results: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, complaint: str
) -> None:
    monkeypatch.chdir(results)
    code, out, err = tell("tracks", *arguments.split())
    assert (code != 0, out) == (True, "")
    assert complaint in err
    assert "Traceback" not in err
    assert "internal error" not in err
    assert not (results / "run").exists()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that counted three people out of the gate, at 1, 2 and 12 s."""
    folder = tmp_path / "counted"
    folder.mkdir()
    stream = {"name": "yard", "start_utc": "2026-05-01T08:00:00.000Z", "seconds": 20.0}
    (folder / "run.json").write_text(json.dumps({"streams": [stream], "config": {"class_groups": {}}}))
    header = "source,rule,type,class,direction,start,end,count\n"
    rows = (f"yard,gate,line,person,{direction},0,20,0\n" for direction in ("in", "out"))
    (folder / "counts.csv").write_text(header + "".join(rows))
    events = [
        {"id": f"{time}", "event": "line_crossed", "source": "yard", "rule": "gate", "track": 1, "class": "person"}
        | {"time": time, "utc": None, "frame": 0, "point": None, "box": None, "confidence": None}
        | {"direction": "out", "certainty": "seen"}
        for time in (1.0, 2.0, 12.0)
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def test_counts_are_judged_per_rule_and_interval(tell: Tell, run: Path, tmp_path: Path) -> None:
    manual = tmp_path / "manual.csv"
    manual.write_text(
        "source,rule,class,direction,start,end,count\n"
        "yard,gate,,out,2026-05-01T10:00:00+02:00,2026-05-01T10:00:10+02:00,3\n"
        "yard,gate,,out,10,20,1\nyard,gate,,out,20,30,0\n"
    )
    code, out, err = tell("eval", "counts", run, manual, "--json", tmp_path / "a.json", "--max-error", 25)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[:7] == ["yard", "gate", "out", "4", "3", "-1", "-25.0"]
    assert "not compared, for the manual counts have no line of it: yard gate in" in out
    assert "yard was recorded for 20.0 s only; manual intervals go on to 30 s" in out
    assert "1 of 3 intervals differ" in out
    (movement,) = json.loads((tmp_path / "a.json").read_text())["movements"]
    assert (movement["error"], movement["wape"], movement["interval_95"]) == (-1, 0.25, None)
    code, _, err = tell("eval", "counts", run, manual, "--max-error", 20)
    assert (code, err) == (7, "vidan: the largest error is 25.0 %, more than --max-error 20\n")


def test_events_are_matched_one_to_one(tell: Tell, run: Path, tmp_path: Path) -> None:
    manual = tmp_path / "manual.csv"
    manual.write_text("source,rule,class,direction,time\n,gate,,out,1.4\n,gate,,out,7\n,gate,,out,12\n")
    command = ("eval", "counts", run, manual, "--json", tmp_path / "a.json", "--tolerance", 0.7)
    code, out, _ = tell(*command)
    assert code == 0
    assert out.splitlines()[1].split()[:10] == ["yard", "gate", "out", "all", "3", "3", "2", "1", "0", "1"]
    (movement,) = json.loads((tmp_path / "a.json").read_text())["movements"]
    assert (movement["missed"], [event["time"] for event in movement["double"]]) == ([7], [2])
    assert tell(*command, "--between", 10, 20, "--max-error", 0)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("counted gone.csv", "cannot read the manual counts gone.csv: No such file"),
        (". manual.csv", "is no folder of a finished run: it has no counts.csv"),
        ("counted manual.csv --tolerance -1", "--tolerance must not be negative"),
        ("counted manual.csv", "manual.csv:2: no rule 'gat' in the run (did you mean 'gate'?)"),
    ],
)
def test_what_cannot_be_judged_is_a_sentence(
    tell: Tell, run: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, complaint: str
) -> None:
    monkeypatch.chdir(run.parent)
    Path("manual.csv").write_text("source,rule,class,direction,time\n,gat,,out,1.4\n")
    code, out, err = tell("eval", "counts", *arguments.split())
    assert (code, out) == (2, "")
    assert complaint in err
