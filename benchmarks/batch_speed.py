"""How fast a batch is: workers against one run, hours of 1080p25 per hour and where they go, and what a part costs."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.video.stream import VideoStream
from batch_footage import CONFIG, SAMPLE, batch_command, decode, vidan_command
from batch_paper import paper

from vidan.pipeline.batch.counting import Counting, Footage, count_camera
from vidan.pipeline.batch.cutting import Cut, decide_cut, seal_cut
from vidan.pipeline.batch.detecting import Detecting, detect
from vidan.pipeline.batch.footage import Clip
from vidan.pipeline.batch.plan import Plan, Settings, make_plan
from vidan.pipeline.batch.timeline import probe
from vidan.pipeline.build import build_detector
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.job import read_config
from vidan.pipeline.sources.conversion import Orientation, RgbConverter
from vidan.pipeline.sources.recording import Recording

MORE = 10
"""So many times more is counted, to see what a picture costs without what is done once (opening, reports)."""
NO_PICTURES = "\n  evidence: false\n  video: false\n  database: false\n"


def scaling(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Frames per second of a plain run on all cores, and of batches with one and two workers."""
    footage = options.output / "footage"
    footage.mkdir()
    for number in range(options.repeat):
        _copy_with_other_content(SAMPLE, footage / f"{number}.mp4", number)
    config = options.output / "config.yaml"
    config.write_text(CONFIG.read_text().replace("../samples/campus.mp4", f"{footage}/*.mp4") + NO_PICTURES)
    frames = options.repeat * len(decode(SAMPLE))
    found: dict[str, Any] = {"frames": frames, "cores": len(os.sched_getaffinity(0))}
    commands = {
        "run": [*vidan_command("run"), str(config), "--output", str(options.output / "run"), "--quiet"],
        "1 worker": batch_command(options.output / "one", "--workers", "1", config=config),
        "2 workers": batch_command(options.output / "two", "--workers", "2", config=config),
    }
    for name, command in commands.items():
        seconds = _seconds(command)
        found[name] = {"seconds": round(seconds, 1), "frames per second": round(frames / seconds, 1)}
    logs = {name: (options.output / name / "cameras/campus/events.jsonl").read_bytes() for name in ("one", "two")} | {
        "run": (options.output / "run/events.jsonl").read_bytes()
    }
    found["same events"] = len(set(logs.values())) == 1
    return found["same events"], found


def throughput(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Hours of 1080p25 per hour, with and without annotated video, and the CPU time of each stage.

    Footage is two recordings, the second twice as long: what both cost alike (starting, loading) is no part of a rate.
    """
    short, long = options.output / "short", options.output / "long"
    for folder, times in ((short, 1), (long, 2)):
        folder.mkdir()
        _write_full_hd(folder / "campus.mp4", decode(SAMPLE)[: options.pictures], times)
    found: dict[str, Any] = {"pictures": options.pictures, "cores": len(os.sched_getaffinity(0))}
    for name, wishes in (("without video", ()), ("with video", ("--video",))):
        once, twice = (
            _seconds(batch_command(options.output / f"{folder.name}-{name}", *wishes, "--part", "5", footage=folder))
            for folder in (short, long)
        )
        rate = options.pictures / max(twice - once, 1e-9)
        found[name] = {
            "seconds": [round(once, 1), round(twice, 1)],
            "frames per second": round(rate, 1),
            "hours per hour": round(rate / 25, 2),
        }
    found["stages, CPU ms per picture"] = _stages(options.output / "stages", short / "campus.mp4")
    return True, found


def overheads(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """What a part and a recording cost beside their pictures, and what that means for many workers."""
    path = options.output / "campus.mp4"
    _write_full_hd(path, decode(SAMPLE)[: options.pictures], 1)
    plan = _plan(path, options.output / "out", part_seconds=2.0)
    clip, pictures = Clip(path), options.pictures
    detector = build_detector(plan.loaded.config.detector, threads=1)
    detect_whole = _detecting(plan, path, options.output / "whole", Cut(None, 1 << 20))
    detect(detect_whole[0])  # the first one loads the network
    whole = _cpu(lambda: detect(_detecting(plan, path, options.output / "again", Cut(None, 1 << 20))[0]))
    folder = options.output / "parts"
    probing = _cpu(lambda: probe(clip))
    hashing = _cpu(lambda: plan.hashes.of(clip))
    indexing = _cpu(lambda: decide_cut(probe(clip), folder, 2.0, stride=1, max_fps=None))
    cut = decide_cut(probe(clip), folder, 2.0, stride=1, max_fps=None)
    jobs = _detecting(plan, path, folder, cut)
    parts = _cpu(lambda: [detect(job) for job in jobs])
    sealing = _cpu(lambda: seal_cut(folder, path, cut))

    def count(times: int) -> float:
        target = options.output / f"counted-{times}"
        return _cpu(lambda: _count(plan, path, folder, target, with_video=False, times=times))

    counting = (count(1 + MORE) - count(1)) / MORE
    began = time.perf_counter()
    subprocess.run(batch_command(options.output / "dry", "--dry-run", footage=path), check=True, capture_output=True)
    size = path.stat().st_size
    measured = {
        "pictures": pictures,
        "parts": len(jobs),
        "MB": round(size / 1e6, 1),
        "detect, s per picture": whole / pictures,
        "a part more, s": max(0.0, parts - whole) / max(1, len(jobs) - 1),
        "probe, s per recording": probing,
        "hash, s per GB": hashing / size * 1e9,
        "index, s per 1000 pictures": max(0.0, indexing - 2 * probing) / pictures * 1000,
        "seal, s per 1000 pictures": max(0.0, sealing - 2 * probing) / pictures * 1000,
        "count, s per picture": counting / pictures,
        "start of a process with its network, s": time.perf_counter() - began,
    }
    del detector
    return True, {"measured": {name: _short(value) for name, value in measured.items()}, "on paper": paper(measured)}


def _stages(folder: Path, path: Path) -> dict[str, Any]:
    """CPU seconds of all threads that each stage takes, from what it costs more than the stages before it."""
    folder.mkdir()
    plan = _plan(path, folder / "out", part_seconds=1e6)
    detecting = _detecting(plan, path, folder / "parts", Cut(None, 1 << 20))[0]
    detector = build_detector(detecting.detector, threads=detecting.threads)
    frames = _frames(path)
    pictures = len(frames)
    detector.detect(frames[:8])
    seconds = {
        "decode": _cpu(lambda: _drain(path)),
        "to RGB, resize, network": _cpu(lambda: [detector.detect(frames[i : i + 8]) for i in range(0, pictures, 8)]),
    }
    detect(replace(detecting, folder=_made(folder / "warm")))
    whole = _cpu(lambda: detect(detecting))
    seconds["frozen and dark pictures, parts, hand-over"] = max(0.0, whole - sum(seconds.values()))
    seconds["track, rules, outputs"] = _cpu(
        lambda: _count(plan, path, detecting.folder, folder / "a", with_video=False)
    )
    with_video = _cpu(lambda: _count(plan, path, detecting.folder, folder / "b", with_video=True))
    per_picture = {name: round(1000 * value / pictures, 2) for name, value in seconds.items()}
    video = max(0.0, with_video - seconds["track, rules, outputs"])
    total = sum(seconds.values())
    return {
        name: {
            "ms": ms,
            "share": f"{seconds[name] / total:.1%}",
            "share with video": f"{seconds[name] / (total + video):.1%}",
        }
        for name, ms in per_picture.items()
    } | {
        "annotated video (decode again, draw, encode)": {
            "ms": round(1000 * video / pictures, 2),
            "share with video": f"{video / (total + video):.1%}",
        }
    }


def _plan(path: Path, output: Path, part_seconds: float) -> Plan:
    output.mkdir()
    return make_plan(read_config(CONFIG), Settings((str(path),), output, part_seconds=part_seconds, video=True))


def _detecting(plan: Plan, path: Path, folder: Path, cut: Cut) -> list[Detecting]:
    """The jobs of a recording, with the network on one thread."""
    folder.mkdir(exist_ok=True)
    file = plan.files[0]
    file.folder = folder
    return [replace(job, threads=1) for job in plan.detecting(file, plan.cameras[0], cut)]


def _count(plan: Plan, path: Path, parts: Path, output: Path, *, with_video: bool, times: int = 1) -> None:
    loaded = plan.config_of(plan.cameras[0])
    outputs = loaded.config.output.model_copy(update={"folder": str(output)})
    if not with_video:
        outputs = outputs.model_copy(update={"video": None, "evidence": None})
    job = Counting(
        replace(loaded, config=loaded.config.model_copy(update={"output": outputs})),
        [Footage(Clip(path), "0" * 64, parts)] * times,
        plan.class_names,
        "speed",
        2.0,
    )
    count_camera(job)


def _frames(path: Path) -> list[Frame]:
    """The pictures of a recording, decoded but not converted."""
    recording = Recording(path)
    decoded = [picture.frame for picture in recording.pictures()]
    recording.close()
    height, width = decoded[0].height, decoded[0].width
    converter = RgbConverter(height, width)
    return [
        Frame(
            Stamp("", number, 0.0),
            height,
            width,
            lambda picture=picture: converter.to_rgb(picture, Orientation.of(picture)),
        )
        for number, picture in enumerate(decoded)
    ]


def _drain(path: Path) -> None:
    recording = Recording(path)
    for _ in recording.pictures():
        pass
    recording.close()


def _write_full_hd(path: Path, frames: list[av.VideoFrame], times: int) -> None:
    """The pictures so many times over, enlarged to 1920x1080, 25 a second, in H.264 with a key frame every second."""
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": "23", "g": "25"}
        stream = cast(VideoStream, container.add_stream("libx264", rate=25, options=options))
        stream.height, stream.width, stream.pix_fmt = 1080, 1920, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for number in range(times * len(frames)):
            picture = frames[number % len(frames)].reformat(1920, 1080, "yuv420p")
            picture.pict_type = 0
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _copy_with_other_content(source: Path, target: Path, number: int) -> None:
    """A copy with an atom behind it that nobody reads, so that it is not left out as the same recording."""
    shutil.copy(source, target)
    with target.open("ab") as file:
        file.write((8 + 4).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big"))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _seconds(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _cpu(work: Callable[[], object]) -> float:
    """Seconds of all threads of this process, which other work on the machine changes little."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _short(value: float) -> float:
    return float(f"{value:.3g}")
