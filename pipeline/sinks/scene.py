"""SceneSink keeps one plain picture of each stream, over which a report draws ways and densities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vidan.pipeline.errors import cannot_write
from vidan.pipeline.frame import FrameResult
from vidan.pipeline.sinks.pictures import save_jpeg


class SceneSink:
    """Writes the first picture of each stream, and again whenever the stream has become twice as long.

    So there is a picture from the beginning, at the end it is one of the second half of the run (title cards and a
    camera that is still being set up are gone), and a day costs seventeen pictures.

    Args:
        path_of: The file of a stream.
    """

    def __init__(self, path_of: Callable[[str], Path]) -> None:
        self._path_of = path_of
        self._next: dict[str, float] = {}  # stream seconds

    def write(self, result: FrameResult) -> None:
        """Keeps the picture if it is time for one.

        Raises:
            SinkError: If it cannot be written.
        """
        stamp = result.frame.stamp
        if stamp.pts_seconds < self._next.get(stamp.stream, 0.0):
            return
        self._next[stamp.stream] = max(1.0, 2 * stamp.pts_seconds)
        path = self._path_of(stamp.stream)
        try:
            save_jpeg(path, result.frame.image)
        except OSError as error:
            raise cannot_write("the picture of the scene", path, error) from error

    def close(self) -> None:
        """Does nothing: every picture is complete."""
