"""What `torch.save` wrote is read exactly; what it would never write is refused, and nothing is ever executed."""

from __future__ import annotations

import collections
import contextlib
import importlib
import io
import os
import pickle
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidan.detector.errors import WeightsError
from vidan.detector.weights.torch_file import StoredObject, StoredTensor, TorchFile


def write_checkpoint(path: Path, program: bytes, members: dict[str, bytes] | None = None) -> Path:
    """A zip like `torch.save`'s around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", b"little")
        for name, data in (members or {}).items():
            archive.writestr(name, data)
    return path


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


# --- reading what is honest


def test_tensors_of_all_kinds_come_back_equal(tmp_path: Path) -> None:
    base = torch.arange(60, dtype=torch.float32)
    saved = {
        "half": torch.rand(3, 4).half(),
        "long scalar": torch.tensor(7),
        "transposed": base.view(6, 10).t(),
        "part of a larger storage": base[7:19:3],
        "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "no elements": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.rand(2)),
        "bool": torch.tensor([True, False]),
        "double": torch.rand(2, dtype=torch.float64),
    }
    torch.save(saved, tmp_path / "tensors.pt")
    with TorchFile(tmp_path / "tensors.pt") as file:
        content: Any = file.content
        assert content.keys() == saved.keys()
        for name, tensor in saved.items():
            array = file.array(content[name])
            np.testing.assert_array_equal(array, tensor.detach().numpy(), name)
            assert array.dtype == tensor.detach().numpy().dtype


def test_plain_values_and_unknown_objects_come_back_as_data(tmp_path: Path) -> None:
    saved = {
        "epoch": -1,
        "big": 1 << 70,
        "rate": 0.01,
        "name": "ü",
        "nothing": None,
        "yes": True,
        "list": [1, (2, 3), {"a": []}],
        "ordered": collections.OrderedDict(a=1),
        "set": {1, 2},
        "fitness": np.array([0.5]),
        "module": torch.nn.Conv2d(1, 2, 3),
    }
    torch.save(saved, tmp_path / "values.pt")
    with TorchFile(tmp_path / "values.pt") as file:
        content: Any = file.content
    for name in ("epoch", "big", "rate", "name", "nothing", "yes", "list", "ordered"):
        assert content[name] == saved[name]
    module = content["module"]
    assert isinstance(module, StoredObject)
    assert module.class_name == "torch.nn.modules.conv.Conv2d"
    assert isinstance(module.attributes["_parameters"]["weight"], StoredTensor)


# --- refusing what is not

HOSTILE: list[tuple[str, Any, str]] = [
    ("a shell command", Calls(os.system, "touch canary"), "system"),
    ("eval", Calls(eval, "open('canary', 'w')"), "eval"),
    ("exec", Calls(exec, "open('canary', 'w')"), "exec"),
    ("getattr on a module", Calls(getattr, Calls(__import__, "os"), "system"), "getattr"),
    ("getattr alone", Calls(getattr, "x", "__class__"), "getattr"),
    ("a process, deep inside a dict", {"model": [{"opt": Calls(subprocess.Popen, ("touch", "canary"))}]}, "Popen"),
    ("a file opened", Calls(open, "canary", "w"), "open"),
    ("torch.load of another file", Calls(torch.load, "other.pt"), "torch.serialization.load"),
    ("numpy's own unpickler", Calls(np.load, "other.npy"), "numpy.load"),
    ("a module imported", Calls(importlib.import_module, "evil"), "importlib.import_module"),
]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(("payload", "name"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_pickle_is_refused_by_the_name_of_what_it_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: Any, name: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_checkpoint(tmp_path / "hostile.pt", pickle.dumps(payload, protocol))
    with pytest.raises(WeightsError, match=rf"hostile\.pt: refused, .*{name}.*nothing was executed"):
        TorchFile(path)
    assert not Path("canary").exists()


def test_the_hostile_pickles_are_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(HOSTILE[0][1], 2))
    assert Path("canary").exists()


INSTRUCTIONS = [
    ("an instance made without a reduce", b"(S'touch canary'\nios\nsystem\n.", "'os.system'"),
    ("a dotted name in an allowed module", b"\x80\x04\x8c\x0dmodels.common\x8c\x0cConv.forward\x93.", "Conv.forward"),
    ("a module that only looks allowed", b"\x80\x02cmodelsx.common\nConv\n.", "modelsx"),
    ("an entry of the extension registry", b"\x80\x02\x82\x01.", "EXT1"),
    ("an object called as a class", b"(cmodels.common\nConv\no.", "OBJ"),
    ("a persistent id as text", b"P0\n.", "PERSID"),
]


@pytest.mark.parametrize(("program", "reason"), [c[1:] for c in INSTRUCTIONS], ids=[c[0] for c in INSTRUCTIONS])
def test_instructions_that_no_checkpoint_needs_are_refused(tmp_path: Path, program: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=f"refused, .*{reason}.*nothing was executed"):
        TorchFile(write_checkpoint(tmp_path / "odd.pt", program))


def storage(key: str = "0", count: int = 4) -> bytes:
    """Pickle of a persistent id, without the final instruction."""
    return b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + _text(key) + _text("cpu") + b"L%dL\ntQ" % count


def tensor(shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, key: str = "0", count: int = 4) -> bytes:
    numbers = [b"(" + b"".join(b"L%dL\n" % n for n in values) + b"t" for values in (shape, strides)]
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(key, count)
        + b"L%dL\n" % offset
        + b"".join(numbers)
        + b"\x89NtR."
    )


def _text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


BROKEN = [
    ("a tensor longer than its storage", tensor((5,), (1,)), "outside its storage"),
    ("a tensor that starts before it", tensor((1,), (1,), offset=-1), "not counts"),
    ("a tensor that ends after it", tensor((2,), (1,), offset=3), "outside its storage"),
    ("steps that leave it", tensor((2, 2), (3, 1)), "outside its storage"),
    ("one value repeated a trillion times", tensor((1 << 39,), (0,)), "outside its storage"),
    ("a shape of astronomical numbers", tensor((1 << 4000,), (0,)), "not counts"),
    ("more dimensions than a tensor has", tensor((1,) * 9, (1,) * 9), "do not fit together"),
    ("a storage that is not in the file", tensor((1,), (1,), key="1"), "not in the file"),
    ("a storage outside the archive", tensor((1,), (1,), key="../../../etc/passwd"), "not in the file"),
    ("a storage of another size", tensor((1,), (1,), count=1 << 50), "not in the file"),
    ("bytes that are not there", b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b"x.", "damaged"),
    ("a call of text", b"\x80\x02X\x01\x00\x00\x00x)R.", "call of something"),
    ("a state for a class", b"\x80\x02cmodels.common\nConv\n}b.", "not an object"),
    ("a key of nested tuples", b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s.", "not text or a number"),
    ("an empty stack", b"\x80\x02R.", "damaged"),
    ("a memory that is empty", b"\x80\x02h\x07.", "damaged"),
    ("no end", b"\x80\x02N", "damaged"),
    ("no program", b"", "damaged"),
    ("noise", b"\xff\xfe\xfd", "damaged"),
]


@pytest.mark.parametrize(("program", "reason"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_program_that_breaks_the_rules_is_called_damaged(tmp_path: Path, program: bytes, reason: str) -> None:
    path = write_checkpoint(tmp_path / "broken.pt", program, {"archive/data/0": bytes(16)})
    with pytest.raises(WeightsError, match=reason):
        TorchFile(path)


def test_a_giant_memo_index_costs_no_memory(tmp_path: Path) -> None:
    program = b"\x80\x02K\x07r" + (0xFFFFFFFF).to_bytes(4, "little") + b"."  # takes 64 GiB in the C unpickler
    with TorchFile(write_checkpoint(tmp_path / "memo.pt", program)) as file:
        assert file.content == 7


def test_tensors_together_may_not_claim_more_than_the_file_has(tmp_path: Path) -> None:
    torch.save([torch.zeros(4096)] * 3, tmp_path / "shared.pt")
    with TorchFile(tmp_path / "shared.pt") as file:
        tensors: Any = file.content
        file.array(tensors[0])
        with pytest.raises(WeightsError, match="claim more bytes"):
            file.array(tensors[1])


def _zip(path: Path, **options: Any) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(path, "w", **options)
    archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
    return archive


def _bomb(path: Path) -> None:
    _zip(path, compression=zipfile.ZIP_DEFLATED).close()


def _climbing(path: Path) -> None:
    with _zip(path) as archive:
        archive.writestr("../../.bashrc", b"rm -rf /")


def _twice(path: Path) -> None:
    with _zip(path) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))


def _two_programs(path: Path) -> None:
    with _zip(path) as archive:
        archive.writestr("other/data.pkl", pickle.dumps({}, 2))


def _big_endian(path: Path) -> None:
    with _zip(path) as archive:
        archive.writestr("archive/byteorder", b"big")


def _giant_program(path: Path) -> None:
    write_checkpoint(path, b"\x80\x02" + b"N0" * (9 << 20) + b"N.")


def _legacy(path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)


def _bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(HOSTILE[0][1], 2))


def _cut(path: Path) -> None:
    torch.save({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-200])


def _flipped_bit(path: Path) -> None:
    write_checkpoint(path, pickle.dumps("text" * 20, 2))
    path.write_bytes(path.read_bytes().replace(b"texttext", b"textzext", 1))


def _archive_of_something_else(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", b"<xml/>")


ARCHIVES: list[tuple[Callable[[Path], Any], str]] = [
    (_bomb, "is compressed"),
    (_climbing, "lies outside"),
    (_twice, r"2 members named \*/data.pkl"),
    (_two_programs, r"2 members named \*/data.pkl"),
    (_big_endian, "big-endian"),
    (_giant_program, "18 MiB, more than 16"),
    (_legacy, "bare pickle instead of a zip"),
    (_bare_pickle, "bare pickle instead of a zip"),
    (_cut, "cut off or damaged"),
    (_flipped_bit, "Bad CRC-32"),
    (_archive_of_something_else, "not a checkpoint of torch.save"),
    (lambda path: path.write_bytes(b""), "no zip"),
    (lambda path: path.write_text("<html>404</html>"), "no zip"),
    (lambda path: path.mkdir(), "cannot be read"),
    (lambda path: None, "cannot be read"),
]


@pytest.mark.parametrize(("make", "reason"), ARCHIVES)
def test_an_archive_that_torch_would_not_write_is_refused(
    tmp_path: Path, make: Callable[[Path], Any], reason: str
) -> None:
    make(tmp_path / "file.pt")
    with pytest.raises(WeightsError, match=rf"file\.pt: .*{reason}"):
        TorchFile(tmp_path / "file.pt")


def _honest_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": torch.nn.Linear(2, 2), "list": [1, 2.5, "x"], "dict": {1: None}}, buffer)
    return buffer.getvalue()


HONEST = _honest_bytes()


@given(st.lists(st.tuples(st.integers(0, len(HONEST) - 1), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_any_bytes_changed_is_read_or_refused_in_words(
    tmp_path: Path, changes: list[tuple[int, bytes]]
) -> None:
    data = bytearray(HONEST)
    for position, replacement in changes:
        data[position : position + len(replacement)] = replacement
    (tmp_path / "changed.pt").write_bytes(data)
    _read_or_refuse(tmp_path / "changed.pt")


PROGRAM = zipfile.ZipFile(io.BytesIO(HONEST)).read("archive/data.pkl")


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@given(st.lists(st.tuples(st.integers(0, len(PROGRAM) - 1), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_program_with_any_bytes_changed_is_read_or_refused_in_words(
    tmp_path: Path, changes: list[tuple[int, bytes]]
) -> None:
    data = bytearray(PROGRAM)
    for position, replacement in changes:
        data[position : position + len(replacement)] = replacement
    storages = {f"archive/data/{i}": bytes(size) for i, size in enumerate((16, 8))}
    _read_or_refuse(write_checkpoint(tmp_path / "changed.pt", bytes(data), storages))


def _read_or_refuse(path: Path) -> None:
    with contextlib.suppress(WeightsError), TorchFile(path):
        pass
