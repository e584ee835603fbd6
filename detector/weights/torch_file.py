"""Reads what ``torch.save`` wrote without running any of it.

Such a file is a zip of raw tensors and one pickle, and a pickle is a program that may call any Python function. Here
the program is interpreted with nothing to call: a global becomes its name, an object becomes a `StoredObject`, a tensor
becomes a `StoredTensor`, and the rest are lists, tuples, dicts, strings and numbers. Globals that no checkpoint needs
are refused by name. ``pickle.Unpickler`` with a closed ``find_class`` would not be enough: one instruction lets its
memo grow to any size, and BUILD sets attributes on whatever lies on its stack.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidan.detector.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROGRAM_BYTES = 16 << 20  # a whole dual-head t needs 0.4 MiB; each byte may become an object of 64
MAX_DIMENSIONS = 8
LARGEST_INDEX = 1 << 40

STORAGE_TYPES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "<i1",
    "torch.ByteStorage": "<u1",
    "torch.BoolStorage": "|b1",
}
KNOWN_GLOBALS = STORAGE_TYPES.keys() | {
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    "collections.OrderedDict",
    "__builtin__.set",
    "builtins.set",
    # best_fitness of a running training is a numpy array, and protocol 2 spells its bytes as text
    "_codecs.encode",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
}
CLASS_MODULES = ("models.", "utils.", "torch.nn.modules.")


@dataclass(slots=True, eq=False, repr=False)
class StoredObject:
    """An instance of a class that is never imported: the class's full name and the instance's attributes."""

    class_name: str
    attributes: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in the file; offset and strides in elements, checked against the storage."""

    key: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TorchFile:
    """An open checkpoint; a context manager.

    Attributes:
        content: What was saved, see the module's docstring.

    Raises:
        WeightsError: If the file is no zip of ``torch.save``, is broken, or asks for more than a checkpoint may.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive = _open_zip(path)
        try:
            self._budget_bytes = 2 * path.stat().st_size  # each byte is read once and copied once
            self._last_key, self._last_storage = "", b""
            self._members = _stored_members(path, self._archive)
            if "byteorder" in self._members and self._read(self._members["byteorder"]) != b"little":
                raise WeightsError(f"{path}: refused, its tensors are big-endian; save it on a little-endian machine")
            program = self._read(self._members["data.pkl"])
            sizes = {
                name.removeprefix("data/"): member.file_size
                for name, member in self._members.items()
                if name.startswith("data/")
            }
            self.content = _interpret(path, program, sizes)
        except BaseException:
            self._archive.close()
            raise

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def array(self, tensor: StoredTensor) -> NDArray[Any]:
        """A copy of the tensor's values.

        Raises:
            WeightsError: If the bytes are damaged, or all arrays read so far are together larger than the file.
        """
        if tensor.key != self._last_key:
            member = self._members[f"data/{tensor.key}"]
            self._spend(member.file_size)
            self._last_key, self._last_storage = tensor.key, self._read(member)
        flat = np.frombuffer(self._last_storage, tensor.dtype)
        self._spend(math.prod(tensor.shape) * flat.itemsize)
        strides = [stride * flat.itemsize for stride in tensor.strides]
        return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()

    def _spend(self, size: int) -> None:
        self._budget_bytes -= size
        if self._budget_bytes < 0:
            raise WeightsError(f"{self._path}: refused, its tensors claim more bytes than the file has")

    def _read(self, member: zipfile.ZipInfo) -> bytes:
        try:
            return self._archive.read(member)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise WeightsError(f"{self._path}: damaged ({error}); get the file again") from error


def _open_zip(path: Path) -> zipfile.ZipFile:
    start = b""  # of a path that is none: it has a null byte
    try:
        with path.open("rb") as file:
            start = file.read(4)
        return zipfile.ZipFile(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        if start.startswith(b"PK"):
            raise WeightsError(
                f"{path}: a checkpoint that is cut off or damaged ({error}); get the file again"
            ) from error
        if start[:1] == b"\x80" and start[1:2] <= b"\x05":
            raise WeightsError(
                f"{path}: refused, a bare pickle instead of a zip (the format of torch before 1.6); if you trust it, "
                "load it there and save it again with torch.save"
            ) from error
        raise WeightsError(f"{path}: not a checkpoint of torch.save (no zip)") from error


def _stored_members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members under their names inside the archive's one folder; none is compressed, so none can be a bomb."""
    programs = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(programs) != 1:
        raise WeightsError(
            f"{path}: not a checkpoint of torch.save ({len(programs)} members named */data.pkl, expected 1)"
        )
    folder = programs[0].removesuffix("data.pkl")
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removeprefix(folder)
        if member.filename == name or name in members:
            raise WeightsError(f"{path}: refused, member {member.filename!r} lies outside {folder!r} or comes twice")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise WeightsError(f"{path}: refused, member {member.filename!r} is compressed; torch.save never does that")
        members[name] = member
    if members["data.pkl"].file_size > PROGRAM_BYTES:
        size = members["data.pkl"].file_size >> 20
        raise WeightsError(f"{path}: refused, its data.pkl has {size} MiB, more than {PROGRAM_BYTES >> 20}")
    return members


def _interpret(path: Path, program: bytes, sizes: Mapping[str, int]) -> object:
    try:
        return _Machine(sizes).run(program)
    except _RefusedError as error:
        raise WeightsError(f"{path}: refused, {error}; nothing was executed") from error
    except (IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(f"{path}: its data.pkl is damaged ({error}); get the file again") from error


class _RefusedError(ValueError):
    """The program wants what no checkpoint needs."""


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str
    count: int


# instructions that push their argument, or a value of their own
_CONSTANTS: Mapping[str, object] = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
} | dict.fromkeys(
    (
        *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    )
)


class _Machine:
    """The pickle machine (`pickletools` documents its instructions) without the instructions' side effects.

    Args:
        sizes: Bytes of each storage in the file.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, program: bytes) -> object:
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name == "STOP":
                return self._stack.pop()
            self._step(opcode.name, argument)
        raise ValueError("no STOP")

    def _step(self, instruction: str, argument: Any) -> None:
        """Instructions that move data."""
        stack, memo = self._stack, self._memo
        match instruction:
            case _ if instruction in _CONSTANTS:
                stack.append(_CONSTANTS[instruction] if argument is None else argument)
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[argument])
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "MARK":
                self._marks.append(len(stack))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop_many(int(instruction[-1]))))
            case "TUPLE":
                stack.append(tuple(self._pop_marked()))
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                stack.append(self._pop_marked())
            case "APPEND":
                self._extend(self._pop_many(1))
            case "APPENDS":
                self._extend(self._pop_marked())
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                pairs = self._pop_marked()
                stack.append({})
                self._set_items(pairs)
            case "SETITEM":
                self._set_items(self._pop_many(2))
            case "SETITEMS":
                self._set_items(self._pop_marked())
            case "PROTO" | "FRAME":
                pass
            case _:
                self._step_object(instruction, argument)

    def _step_object(self, instruction: str, argument: Any) -> None:
        """Instructions that would import, call or change something."""
        match instruction:
            case "GLOBAL":
                self._stack.append(_known_global(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                self._stack.append(_known_global(*self._pop_many(2)))
            case "REDUCE" | "NEWOBJ":
                self._stack.append(_call(*self._pop_many(2)))
            case "BUILD":
                (state,) = self._pop_many(1)
                _set_state(self._stack[-1], state)
            case "BINPERSID":
                self._stack.append(self._storage(self._stack.pop()))
            case "INST":
                _known_global(*argument.split(" ", 1))
                raise _RefusedError("it uses the instruction INST, which no checkpoint needs")
            case _:
                raise _RefusedError(f"it uses the instruction {instruction}, which no checkpoint needs")

    def _pop_many(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError("stack underflow")
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _pop_marked(self) -> list[Any]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("values appended to something that is not a list")
        target.extend(values)

    def _set_items(self, pairs: list[Any]) -> None:
        target, keys = self._stack[-1], pairs[::2]
        # hashing a deeply nested tuple would overflow the C stack
        if not isinstance(target, dict) or not all(isinstance(key, str | int | float | None) for key in keys):
            raise TypeError("items set in something that is not a dict, or under a key that is not text or a number")
        target.update(zip(keys, pairs[1::2], strict=True))

    def _storage(self, identifier: object) -> _Storage:
        match identifier:
            case ("storage", _Global(name), str() as key, str(), int() as count) if name in STORAGE_TYPES:
                dtype = STORAGE_TYPES[name]
                if count * np.dtype(dtype).itemsize != self._sizes.get(key):
                    raise ValueError(f"storage {key[:20]!r} is not in the file with the promised size")
                return _Storage(key, dtype, count)
        raise ValueError("a reference to something that is not a tensor's storage")


def _known_global(module: object, name: object) -> _Global:
    if isinstance(module, str) and isinstance(name, str):
        full_name = f"{module}.{name}"
        if full_name in KNOWN_GLOBALS or (full_name.startswith(CLASS_MODULES) and name.isidentifier()):
            return _Global(full_name)
        raise _RefusedError(f"it wants {full_name[:100]!r}, which no checkpoint needs: it may be hostile")
    raise ValueError("a global whose name is not text")


def _call(target: object, arguments: object) -> object:
    """What the file wants `target` to be called for; nothing is called."""
    if not isinstance(target, _Global) or not isinstance(arguments, tuple):
        raise ValueError("a call of something that is not a global")
    match target.name, arguments:
        case "torch._utils._rebuild_tensor_v2", (_Storage() as storage, offset, shape, strides, *_):
            return _tensor(storage, offset, shape, strides)
        case "torch._utils._rebuild_parameter", (StoredTensor() as tensor, *_):
            return tensor
        case "collections.OrderedDict", ():
            return {}
        case _:
            return StoredObject(target.name)


def _set_state(target: object, state: object) -> None:
    match target, state:
        case StoredObject(), dict():
            target.attributes.update(state)
        case StoredObject() | dict(), _:
            pass  # contents of a numpy array, version numbers of a state dict: nobody asks for them
        case _:
            raise ValueError("a state given to something that is not an object")


def _tensor(storage: _Storage, offset: Any, shape: Any, strides: Any) -> StoredTensor:
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MAX_DIMENSIONS):
        raise ValueError("a tensor whose shape and strides do not fit together")
    if not all(isinstance(number, int) and 0 <= number < LARGEST_INDEX for number in (offset, *shape, *strides)):
        raise ValueError("a tensor whose shape and strides are not counts")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    elements = math.prod(shape)
    if elements > storage.count or (elements and last >= storage.count):
        raise ValueError(f"a tensor that reaches outside its storage {storage.key!r}")
    return StoredTensor(storage.key, storage.dtype, offset, shape, strides)
