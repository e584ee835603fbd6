"""The folder of one run: made for it alone, so that no earlier run is ever written over by accident."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from vidan.pipeline.errors import SinkError

MANIFEST = "run.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder and the names of what a run writes into it."""

    path: Path

    @classmethod
    def create(cls, wanted: Path, *, overwrite: bool = False) -> RunFolder:
        """A new folder: the wanted one, or, if it is there, the first free one of ``wanted-2``, ``wanted-3``, ...

        Args:
            wanted: Where the run should go; an empty folder there is taken as it is.
            overwrite: Replace an earlier run of that name.

        Raises:
            SinkError: If the folder cannot be made, or what should be replaced is not a run.
        """
        try:
            if overwrite and wanted.exists():
                _remove_run(wanted)
            wanted.parent.mkdir(parents=True, exist_ok=True)
            for number in count(1):
                path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
                if _claim(path):
                    return cls(path)
        except OSError as error:
            raise SinkError(
                f"cannot make the folder {wanted} for the run: {error.strerror}; choose another output.folder"
            ) from error
        raise AssertionError("count() never ends")

    @property
    def manifest(self) -> Path:
        return self.path / MANIFEST

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def counts(self) -> Path:
        return self.path / "counts.csv"

    @property
    def occupancy(self) -> Path:
        return self.path / "occupancy.csv"

    @property
    def tracks(self) -> Path:
        return self.path / "tracks.parquet"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def video(self, stream: str) -> Path:
        return self.path / f"{stream}.mp4"


def _claim(path: Path) -> bool:
    """Makes the folder and says True, unless somebody else's things are there; two runs never get the same one."""
    try:
        path.mkdir()
    except FileExistsError:
        return path.is_dir() and not any(path.iterdir())
    return True


def _remove_run(path: Path) -> None:
    """Removes an earlier run. A folder that holds anything else is left alone: it is probably a slip of the hand."""
    if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        raise SinkError(f"{path} holds no earlier run (no {MANIFEST}), so it is not overwritten; choose another folder")
    if path.is_dir():
        shutil.rmtree(path)
    else:
        raise SinkError(f"{path} is a file, not the folder of a run; choose another folder")
