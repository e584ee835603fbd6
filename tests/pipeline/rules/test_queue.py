"""Queues before a line: who waits, for how long, and whether it was worth it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from vidan.pipeline.events import EventKind
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.queue import QueueRule
from vidan.pipeline.rules.zone import ZoneRule

COUNTER = 300.0  # x of the line; the zone before it ends there
KINDS = {
    EventKind.QUEUE_SERVED: "served",
    EventKind.QUEUE_ABANDONED: "abandoned",
    EventKind.QUEUE_CHANGED: "length",
    EventKind.NEAR_MISS: "near miss",
}


def queue(counter: float = COUNTER, **options) -> QueueRule:
    names = ["person", "car"]
    return QueueRule(
        name="till",
        zone=ZoneRule(name="till", polygon=box(100, 0, 300, 200), class_names=names),
        line=LineRule(name="till", points=[(counter, 0), (counter, 200)], class_names=names),
        direction="in",
        class_names=names,
        **options,
    )


def row(*parts: tuple[float, float, int]) -> list[tuple[float, float]]:
    """A path along the middle: (from, to, frames) for each part, the end not included."""
    return [(x + (end - x) * i / count, 100) for x, end, count in parts for i in range(count)]


IN = (50.0, 200.0, 15)  # 150 pixels in 1.5 seconds: fast, at the zone after half a second


def story(events):
    """(what, when, how long or how many) of each event."""
    return [
        (
            KINDS[event.kind],
            round(event.pts_seconds, 2),
            round(event.details.get("wait", event.details.get("length")), 2),
        )
        for event in events
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(
            row(IN, (200, 200, 40), (200, 400, 20)),
            [("length", 3.0, 1), ("length", 6.0, 0), ("served", 6.5, 6.0)],
            id="comes, stands, is served",
        ),
        pytest.param(row(IN, (200, 400, 20)), [("served", 2.5, 2.0)], id="walks through: served, never in the queue"),
        pytest.param(
            row(IN, (200, 200, 40), (200, 0, 20), (0, 0, 20)),
            [("length", 3.0, 1), ("length", 6.0, 0), ("abandoned", 6.5, 6.0)],
            id="comes, stands, gives up",
        ),
        pytest.param(
            row(IN, (200, 200, 40)),
            [("length", 3.0, 1), ("near miss", 5.4, 4.9), ("length", 5.4, 0)],
            id="is lost in the queue",
        ),
        pytest.param(
            row(IN, (200, 200, 10), (200, 80, 12), (80, 80, 8), (80, 200, 12), (200, 200, 10), (200, 400, 20)),
            [("served", 7.7, 7.2)],
            id="looks elsewhere for less than two seconds",
        ),
    ],
)  # fmt: skip
def test_a_wait_is_from_coming_to_the_counter(walk, notice, path, expected) -> None:
    events = notice(queue(), walk({1: path}))
    assert [e for e in story(events) if e[0] != "length" or len(expected) > 1] == expected


def test_a_line_a_little_behind_the_zone_serves_too(walk, notice) -> None:
    events = notice(queue(counter=360.0), walk({1: row(IN, (200, 200, 20), (200, 420, 22))}))
    assert [what for what, *_ in story(events)] == ["length", "length", "served"]
    assert events[-1].details["wait"] == pytest.approx(1.5 + 2.0 + 1.6 - 0.5)


def test_nobody_waits_on_the_way_back(walk, notice) -> None:
    come_back = row((200, 400, 20), (400, 200, 20), (200, 200, 30), (200, 0, 20))
    assert [what for what, *_ in story(notice(queue(), walk({1: come_back})))] == ["served"]
    from_behind = row((400, 200, 20), (200, 200, 30), (200, 0, 20))
    assert notice(queue(), walk({1: from_behind})) == []


def test_a_wait_of_which_the_beginning_was_not_seen_says_so(walk, notice) -> None:
    *_, served = notice(queue(), walk({1: row((200, 200, 20), (200, 400, 20))}))
    assert served.details["saw_beginning"] is False
    *_, served = notice(queue(), walk({1: row(IN, (200, 400, 20))}))
    assert served.details["saw_beginning"] is True


def test_who_creeps_is_in_the_queue_and_who_walks_is_not(walk, notice) -> None:
    for step, lengths in ((2.9, [1]), (3.1, [])):  # pixels per frame: boxes are 100 high, slow is 0.3 of it a second
        path = row((110, 110 + step * 50, 50))
        events = notice(queue(), walk({1: path}, lost_after=100))
        assert [e.details["length"] for e in events if e.kind is EventKind.QUEUE_CHANGED][:1] == lengths


def test_jitter_is_no_movement(walk, notice) -> None:
    path = [(200 + 8 * (-1) ** i, 100.0) for i in range(60)]  # 160 pixels a second to and fro
    events = notice(queue(), walk({1: path}))
    assert story(events)[0] == ("length", 1.0, 1)


def test_the_length_is_told_when_it_has_changed_and_at_multiples(walk, notice) -> None:
    paths = {1: row((150, 150, 100)), 2: [None] * 33 + row((200, 200, 67)), 3: [None] * 35 + row((250, 250, 65))}
    changes = [e for e in notice(queue(every=2.0), walk(paths)) if e.kind is EventKind.QUEUE_CHANGED]
    assert [(e.pts_seconds, e.details["length"]) for e in changes[:2]] == [(2.0, 1), (6.0, 3)]
    assert changes[0].track_id is None


def test_only_classes_that_count_wait(walk, notice) -> None:
    paths = {track: row((200, 200, 30), (200, 400, 20)) for track in (1, 2)}
    events = notice(queue(class_ids=frozenset({1})), walk(paths, classes={1: [0] * 50, 2: [1] * 50}))
    assert {event.track_id for event in events} == {2, None}
    assert max(event.details.get("length", 0) for event in events) == 1


places = st.none() | st.tuples(st.integers(0, 400), st.integers(50, 150))
walks = st.dictionaries(st.integers(1, 5), st.lists(places, min_size=2, max_size=60).filter(any), min_size=1)


@settings(max_examples=80, deadline=None)
@given(paths=walks)
def test_every_stay_ends_once_and_the_queue_ends_empty(walk, notice, paths) -> None:
    rule = queue(patience=0.0)
    scenes = walk(paths)
    events = notice(rule, scenes)
    lengths = [event.details["length"] for event in events if event.kind is EventKind.QUEUE_CHANGED]
    assert all(0 <= length <= len(paths) for length in lengths)
    assert not lengths or lengths[-1] == 0
    assert all(event.details["wait"] >= 0 for event in events if event.kind is not EventKind.QUEUE_CHANGED)
    assert len({event.id for event in events}) == len(events)
    stays = notice(ZoneRule(name="z", polygon=box(100, 0, 300, 200), class_names=["person"]), scenes)
    began = sum(event.kind in (EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED) for event in stays)
    assert sum(event.kind is not EventKind.QUEUE_CHANGED for event in events) <= began
    assert not rule._visits
    assert not rule._trails
    assert not rule._last


def test_a_queue_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        queue(slow=0)
