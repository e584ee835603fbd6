"""The same jobs on a Ray cluster of simulated machines, one of which is lost in the middle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vidan.pipeline.batch.batch import run_batch
from vidan.pipeline.batch.cluster import RayWorkers
from vidan.pipeline.batch.plan import FileStatus, Settings, make_plan
from vidan.pipeline.batch.progress import Progress, failures_of
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.job import read_config, run_job

RULES = """
rules:
  gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}
output: {folder: runs, interval_seconds: 2, evidence: false, video: false}
"""


@pytest.mark.slow
@pytest.mark.needs_ray
def test_a_cluster_that_loses_a_machine_counts_the_same(
    config: Callable[..., Path], clip: Callable[[int], Path], tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'vidan[ray]'")
    from ray.cluster_utils import Cluster

    files = [clip(count) for count in (50, 48, 46, 44)]
    path = config(files[0], text=RULES)
    path.write_text(path.read_text().replace("runtime: torch", "runtime: openvino"))
    path.write_text(path.read_text().replace(f"source: {files[0]}", f"source: [{', '.join(map(str, files))}]"))
    run = run_job(read_config(path))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        doomed = cluster.add_node(num_cpus=1)
        workers = RayWorkers(str(cluster.address), threads=1)
        assert workers.count == 2
        killed: list[bool] = []

        def kill_one(progress: Progress) -> None:
            if progress.files and not killed:
                killed.append(True)
                cluster.remove_node(doomed, allow_graceful=False)

        plan = make_plan(read_config(path), Settings((), tmp_path / "out", part_seconds=60.0))
        run_batch(plan, workers, threads=1, observe=kill_one)
        workers.close()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed
    assert not failures_of(plan)
    assert {file.status for file in plan.files} == {FileStatus.DETECTED}
    assert (tmp_path / "out/cameras/a/events.jsonl").read_bytes() == run.folder.events.read_bytes()


@pytest.mark.needs_ray
@pytest.mark.parametrize("address", ["no cluster at all", "127.0.0.1:9", "nowhere.invalid:6379"])
def test_a_cluster_that_is_not_there_is_one_sentence(address: str) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'vidan[ray]'")
    with pytest.raises(ConfigError, match="there is no Ray cluster"):
        RayWorkers(address, threads=1)
