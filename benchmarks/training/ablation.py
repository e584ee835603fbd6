"""What programmable gradient information and the GELAN block are worth on a small budget, on real footage.

    python benchmarks/training/ablation.py --media ../shared/media --output runs/ablation

trains a network of size t from scratch again and again, each time with the same recipe (configs/train/campus.yaml with
the epochs of `--epochs`), data and order of pictures: without an auxiliary branch, with plain deep supervision and with
PGI as published; and without a branch for each computational block; each from several seeds.
Training sees frames 1-530 of the campus camera, frames 531-795 judge the averaged weights once, after the last epoch.
So results differ by the network alone, and no run is chosen by what it is judged on.

One run follows the other. Stop it whenever you like: the same command goes on where it stood. OUTPUT/results.json and
OUTPUT/table.md are written after every run, and OUTPUT/RUN holds its records and weights. `--only RUN` makes one of
them, so that several processes can share the work of a large machine; the same command without it writes the table.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
import yaml

from vidan.detector import read_card
from vidan.detector.models.variant import Block, Pgi, Variant
from vidan.detector.models.zoo import build_model
from vidan.detector.train import EpochRecord, Recipe, fit
from vidan.detector.weights.atomic import write_atomically

RECIPE = Path(__file__).parents[2] / "configs" / "train" / "campus.yaml"
MODES: tuple[Pgi, ...] = ("none", "deep", "full")
OTHER_BLOCKS: tuple[Block, ...] = ("res", "dark", "conv")  # csp is the network of the modes
TRAINED, JUDGED = (1, 530), (531, 795)
NAMES_OF_MODES = {"none": "main branch only", "deep": "plain deep supervision", "full": "PGI as published"}


@dataclass(frozen=True)
class Run:
    """One training of the table."""

    pgi: Pgi
    block: Block
    seed: int

    @property
    def name(self) -> str:
        return f"{self.pgi}-{self.block}-{self.seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--media", type=Path, required=True, metavar="DIR", help="folder with campus/campus.avi, gt.txt"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--epochs", type=int, default=6, metavar="N", help="of each run (6)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each mode (3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), metavar="N", help="cores to use")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (cpu)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that prepare pictures (0)")
    parser.add_argument("--only", metavar="RUN", help="make this run alone, such as full-csp-0")
    parser.add_argument("--names", action="store_true", help="print the names of the runs, and do nothing")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    data = write_data_set(options.media.absolute(), options.output)
    runs = planned_runs(options.seeds)
    if options.names:
        print("\n".join(run.name for run in runs))
        return
    if options.only:
        runs = [run for run in runs if run.name == options.only]
    results: list[dict[str, Any]] = []
    for run in runs:
        path = options.output / run.name / "result.json"
        if not path.exists():
            recipe = recipe_of(run, data, options.epochs, options.device, options.workers)
            result = train(recipe, path.parent)
            write_atomically(path, json.dumps({"run": asdict(run), **result}, indent=2).encode())
        results.append(json.loads(path.read_text()))
        if results[-1]["epochs"] != options.epochs:
            raise SystemExit(f"{path} is of {results[-1]['epochs']} epochs: take as many, or another --output")
        if not options.only:
            write_atomically(options.output / "results.json", json.dumps(results, indent=2).encode())
            write_atomically(options.output / "table.md", table(results).encode())
    print(table(results))


def planned_runs(seeds: int) -> list[Run]:
    """Seed by seed, so that a table that is not finished compares like with like."""
    modes = [Run(pgi, "csp", seed) for seed in range(seeds) for pgi in MODES]
    return modes + [Run("none", block, seed) for seed in range(seeds) for block in OTHER_BLOCKS]


def write_data_set(media: Path, output: Path) -> Path:
    """The campus camera alone: a small budget should not go into photographs of other places."""
    part = {"format": "mot-video", "video": f"{media}/campus/campus.avi", "labels": f"{media}/campus/gt.txt"}
    content = {
        "classes": ["person"],
        "train": [part | {"frames": list(TRAINED)}],
        "val": [part | {"frames": list(JUDGED)}],
    }
    path = output / "data.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def recipe_of(run: Run, data: Path, epochs: int, device: str, workers: int) -> Recipe:
    values = yaml.safe_load(RECIPE.read_text())
    changes = {
        "data": data.absolute(),
        "epochs": epochs,
        "patience": epochs,
        "evaluate_every": 0,
        "seed": run.seed,
        "pgi": run.pgi,
        "gelan": asdict(Variant(block=run.block)),
        "workers": workers,
        "device": device,
        "training_data": "Frames 1-530 of PETS 2009 S2.L1 view 1 with 2D MOT 2015 labels",
    }
    return Recipe.model_validate(values | changes)


def train(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Trains, or goes on, and gives what the last evaluation said and what a picture cost."""
    start, images = time.process_time(), 0

    def count(_step: int, _steps: int, _losses: torch.Tensor) -> None:
        nonlocal images, spent
        images, spent = images + recipe.batch, time.process_time() - start

    def tell(record: EpochRecord) -> None:
        scores = f"  AP50 {record.metrics.ap50:.4f}  AP {record.metrics.ap50_95:.4f}" if record.metrics else ""
        losses = record.losses
        parts = f"{losses.seconds:.0f} s  box {losses.box:.3f}  cls {losses.cls:.3f}  dfl {losses.dfl:.3f}"
        print(f"{folder.name}  epoch {record.epoch}/{record.epochs}  {parts}{scores}", flush=True)

    spent = 0.0
    best = fit(recipe, folder, resume=(folder / "checkpoint.pt").exists(), on_epoch=tell, on_step=count)
    network = build_model(recipe.model, 1, recipe.pgi, variant=recipe.gelan)
    inference = build_model(recipe.model, 1, variant=recipe.gelan)
    return {
        "metrics": dict(read_card(best).metrics),
        "epochs": recipe.epochs,
        "cpu_ms_per_image": round(1000 * spent / images, 1) if images and recipe.device == "cpu" else None,
        "device": recipe.device,
        "parameters_in_training": sum(p.numel() for p in network.parameters()),
        "parameters": sum(p.numel() for p in inference.parameters()),
        "threads": torch.get_num_threads(),
        "processor_cores": os.cpu_count(),
        "torch": torch.__version__,
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """Both tables as Markdown; only what is there."""
    lines = ["| auxiliary branch | runs | AP50 | AP50:95 | parameters in training | CPU ms per training image |"]
    lines.append("|---|---|---|---|---|---|")
    for pgi in MODES:
        if rows := [r for r in results if r["run"]["pgi"] == pgi and r["run"]["block"] == "csp"]:
            lines.append(f"| {NAMES_OF_MODES[pgi]} | {len(rows)} {_cells(rows, 'parameters_in_training')}")
    lines += [
        "",
        "| block | runs | AP50 | AP50:95 | parameters | CPU ms per training image |",
        "|---|---|---|---|---|---|",
    ]
    for block in ("csp", *OTHER_BLOCKS):
        if rows := [r for r in results if r["run"]["pgi"] == "none" and r["run"]["block"] == block]:
            lines.append(f"| {block} | {len(rows)} {_cells(rows, 'parameters')}")
    return "\n".join(lines) + "\n"


def _cells(rows: Sequence[dict[str, Any]], parameters: str) -> str:
    scores = [_mean([r["metrics"][key] for r in rows]) for key in ("ap50", "ap50_95")]
    cost = _mean([r["cpu_ms_per_image"] for r in rows if r["cpu_ms_per_image"] is not None], digits=0)
    return f"| {scores[0]} | {scores[1]} | {rows[0][parameters] / 1e6:.2f}M | {cost} |"


def _mean(values: Sequence[float], digits: int = 3) -> str:
    """Mean ± standard deviation of the sample."""
    if not values:
        return ""
    mean = f"{fmean(values):.{digits}f}"
    return f"{mean} ± {stdev(values):.{digits}f}" if len(values) > 1 else mean


if __name__ == "__main__":
    main()
