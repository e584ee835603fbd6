"""The sample clip with the demo weights, as `make run` runs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vidan.detector import WeightsError, resolve_weights
from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.job import read_config, run_job

CONFIG = Path(__file__).parents[2] / "configs" / "campus.yaml"


@pytest.fixture
def campus() -> Loaded[RunConfig]:
    try:
        resolve_weights("demo")
    except WeightsError as error:
        pytest.skip(str(error))
    return read_config(CONFIG)


@pytest.mark.slow
def test_real_people_give_the_same_event_log_whatever_the_batch_size(campus: Loaded[RunConfig], tmp_path: Path) -> None:
    logs: set[bytes] = set()
    for number, batch in enumerate((1, 4, 16, 4)):
        detector = campus.config.detector.model_copy(update={"batch": batch})
        output = campus.config.output.model_copy(update={"folder": str(tmp_path / str(number)), "video": None})
        config = campus.config.model_copy(update={"detector": detector, "output": output})
        logs.add(run_job(replace(campus, config=config)).folder.events.read_bytes())
    assert len(logs) == 1
    assert logs.pop().count(b"\n") > 10
