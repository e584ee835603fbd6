"""The page: complete, self-contained, safe against names, and right about what it draws."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.events import Event, EventKind, to_record
from vidan.pipeline.manifest import Manifest, RunStatus
from vidan.pipeline.report import ledger
from vidan.pipeline.report.html import render_report, write_report
from vidan.pipeline.report.intervals import StreamSpan
from vidan.pipeline.report.ledger import ROWS_WITHOUT_SCRIPT
from vidan.pipeline.report.measures import FlowRow, QueueRow, Speeds
from vidan.pipeline.report.recorded import RecordedRun, read_run, rule_to_record
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.scene import scenes_of
from vidan.pipeline.report.summary import summarize
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.files import read_events
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.stream_record import StreamRecord

NASTY = '<script>alert("x")</script>'
START = datetime(2024, 5, 1, 10, 0, 30, tzinfo=UTC)


def an_event(kind: EventKind, rule: str, seconds: float, label: str = "person", **details: object) -> Event:
    name = hashlib.sha256(f"{kind} {rule} {seconds}".encode()).hexdigest()[:16]
    return Event(name, kind, "door", rule, 1, label, seconds, None, 0, details=details)


def a_run(folder: Path, crossings: int = 3, seconds: float = 100.0) -> RecordedRun:
    """A run with every kind of rule, a gap, an event log on the disk, and names that mean harm."""
    times = [seconds * i / (crossings + 1) for i in range(1, crossings + 1)]
    events = [
        *(an_event(EventKind.LINE_CROSSED, "gate", time, direction="in", certainty="seen") for time in times),
        an_event(EventKind.ZONE_ENTERED, "yard", 1.0, NASTY),
        an_event(EventKind.LOITERING, "yard", 21.0, dwell=20.0),
        an_event(EventKind.ZONE_LEFT, "yard", 31.0, dwell=30.0),
    ]
    near = [an_event(EventKind.NEAR_MISS, "gate", 5.0, reason="turned back", note=NASTY)]
    rules = [
        RuleInfo("door", "gate", "line", ("person", NASTY), ("in", "out")),
        RuleInfo("door", "yard", "zone", ("person",)),
    ]
    gaps = (Gap(40.0, 50.0, GapReason.MISSING),)
    summary = summarize(events, rules, [StreamSpan("door", seconds, seconds + 20, START, gaps)], 10.0, near_misses=near)
    health = SourceHealth(decoded=100, duration_seconds=seconds + 20, problems=[NASTY], gaps=[gap[:2] for gap in gaps])
    manifest = Manifest(
        config={"note": NASTY, "streams": [], "rules": {}, "output": {"interval_seconds": 10.0}},
        detector={"model": "yolov9-t", "class_names": ["person", NASTY]},
        inputs={"door.mp4": "ab" * 32},
        streams=[StreamRecord("door", "door.mp4", health, 100, seconds, START)],
        rules=[rule_to_record(rule) for rule in rules],
        stage_seconds={"decode": 1.0},
    )
    manifest.finish(RunStatus.INTERRUPTED)
    run = RunFolder(folder)
    manifest.write(run.manifest)
    for path, log in ((run.events, events), (run.near_misses, near)):
        path.write_text("".join(json.dumps(to_record(event)) + "\n" for event in log))
    return RecordedRun(run, manifest.to_record(), summary, events, near)


class Outline(HTMLParser):
    """Checks that every element is closed, and keeps what the page would load and what it says."""

    VOID = frozenset({"meta", "br", "line", "rect", "path", "image", "use", "polygon", "polyline", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text = " ".join((self.text + " " + data).split())


def unpacked(page: str, name: str = "events") -> dict[str, Any]:
    """The data of a table, as the script reads it."""
    packed = re.search(rf'id="packed-{name}">([A-Za-z0-9+/=]*)</script>', page)
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_the_page_is_well_formed_and_loads_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "Night shift"
    folder.mkdir()
    page = render_report(a_run(folder))
    outline = Outline(page)
    assert outline.open == []
    assert all(load.startswith(("#", "data:")) for load in outline.loads)
    assert not re.search(r"url\(|@import|<link|https?://", page)
    for words in ("Night shift", "interrupted", "gate", "yard", "loitering: 1", "seen 1:30 of 2:00 (75.0%)"):
        assert words in outline.text
    assert outline.text.count("0:40 to 0:50: missing (no pictures)") == 2  # in the list and in the band
    assert outline.text.count("1:40 to 2:00: unread (nothing read, for the run had ended)") == 2


def test_names_cannot_inject_anything(tmp_path: Path) -> None:
    folder = tmp_path / NASTY.replace("/", "∕")
    folder.mkdir()
    page = render_report(a_run(folder))
    assert '<script>alert("x")' not in page
    assert "&lt;script&gt;" in page
    assert len(re.findall(r"<script>", page)) == 1, "the page's own"
    assert NASTY in unpacked(page)["texts"][3]["words"], "packed, where it cannot end an element"


def test_only_the_script_of_the_page_may_run_and_nothing_may_load(tmp_path: Path) -> None:
    page = render_report(a_run(tmp_path))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert policy is not None
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy[1]
    assert f"script-src 'sha256-{digest}'" in policy[1]


def test_the_totals_stand_in_the_table(tmp_path: Path) -> None:
    text = Outline(render_report(a_run(tmp_path, crossings=7))).text
    assert "person 7 0 7" in text
    assert "all 7 0 7" in text
    assert "Certainty: 7 seen, 0 interpolated, 0 bridged." in text
    assert "1 stays: mean 30.0 s" in text
    assert "rule turned back sum gate door 1 1" in text


def test_all_events_are_packed_and_the_first_stand_there_without_a_script(tmp_path: Path) -> None:
    run = a_run(tmp_path, crossings=ROWS_WITHOUT_SCRIPT)
    page = render_report(run)
    assert f"The first {ROWS_WITHOUT_SCRIPT} of {ROWS_WITHOUT_SCRIPT + 3}" in page
    assert page.count('data-name="event">line crossed</td>') == ROWS_WITHOUT_SCRIPT
    data = unpacked(page)
    times = np.cumsum(data["milliseconds"])
    rules = [data["texts"][1]["words"][place] for place in data["texts"][1]["rows"]]
    assert times.tolist() == [round(event.pts_seconds * 1000) for event in run.events]
    assert rules == [event.rule for event in run.events]
    assert data["starts"] == ["2024-05-01T10:00:30.000Z"]


def test_a_report_can_be_drawn_again_from_the_folder_to_the_byte(tmp_path: Path) -> None:
    page = render_report(a_run(tmp_path))
    assert render_report(read_run(tmp_path)) == page


def _without_rules(folder: RunFolder) -> None:
    record = json.loads(folder.manifest.read_text())
    del record["rules"]
    folder.manifest.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("ruin", "message"),
    [
        (lambda folder: folder.manifest.unlink(), "is no folder of a run: it has no run.json"),
        (lambda folder: folder.manifest.write_text("{"), "run.json is damaged"),
        (lambda folder: folder.manifest.write_text("[]"), "is no manifest of a run"),
        (lambda folder: folder.manifest.write_text("{}"), "run.json lacks 'run'"),
        (_without_rules, "run.json has no 'rules'.*written by an older vidan"),
        (lambda folder: folder.events.unlink(), "cannot read the event log"),
        (lambda folder: folder.tracks.write_text("no parquet"), "cannot read the track file"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told_in_words(
    tmp_path: Path, ruin: Callable[[RunFolder], None], message: str
) -> None:
    ruin(a_run(tmp_path).folder)
    with pytest.raises(SourceError, match=message):
        render_report(read_run(tmp_path))


def test_evidence_is_shown_as_thumbnails_then_as_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(tmp_path, crossings=2)
    events = list(run.events)
    run.folder.evidence.mkdir()
    for event, side in zip(events, (640, 640, 0), strict=False):
        path = run.folder.evidence / f"{event.id}.jpg"
        Image.new("RGB", (side, side)).save(path, "JPEG") if side else path.write_text("no picture")
    (run.folder.evidence / f"{events[0].id}.mp4").touch()
    monkeypatch.setattr(ledger, "THUMBNAIL_BYTES", 1000)
    page = render_report(run)
    stills = json.loads(re.search(r'id="stills">(.*?)</script>', page)[1])  # pyright: ignore[reportOptionalSubscript]
    assert list(stills["thumbnails"]) == [events[0].id], "the budget is for one"
    assert len(stills["stills"]) == 2
    assert stills["clips"] == [events[0].id]
    assert page.count('.jpg">picture</a>') == 3


def test_a_replay_shows_the_pictures_of_its_run_for_events_that_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "the run").mkdir()
    run = a_run(tmp_path / "the run", crossings=2)
    events = list(run.events)
    run.folder.evidence.mkdir()
    for event in events:
        Image.new("RGB", (64, 64)).save(run.folder.evidence / f"{event.id}.jpg", "JPEG")
    moved = replace(events[0], pts_seconds=events[0].pts_seconds + 0.1)
    (tmp_path / "again").mkdir()
    replay = replace(
        run,
        folder=RunFolder(tmp_path / "again"),
        manifest={
            **run.manifest,
            "replayed_from": {"run": run.manifest["run"], "folder": str(run.folder.path)},
            "config": {**run.manifest["config"], "output": {"folder": str(tmp_path / "again")}},
        },
        events=[moved, *list(read_events(run.folder.events))[1:]],
    )
    page = render_report(replay)
    stills = json.loads(re.search(r'id="stills">(.*?)</script>', page)[1])  # pyright: ignore[reportOptionalSubscript]
    assert stills["place"] == "../the%20run/evidence"
    assert set(stills["thumbnails"]) == {event.id for event in events[1:]}
    assert f'href="../the%20run/evidence/{events[1].id}.jpg"' in page


def test_flows_speeds_and_queues_are_drawn(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    flow = RuleInfo("door", "trips", "flow", ("person",), ())
    speed = RuleInfo("door", "fast", "speed", ("person",), ())
    queue = RuleInfo("door", "till", "queue", ("person",), ())
    interval = run.summary.counts[0].interval
    summary = replace(
        run.summary,
        flows=(FlowRow(flow, "gate", "yard", "person", 7), FlowRow(flow, "yard", "gate", NASTY, 2)),
        speeds=(Speeds(speed, "km/h", 30.0, (5.0, 10.0)), Speeds(replace(speed, name="slow"), "mph", None, ())),
        queues=(
            QueueRow(queue, interval, 10, 0, 1.5, 3, (4.0, 8.0), (60.0,)),
            QueueRow(replace(queue, name="empty"), interval, 0, None, None, None, (), ()),
        ),
    )
    outline = Outline(render_report(replace(run, summary=summary)))
    assert outline.open == []
    assert "gate 0 7 7 yard 2 0 2 all 2 7 9" in outline.text
    assert "2 passes, the median speed of each: mean 27.0 km/h, median 27.0, 85 % up to 33.3" in outline.text
    assert "fastest 36.0; 1 above 30." in outline.text
    assert "limit 30" in outline.text
    assert "2 served after 6.0 s on average" in outline.text
    assert "1 gave up, after 60.0 s on average." in outline.text
    assert "No speed was measured." in outline.text
    assert "Nobody was served." in outline.text


def test_what_nobody_saw_is_missing_on_the_page_and_never_zero(tmp_path: Path) -> None:
    rules = [
        RuleInfo("door", "gate", "line", ("person",), ("in", "out")),
        RuleInfo("door", "trips", "flow", ("person",), (), places=("gate", "yard")),
        RuleInfo("door", "till", "queue", ("person",), ()),
        RuleInfo("door", "road", "speed", ("person",), ()),
    ]
    span = StreamSpan("door", 60.0, 60.0, START, (Gap(0.0, 60.0, GapReason.DARK),))
    record = Manifest(config={"streams": [], "rules": {}}).to_record()
    page = render_report(RecordedRun(RunFolder(tmp_path), record, summarize([], rules, [span], 10.0), []))
    text = Outline(page).text
    assert "in missing , out missing missing" in text
    assert "person missing missing missing all missing missing missing" in text
    assert text.count("Nobody looked at any time") == 7  # in four sections, and in the totals of three
    for claim in ("Nobody was served", "No speed was measured", "journeys"):
        assert claim not in text


def test_a_run_without_rules_or_streams_still_has_a_page(tmp_path: Path) -> None:
    empty = Manifest(config={"streams": [], "rules": {}})
    run = RecordedRun(RunFolder(tmp_path), empty.to_record(), summarize([], [], [], 60.0), [])
    write_report(tmp_path / "report.html", run)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in (
        "This run has no rules.",
        "This run has no streams.",
        "No event is in the log.",
        "No near miss is in the log.",
    ):
        assert words in page
    with pytest.raises(SinkError, match="cannot write the report"):
        write_report(tmp_path / "no" / "r.html", run)


def test_the_ways_of_the_tracks_are_drawn_over_the_scene(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    record: dict[str, Any] = dict(run.manifest) | {
        "config": {
            "streams": [{"name": "door"}],
            "rules": {
                "gate": {"points": [[0.5, 0.0], [0.5, 1.0]]},
                "yard": {"polygon": [[0, 0], [100, 0], [100, 50]], "holes": []},
            },
        }
    }
    record["streams"] = [dict(record["streams"][0]) | {"width": 200, "height": 100}]
    count = 40
    columns = {
        "source": ["door"] * count,
        "track": [1 + i % 2 for i in range(count)],
        "confirmed": [True] * count,
        "sx1": [float(i) for i in range(count)],
        "sx2": [float(i + 10) for i in range(count)],
        "sy2": [50.0] * count,
    }
    pq.write_table(pa.table(columns), run.folder.tracks)
    Image.new("RGB", (200, 100)).save(run.folder.scene("door"))
    np.savez(
        tmp_path / "heatmap-door.npz",
        seconds=np.eye(3, 5) * 4,
        outside=0.0,
        cell=40.0,
        stream="door",
        rule=NASTY,
        height=100,
        width=200,
    )
    (scene,) = scenes_of(run.folder, run.folder, record)
    assert (scene.tracks, [d for d, _ in scene.ways]) == (2, ["M5,50 43,50", "M6,50 44,50"])
    assert [(outline.rule, outline.points) for outline in scene.outlines] == [
        ("gate", "100.0,0.0 100.0,100.0"),
        ("yard", "0.0,0.0 100.0,0.0 100.0,50.0"),
    ]
    (heat,) = scene.heatmaps
    assert (heat.width, heat.height, heat.most_seconds) == (200.0, 120.0, 4.0)
    page = render_report(replace(run, manifest=record))
    assert "4.0 s per cell" in page
    assert "where 2 of 2 tracks stood and went" in page
    assert Outline(page).open == []
