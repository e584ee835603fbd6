"""vidan eval detector."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidan.detector import YoloDetector
    from vidan.pipeline.report.detection_judgement import DetectionJudgement

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

LOWEST_CONFIDENCE, BOX_OVERLAP = 0.001, 0.7  # as COCO results are usually made


def add_detector_command(actions: Commands, common: argparse.ArgumentParser) -> None:
    """Adds `detector` to `vidan eval`."""
    detector = actions.add_parser(
        "detector",
        parents=[common],
        help="COCO AP, precision and recall, mix-ups and speed of a detector on labeled pictures",
        description="Judges weights, or an exported network, on a data set. AP is that of faster-coco-eval, of the 100 "
        "best detections of a picture. Precision, recall, the confusion matrix and the worst pictures are at one "
        "confidence: where F1 is largest on these pictures, unless one is given. Speed is the time from pictures in "
        "memory to boxes. Writes metrics.json and pictures.",
    )
    detector.add_argument("weights", metavar="WEIGHTS", help="as in a config: a name, a .safetensors or exported file")
    detector.add_argument("data", type=Path, metavar="DATA", help="data set file, as `vidan train` takes it")
    detector.add_argument("--split", choices=("val", "train"), default="val", help="val by default")
    detector.add_argument("--output", type=Path, metavar="DIR", help="runs/eval/WEIGHTS-DATA by default")
    detector.add_argument("--confidence", type=float, metavar="C", help="for all but AP; the best F1 by default")
    detector.add_argument("--image-size", metavar="HxW", help="of the network's input; as the weights say by default")
    detector.add_argument("--runtime", default="auto", metavar="NAME", help="as in a config; auto by default")
    detector.add_argument("--device", default="auto", metavar="NAME", help="as in a config; auto by default")
    detector.add_argument("--precision", default="auto", metavar="NAME", help="as in a config; auto by default")
    detector.add_argument("--batch", type=int, default=1, metavar="N", help="pictures at a time; 1 by default")
    detector.set_defaults(command=_detector)


def _detector(options: argparse.Namespace) -> int:
    from vidan.detector import resolve_weights
    from vidan.detector.data import DataError, load_dataset
    from vidan.pipeline.cli.console import show
    from vidan.pipeline.cli.detection_tables import judgement_tables, to_record
    from vidan.pipeline.errors import ConfigError, cannot_write
    from vidan.pipeline.report.detection_judgement import judge
    from vidan.pipeline.report.detection_plots import matplotlib_figure

    if options.batch < 1:
        raise ConfigError(f"--batch must be at least 1, got {options.batch}")
    if options.confidence is not None and not 0 < options.confidence < 1:
        raise ConfigError(f"--confidence must lie between 0 and 1, got {options.confidence:g}")
    output: Path = options.output or Path("runs/eval") / f"{Path(options.weights).stem}-{options.data.stem}"
    try:
        matplotlib_figure()  # to know before the work is done that it cannot be shown
        weights = resolve_weights(options.weights)
        samples, classes = load_dataset(options.data, options.split)
        detector = _load(weights, options)
        judgement = judge(detector, samples, classes, options.confidence, options.batch, _progress(len(samples)))
        show(judgement_tables(judgement))
        pictures = _draw(judgement, output, f"{options.weights} on {options.data.stem} {options.split}")
    except (DataError, ValueError, ImportError) as error:
        raise ConfigError(str(error)) from error
    path = output / "metrics.json"
    try:
        path.write_text(json.dumps(to_record(judgement), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write("the metrics", path, error) from error
    sys.stdout.write("".join(f"{name:<16}{file}\n" for name, file in (*pictures.items(), ("metrics", path))))
    return 0


def _load(weights: Path, options: argparse.Namespace) -> YoloDetector:
    from vidan.detector import load_detector

    return load_detector(
        weights,
        runtime=options.runtime,
        device=options.device,
        precision=options.precision,
        image_size=None if options.image_size is None else _size(options.image_size),
        batch=options.batch,
        confidence=LOWEST_CONFIDENCE,
        nms_iou=BOX_OVERLAP,
    )


def _draw(judgement: DetectionJudgement, output: Path, title: str) -> dict[str, Path]:
    """Writes the pictures; their names and files."""
    from vidan.pipeline.report.detection_plots import write_confusion, write_curves
    from vidan.pipeline.report.mistakes_sheet import mistakes_sheet
    from vidan.pipeline.report.picture_sheet import write_sheet

    files = {name: output / f"{name.replace(' ', '-')}.png" for name in ("curves", "confusion", "worst pictures")}
    ap50 = {name: each.ap50 for name, each in judgement.metrics.per_class.items()}
    write_curves(files["curves"], judgement.together, judgement.per_class, ap50, judgement.confidence)
    write_confusion(files["confusion"], judgement.confusion, judgement.classes, judgement.confidence)
    sheet = mistakes_sheet(
        f"{title}: most mistakes at confidence {judgement.confidence:g}",
        judgement.worst,
        judgement.samples,
        judgement.sure,
        judgement.mistakes,
        judgement.classes,
    )
    write_sheet(files["worst pictures"], sheet)
    return files


def _progress(total: int) -> Callable[[int], None]:
    """A line that renews itself on a terminal, nothing elsewhere."""

    def tell(done: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {total} pictures" + ("\n" if done == total else ""))

    return tell


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ValueError(f"--image-size {text}: expected height and width in pixels, as in 384x640")
    return int(height), int(width)
