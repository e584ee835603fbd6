"""The house stands: packages are complete, torch stays inside, and nothing generic is importable."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FLOORS = ("pipeline", "detector", "trackers")


def test_every_folder_with_code_is_packaged() -> None:
    listed = {name for name in PROJECT["tool"]["setuptools"]["packages"] if name.split(".")[1] in FLOORS}
    folders = {path.parent.relative_to(ROOT) for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}
    assert listed == {".".join(("vidan", *folder.parts)) for folder in folders}


@pytest.mark.parametrize("floor", FLOORS)
def test_pyright_reads_every_package_under_its_name(floor: str) -> None:
    settings = PROJECT["tool"]["pyright"]
    included = Path("tests/typed/vidan", floor)
    assert included.as_posix() in settings["include"]
    assert included.parent.parent.as_posix() in settings["extraPaths"]
    assert not settings.keys() & {"exclude", "ignore"}
    assert (ROOT / included).resolve() == ROOT / floor


@pytest.mark.parametrize("module", ["vidan.detector", "vidan.trackers", "vidan.pipeline.engine.run"])
def test_torch_is_not_loaded_until_a_network_is(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd="/", check=False).returncode == 0


@pytest.mark.parametrize("name", FLOORS)
def test_no_generic_name_lands_in_site_packages(name: str) -> None:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is not None)"
    assert subprocess.run([sys.executable, "-c", code], cwd="/", check=False).returncode == 0


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("vidan.configs", "campus.yaml"),
        ("vidan.configs", "train/campus.yaml"),
        ("vidan.samples", "campus.mp4"),
        ("vidan.detector.weights", "demo/yolov9-t-person.safetensors"),
        ("vidan.pipeline", "py.typed"),
    ],
)
def test_data_files_are_found_by_package(package: str, name: str) -> None:
    assert files(package).joinpath(name).is_file()


def test_floors_and_rooms_import_only_downwards() -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
