"""vidan features."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidan.pipeline.errors import ConfigError, SinkError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vidan.detector.train.features import FeatureMap

SIZE = (384, 512)  # height and width to which the picture is scaled
TILE = (192, 256)
MARGIN = 24


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Adds the command to `vidan`."""
    features = commands.add_parser(
        "features",
        parents=[common],
        help="show how much of a picture networks still know at growing depth",
        description="Draws feature maps of random plain, residual, CSP and GELAN networks at growing depth, and says "
        "how much of the picture a linear decoder recovers from each (1: all of it). With weights, the same for the "
        "maps of their backbones at strides 8, 16 and 32.",
    )
    features.add_argument("picture", type=Path, metavar="PICTURE", help="a JPEG or PNG file")
    features.add_argument("--output", type=Path, default=Path("features.png"), metavar="FILE", help="features.png")
    features.add_argument("--depths", type=_depths, default=(1, 5, 10, 25, 50), metavar="N,N", help="1,5,10,25,50")
    features.add_argument("--seed", type=int, default=0, metavar="N", help="of the random weights (0)")
    features.add_argument("--weights", type=Path, nargs="+", metavar="FILE", help="trained networks instead")
    features.set_defaults(command=_features)


def _depths(text: str) -> tuple[int, ...]:
    depths = tuple(sorted({int(part) for part in text.split(",")}))
    if depths[0] < 1 or depths[-1] > 1000:
        raise argparse.ArgumentTypeError(f"depths are numbers of blocks from 1 to 1000, got {text}")
    return depths


def _features(options: argparse.Namespace) -> int:
    import cv2
    import numpy as np

    from vidan.detector.data.samples import read_images
    from vidan.detector.train import DataError
    from vidan.detector.train.features import random_features, trained_features

    if options.output.suffix.lower() != ".png":
        raise ConfigError(f"--output {options.output}: the picture is a PNG, so its name must end in .png")
    try:
        image = next(read_images([options.picture]))
    except DataError as error:
        raise SourceError(str(error)) from error
    picture = np.asarray(cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    if options.weights:
        maps = [found for path in options.weights for found in trained_features(picture, path)]
    else:
        maps = random_features(picture, options.depths, options.seed)
    sheet = draw_sheet(picture, maps)
    if not cv2.imwrite(str(options.output), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise SinkError(f"cannot write {options.output}; does its folder exist?")
    sys.stdout.write(as_table(maps, "stride" if options.weights else "blocks") + f"drawn in {options.output}\n")
    return 0


def as_table(maps: Sequence[FeatureMap], unit: str) -> str:
    """One line per network, one column per depth: the share of the picture that is recovered."""
    depths = sorted({found.depth for found in maps})
    width = max(len(found.network) for found in maps)
    lines = [f"{unit:<{width}}" + "".join(f"{depth:>8}" for depth in depths)]
    for network in dict.fromkeys(found.network for found in maps):
        shares = {found.depth: found.recovered for found in maps if found.network == network}
        lines.append(f"{network:<{width}}" + "".join(f"{shares[depth]:>8.3f}" for depth in depths))
    return "\n".join(lines) + "\n"


def draw_sheet(picture: NDArray[np.uint8], maps: Sequence[FeatureMap]) -> NDArray[np.uint8]:
    """One row per network, the picture in front: bright where activations are large. (H, W, 3) uint8 RGB."""
    import cv2
    import numpy as np

    networks = list(dict.fromkeys(found.network for found in maps))
    columns = 1 + max(sum(found.network == network for found in maps) for network in networks)
    height, width = TILE[0] + MARGIN, TILE[1] + 4
    sheet = np.full((height * len(networks), width * columns, 3), 255, np.uint8)
    for row, network in enumerate(networks):
        tiles = [(network, cv2.resize(picture, TILE[::-1]))]
        for found in (found for found in maps if found.network == network):
            tiles.append((f"{found.depth}: {found.recovered:.3f}", _coloured(found.energy)))
        for column, (label, tile) in enumerate(tiles):
            top, left = row * height, column * width
            sheet[top + MARGIN : top + height, left : left + TILE[1]] = tile
            at = (left + 4, top + MARGIN - 7)
            cv2.putText(sheet, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def _coloured(energy: NDArray[np.float32]) -> NDArray[np.uint8]:
    import cv2
    import numpy as np

    low, high = np.percentile(energy, (1, 99))
    grey = np.clip((energy - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    coloured = cv2.applyColorMap(cv2.resize(grey, TILE[::-1], interpolation=cv2.INTER_NEAREST), cv2.COLORMAP_VIRIDIS)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)
