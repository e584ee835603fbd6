"""Which settings are tried: all combinations of values of some keys, such as `tracker.new_confidence`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from vidan.pipeline.config.document import read_plain
from vidan.pipeline.config.problems import did_you_mean
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.tracking import DetectorConfig, TrackerConfig
from vidan.pipeline.errors import ConfigError

Value: TypeAlias = float | int
Grid: TypeAlias = Mapping[str, Sequence[Value]]

CONFIDENCE = "detector.confidence"
"""The only key of the detector: all others would need the network again."""

DEFAULT: Grid = {
    CONFIDENCE: (0.1, 0.2, 0.3),
    "tracker.high_confidence": (0.2, 0.3, 0.4, 0.5),
    "tracker.new_confidence": (0.3, 0.4, 0.5, 0.6),
}

_TRACKER: TypeAdapter[Any] = TypeAdapter(TrackerConfig)


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination.

    Attributes:
        values: Of all keys that are swept.
        config: The config with them.
        changed: How many differ from the config as it was.
    """

    values: Mapping[str, Value]
    config: RunConfig
    changed: int


def parse_grid(sweeps: Iterable[str]) -> Grid:
    """The grid that texts such as ``tracker.new_confidence=0.3,0.4`` describe; `DEFAULT` where there are none.

    Raises:
        ConfigError: If a text is none of that form, or a key comes twice.
    """
    grid: dict[str, tuple[Value, ...]] = {}
    for text in sweeps:
        key, equals, listed = text.partition("=")
        values = [read_plain(word.strip()) for word in listed.split(",")]
        numbers = tuple(value for value in values if isinstance(value, int | float) and not isinstance(value, bool))
        if not equals or len(numbers) < len(values):
            raise ConfigError(f"--sweep {text}: expected KEY=NUMBER,NUMBER,..., such as {CONFIDENCE}=0.1,0.2")
        if key in grid:
            raise ConfigError(f"--sweep {key}: is named twice")
        grid[key] = tuple(dict.fromkeys(numbers))
    return grid or DEFAULT


def settings_of(config: RunConfig, grid: Grid) -> list[Setting]:
    """The config as it is, and all combinations of the grid that differ from it and from each other.

    A track begins on a detection above both `high_confidence` and `new_confidence`, so of settings that differ only
    below that, the first is taken. Combinations that the config language refuses are left out.

    Raises:
        ConfigError: If there is no such key to sweep, or one of its values is never allowed.
    """
    known = [CONFIDENCE, *(f"tracker.{key}" for key, value in config.tracker.model_dump().items() if _is_number(value))]
    for key in grid:
        if key not in known:
            raise ConfigError(f"--sweep {key}: no such key{did_you_mean(key, known)}; there is {', '.join(known)}")
    own = {key: _value_of(config, key) for key in grid}
    settings = {_effect_of(config): Setting(own, config, 0)}
    allowed: dict[str, set[Value]] = {key: set() for key in grid}
    refusal = ""
    for combination in product(*grid.values()):
        values = dict(zip(grid, combination, strict=True))
        try:
            changed = _with(config, values)
        except ValidationError as error:
            refusal = error.errors()[0]["msg"]
            continue
        for key, value in values.items():
            allowed[key].add(value)
        count = sum(values[key] != own[key] for key in grid)
        settings.setdefault(_effect_of(changed), Setting(values, changed, count))
    for key, values in grid.items():
        if never := [value for value in values if value not in allowed[key]]:
            raise ConfigError(f"--sweep {key}: {never[0]} is never allowed: {refusal}")
    return list(settings.values())


def lowest_confidence(settings: Iterable[Setting]) -> float:
    """The confidence from which the network has to tell detections, so that all settings can be served."""
    return min(setting.config.detector.confidence for setting in settings)


def _with(config: RunConfig, values: Mapping[str, Value]) -> RunConfig:
    """The config with other values.

    Raises:
        ValidationError: If they are not allowed.
    """
    detector, tracker = config.detector, config.tracker.model_dump()
    for key, value in values.items():
        if key == CONFIDENCE:
            checked = DetectorConfig.model_validate({"confidence": value})
            detector = detector.model_copy(update={"confidence": checked.confidence})
        else:
            tracker[key.removeprefix("tracker.")] = value
    return config.model_copy(update={"detector": detector, "tracker": _TRACKER.validate_python(tracker)})


def _value_of(config: RunConfig, key: str) -> Value:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _effect_of(config: RunConfig) -> tuple[object, ...]:
    """Equal for configs that do the same."""
    tracker = config.tracker
    begins = max(tracker.new_confidence, tracker.high_confidence)
    return config.detector.confidence, tracker.model_copy(update={"new_confidence": begins}).model_dump_json()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
