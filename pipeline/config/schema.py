"""The language of a run config: every key, its unit, its default and its limits; the parts are in the files beside it.

A text under a field is its description: in editors through `json_schema`, in docs/config.md, and there. What depends on
the file itself, paths beside it and `{config}`, is filled in by validation when the context is the file's `Path`;
names that point elsewhere (rules of a stream, classes) are checked by `load_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic.json_schema import GenerateJsonSchema

from vidan.pipeline.config.model import Model, blame, off_or_settings
from vidan.pipeline.config.outputs import OutputConfig
from vidan.pipeline.config.rules import RuleConfig
from vidan.pipeline.config.service import ServiceConfig
from vidan.pipeline.config.streams import StreamConfig
from vidan.pipeline.config.tracking import ByteTrackConfig, DetectorConfig, TrackerConfig
from vidan.pipeline.config.values import Label, Labels


class RunConfig(Model):
    """A run: which streams are watched, by which rules, and what is written."""

    detector: DetectorConfig = Field(default_factory=DetectorConfig)
    """What finds the objects."""

    class_groups: Mapping[Label, Labels] = Field(default_factory=dict)
    """Classes that count together under a name and may swap within a track, such as `vehicle: [car, truck, bus]`."""

    tracker: TrackerConfig = Field(default_factory=ByteTrackConfig)
    """What joins detections to tracks."""

    streams: Annotated[tuple[StreamConfig, ...], Field(min_length=1)]
    """The cameras or files, at least one."""

    rules: Mapping[Label, RuleConfig] = Field(default_factory=dict)
    """What is counted, by name."""

    output: OutputConfig = Field(default_factory=OutputConfig, validate_default=True)
    """What is written, and where."""

    service: Annotated[
        ServiceConfig | None,
        BeforeValidator(off_or_settings, json_schema_input_type=bool | ServiceConfig | None),
    ] = None
    """Where the run can be watched while it goes on, or false for nowhere."""

    @field_validator("class_groups")
    @classmethod
    def _check_groups_apart(cls, groups: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        owner: dict[str, str] = {}
        for group, classes in groups.items():
            for index, name in enumerate(classes):
                if owner.setdefault(name, group) != group:
                    raise blame(group, index, message=f"is in group '{owner[name]}' already; a class has one group")
        return groups

    @model_validator(mode="after")
    def _check_units(self) -> Self:
        """Pixels of which of two streams? Only fractions mean the same on both."""
        for stream in self.streams:
            if stream.main_stream is None:
                continue
            message = f"should be fractions of the frame, for stream '{stream.name}' has a main_stream of another size"
            if stream.calibration is not None and _has_pixels(stream.calibration.model_dump()):
                raise blame("streams", self.streams.index(stream), "calibration", message=message)
            for name, rule in self.rules.items():
                if (stream.rules is None or name in stream.rules) and _has_pixels(rule.model_dump()):
                    raise blame("rules", name, message=message)
        return self


_PLACES = ("points", "polygon", "polygons", "holes", "calibration", "line", "image")


def _has_pixels(value: Any) -> bool:
    """Whether places in the plain values of a rule or calibration are pixels: then some lie beyond 0..1."""
    match value:
        case Mapping():
            return any(_has_pixels(value[key]) for key in _PLACES if key in value)
        case list() | tuple():
            return any(map(_has_pixels, value))
        case float() | int():
            return not 0 <= value <= 1
    return False


class _PlainSchema(GenerateJsonSchema):
    """Without titles, which only repeat the names of the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a run config, with which editors complete, explain and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RunConfig.model_json_schema(schema_generator=_PlainSchema),
    }
