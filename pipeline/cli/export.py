"""vidan export."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vidan.pipeline.cli.exits import EXIT_INACCURATE
from vidan.pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from vidan.detector.export import ExportReport

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# As in vidan.detector.export, which loads torch.
_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".torchscript", "tensorrt": ".engine"}
_PRECISIONS = ("fp32", "fp16", "int8")


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the command to `vidan`."""
    export = commands.add_parser(
        "export",
        parents=[common],
        help="write weights as ONNX, OpenVINO, TorchScript or TensorRT, compared with PyTorch",
        description="Exports weights to a file that other software and `detector.weights` of a config take (but not a "
        "TensorRT engine, which is for the GPU that built it). Before it appears it is compared with PyTorch: outputs, "
        "detections, and average precision where --data gives labels. Outside the bounds there is no file, and the "
        f"exit code is {EXIT_INACCURATE}. The comparison is kept beside "
        "it in a JSON file.",
    )
    export.add_argument("weights", metavar="WEIGHTS", help="a name, or a .safetensors file")
    export.add_argument("--format", choices=list(_SUFFIXES), default="openvino", help="openvino by default")
    export.add_argument(
        "--precision",
        choices=_PRECISIONS,
        default="fp32",
        help="fp32 by default; torchscript has no other, tensorrt no int8",
    )
    export.add_argument(
        "--output", type=Path, metavar="FILE", help="WEIGHTS-PRECISION.SUFFIX in the current folder by default"
    )
    export.add_argument(
        "--footage",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="videos, pictures or folders of pictures as the cameras give them: int8 sets its ranges by them",
    )
    export.add_argument(
        "--pictures", type=int, default=200, metavar="N", help="taken evenly from the footage; 200 by default"
    )
    export.add_argument(
        "--data", type=Path, metavar="FILE", help="data set file: average precision on the pictures of its `val`"
    )
    export.add_argument(
        "--max-ap-loss", type=float, default=0.01, metavar="X", help="of AP50 on --data; 0.01 by default"
    )
    export.add_argument(
        "--image-size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="of the input; as the weights by default"
    )
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> int:
    from vidan.detector import resolve_weights
    from vidan.pipeline.cli.console import show

    if not (math.isfinite(options.max_ap_loss) and options.max_ap_loss >= 0):
        raise ConfigError(f"--max-ap-loss must not be negative, got {options.max_ap_loss:g}")
    if options.pictures < 1:
        raise ConfigError(f"--pictures must be at least 1, got {options.pictures}")
    if options.precision == "int8" and not options.footage:
        raise ConfigError("int8 sets its ranges by pictures of your cameras: name some videos or folders by --footage")
    weights = resolve_weights(options.weights)
    output = options.output or Path(f"{weights.stem}-{options.precision}{_SUFFIXES[options.format]}")

    from vidan.detector.data.formats import load_dataset
    from vidan.detector.export import ParityError, export_weights, sample_footage

    try:
        samples, classes = (None, None) if options.data is None else load_dataset(options.data, "val")
        report = export_weights(
            weights,
            output,
            format=options.format,
            precision=options.precision,
            image_size=options.image_size and tuple(options.image_size),
            pictures=sample_footage(options.footage, options.pictures),
            samples=samples,
            classes=classes,
            max_ap50_loss=options.max_ap_loss,
        )
    except ParityError as error:
        sys.stderr.write(f"vidan: {error}\n")
        return EXIT_INACCURATE
    except (ValueError, ImportError) as error:
        raise ConfigError(str(error)) from error
    show(_tables(report, bool(options.footage)))
    return 0


def _tables(report: ExportReport, footage: bool) -> Iterator[RenderableType]:
    from rich.table import Table

    parity, bounds = report.parity, report.bounds
    table = Table(box=None, pad_edge=False)
    for name in ("against PyTorch", "found", "allowed"):
        table.add_column(name, justify="left" if name == "against PyTorch" else "right")
    table.add_row("largest difference of a score", f"{parity.score:.2g}", _number(bounds.score))
    table.add_row("largest difference of a box, pixels", f"{parity.box_px:.2g}", _number(bounds.box_px))
    if parity.agreement is not None:
        table.add_row("AP50 by PyTorch's detections", f"{parity.agreement:.3f}", f"≥ {bounds.agreement:g}")
    if parity.ap_torch is not None and parity.ap_exported is not None:
        before, after = parity.ap_torch, parity.ap_exported
        table.add_row("AP50 on --data", f"{before.ap50:.4f} → {after.ap50:.4f}", f"loss ≤ {bounds.ap50_loss:g}")
        table.add_row("AP50:95 on --data", f"{before.ap50_95:.4f} → {after.ap50_95:.4f}", "")
    yield table
    yield f"compared on {parity.pictures} " + ("pictures of the footage" if footage else "drawn patterns, not footage")
    yield ""
    speed = Table(box=None, pad_edge=False)
    speed.add_column("speed")
    speed.add_column("ms per picture", justify="right")
    for name, milliseconds in report.milliseconds.items():
        speed.add_row(name, f"{milliseconds:.1f}")
    yield speed
    yield f"on {report.device}, letterbox and suppression included"
    yield ""
    yield f"written  {report.path}"


def _number(bound: float | None) -> str:
    return "" if bound is None else f"≤ {bound:g}"
