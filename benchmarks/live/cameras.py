"""Real RTSP cameras on this machine for the programs beside, and configs of runs that watch them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/servers"))

from camera_process import RtspCamera  # noqa: E402

FILM, FILM_FPS = ROOT / "samples/campus.mp4", 10


class Kind(NamedTuple):
    """Size and rate of a camera's pictures."""

    width: int
    height: int
    fps: int


KINDS = (Kind(384, 288, 10), Kind(320, 240, 8), Kind(640, 480, 5), Kind(512, 384, 12)) * 2  # 70 pictures a second


@contextmanager
def cameras(kinds: Sequence[Kind]) -> Iterator[list[RtspCamera]]:
    """Within, a server per camera that plays the sample clip again and again, without an end."""
    with tempfile.TemporaryDirectory() as folder:
        films = {size: _unroll(*size, Path(folder)) for size in {kind[:2] for kind in kinds}}
        servers = [
            RtspCamera(
                *("--film", str(films[kind[:2]]), "--film-fps", str(FILM_FPS), "--gop", str(kind.fps)),
                *("--width", str(kind.width), "--height", str(kind.height), "--fps", str(kind.fps)),
            )
            for kind in kinds
        ]
        try:
            yield servers
        finally:
            for server in servers:
                server.kill()


def _unroll(width: int, height: int, folder: Path) -> Path:
    """A folder with the raw pictures of the sample clip in this size."""
    pictures = folder / f"{width}x{height}"
    pictures.mkdir()
    with av.open(str(FILM)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            picture = frame.reformat(width, height, format="yuv420p").to_ndarray()
            (pictures / f"{number:05d}.i420").write_bytes(picture.tobytes())
    return pictures


def config_of(
    urls: Sequence[str],
    folder: Path,
    *,
    image_size: int,
    batch: int,
    port: int | None = None,
    output: str = "video: false, evidence: false",
) -> str:
    """A config that counts at a line and in a zone of every camera."""
    streams = "\n".join(f"  - {{name: cam{i}, source: {{type: rtsp, url: '{url}'}}}}" for i, url in enumerate(urls))
    service = "" if port is None else f"service: {{port: {port}}}\n"
    return f"""
detector: {{image_size: {image_size}, batch: {batch}}}
streams:
{streams}
rules:
  gate: {{type: line, points: [[0.5, 0.0], [0.5, 1.0]]}}
  yard: {{type: zone, polygon: [[0.2, 0.2], [0.8, 0.2], [0.8, 0.9], [0.2, 0.9]]}}
output: {{folder: "{folder}", {output}}}
{service}"""
