"""A Ray cluster of simulated machines, one of which is killed in the middle: finished, and the same counts?"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

from batch_footage import CONFIG, KINDS, SAMPLE, clips_of_all_kinds, decode

from vidan.pipeline.batch.batch import run_batch
from vidan.pipeline.batch.cluster import RayWorkers
from vidan.pipeline.batch.plan import Plan, Settings, make_plan
from vidan.pipeline.batch.progress import Progress, failures_of
from vidan.pipeline.batch.workers import LocalWorkers
from vidan.pipeline.job import read_config

RESULTS = ("events.jsonl", "near_misses.jsonl", "counts.csv")


def cluster(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """The same clips with local workers, and on clusters of so many nodes each."""
    footage = clips_of_all_kinds(options.output / "footage", decode(SAMPLE)[: options.pictures], 2 * len(KINDS))
    plan = _plan(footage, options.output / "local")
    workers = LocalWorkers(1)
    run_batch(plan, workers, threads=1)
    workers.close()
    logs = {name: (options.output / "local/cameras/campus" / name).read_bytes() for name in RESULTS}
    found: dict[str, Any] = {"events": logs["events.jsonl"].count(b"\n")}
    holds = not failures_of(plan)
    for nodes in options.nodes:
        target = options.output / f"{nodes}-nodes"
        facts = _on_nodes(nodes, _plan(footage, target))
        facts["same bytes"] = all(
            (target / "cameras/campus" / name).read_bytes() == data for name, data in logs.items()
        )
        found[f"{nodes} nodes"] = facts
        holds = holds and facts["same bytes"] and facts["killed after recordings"] is not None and not facts["failures"]
        shutil.rmtree(target)
    return holds, found


def _plan(footage: Path, output: Path) -> Plan:
    output.mkdir()
    return make_plan(read_config(CONFIG), Settings((str(footage),), output, part_seconds=2.0))


def _on_nodes(nodes: int, plan: Plan) -> dict[str, Any]:
    """Runs a plan on so many nodes of one core, and kills one of them when a third of the recordings is done."""
    import ray
    from ray.cluster_utils import Cluster

    simulated = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    killed: list[int] = []
    try:
        others = [simulated.add_node(num_cpus=1) for _ in range(nodes - 1)]
        workers = RayWorkers(str(simulated.address), threads=1)
        room = workers.count

        def kill_one(progress: Progress) -> None:
            if 3 * progress.files >= progress.all_files and not killed:
                killed.append(progress.files)
                simulated.remove_node(others[-1], allow_graceful=False)

        began = time.monotonic()
        run_batch(plan, workers, threads=1, observe=kill_one)
        seconds = time.monotonic() - began
        workers.close()
    finally:
        ray.shutdown()
        simulated.shutdown()
    return {
        "tasks at once": room,
        "killed after recordings": killed[0] if killed else None,
        "recordings": len(plan.files),
        "seconds": round(seconds, 1),
        "failures": list(failures_of(plan)),
    }
