"""Tables and lines on stdout, through rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, RenderableType

_WIDTH_OF_FILES = 200  # columns, where the output goes to a file or a pipe


def show(renderables: Iterable[RenderableType], console: Console | None = None) -> None:
    """Prints tables as they are, and lines without markup or breaks; in colours only on a terminal."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_FILES
    with console.capture() as captured:  # rich ends the process where a pipe is broken; `main` knows better
        for renderable in renderables:
            if isinstance(renderable, str):
                console.print(renderable, soft_wrap=True, markup=False)
            else:
                console.print(renderable)
    sys.stdout.write(captured.get())
