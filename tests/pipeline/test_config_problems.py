"""A table of wrong configs, each with the line and the words that people get."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidan.pipeline.config.load import MAX_BYTES, load_config
from vidan.pipeline.errors import ConfigError

GOOD = """\
streams:
  - {name: gate, source: gate.mp4}
"""
RULES = GOOD + "rules:\n"
ON_ONE_LINE = "  s: {{type: speed, calibration: {{points: [{}]}}}}\n".format(
    ", ".join(f"{{image: [{x}, {x}], ground: [{x}, 0]}}" for x in (1, 2, 3, 4))
)
AREA = "  area: {type: zone, polygon: [[0, 0], [1, 0], [1, 1]]}\n"
CLASSES = ("person", "car", "truck")


def source(text: str) -> str:
    return f"streams: [{{name: a, source: {{{text}}}}}]\n"


def video(settings: str) -> str:
    """A config whose source in line 1 has these settings."""
    return f"streams: [{{name: a, source: {{type: video, path: x, {settings}}}}}]\n"


def rule(kind: str, settings: str) -> str:
    """A config whose rule `r` in line 4 has these settings."""
    return f"{RULES}  r: {{type: {kind}, {settings}}}\n"


def complaints(folder: Path, text: str) -> list[str]:
    """The lines of the error for this text, without the file's name; the model knows three classes."""
    path = folder / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, class_names=lambda detector, path: CLASSES)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        # keys and types
        ("", "1: the file is empty; it needs at least `streams`"),
        ("- a\n", "1: the file should hold keys and their values"),
        ("detector: {}\n", "1: streams: is missing"),
        ("streams: []\n", "1: streams: should have 1 or more entries, has 0"),
        (GOOD + "detectr: {}\n", "3: detectr: is no key that is known here (did you mean 'detector'?)"),
        (GOOD + "detector:\n  confidance: 0.2\n", "4: detector.confidance: is no key that is known here (did you mean"),
        (GOOD + "detector:\n", "3: detector: should be a mapping of keys to values, got null"),
        (GOOD + "detector:\n  batch: '8'\n", "4: detector.batch: should be a whole number, got '8'"),
        (GOOD + "detector:\n  batch: 0\n", "4: detector.batch: should be at least 1, got 0"),
        (GOOD + "detector:\n  batch: 8.0\n", "4: detector.batch: should be a whole number, got 8.0"),
        (GOOD + "detector:\n  confidence: 1.5\n", "4: detector.confidence: should be at most 1, got 1.5"),
        (GOOD + "detector:\n  confidence: 1e999\n", "4: detector.confidence: should be a finite number"),
        (GOOD + "detector:\n  image_size: 100\n", "4: detector.image_size: should be a multiple of 32, got 100"),
        (GOOD + "detector:\n  image_size: [640]\n", "4: detector.image_size[1]: is missing"),
        (GOOD + "detector:\n  device: gpu\n", "4: detector.device: should be auto, cpu, cuda or cuda:N"),
        (GOOD + "detector:\n  precision: fp17\n", "4: detector.precision: should be auto, fp32, bf16 or fp16, got"),
        (GOOD + "tracker: {type: bytetrak}\n", "sort, ocsort or botsort, got 'bytetrak' (did you mean 'bytetrack'?)"),
        (GOOD + "tracker: {type: sort, low_confidence: 0.2}\n", "3: tracker.low_confidence: is no key that is known"),
        (GOOD + "tracker: {lost_after_second: 2}\n", "3: tracker.lost_after_second: is no key that is known here (did"),
        (GOOD + "tracker: {low_confidence: 0.7}\n", "3: tracker.low_confidence: is above high_confidence (0.3)"),
        (GOOD + "output: {report: yes}\n", "3: output.report: should be true or false, got 'yes'"),
        (GOOD + "output: {video: no}\n", "3: output.video: should be true, false or a mapping of settings, got 'no'"),
        (GOOD + "output: {video: {crf: 60}}\n", "3: output.video.crf: should be at most 51, got 60"),
        (GOOD + "output: {folder: 'out/{stream}'}\n", "3: output.folder: only {config} can be filled in"),
        (GOOD + "output: {interval_seconds: 0}\n", "3: output.interval_seconds: should be at least 0.001, got 0"),
        (GOOD + "output: {interval_seconds: 1e9}\n", "output.interval_seconds: should be at most 31536000, got 1"),
        (GOOD + "output: {folder: 's3://me:pw@runs'}\n", "3: output.folder: is a URL: runs are written to a folder of"),
        (GOOD + "tracker: {high_confidence: 0, low_confidence: 0}\n", "high_confidence: should be above 0, got 0"),
        # streams and sources
        ("streams:\n  - source: a.mp4\n", "2: streams[0].name: is missing"),
        ("streams:\n  - {name: a/b, source: a.mp4}\n", "2: streams[0].name: names files, so it may hold only"),
        (GOOD + "  - {name: Gate, source: b.mp4}\n", "3: streams[1].name: is the name of the stream in line 2 already"),
        ("streams: [{name: a, source: {path: a.mp4}}]\n", "1: streams[0].source.type: is missing; it should be"),
        (source("type: vidio, path: x"), "1: streams[0].source.type: should be video, images, rtsp, http"),
        (
            "streams: [{name: a, source: a.mp4, main_stream: {type: rtsp, url: 'rtsp://cam/1'}}]\n",
            "1: streams[0].main_stream: belongs to a camera; a recording has one stream",
        ),
        (
            "streams: [{name: a, source: {type: rtsp, url: 'rtsp://cam/2'},\n"
            "  main_stream: {type: rtsp, url: 'rtsp://cam/1'}}]\n"
            "rules:\n  gate: {type: line, points: [[10, 0], [10, 90]]}\n",
            "4: rules.gate: should be fractions of the frame, for stream 'a' has a main_stream of another size",
        ),
        (source("type: rtsp, url: http://cam/1"), "source.url: should be an address such as rtsp://USER:PASSWORD@"),
        (source("type: rtsp, url: 'rtsp://:554/1'"), "source.url: should be an address such as rtsp://"),
        (source("type: rtsp, url: 'rtsp://u:p/w@cam/1'"), "in a password write @ as %40"),
        (source("type: rtsp, url: 'rtsp://cam', transport: tls"), "transport: should be tcp or udp, got 'tls'"),
        (source("type: rtsp, url: 'rtsp://cam', read_timeout: 0"), "read_timeout: should be above 0, got 0"),
        (source("type: rtsp, url: 'rtsp://cam', reconnect: {attempts: 0}"), "reconnect.attempts: should be at least 1"),
        (source("type: http, url: 'file:///etc/passwd'"), "source.url: should be an address such as https://"),
        (source("type: udp, url: 'udp://cam'"), "source.url: should be udp://ADDRESS:PORT"),
        (source("type: device, path: video0"), "source.path: should be the whole path of a device"),
        (video("loop: true"), "source.loop: needs `live: true`"),
        (video("live: true, start_time: 2026-05-01T08:00:00Z"), "source.start_time: is now, for `live: true`"),
        ("streams: [{name: a, source: ''}]\n", "1: streams[0].source: should not be empty"),
        ("streams: [{name: a, source: 5}]\n", "1: streams[0].source: should be a mapping of keys to values, got 5"),
        ("streams:\n- name: a\n  source: {type: video, path: x,\n    stide: 2}\n", "4: streams[0].source.stide: is"),
        (video("stride: yes"), "should be a whole number, got 'yes'"),
        (video("max_fps: 0"), "max_fps: should be above 0, got 0"),
        ("streams: [{name: a, source: {type: images, path: x, fps: -1}}]\n", "fps: should be above 0, got -1"),
        (video("start_time: 2026-05-01T08:00"), "add Z for UTC, or an offset"),
        (video("start_time: '20260501'"), "says no time zone"),
        (video("start_time: 1777622400"), "should be a date and time such as"),
        (video("start_time: 0001-01-01T00:00+05:00"), "beyond the calendar"),
        # rules and shapes
        (RULES + "  r: 5\n", "4: rules.r: should be a mapping of keys to values, got 5"),
        # rules that need another rule, the ground, a clock or a file
        (RULES + AREA + "  f: {type: flow, places: [area, arae]}\n", "there is no rule 'arae' (did you mean 'area'?)"),
        (RULES + AREA + "  q: {type: queue, polygon: [[0, 0], [1, 0], [1, 1]], line: area}\n", "line, got 'area'"),
        (RULES + "  s: {type: speed}\n", "4: rules.s.calibration: is missing, and stream 'gate' has none"),
        (RULES + "  h e: {type: heatmap}\n", "4: rules.h e: names a file"),
        (RULES + ON_ONE_LINE, "rules.s.calibration.points: too many of the points of the picture lie on one line"),
        (RULES + "  h: {type: heatmap, schedule: {time_zone: Europe/Berln, windows: [{from: '07:00', to: '19:00'}]}}\n",
         "rules.h.schedule.time_zone: is no time zone"),
        (RULES + "  h: {type: heatmap, schedule: {time_zone: UTC, windows: [{from: 7:00, to: '19:00'}]}}\n",
         "windows[0].from: should be a time of day"),
        (RULES + "  r: {points: [[0, 0], [1, 1]]}\n", "rules.r.type: is missing; it should be flow, heatmap, line, "),
        (RULES + "  r: {type: lin}\n", "or heatmap, got 'lin' (did you mean 'line'?)"),
        (RULES + "  r: {type: line}\n", "4: rules.r.points: is missing"),
        (rule("line", "points: [[0, 0]]"), "4: rules.r.points: should have 2 or more entries, has 1"),
        (RULES + "  r:\n    type: line\n    points:\n    - [0, 0]\n    - [1]\n", "8: rules.r.points[1][1]: is"),
        (rule("line", "points: [[0, 0], [1, 1, 1]]"), "4: rules.r.points[1]: should have 2 entries or fewer, has 3"),
        (rule("line", "points: [[0, 0], [1, '1']]"), "4: rules.r.points[1][1]: should be a number, got '1'"),
        (rule("line", "points: [[0.1, 0.6], [300, 4]]"), "mixes fractions [0.1, 0.6] with pixels [300, 4]"),
        (rule("line", "points: [[0.1, 0.6], [1.02, 0.6]]"), "mixes fractions [0.1, 0.6] with pixels [1.02, 0.6]"),
        (rule("line", "points: [[0, 0], [9, 9], [9, 9]]"), "a segment of zero length: [9, 9] stands twice"),
        (rule("line", "points: [[0, 0], [9, 9], [9, 0], [0, 9]]"), "the line crosses or touches itself"),
        (rule("line", "points: [[0, 0], [40000, 9]]"), "4: rules.r.points[1][0]: should be at most 32768, got 40000"),
        (rule("zone", "polygon: [[0, 0], [9, 0], [0, -4e4]]"), "rules.r.polygon[2][1]: should be at least -32768, got"),
        (rule("zone", "polygon: [[0, 0], [1, 0], [0, 1]], every: 1e-9"), "rules.r.every: should be at least 0.001"),
        (rule("line", "points: [[0, 0], [1, 1]], hysteresis: -1"), "rules.r.hysteresis: should be at least 0"),
        (rule("line", "points: [[0, 0], [1, 1]], policy: evry"), "should be every, once or net, got 'evry' (did"),
        (rule("line", "points: [[0, 0], [1, 1]], directions: {out: in}"), "directions.out: both directions have"),
        (rule("line", "points: [[0, 0], [1, 1]], bridge: {second: 1}"), "(did you mean 'seconds'?)"),
        (rule("line", "points: [[0, 0], [1, 1]], bridge: 1"), "bridge: should be a mapping of keys to values"),
        (RULES + "  r: {type: zone}\n", "a zone needs either `polygon` or `polygons`, and not both"),
        (rule("zone", "polygon: [[0, 0], [1, 1]]"), "should have 3 or more entries, has 2"),
        (rule("zone", "polygon: [[0, 0], [1, 1], [0, 0]]"), "needs at least 3 different points"),
        (rule("zone", "polygon: [[0, 0], [2, 2], [4, 4]]"), "has no area"),
        (rule("zone", "polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]"), "self-intersection near [0.5, 0.5]"),
        (
            RULES + "  r:\n    type: zone\n    polygon: [[0,0], [9,0], [0,9]]\n    holes: [[[1,1], [9,1], [1,9]]]\n",
            "7: rules.r.holes: hole 1 reaches out of the zone",
        ),
        (rule("zone", "polygon: [[0, 0], [9, 0], [0, 9]], holes: [[[0, 0], [9, 0], [0, 9]]]"), "leave nothing of the"),
        (rule("zone", "polygons: [[[0, 0], [.5, 0], [0, .5]], [[8, 0], [9, 0], [8, 9]]]"), "polygons: mixes fractions"),
        (rule("zone", "polygon: [[0, 0], [1, 0], [0, 1]], overlap: 0"), "rules.r.overlap: should be above 0, got 0"),
        (rule("zone", "polygon: [[0, 0], [1, 0], [0, 1]], loiter: {}"), "rules.r.loiter.after: is missing"),
        # names that point elsewhere
        (
            "streams:\n  - {name: a, source: a.mp4, rules: [gat]}\nrules: {gate: {type: line, points: [[0,0],[1,1]]}}",
            "2: streams[0].rules[0]: there is no rule 'gat' (did you mean 'gate'?)",
        ),
        (rule("line", "points: [[0, 0], [1, 1]], classes: [car, car]"), "rules.r.classes: names something twice"),
        (
            RULES + "  r:\n    type: line\n    points: [[0, 0], [1, 1]]\n    classes:\n      - persn\n",
            "8: rules.r.classes[0]: there is no class 'persn' (did you mean 'person'?)",
        ),
        (GOOD + "detector: {classes: [cars]}\n", "3: detector.classes[0]: there is no class 'cars'"),
        (GOOD + "detector: {classes: []}\n", "3: detector.classes: should have 1 or more entries, has 0"),
        (GOOD + "class_groups: {vehicle: [car, bus]}\n", "3: class_groups.vehicle[1]: there is no class 'bus'"),
        (GOOD + "class_groups: {a: [car], b: [car]}\n", "3: class_groups.b[0]: is in group 'a' already"),
        (GOOD + "class_groups: {car: [car]}\n", "3: class_groups.car: is the name of a class already"),
        (
            GOOD + "detector: {classes: [car]}\nrules: {r: {type: line, points: [[0,0], [1,1]], classes: [person]}}\n",
            "4: rules.r.classes[0]: there is no class 'person'",  # the detector is told to drop it
        ),
        # YAML and the environment
        (GOOD + "streams: []\n", "3: streams: stands here twice, first in line 1"),
        (GOOD + "output: {folder: [}\n", "3: is no valid YAML"),
        ("streams:\n  - name: a\n    source: ${VIDAN_NOT_SET}\n", "3: streams[0].source: the environment variable"),
    ],
)  # fmt: skip
def test_each_problem_is_told_once_with_its_line_and_key_path(tmp_path: Path, text: str, complaint: str) -> None:
    [line] = complaints(tmp_path, text)
    assert complaint in line


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
detector:
  confidance: 0.1
streams:
  - {name: a, source: "${VIDAN_NOT_SET}", rules: [gaet]}
  - {name: a, source: {type: video, path: x, stride: 0}}
rules:
  gate: {type: line, points: [[0, 0], [0, 0]], polcy: once}
  yard: {type: zone, polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]}
  yard: {type: zone}
"""
    found = complaints(tmp_path, text)
    assert [int(line.partition(":")[0]) for line in found] == [2, 4, 4, 5, 5, 7, 7, 8, 9]


def test_classes_are_checked_beside_other_problems(tmp_path: Path) -> None:
    found = complaints(tmp_path, RULES + "  r: {type: line, points: [[0, 0]], classes: [persn]}\n")
    assert any("did you mean 'person'" in line for line in found)
    assert any("2 or more" in line for line in found)


def test_a_value_from_the_environment_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH", "hunter2")
    [line] = complaints(tmp_path, GOOD + "detector: {batch: 1, device: '${BATCH}'}\n")
    assert "hunter2" not in line
    assert "got '${BATCH}', filled in from the environment" in line


def test_weights_that_cannot_be_read_are_a_problem_of_the_config(tmp_path: Path) -> None:
    def unreadable(detector: object, path: Path) -> tuple[str, ...]:
        raise ValueError("there are no weights 'yolov9-x'")

    (tmp_path / "run.yaml").write_text("detector:\n  weights: yolov9-x\n" + GOOD)
    with pytest.raises(ConfigError, match=r"run.yaml:2: detector.weights: there are no weights 'yolov9-x'"):
        load_config(tmp_path / "run.yaml", class_names=unreadable)


def test_a_file_that_is_not_there_has_a_near_miss(tmp_path: Path) -> None:
    (tmp_path / "campus.yaml").write_text(GOOD)
    with pytest.raises(ConfigError, match=r"campis.yaml: there is no such file \(did you mean 'campus.yaml'\?\)"):
        load_config(tmp_path / "campis.yaml")
    with pytest.raises(ConfigError, match=r"there is no such file$"):
        load_config(tmp_path / "nowhere" / "campus.yaml")


def test_what_is_no_config_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)
    path.write_bytes(b"streams:\n  - name: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"run.yaml:2: is no UTF-8 text \(byte 0xe9\)"):
        load_config(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="is larger than 1 MiB"):
        load_config(path)
