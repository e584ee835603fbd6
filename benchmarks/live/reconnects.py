"""Does memory grow with the connections of a camera? It is cut off again and again, and comes back each time.

    python benchmarks/live/reconnects.py --reconnects 200

Prints what the process holds after every tenth of them. Its pictures are converted, as a run does it, and thrown away.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

import cameras  # noqa: F401 (it finds the servers)
from camera_process import Relay, RtspCamera

from vidan.pipeline.sources import addresses
from vidan.pipeline.sources.backoff import Backoff
from vidan.pipeline.sources.camera import CameraSource


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reconnects", type=int, default=200)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    options = parser.parse_args()
    size = "--width", str(options.width), "--height", str(options.height)
    server = RtspCamera(*size, "--fps", "15", "--gop", "5", "--kbps", "2000")
    relay = Relay(int(server.port))
    url = f"rtsp://127.0.0.1:{relay.port}/cam"
    source = CameraSource("camera", addresses.rtsp(url), backoff=Backoff(0.01, 0.02))
    pictures = 0

    def read() -> None:
        nonlocal pictures
        for frame in source:
            assert frame.image.shape == (options.height, options.width, 3)
            pictures += 1

    reader = threading.Thread(target=read)
    reader.start()
    print("reconnects  RSS MB  arenas  descriptors  threads")
    try:
        for number in range(options.reconnects + 1):
            wanted = pictures + 5
            while pictures < wanted:
                time.sleep(0.01)
            if number % max(1, options.reconnects // 10) == 0:
                print(f"{number:10} {_rss_mb():7.1f} {_arenas():7} {_descriptors():12} {threading.active_count():8}")
                sys.stdout.flush()
            relay.drop()
    finally:
        source.close()
        reader.join()
        relay.close()
        server.kill()


def _rss_mb() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _arenas() -> int:
    """Heaps of glibc's malloc besides the first: anonymous mappings that begin at a multiple of 64 MiB."""
    mappings = Path("/proc/self/maps").read_text().splitlines()
    starts = [line.split("-")[0] for line in mappings if " rw-p 00000000" in line]
    return sum(int(start, 16) % (64 << 20) == 0 for start in starts)


if __name__ == "__main__":
    main()
