"""What the name of a recording tells: its camera and its start, by a pattern such as {camera}_{start:%Y%m%d_%H%M%S}."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from vidan.pipeline.errors import ConfigError

_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{1,2}",
    "d": r"\d{1,2}",
    "j": r"\d{1,3}",
    "b": "[A-Za-z]+",
    "H": r"\d{1,2}",
    "I": r"\d{1,2}",
    "M": r"\d{1,2}",
    "S": r"\d{1,2}",
    "f": r"\d{1,6}",
    "p": "[AaPp][Mm]",
    "z": r"Z|[+-]\d{2}:?\d{2}",
    "s": r"\d{9,11}",
}
_FIELD = re.compile(r"\{(?P<name>camera|start)(?::(?P<format>[^{}]*))?\}|(?P<star>\*+)|(?P<brace>[{}])")
_DIRECTIVE = re.compile(r"%(.)")
_EXAMPLE = "{camera}_{start:%Y%m%d_%H%M%S}"


@dataclass(frozen=True, slots=True)
class Told:
    """What a name says; None where it says nothing."""

    camera: str | None
    start: datetime | None


class NamePattern:
    """Reads camera and start from the end of a path.

    `{camera}` stands for letters, digits, - and _; `{start:FORMAT}` for a time as `strptime` writes it (`%s`: seconds
    since 1970); `*` for anything within a name. The ending of the file may be left out. A slash in the pattern is one
    in the path, so folders may tell as well: `{camera}/*/{start:%Y%m%d%H%M%S}`.

    Args:
        pattern: As above.
        zone: Of times whose format has no `%z`; None: they must have one.

    Raises:
        ConfigError: If the pattern cannot be read.
    """

    def __init__(self, pattern: str, zone: tzinfo | None = None) -> None:
        self._pattern, self._zone = pattern, zone
        self._format = ""
        expression, place = "", 0
        for found in _FIELD.finditer(pattern):
            expression += re.escape(pattern[place : found.start()]) + self._expression_of(found)
            place = found.end()
        expression += re.escape(pattern[place:])
        try:
            self._regex = re.compile(rf"(?:.*/)?{expression}(?:\.[A-Za-z0-9]+)?")
        except re.error as error:  # a field that stands there twice
            raise ConfigError(f"--names {pattern}: names a field twice; each may be there once") from error
        if not self._regex.groups:
            raise ConfigError(f"--names {pattern}: has neither {{camera}} nor {{start:...}}; such as {_EXAMPLE}")
        if self._format not in ("", "%s") and not re.search("%[Yy]", self._format):
            raise ConfigError(f"--names {pattern}: {{start}} has no year (%Y), so it tells no moment")
        if self._format and "%z" not in self._format and "%s" not in self._format and zone is None:
            raise ConfigError(
                f"--names {pattern}: says no time zone: add --timezone, such as --timezone Europe/Berlin or UTC"
            )

    def read(self, path: str) -> Told | None:
        """What a path tells, with / between its parts; None where it does not fit the pattern."""
        found = self._regex.fullmatch(path)
        if found is None:
            return None
        fields = found.groupdict()
        text = fields.get("start")
        try:
            start = None if text is None else self._time(text)
        except (ValueError, OverflowError, OSError):  # the 31st of February
            return None
        return Told(fields.get("camera"), start)

    def _time(self, text: str) -> datetime:
        if self._format == "%s":
            return datetime.fromtimestamp(int(text), UTC)
        moment = datetime.strptime(text, self._format)
        return (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).astimezone(UTC)

    def _expression_of(self, found: re.Match[str]) -> str:
        """The regular expression of one field of the pattern."""
        if found["star"]:
            return ".*" if len(found["star"]) > 1 else "[^/]*"
        if found["brace"]:
            raise ConfigError(f"--names {self._pattern}: only {{camera}} and {{start:...}} are known, as in {_EXAMPLE}")
        if found["name"] == "camera":
            return r"(?P<camera>[A-Za-z0-9_-]+?)" if found["format"] is None else self._refuse_camera_format()
        self._format = found["format"] or ""
        if not _DIRECTIVE.search(self._format) or ("%s" in self._format and self._format != "%s"):
            raise ConfigError(f"--names {self._pattern}: {{start}} needs the format of its time, as in {_EXAMPLE}")
        expression, place = "", 0
        for directive in _DIRECTIVE.finditer(self._format):
            if directive[1] not in _DIRECTIVES:
                raise ConfigError(
                    f"--names {self._pattern}: {directive[0]} is not known; there are "
                    + ", ".join(f"%{letter}" for letter in _DIRECTIVES)
                )
            expression += re.escape(self._format[place : directive.start()])
            expression += f"(?:{_DIRECTIVES[directive[1]]})"
            place = directive.end()
        return f"(?P<start>{expression}{re.escape(self._format[place:])})"

    def _refuse_camera_format(self) -> str:
        raise ConfigError(f"--names {self._pattern}: {{camera}} has no format; as in {_EXAMPLE}")
