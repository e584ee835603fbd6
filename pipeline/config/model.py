"""What all parts of the config language have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


class Model(BaseModel):
    """Base of all: unknown keys are errors, values are never bent into another type, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def blame(*keys: str | int, message: str) -> ValidationError:
    """A problem between several values, to be shown at one of them."""
    problem = PydanticCustomError("value_error", "{error}", {"error": message})
    return ValidationError.from_exception_data("config", [InitErrorDetails(type=problem, loc=keys, input=None)])


def off_or_settings(value: Any) -> Any:
    """``false`` as None, ``true`` as settings of which all have their defaults."""
    if isinstance(value, bool):
        return {} if value else None
    if value is None or isinstance(value, (Mapping, BaseModel)):
        return value
    raise ValueError("should be true, false or a mapping of settings")
