"""Replays, differences and databases of runs that are none, or of another kind."""

from __future__ import annotations

from mistakes import GOOD, RULES, RUN, Case, config, past_run, track_file

IN_RUNS = [
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
]
