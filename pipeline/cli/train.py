"""vidan train."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidan.pipeline.cli.exits import EXIT_INTERRUPTED
from vidan.pipeline.errors import ConfigError, SinkError

if TYPE_CHECKING:
    from vidan.detector.train import Recipe


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Adds the command to `vidan`."""
    train = commands.add_parser(
        "train",
        parents=[common],
        help="train a detector from a recipe",
        description="Trains as a recipe says; configs/train holds examples. The run folder gets the recipe, "
        "metrics.csv, curves, a checkpoint now and then and the best weights so far, with a card of their origin. "
        "Several GPUs: torchrun --nproc-per-node N -m vidan.pipeline.cli.main train RECIPE.",
    )
    train.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file")
    train.add_argument("--data", type=Path, metavar="FILE", help="data set file, instead of the recipe's")
    train.add_argument("--output", type=Path, metavar="DIR", help="run folder; runs/train/RECIPE by default")
    train.add_argument("--resume", action="store_true", help="go on from the run folder's checkpoint")
    train.set_defaults(command=_train)


def _train(options: argparse.Namespace) -> int:
    recipe = _load_recipe(options.recipe, options.data)
    output = options.output or Path("runs/train") / options.recipe.stem

    from vidan.detector import DeviceError
    from vidan.detector.train import DataError, RecipeError, fit
    from vidan.pipeline.cli.training_table import training_view

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends a training as Ctrl-C does
    try:
        with training_view() as view:
            best = fit(recipe, output, resume=options.resume, on_epoch=view.on_epoch, on_step=view.on_step)
    except (DataError, DeviceError, ImportError, RecipeError) as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        if error.errno is None:  # not the system's: our own words about the folder
            raise SinkError(str(error)) from error
        raise SinkError(
            f"cannot write the training run {output}: {error.strerror}; free some space or choose another --output"
        ) from error
    except KeyboardInterrupt:
        saved = (output / "checkpoint.pt").exists()
        told = "it goes on from the last checkpoint with --resume" if saved else "nothing was saved yet"
        sys.stderr.write(f"\nvidan: interrupted; {told}\n")
        return EXIT_INTERRUPTED
    if os.environ.get("RANK", "0") == "0":  # one of the processes that torchrun started tells it for all
        sys.stdout.write(f"best weights  {best}\nmetrics       {output / 'metrics.csv'}\n")
    return 0


def _load_recipe(path: Path, data: Path | None) -> Recipe:
    """The recipe with the paths in it made absolute."""
    from vidan.detector.train import Recipe
    from vidan.pipeline.config.load import load_file

    recipe = load_file(path, Recipe).config
    folder = path.absolute().parent
    paths: dict[str, Path] = {"data": folder / recipe.data if data is None else data.absolute()}
    if recipe.weights is not None:
        paths["weights"] = folder / recipe.weights
    return recipe.model_copy(update=paths)
