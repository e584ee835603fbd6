"""Configs that say what cannot be."""

from __future__ import annotations

from mistakes import GOOD, RULES, RUN, Case, config

SQUARE = "[[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]"
IN_CONFIGS = [
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
]
