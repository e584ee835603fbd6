"""vidan's trackers and those of its field on the same detections: quality, counts and speed side by side.

    python benchmarks/tracking/run.py --shared ../shared

Peers are installed from PyPI, each into a virtual environment of its own below the cache folder, and run there as a
process of one thread, fed with the same detections. What cannot be installed is named and left out. `--only vidan`
measures vidan alone. `--write` keeps the figures in results.json and README.md beside this file; those of trackers that
were not measured again stay as they are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tables
from counters import DEAD_BAND, CountError, compare, count_by_vidan, count_lines, count_zones, true_counts
from environments import DEFAULT_CACHE, InstallError, python_for, version_of
from results import Quality, Result, machine, merge, read_results, write_results
from sequences import GROUPS, Clip, read_group, thin_out
from timing import Timing
from worker import load_adapter

from vidan.trackers import MotRows, TrackMetrics, evaluate_tracks
from vidan.trackers.mot import PEDESTRIAN

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
STEPS = (2, 3, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("VIDAN_SHARED", HERE.parents[2] / "shared"))
    parser.add_argument("--shared", type=Path, default=default, metavar="DIR", help="holds tracking/; %(default)s")
    parser.add_argument("--only", action="append", metavar="WORD", help="trackers with this in their name; repeatable")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="timed runs in a row; %(default)s")
    parser.add_argument(
        "--rounds", type=int, default=1, metavar="N", help="timings in turn with the others; %(default)s"
    )
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="at most, per crowd; %(default)s")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, metavar="DIR", help="of environments; %(default)s")
    parser.add_argument("--write", action="store_true", help="keep the figures: renew results.json and README.md here")
    options = parser.parse_args()
    if not (options.shared / "tracking").is_dir():
        parser.error(f"{options.shared} has no folder tracking/; name the one that has with --shared or VIDAN_SHARED")

    groups = {group: read_group(options.shared, group) for group in GROUPS}
    measured: list[tuple[Result, Timing]] = []
    for timing, version, make_tracker in installed_trackers(options):
        sys.stderr.write(f"{timing.name}\n")
        try:
            result = measure(timing, version, groups)
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"{timing.name}: failed: {error.stderr.strip().splitlines()[-1]}\n")
            continue
        if make_tracker is not None:
            count_with_rules(result, make_tracker, groups)
        measured.append((result, timing))
    for _ in range(options.rounds - 1):
        for _, timing in measured:
            timing.take(groups)
    results = [timing.put_into(result) for result, timing in measured]
    if not results:
        sys.exit(f"nothing was measured: no tracker has one of {options.only} in its name, or none could be run")
    if options.write:
        results = merge(read_results(RESULTS), results)
        write_results(RESULTS, results)
        tables.write_into(HERE / "README.md", tables.all_tables(results))
    sys.stdout.write(tables.all_tables(results))


def installed_trackers(options: argparse.Namespace) -> Iterator[tuple[Timing, str, type | None]]:
    """Those that are wanted and can be installed, vidan's first: with the version, and of vidan's what makes one."""
    for path in sorted((HERE / "adapters").glob("*.py"), key=lambda path: (path.stem != "vidan_trackers", path.stem)):
        adapter = load_adapter(path)
        names = [name for name in adapter.TRACKERS if any(word in name for word in options.only or [""])]
        if not names:
            continue
        try:
            python = python_for(path.stem, adapter.REQUIREMENTS, options.cache)
        except InstallError as error:
            sys.stderr.write(f"{path.stem}: cannot be installed: {error}\n")
            continue
        version = version_of(python, adapter.REQUIREMENTS)
        makers = adapter.MAKERS if path.stem == "vidan_trackers" else {}
        for name in names:
            yield Timing(name, python, path, options), version, makers.get(name)


def measure(timing: Timing, version: str, groups: dict[str, list[Clip]]) -> Result:
    """Runs one tracker over everything.

    Raises:
        CalledProcessError: If it breaks on the way.
    """
    result = Result(timing.name, version, machine())
    for group, found in timing.take(groups).items():
        clips = groups[group]
        metrics = score(clips, found)
        result.quality[group] = Quality(metrics.hota, metrics.mota, metrics.idf1, metrics.id_switches)
        for clip in clips:
            if clip.counts is not None:
                count_plainly(result, clip, rows_of(clip, found))
        for step in STEPS:
            thinned = [thin_out(clip, step) for clip in clips]
            result.thinned[f"{group}/{step}"] = score(thinned, timing.answers(thinned)).hota
    return result


def score(clips: Sequence[Clip], found: dict[str, np.ndarray]) -> TrackMetrics:
    truth = {clip.name: clip.truth for clip in clips if clip.truth is not None}
    return evaluate_tracks(truth, {clip.name: rows_of(clip, found) for clip in clips})


def rows_of(clip: Clip, found: dict[str, np.ndarray]) -> MotRows:
    frame, track_id, xyxy = (found[f"{clip.name}/{key}"] for key in ("frame", "id", "xyxy"))
    return MotRows(frame, track_id, xyxy, np.ones(len(frame)), np.full(len(frame), PEDESTRIAN))


def count_plainly(result: Result, clip: Clip, rows: MotRows) -> None:
    """Adds the errors of the reference counters on these tracks."""
    lines, zones = true_counts(clip)
    add(result.lines, "exact", compare(lines, count_lines(clip, rows)))
    add(result.lines, "debounced", compare(lines, count_lines(clip, rows, DEAD_BAND)))
    add(result.zones, "exact", compare(zones, count_zones(clip, rows)))


def count_with_rules(result: Result, make_tracker: type, groups: dict[str, list[Clip]]) -> None:
    """Adds the errors of vidan's own rules on vidan's own tracks."""
    for clip in (clip for clips in groups.values() for clip in clips if clip.counts is not None):
        for errors, truth, counted in zip(
            (result.lines, result.zones), true_counts(clip), count_by_vidan(clip, make_tracker()), strict=True
        ):
            add(errors, "own rules", compare(truth, counted))


def add(errors: dict[str, CountError], counter: str, error: CountError) -> None:
    errors[counter] = errors.get(counter, CountError(0, 0, 0)) + error


if __name__ == "__main__":
    main()
