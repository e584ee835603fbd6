"""Two logs compared: what is the same, what moved, what only one of them has."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.difference import compare
from vidan.pipeline.events import Event, EventKind, event_id


def crossing(seconds: float, track: int = 1, ordinal: int = 1, direction: str = "in", rule: str = "gate") -> Event:
    return Event(
        id=event_id("door", rule, EventKind.LINE_CROSSED, track, ordinal),
        kind=EventKind.LINE_CROSSED,
        stream="door",
        rule=rule,
        track_id=track,
        label="person",
        pts_seconds=seconds,
        utc=None,
        frame=round(seconds * 10),
        details={"direction": direction},
    )


LOGS = st.lists(
    st.builds(crossing, st.floats(0, 5), st.integers(1, 4), st.integers(1, 4), st.sampled_from(["in", "out"])),
    unique_by=lambda event: event.id,
    max_size=12,
)


def test_equal_logs_do_not_differ_whatever_their_order() -> None:
    log = [crossing(1.0), crossing(2.0, 2)]
    difference = compare(log, log[::-1])
    assert difference.is_empty
    assert difference.same == 2


def test_an_event_whose_time_changed_has_moved() -> None:
    difference = compare([crossing(1.0)], [crossing(1.4)])
    (moved,) = difference.moved
    assert moved.changed == ("time", "frame")
    assert (difference.vanished, difference.appeared) == ((), ())


def test_beyond_the_tolerance_one_vanishes_and_one_appears() -> None:
    difference = compare([crossing(1.0)], [crossing(1.4)], tolerance_seconds=0.3)
    assert len(difference.vanished) == len(difference.appeared) == 1
    assert not difference.moved


def test_the_first_of_two_that_vanishes_does_not_drag_the_second_along() -> None:
    """The second crossing of the track gets the id of the first one; it is still the same crossing."""
    before = [crossing(1.0, ordinal=1), crossing(3.0, ordinal=2)]
    difference = compare(before, [crossing(3.0, ordinal=1)])
    assert difference.vanished == (before[0],)
    assert difference.same == 1
    assert not difference.moved


def test_another_track_at_nearly_the_same_time_is_the_same_object_seen_otherwise() -> None:
    difference = compare([crossing(1.0, track=1)], [crossing(1.1, track=7)])
    (moved,) = difference.moved
    assert moved.changed == ("track", "time", "frame")


def test_the_same_track_is_preferred_to_a_nearer_one() -> None:
    before = [crossing(1.0, track=1, ordinal=1)]
    after = [crossing(1.05, track=2), crossing(1.2, track=1, ordinal=2)]
    difference = compare(before, after)
    assert [moved.after for moved in difference.moved] == [after[1]]
    assert difference.appeared == (after[0],)


def test_the_other_direction_is_another_event() -> None:
    difference = compare([crossing(1.0)], [replace(crossing(1.0), details={"direction": "out"})])
    assert len(difference.vanished) == len(difference.appeared) == 1
    assert [(total.what, total.before, total.after) for total in difference.totals] == [("in", 1, 0), ("out", 0, 1)]


@settings(max_examples=60, deadline=None)
@given(LOGS, LOGS)
def test_every_event_is_accounted_for_once_from_both_sides(before: list[Event], after: list[Event]) -> None:
    there, back = compare(before, after), compare(after, before)
    paired = there.same + len(there.moved)
    assert paired + len(there.vanished) == len(before)
    assert paired + len(there.appeared) == len(after)
    assert there.same == back.same
    assert sum(total.before for total in there.totals) == len(before)
    assert sum(total.after for total in there.totals) == len(after)
    for moved in there.moved:
        assert abs(moved.before.pts_seconds - moved.after.pts_seconds) <= 0.5
