"""What is known of a file in which everything has been detected: it stands beside the parts once all are there."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from vidan.pipeline.batch.parts import part_path, read_facts, read_times
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.sources.packet_index import PacketIndex
from vidan.pipeline.sources.recording import Recording

FACTS = "file.json"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file after it was read to its end; what the names mean, `Recording` and `ReadFile` tell.

    Attributes:
        parts: How many hold its pictures.
        detector: What detected in it, as it describes itself.
    """

    path: Path
    parts: int
    time_base: Fraction
    frame_seconds: float
    created: datetime | None
    promised_frames: int | None
    promised_seconds: float | None
    expected_frames: int | None
    missing_seconds: float
    missing_frames: int
    corrupt: int
    smeared: int
    discarded: int
    read_error: str | None
    description: dict[str, Any]
    detector: dict[str, Any]

    @classmethod
    def of(cls, recording: Recording, *, parts: int, detector: dict[str, Any]) -> Self:
        """The facts of a file that has been read to its end."""
        return cls(
            path=recording.path,
            parts=parts,
            time_base=recording.time_base,
            frame_seconds=recording.frame_seconds,
            created=recording.created,
            promised_frames=recording.promised_frames,
            promised_seconds=recording.promised_seconds,
            expected_frames=recording.expected_frames,
            missing_seconds=recording.missing_seconds,
            missing_frames=recording.missing_frames,
            corrupt=recording.corrupt,
            smeared=recording.smeared,
            discarded=recording.discarded,
            read_error=recording.read_error,
            description=recording.description,
            detector=detector,
        )


def write_facts(folder: Path, facts: FileFacts) -> None:
    """Says that all parts are there.

    Raises:
        SinkError: If it cannot be written.
    """
    record = asdict(facts) | {
        "path": str(facts.path),
        "time_base": str(facts.time_base),
        "created": facts.created and facts.created.isoformat(),
    }
    write_json(folder / FACTS, record)


def read_file_facts(folder: Path, path: Path) -> FileFacts | None:
    """The facts of a file, which may have had another name then; None where not all of its parts are there."""
    try:
        record = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        created = record["created"]
        facts = FileFacts(
            **record
            | {
                "path": path,
                "time_base": Fraction(record["time_base"]),
                "created": created and datetime.fromisoformat(created),
            }
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if all(part_path(folder, number).exists() for number in range(facts.parts)) else None


def seal(folder: Path, path: Path, index: PacketIndex, parts: int) -> str | None:
    """Says that all parts of a file that was cut are there, if they fit together; else the reason why they do not.

    They fit if they hold the very pictures that the file's packets promise, all of one size, and if the last picture
    before each cut came out the same from both sides.

    Raises:
        SourceError: If a part or the file cannot be read.
        SinkError: If it cannot be written.
    """
    pts: list[int | None] = []
    sizes: set[tuple[int, int]] = set()
    before: int | None = None
    detector: dict[str, Any] = {}
    for number in range(parts):
        facts = read_facts(part_path(folder, number))
        if number and facts.lead_crc != before:
            return f"the picture before part {number} looks different when decoding begins near it"
        before, detector = facts.last_crc, facts.detector
        table = read_times(part_path(folder, number)).to_pydict()
        pts += table["pts"]
        sizes |= set(zip(table["height"], table["width"], strict=True))
    if pts != index.pts.tolist():
        return f"{len(pts)} pictures were decoded, and its packets promise {len(index.pts)}"
    if len(sizes) > 1:
        return "its pictures change their size"
    recording = Recording(path)
    recording.close()
    facts = FileFacts.of(recording, parts=parts, detector=detector)
    write_facts(folder, replace(facts, missing_seconds=0.0, missing_frames=0))
    return None


def write_json(path: Path, record: Any) -> None:
    """Writes a JSON file whole or not at all.

    Raises:
        SinkError: If it cannot be written; the former file stays.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(record, file, ensure_ascii=False, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise cannot_write("the state of the batch", path, error) from error
