"""vidan train."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidan.pipeline.cli.exits import EXIT_INTERRUPTED
from vidan.pipeline.errors import ConfigError, SinkError

if TYPE_CHECKING:
    from torch import Tensor

    from vidan.detector.train import EpochRecord, Recipe

STEPS_PER_LINE = 25  # where the output is no terminal


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Adds the command to `vidan`."""
    train = commands.add_parser(
        "train",
        parents=[common],
        help="train a detector from a recipe",
        description="Trains as a recipe says; configs/train holds examples. The run folder gets the recipe, "
        "metrics.csv, a checkpoint after every epoch and the best weights so far, with a card of their origin.",
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

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends a training as Ctrl-C does
    try:
        best = fit(recipe, output, resume=options.resume, on_epoch=_tell_epoch, on_step=_tell_step)
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
        told = f"every whole epoch is saved in {output}, go on with --resume" if saved else "no epoch was finished"
        sys.stderr.write(f"\nvidan: interrupted; {told}\n")
        return EXIT_INTERRUPTED
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


def _tell_step(step: int, steps: int, losses: Tensor) -> None:
    """One line that renews itself on a terminal, a line now and then elsewhere."""
    line = f"  {step}/{steps}  box {losses[0]:.3f}  cls {losses[1]:.3f}  dfl {losses[2]:.3f}"
    if sys.stdout.isatty():
        sys.stdout.write(f"\r{line}")
    elif step % STEPS_PER_LINE == 0:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _tell_epoch(record: EpochRecord) -> None:
    losses, metrics = record.losses, record.metrics
    line = f"epoch {record.epoch}/{record.epochs}  {losses.seconds:.0f} s"
    line += f"  box {losses.box:.3f}  cls {losses.cls:.3f}  dfl {losses.dfl:.3f}"
    if metrics is not None:
        line += f"  AP {metrics.ap50_95:.3f}  AP50 {metrics.ap50:.3f}" + ("  best so far" if record.best else "")
    sys.stdout.write(("\r" if sys.stdout.isatty() else "") + line + "\n")
    sys.stdout.flush()
