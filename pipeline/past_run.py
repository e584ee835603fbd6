"""A run that is over, or that a crash ended: what its folder says of it, for those who read it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidan.pipeline.errors import SourceError
from vidan.pipeline.manifest import RunStatus
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.stream_record import StreamRecord


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run as its folder has it.

    Attributes:
        folder: Where everything is.
        record: Its run.json.
    """

    folder: RunFolder
    record: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> PastRun:
        """The run in a folder.

        Raises:
            SourceError: If there is none, or its run.json is damaged.
        """
        folder = RunFolder(path.absolute())
        if not path.is_dir():
            raise SourceError(f"{path} is no folder; name the folder of a run, with its run.json")
        try:
            record = json.loads(folder.manifest.read_text(encoding="utf-8"))
            if not isinstance(record, Mapping):
                raise SourceError(f"{folder.manifest} is no manifest of a run")
            for key in ("run", "status", "config", "detector", "streams", "inputs"):
                record[key]
        except FileNotFoundError as error:
            raise SourceError(f"{path} is no folder of a run: it has no {folder.manifest.name}") from error
        except OSError as error:
            raise SourceError(f"cannot read {folder.manifest}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise SourceError(f"{folder.manifest} is damaged: {error}") from error
        except KeyError as error:
            raise SourceError(f"{folder.manifest} lacks {error}: it is damaged, or of an older vidan") from error
        return cls(folder, record)

    @property
    def id(self) -> str:
        return self.record["run"]

    @property
    def was_cut_off(self) -> bool:
        """True where a crash or a power cut ended it: nobody came to write down how it ended."""
        return self.record["status"] == RunStatus.RUNNING

    def streams(self) -> list[StreamRecord]:
        """The accounts of its streams.

        Raises:
            SourceError: If run.json has them in another form.
        """
        try:
            return [StreamRecord.from_record(record) for record in self.record["streams"]]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(
                f"{self.folder.manifest}: its streams cannot be read ({error!r}); it is damaged, or of another vidan"
            ) from error
