"""Results as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from counters import CountError
from results import Result

_BEGIN, _END = "<!-- tables: run.py --write -->\n", "<!-- end of tables -->\n"


def all_tables(results: Sequence[Result]) -> str:
    """Quality, counts, low frame rates and speed, and on what machine."""
    return "\n".join(
        [
            f"Measured on {' and '.join(sorted({result.machine for result in results}))}.\n",
            quality(results),
            counts(results),
            low_rates(results),
            speed(results),
        ]
    )


def quality(results: Sequence[Result]) -> str:
    rows = [
        [
            result.name,
            result.version,
            *(
                f"{100 * s.hota:.2f} / {100 * s.mota:.1f} / {100 * s.idf1:.1f} / {s.id_switches}"
                for s in result.quality.values()
            ),
        ]
        for result in results
    ]
    title = "### Quality: HOTA / MOTA / IDF1 / id switches, over all sequences of a group\n"
    return title + "\n" + _table(["tracker", "version", "MOT15", "MOT17"], rows)


def counts(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        lines = [_error(result.lines, counter) for counter in ("exact", "debounced", "own rules")]
        zones = [_error(result.zones, counter) for counter in ("exact", "own rules")]
        rows.append([result.name, *lines, *zones])
    title = "### Counts: error of the sums | events wrong, in % of the true ones\n"
    header = ["tracker", "lines, exact", "lines, debounced", "lines, own rules", "zones, exact", "zones, own rules"]
    return title + "\n" + _table(header, rows)


def low_rates(results: Sequence[Result]) -> str:
    keys = list(results[0].thinned) if results else []
    header = ["tracker", *(f"{group.upper()}, 1/{step}" for group, step in (key.split("/") for key in keys))]
    rows = [[result.name, *(f"{100 * result.thinned[key]:.2f}" for key in keys)] for result in results]
    return "### Low frame rates: HOTA on every second, third and fifth frame\n\n" + _table(header, rows)


def speed(results: Sequence[Result]) -> str:
    crowds = list(results[0].crowd_milliseconds) if results else []
    header = ["tracker", "µs/frame MOT15", "MOT17", *(f"ms/frame, {objects} objects" for objects in crowds)]
    rows = [
        [
            result.name,
            *(f"{microseconds:.0f}" for microseconds in result.microseconds.values()),
            *(f"{result.crowd_milliseconds[objects]:.2f}" for objects in crowds),
        ]
        for result in results
    ]
    return "### Speed: one thread, `update` alone, every frame's fastest of several runs\n\n" + _table(header, rows)


def write_into(path: Path, text: str) -> None:
    """Puts the tables between the two marks of a Markdown file."""
    before, rest = path.read_text(encoding="utf-8").split(_BEGIN)
    after = rest.split(_END)[1]
    path.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}", encoding="utf-8")


def _error(errors: Mapping[str, CountError], counter: str) -> str:
    if counter not in errors:
        return ""
    error = errors[counter]
    return f"{100 * error.off / error.true:.1f} \\| {100 * error.wrong_events / error.true:.1f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines) + "\n"
