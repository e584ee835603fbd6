"""Choosing settings by counts: the law of choice, halves of a clip, grids, and configs that are rewritten."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.report.manual import ManualCount, ManualEvent, Movement
from vidan.pipeline.tune.edit import with_comment, with_values
from vidan.pipeline.tune.scoring import Score, as_good, hold_out, ranked
from vidan.pipeline.tune.sweep import CONFIDENCE, DEFAULT, Setting, lowest_confidence, parse_grid, settings_of
from vidan.pipeline.tune.truth import TrueCounts, TrueEvents, Verdict

PLAIN = RunConfig.model_validate({"streams": [{"name": "a", "source": "a.mp4"}]})
GATE_IN = Movement("a", "gate", "person", "in")


def score(wrong: int, hota: float | None = None, changed: int = 1, right: int = 10) -> Score:
    verdicts = [Verdict(float(i), 1, 0) for i in range(right)] + [Verdict(0.5, 0, 1)] * wrong
    return Score(Setting({}, PLAIN, changed), verdicts, hota)


def crossing(seconds: float, direction: str = "in", label: str = "person") -> Event:
    return Event("0", EventKind.LINE_CROSSED, "a", "gate", 1, label, seconds, None, 0, details={"direction": direction})


def test_fewest_errors_win_then_hota_then_fewest_changes() -> None:
    scores = [score(3, 0.9), score(2, 0.5), score(2, 0.7, changed=2), score(2, 0.7, changed=1), score(2, 0.7)]
    assert ranked(scores) == [scores[3], scores[4], scores[2], scores[1], scores[0]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, 0.2, 0.4]), st.integers(0, 2)), min_size=1))
def test_no_setting_is_better_than_the_first_by_the_law(rows: list[tuple[int, float | None, int]]) -> None:
    scores = [score(*row) for row in rows]
    best = ranked(scores)[0]
    for other in scores:
        assert best.wrong <= other.wrong
        if other.wrong == best.wrong:
            assert (best.hota or 0) >= (other.hota or 0)
    assert 1 <= as_good(scores) <= len(scores)
    low, high = best.wrong_interval()
    assert low <= best.wrong / (best.right + best.wrong) <= high


def test_a_setting_that_fits_only_one_half_is_found_out() -> None:
    def of(early: int, late: int, changed: int) -> Score:
        verdicts = [Verdict(t, 1, 0) for t in (0.0, 1.0, 8.0, 9.0)]
        return Score(Setting({}, PLAIN, changed), verdicts + [Verdict(0.0, 0, 1)] * early + [Verdict(9.0, 0, 1)] * late)

    configured, fits_early, fits_late = of(2, 2, 0), of(0, 3, 1), of(3, 0, 1)
    assert (held := hold_out([configured, fits_early, fits_late])) is not None
    assert (held.chosen, held.configured) == (6, 4)
    assert (held := hold_out([configured, of(1, 1, 1)])) is not None
    assert (held.chosen, held.configured) == (2, 4)
    assert hold_out([Score(Setting({}, PLAIN, 0), [])]) is None


def test_events_are_right_missed_or_false_and_nothing_else_counts() -> None:
    true = TrueEvents([ManualEvent(GATE_IN, 1.0), ManualEvent(GATE_IN, 5.0)], {}, 0.5, "person")
    log = [crossing(1.2), crossing(1.3), crossing(9.0, "out"), crossing(9.5, label="dog")]
    verdicts = true.judge(log)
    assert sorted((verdict.seconds, verdict.right, verdict.wrong) for verdict in verdicts) == [
        (1.0, 1, 0),  # true
        (1.3, 0, 1),  # double
        (5.0, 0, 1),  # missed
        (9.0, 0, 1),  # in a direction in which nobody went
    ]
    assert sum(verdict.wrong for verdict in TrueEvents(true.events, {}, 0.5).judge(log)) == 2  # `out` is not asked for


def test_counts_per_interval_do_not_cancel_out() -> None:
    true = TrueCounts([ManualCount(GATE_IN, 0, 4, 2), ManualCount(GATE_IN, 4, 8, 0)], {})
    verdicts = true.judge([crossing(1.0), crossing(6.0)])
    assert verdicts == [Verdict(2.0, 1, 1), Verdict(6.0, 0, 1)]
    assert true.size == 2


def test_the_config_comes_first_and_nothing_is_tried_twice() -> None:
    tried = settings_of(PLAIN, DEFAULT)
    assert tried[0].config == PLAIN
    assert tried[0].changed == 0
    effects = {
        (t["detector.confidence"], t["tracker.high_confidence"], max(list(t.values())[1:]))
        for t in (setting.values for setting in tried)
    }
    assert len(effects) == len(tried) == 39  # of 48: tracks never begin below high_confidence
    assert lowest_confidence(tried) == 0.1
    assert lowest_confidence(settings_of(PLAIN, {CONFIDENCE: (0.3, 0.4)})) == 0.1  # the config itself is tried, too


@pytest.mark.parametrize(
    ("sweeps", "complaint"),
    [
        (["tracker.new_confidence"], "expected KEY=NUMBER,NUMBER"),
        (["tracker.new_confidence=0.1,high"], "expected KEY=NUMBER,NUMBER"),
        (["a=1", "a=2"], "--sweep a: is named twice"),
        (["tracker.new_confidense=0.1"], "no such key (did you mean 'tracker.new_confidence'?)"),
        (["detector.nms_iou=0.5"], "no such key"),
        (["detector.confidence=0.1,1.5"], "1.5 is never allowed: Input should be less than or equal to 1"),
        (["tracker.low_confidence=0.6"], "0.6 is never allowed"),
    ],
)
def test_a_wrong_sweep_is_a_sentence(sweeps: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(PLAIN, parse_grid(sweeps))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_combinations_that_the_config_refuses_are_left_out() -> None:
    tried = settings_of(PLAIN, {"tracker.low_confidence": (0.1, 0.25), "tracker.high_confidence": (0.2, 0.5)})
    assert {tuple(setting.values.values()) for setting in tried[1:]} == {(0.1, 0.2), (0.1, 0.5), (0.25, 0.5)}


VALUES = {"detector.confidence": 0.25, "tracker.new_confidence": 0.5, "tracker.confirm_frames": 2}
STREAMS = "streams:\n  - {name: a, source: a.mp4}  # the gate\n"


@pytest.mark.parametrize(
    "text",
    [
        STREAMS,
        f"tracker:\n  # sure ones\n  new_confidence: 0.4  # was 0.3\n  type: ocsort\n{STREAMS}",
        f"detector: {{confidence: 0.1, weights: demo}}\ntracker: {{}}\n{STREAMS}",
        f"tracker: {{type: sort}}\n{STREAMS}rules: {{}}",
        f'detector:\n    confidence: "${{LOWEST:-0.1}}"\n{STREAMS}',
    ],
)
def test_values_are_put_where_they_belong_and_the_rest_stays(text: str) -> None:
    changed = with_values(text, VALUES, Path("a.yaml"))
    before, after = yaml.safe_load(text), yaml.safe_load(changed)
    for key, value in VALUES.items():
        section, name = key.split(".")
        assert after[section].pop(name) == value
        before.setdefault(section, {}).pop(name, None)
    assert after == before
    assert changed.count("#") == text.count("#")
    assert "# the gate" in changed


def test_a_config_with_anchors_is_left_to_people() -> None:
    text = f"tracker: &t {{new_confidence: 0.4}}\nx: *t\n{STREAMS}"
    with pytest.raises(ConfigError, match=r"a\.yaml: cannot be rewritten without changing more than"):
        with_values(text, {"tracker.new_confidence": 0.5}, Path("a.yaml"))


def test_editors_still_find_the_schema_above_the_comment() -> None:
    schema = "# yaml-language-server: $schema=vidan.schema.json\n"
    assert with_comment(f"{schema}a: 1\n", ["why"]) == f"{schema}# why\na: 1\n"
    assert with_comment("a: 1\n", ["why", "so"]) == "# why\n# so\na: 1\n"
