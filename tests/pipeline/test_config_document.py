"""YAML text -> values: the traps of YAML, lines, variables of the environment."""

from __future__ import annotations

from typing import Any

import pytest

from vidan.pipeline.config.document import MAX_DEPTH, read_document


def read(text: str, **environment: str) -> Any:
    document = read_document(text, environment)
    assert not document.problems
    return document.data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 12", 12),
        ("a: -1.5e-3", -0.0015),
        ("a: 1e3", 1000.0),
        ("a: 010", 10),
        ("a: true", True),
        ("a: ~", None),
        ("a:", None),
        ("a: '12'", "12"),
        # what YAML 1.1 makes of these surprises people
        ("a: yes", "yes"),
        ("a: off", "off"),
        ("a: 12:30", "12:30"),
        ("a: 0x10", "0x10"),
        ("a: 1_000", "1_000"),
        ("a: 2026-05-01", "2026-05-01"),
        ("a: .nan", ".nan"),
    ],
)
def test_scalars_are_read_as_people_mean_them(text: str, value: object) -> None:
    assert read(text) == {"a": value}
    assert type(read(text)["a"]) is type(value)


def test_keys_are_text_as_they_stand() -> None:
    assert read("{on: 1, 2: 2, no: 3, null: 4}") == {"on": 1, "2": 2, "no": 3, "null": 4}


def test_aliases_are_followed() -> None:
    assert read("a: &shape [[0, 1]]\nb: *shape") == {"a": [[0, 1]], "b": [[0, 1]]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: ${N}", 8),
        ("a: '${N}'", "8"),
        ("a: ${N}0", 80),
        ("a: x${N}-${N}", "x8-8"),
        ("a: ${NONE:-7}", 7),
        ("a: ${EMPTY:-7}", 7),
        ("a: ${N:-7}", 8),
        ("a: ${NONE:-}", None),
        ("a: ${EMPTY}", None),
        ("a: $${N}", "${N}"),
        ("a: $N costs 5$", "$N costs 5$"),
        ("a: ${YAML}", "{b: [1]}"),  # a value cannot bring structure with it
    ],
)
def test_variables_are_filled_in(text: str, value: object) -> None:
    assert read(text, N="8", EMPTY="", YAML="{b: [1]}") == {"a": value}


def test_every_key_and_item_has_its_line() -> None:
    document = read_document("a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n", {})
    assert {location: mark.line for location, mark in document.marks.items()} == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", 0): 4,
        ("a", "c", 1): 5,
        ("a", "c", 1, "d"): 5,
    }


@pytest.mark.parametrize(
    ("text", "line", "fragment"),
    [
        ("a: 1\nb: 2\na: 3", 3, "stands here twice, first in line 1"),
        ("a:\n\tb: 1", 2, "indent with spaces, not with tabs"),
        ("a: 1\nb: c: d", 2, "in quotes, or look at the indentation"),
        ("a: 1\nb: 'never closed\nc: 2\n", 2, "is no valid YAML"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "is no valid YAML"),
        ("a: 1\nb: {c: ${N}}", 2, "a ${VARIABLE} needs quotes"),
        ("a: 1\n---\nb: 2", 2, "expected a single document"),
        ("a: 1\nb: *nowhere", 2, "undefined alias"),
        ("a: 1\nb: !!python/object:os.system {}", 2, "tags such as tag:yaml.org,2002:python/object:os.system"),
        ("a: 1\nb\x07: 2", 2, "control character (#7)"),
        ("a: 1\n? [b]\n: 2", 2, "a key that is not a word"),
        ("a: 1\nb: ${NONE}", 2, "the environment variable NONE is not set"),
        ("a: 1\nb: ${}", 2, "holds '${' without a variable"),
        ("a: 1\nb: ${N", 2, "holds '${' without a variable"),
        ("a: 1\nb: " + "[" * 10_000, 2, "nested too deep"),
        ("a: 1\nb: &b [*b]", 2, "too large or endless"),
        (
            "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 10)),
            1,
            "too large or endless",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_what_yaml_allows_to_go_wrong_is_told_with_its_line(text: str, line: int, fragment: str) -> None:
    [problem] = read_document(text, {"N": "8"}).problems
    assert (problem.mark.line, fragment in problem.message) == (line, True), problem


def test_no_value_of_a_variable_is_shown() -> None:
    document = read_document(
        "a: rtsp://admin:literal@${HOST}/\nb: rtsp://u:${PASSWORD}@cam/", {"HOST": "h9", "PASSWORD": "p9"}
    )
    shown = f"{document.show(('a',))} {document.show(('b',))}"
    assert "rtsp://admin:***@${HOST}/" in shown
    assert not any(secret in shown for secret in ("literal", "h9", "p9"))


def test_shapes_have_room_within_the_depth_limit() -> None:
    coordinate = ("rules", "yard", "polygons", 0, 0, 0)
    assert len(coordinate) < MAX_DEPTH
