"""vidan weights."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from vidan.detector import WeightsCard

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the commands to `vidan`; the options in `common` are those of every command."""
    weights = commands.add_parser("weights", help="list, pull, import and show weights")
    actions = weights.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = actions.add_parser("list", parents=[common], help="the names that a config may use")
    listing.set_defaults(command=_list)

    pull = actions.add_parser("pull", parents=[common], help="fetch published weights by name")
    pull.add_argument("name", metavar="NAME", help="as in `vidan weights list`")
    pull.add_argument("--mirror", metavar="URL", help="folder that has the files under their published names")
    pull.set_defaults(command=_pull)

    importing = actions.add_parser(
        "import", parents=[common], help="convert a published checkpoint; none of its code runs"
    )
    importing.add_argument("checkpoint", type=Path, metavar="FILE", help="a .pt or .ckpt file")
    importing.add_argument(
        "--output", type=Path, metavar="FILE", help="the .safetensors file; beside the checkpoint by default"
    )
    importing.add_argument("--classes", metavar="A,B,...", help="names of the classes, where the file has none")
    importing.set_defaults(command=_import)

    show = actions.add_parser("show", parents=[common], help="what a weights file says about itself")
    show.add_argument("weights", metavar="WEIGHTS", help="a name, a .safetensors file, or an exported network")
    show.set_defaults(command=_show)


def _list(options: argparse.Namespace) -> int:
    from vidan.detector import PUBLISHED, fetched_path

    lines = [
        ("NAME", "MODEL", "AP", "LICENCE", "HERE", "PUBLISHER"),
        ("demo", "yolov9-t", "", "see show", "yes", "vidan"),
    ]
    for name, entry in PUBLISHED.items():
        ap = "" if entry.ap50_95 is None else f"{entry.ap50_95:.1%}"
        here = "yes" if fetched_path(name).is_file() else "no"
        lines.append((name, entry.model, ap, entry.licence, here, entry.publisher))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    return 0


def _pull(options: argparse.Namespace) -> int:
    from vidan.detector import pull_weights, read_card

    path = pull_weights(options.name, _show_arrival if sys.stderr.isatty() else None, options.mirror)
    _print_card(path, read_card(path))
    return 0


def _import(options: argparse.Namespace) -> int:
    from vidan.detector import import_weights, read_card, save_weights

    classes = None if options.classes is None else [name.strip() for name in options.classes.split(",")]
    path = options.output or options.checkpoint.with_suffix(".safetensors")
    state, card = import_weights(options.checkpoint, classes)
    save_weights(path, state, card)
    _print_card(path, read_card(path))
    return 0


def _show(options: argparse.Namespace) -> int:
    from vidan.detector import PUBLISHED, download_record, fetched_path, read_card, resolve_weights

    entry = PUBLISHED.get(options.weights)
    if entry is not None and not fetched_path(entry.name).is_file():
        _print_facts({"file": f"not here; get it with `vidan weights pull {entry.name}`"} | asdict(entry))
        return 0
    path = resolve_weights(options.weights)
    _print_card(path, read_card(path))
    if entry is not None:
        _print_facts({"fetched_sha256": download_record(entry.name).get("sha256")})
    return 0


def _print_card(path: Path, card: WeightsCard) -> None:
    """Prints what a weights file says about itself, and where it is."""
    facts = {"file": path} | asdict(card)
    facts["classes"] = f"{len(card.classes)}: {', '.join(card.classes)}"
    facts["metrics"] = ", ".join(f"{name} {value:g}" for name, value in card.metrics.items())
    if (export := card.export) is not None:
        told = f"{export.format} {export.precision}, of weights with SHA-256 {export.weights_sha256}"
        calibrated = f"; ranges by {export.calibration_pictures} pictures" if export.calibration_pictures else ""
        facts["export"] = told + calibrated
    _print_facts(facts)


def _print_facts(facts: dict[str, Any]) -> None:
    for key, value in facts.items():
        told = f"{value[0]}×{value[1]} (height × width)" if key == "image_size" else value
        if told not in (None, ""):
            sys.stdout.write(f"{key.replace('_', ' '):<16}{told}\n")


def _show_arrival(done: int, total: int | None) -> None:
    """Shows on stderr how much of a download is here."""
    of_all = "" if total is None else f" of {total / 1e6:.1f}"
    sys.stderr.write(f"\r{done / 1e6:.1f}{of_all} MB" + ("\n" if done == total else ""))
