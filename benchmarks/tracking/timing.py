"""Runs trackers in their own environments, and keeps the time of every frame."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from results import Result
from sequences import GROUPS, Clip, make_crowd, write_clips

CROWDS = {50: 200, 200: 100, 1000: 30, 3000: 10}
"""Frames per number of objects."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
WORKER = Path(__file__).with_name("worker.py")


class Timing:
    """How long one tracker takes, of every frame the fastest of all runs: neighbours on a machine come and go.

    Args:
        name: Of the tracker.
        python: Of its environment.
        adapter: Its file.
        options: `repeat` and `seconds`.
    """

    def __init__(self, name: str, python: Path, adapter: Path, options: argparse.Namespace) -> None:
        self.name = name
        self._python = python
        self._adapter = adapter
        self._options = options
        self._seconds: dict[str, np.ndarray] = {}

    def answers(self, clips: Sequence[Clip], *arguments: str) -> dict[str, np.ndarray]:
        """What the tracker answers, and when; see `worker.py`.

        Raises:
            CalledProcessError: If it breaks on the way.
        """
        with tempfile.TemporaryDirectory() as folder:
            given, found = Path(folder) / "in.npz", Path(folder) / "out.npz"
            write_clips(given, clips)
            script = str(WORKER)
            command = [str(self._python), script, str(self._adapter), self.name, str(given), str(found), *arguments]
            environment = {
                key: value for key, value in os.environ.items() if key != "PYTHONPATH" or _is_own(self._python)
            }
            subprocess.run(command, env=environment | ONE_THREAD, check=True, capture_output=True, text=True)
            with np.load(found) as arrays:
                return dict(arrays)

    def take(self, groups: dict[str, list[Clip]]) -> dict[str, dict[str, np.ndarray]]:
        """Runs over all sequences and crowds once more; the answers on the sequences, by group."""
        repeat = ["--repeat", str(self._options.repeat)]
        found = {group: self.answers(clips, *repeat) for group, clips in groups.items()}
        for group, clips in groups.items():
            self._keep(group, np.concatenate([found[group][f"{clip.name}/seconds"] for clip in clips]))
        for objects, frames in CROWDS.items():
            crowd = make_crowd(objects, frames)
            answers = self.answers([crowd], *repeat, "--seconds", str(self._options.seconds))
            self._keep(str(objects), answers[f"{crowd.name}/seconds"])
        return found

    def put_into(self, result: Result) -> Result:
        """The same result, which has the means over all frames now."""
        result.microseconds = {group: 1e6 * float(self._seconds[group].mean()) for group in GROUPS}
        result.crowd_milliseconds = {str(each): 1e3 * float(self._seconds[str(each)].mean()) for each in CROWDS}
        return result

    def _keep(self, what: str, seconds: np.ndarray) -> None:
        known = self._seconds.get(what, seconds)
        shortest = min(len(known), len(seconds))
        self._seconds[what] = np.minimum(known[:shortest], seconds[:shortest])


def _is_own(python: Path) -> bool:
    return python == Path(sys.executable)
