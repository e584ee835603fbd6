"""The single values of the config language: numbers with limits, names, paths, times.

Numbers and switches are strict: ``"8"`` and ``yes`` are no numbers. Paths are joined to the config's folder here and
nowhere else, when validation is told the config file's `Path` as its context.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, Strict, ValidationInfo

from vidan.pipeline.config.problems import did_you_mean
from vidan.pipeline.masking import MASK

FILE_NAME = r"[A-Za-z0-9_-]+"
"""What may be part of the name of a file, on any disk."""

_WAY_UP = re.compile(r"^(?:\.{1,2}(?:/+|$))+")


def _check_label(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("should have no spaces around it and no control characters in it")
    return text


def _check_no_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("names something twice")
    return names


def _check_stream_name(text: str) -> str:
    if not re.fullmatch(FILE_NAME, text):
        raise ValueError("names files, so it may hold only the letters A-Z and a-z, digits, - and _")
    return text


def _check_device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", text):
        raise ValueError("should be auto, cpu, cuda or cuda:N with the number of the GPU")
    return text


def _size_as_pair(value: Any) -> Any:
    return [value, value] if isinstance(value, int) else value


def _beside_config(text: str, info: ValidationInfo) -> str:
    """The path as it is reached from the config's folder, without the way up; what is absolute or a URL stays."""
    if not isinstance(info.context, Path) or "://" in text:
        return text
    text = os.path.expanduser(text)
    if os.path.isabs(text):
        return text
    rest = _WAY_UP.sub("", text, count=1)
    start = os.path.join(info.context.parent, text.removesuffix(rest))
    folder = os.path.normpath(start)
    if os.path.realpath(folder) != os.path.realpath(start):  # a way up out of a linked folder leads elsewhere
        folder = start
    return os.path.join(folder, rest) if rest else folder


def _weights_beside_config(text: str, info: ValidationInfo) -> str:
    is_path = text.endswith(".safetensors") or "/" in text or os.sep in text
    return _beside_config(text, info) if is_path else text


def _fill_in_run_folder(text: str, info: ValidationInfo) -> str:
    if "://" in text:
        raise ValueError("is a URL: runs are written to a folder of this machine")
    if re.search(r"[{}]", text.replace("{config}", "")):
        raise ValueError("only {config} can be filled in; no other braces are allowed")
    if isinstance(info.context, Path):
        text = text.replace("{config}", info.context.stem)
    return _beside_config(text, info)


_POSTGRESQL = re.compile(
    r"postgresql://([^:/?#@]+(:[^@]*)?@)?([^:/?#@\[\]]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/[^/?#@]+(\?.*)?"
)


def _check_database_url(text: str, info: ValidationInfo) -> str:
    """The URL; the file of a SQLite one as it is reached from the config's folder."""
    if _POSTGRESQL.fullmatch(text):
        return text
    kind, separator, path = text.partition(":///")
    if kind != "sqlite" or not separator or not path:
        raise ValueError(
            "should be postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///FILE; "
            "in a password write @ as %40, : as %3A, / as %2F"
        )
    return f"sqlite:///{_beside_config(path, info)}"


def _check_mqtt_url(text: str) -> str:
    return _check_url(text, ("mqtt", "mqtts"), "mqtt://USER:PASSWORD@HOST:PORT, or mqtts:// for TLS", path="/?")


def _check_redis_url(text: str) -> str:
    return _check_url(
        text, ("redis", "rediss"), "redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS", path="/?|/[0-9]+"
    )


def _check_http_url(text: str) -> str:
    return _check_url(text, ("https", "http"), "https://HOST/PATH", path=r"[!-~]*")


def _without_path(url: str) -> str:
    head = re.match(r"https?://[^/?#]*", url)
    return url if head is None or head[0] == url.rstrip("/") else f"{head[0]}/{MASK}"


def _check_url(text: str, schemes: tuple[str, ...], example: str, *, path: str) -> str:
    """A URL that has a host, one of the schemes, and a path (with what follows it) of this pattern."""
    userinfo = r"([^:/?#@\s]*(:[^/?#@\s]*)?@)?"
    host = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    found = re.fullmatch(rf"({'|'.join(schemes)})://{userinfo}{host}(:(?P<port>[0-9]{{1,5}}))?({path})", text)
    if found is None or not 0 < int(found["port"] or 1) < 65536:
        raise ValueError(f"should be {example}; in a password write @ as %40, : as %3A, / as %2F")
    return text


def _check_mqtt_topic(text: str) -> str:
    if not re.fullmatch(r"[^+#$/\0\s][^+#\0\s]*", text) or text.endswith("/") or len(text) > 200:
        raise ValueError("should be the beginning of topics: no spaces, + or # in it, no / at its ends, no $ first")
    return text


def _check_redis_key(text: str) -> str:
    if re.search(r"[{}]", text.replace("{source}", "")):
        raise ValueError("only {source} can be filled in; no other braces are allowed")
    return text


def _check_kafka_topic(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", text) or text in (".", ".."):
        raise ValueError("should be a name of letters, digits, . _ and -, 249 at most")
    return text


def _one_as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _parse_time(value: Any) -> datetime:
    """The moment in UTC; numbers are refused, for 20260501 is not a count of seconds."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("should be a date and time such as 2026-05-01T08:00:00Z") from None
    if time.tzinfo is None:
        raise ValueError("says no time zone: add Z for UTC, or an offset such as +02:00")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is beyond the calendar") from error


def _parse_clock(value: Any) -> time:
    """A time of day; 24:00 is the midnight at the end of a day, as 00:00 is that at its beginning."""
    if isinstance(value, time):
        return value
    if isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?|24:00", value):
        return time.fromisoformat(value.replace("24:00", "00:00"))
    raise ValueError("should be a time of day from 00:00 to 24:00, with two digits each, such as 07:30")


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a wrong name; a path; a folder of names
        near = did_you_mean(name, available_timezones())
        raise ValueError(f"is no time zone of the IANA list, such as Europe/Berlin{near}") from None
    return name


Whole: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict()]
Switch: TypeAlias = Annotated[bool, Strict()]
Share: TypeAlias = Annotated[Number, Field(ge=0, le=1)]
Seconds: TypeAlias = Annotated[Number, Field(ge=0)]
PositiveSeconds: TypeAlias = Annotated[Number, Field(gt=0)]
ClockTime: TypeAlias = Annotated[
    time, BeforeValidator(_parse_clock, json_schema_input_type=Annotated[str, Field(pattern="^[0-9]{2}:[0-9]{2}")])
]
TimeZone: TypeAlias = Annotated[str, AfterValidator(_check_time_zone)]
UtcTime: TypeAlias = Annotated[datetime, BeforeValidator(_parse_time, json_schema_input_type=datetime)]

Label: TypeAlias = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_check_label)]
UniqueLabels: TypeAlias = Annotated[tuple[Label, ...], AfterValidator(_check_no_repeats)]
Labels: TypeAlias = Annotated[UniqueLabels, Field(min_length=1)]
StreamName: TypeAlias = Annotated[
    str, Field(max_length=64, json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"}), AfterValidator(_check_stream_name)
]

FilePath: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_beside_config)]
FilePaths: TypeAlias = Annotated[
    tuple[FilePath, ...], Field(min_length=1), BeforeValidator(_one_as_list, json_schema_input_type=str | list[str])
]
RunFolder: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_fill_in_run_folder)]

MqttUrl: TypeAlias = Annotated[str, AfterValidator(_check_mqtt_url)]
MqttTopic: TypeAlias = Annotated[str, AfterValidator(_check_mqtt_topic)]
HttpUrl: TypeAlias = Annotated[
    str, AfterValidator(_check_http_url), PlainSerializer(_without_path, return_type=str, when_used="json")
]
"""Its path may hold a secret, and is ``***`` in everything that is written."""
RedisUrl: TypeAlias = Annotated[str, AfterValidator(_check_redis_url)]
RedisKey: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_check_redis_key)]
KafkaTopic: TypeAlias = Annotated[str, AfterValidator(_check_kafka_topic)]
DestinationName: TypeAlias = StreamName  # names a file, too
Secret: TypeAlias = Annotated[SecretStr, PlainSerializer(lambda secret: MASK, return_type=str, when_used="json")]
"""A text that stands as ``***`` in everything that is written."""

DatabaseUrl: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_check_database_url)]

WeightsName: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_weights_beside_config)]
Device: TypeAlias = Annotated[
    str, Field(json_schema_extra={"pattern": "^(auto|cpu|cuda(:[0-9]+)?)$"}), AfterValidator(_check_device)
]
Side: TypeAlias = Annotated[Whole, Field(ge=32, le=8192, multiple_of=32)]
ImageSize: TypeAlias = Annotated[
    tuple[Side, Side], BeforeValidator(_size_as_pair, json_schema_input_type=Side | tuple[Side, Side])
]
"""Height and width in pixels; one number stands for both."""
