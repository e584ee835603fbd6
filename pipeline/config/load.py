"""A config file -> checked models: all that is wrong with it is said at once, and no password leaves."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from vidan.pipeline.config.document import Document, read_document
from vidan.pipeline.config.explain import explain
from vidan.pipeline.config.names import check_names
from vidan.pipeline.config.problems import Location, Problem, did_you_mean
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.tracking import DetectorConfig
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.masking import MASK, is_secret_place, keep_secret, mask_url_password

MAX_BYTES = 1 << 20

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[ModelT]):
    """A config that is right, and what a manifest says of it.

    Attributes:
        config: The model; paths in it are absolute.
        path: The file, absolute.
        sha256: Of the file's bytes, hex.
        effective: All values, defaults included, as plain JSON; passwords and what the environment gave are ``***``.
    """

    config: ModelT
    path: Path
    sha256: str
    effective: dict[str, Any]


def load_config(
    path: Path, *, class_names: Callable[[DetectorConfig, Path], Collection[str]] | None = None
) -> Loaded[RunConfig]:
    """The run config in a YAML file.

    Args:
        path: The file.
        class_names: Answers with the classes of the weights of a detector, given the config file's path; it may
            raise a ValueError or an OSError for weights that cannot be read. Without it names of classes are trusted.

    Raises:
        ConfigError: With one line per problem, in the order of the file.
    """

    def check(document: Document, path: Path) -> list[Problem]:
        if class_names is None:
            return check_names(document, None)
        try:
            detector = DetectorConfig.model_validate(document.data.get("detector", {}), context=path)
            return check_names(document, class_names(detector, path))
        except ValidationError:  # told by the models' own check
            return check_names(document, None)
        except (ValueError, OSError) as error:
            return [
                document.problem(("detector", "weights"), mask_url_password(str(error))),
                *check_names(document, None),
            ]

    return load_file(path, RunConfig, check)


def load_file(
    path: Path, model: type[ModelT], check: Callable[[Document, Path], list[Problem]] = lambda document, path: []
) -> Loaded[ModelT]:
    """Any model in a YAML file.

    Args:
        path: The file; what the model validates sees it, absolute, as the context.
        model: What the file describes.
        check: Finds problems that the model cannot know, in a document whose data is a mapping.

    Raises:
        ConfigError: With one line per problem, in the order of the file.
    """
    raw = _read(path)
    document = read_document(_decode(raw, path), os.environ)
    _keep_secrets(document.data)
    config, problems = None, list(document.problems)
    if isinstance(document.data, dict):
        try:
            config = model.model_validate(document.data, context=path.absolute())
        except ValidationError as error:
            problems += explain(error, document, model)
        problems += check(document, path.absolute())
    elif not problems:
        problems = [document.problem((), _explain_no_mapping(document.data, model))]
    if config is None or problems:
        raise ConfigError("\n".join(problem.render(path) for problem in sorted(problems, key=lambda p: p.mark)))
    values = config.model_dump(mode="json", by_alias=True)
    return Loaded(config, path.absolute(), hashlib.sha256(raw).hexdigest(), _mask(values, (), document))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        folder = path.absolute().parent
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        raise ConfigError(f"{path}: there is no such file{did_you_mean(path.name, names)}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: is a folder; name a config file in it") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES >> 20} MiB, too large for a config")
    return raw


def _decode(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: is no UTF-8 text (byte 0x{raw[error.start]:02x}); save it as UTF-8"
        ) from error


def _explain_no_mapping(data: Any, model: type[BaseModel]) -> str:
    if data is None:
        needed = [f"`{name}`" for name, field in model.model_fields.items() if field.is_required()]
        return "the file is empty" + (f"; it needs at least {', '.join(needed)}" if needed else "")
    return "the file should hold keys and their values, such as `streams:`"


def _keep_secrets(value: Any, location: Location = ()) -> None:
    """Sees to it that no secret of a config turns up in a log."""
    children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if is_secret_place((*location, key)) and isinstance(child, str):
            keep_secret(child)
        _keep_secrets(child, (*location, key))


def _mask(value: Any, location: Location, document: Document) -> Any:
    """The values of a model without secrets and without what the environment gave."""
    if isinstance(value, Mapping):
        return {key: _mask(child, (*location, key), document) for key, child in value.items()}
    if isinstance(value, list):
        return [_mask(child, (*location, index), document) for index, child in enumerate(value)]
    if isinstance(value, str):
        if is_secret_place(location):
            return MASK
        borrowed = document.borrowed.get(document.locate(location))
        return mask_url_password(borrowed.mask(value) if borrowed else value)
    return value
