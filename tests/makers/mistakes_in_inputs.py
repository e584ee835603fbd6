"""Videos, pictures and weights that are none, or damaged."""

from __future__ import annotations

import numpy as np
from mistakes import CLIP, RUN, Case, folder_of, hostile_checkpoint, source, weights
from safetensors.numpy import save_file

from vidan.detector import resolve_weights

IN_INPUTS = [
    Case("no such video", source("clip.mp4"), RUN, 3, "clip.mp4"),
    Case("a pattern that no file fits", source("'*.mp4'"), RUN, 3, "*.mp4"),
    Case("an empty file", source("clip.mp4", b""), RUN, 3, "empty"),
    Case("a text named .mp4", source("clip.mp4", b"hello world\n" * 99), RUN, 3, "text"),
    Case("noise named .mp4", source("clip.mp4", b"\x93\0\xe1" * 999), RUN, 3, "cannot be opened"),
    Case("a recording cut before its index", source("clip.mp4", CLIP.read_bytes()[:9000]), RUN, 3, "clip.mp4"),
    Case("a folder without pictures", folder_of(("notes.txt", b"-")), RUN, 3, "shots"),
    Case("a folder of broken pictures", folder_of(("1.png", b"-")), RUN, 3, "shots"),
    Case("no such weights", weights("a.safetensors"), RUN, 5, "no such weights"),
    Case("a misspelt name of weights", weights("yolov9c"), RUN, 5, "yolov9"),
    Case("weights that are a text", weights("a.safetensors", b"hello" * 99), RUN, 5, "safetensors"),
    Case(
        "weights that are cut off",
        weights("a.safetensors", resolve_weights("demo").read_bytes()[:900_000]),
        RUN,
        5,
        "cut off",
    ),
    Case(
        "weights without a card",
        lambda f: (weights("a.safetensors")(f), save_file({"a": np.zeros(1, np.float32)}, f / "a.safetensors")),
        RUN,
        5,
        "card",
    ),
    Case("no such checkpoint", lambda _: None, "weights import FOLDER/a.pt", 5, "a.pt"),
    Case(
        "a checkpoint that is a text", lambda f: (f / "a.pt").write_text("-"), "weights import FOLDER/a.pt", 5, "a.pt"
    ),
    Case("a checkpoint that would run a program", hostile_checkpoint, "weights import FOLDER/evil.pt", 5, "system"),
    Case("an unknown name to pull", lambda _: None, "weights pull yolov9-x", 5, "yolov9-"),
]
