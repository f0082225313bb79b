"""Named arrays and flat metadata in one .npz file: data only, in a single possible spelling.

The file is a ZIP archive of stored .npy members, so `numpy.load` opens it. Its first member, `header`, is
JSON text: the name, dtype and shape of every array in the order of the file, and the metadata.

    {"arrays": [["W1", "<f4", [200, 6400]], ...], "meta": {"format": "pgpong model 1", ...}}

From that text and the arrays' bytes every other byte of the file follows: no compression, no gaps, no
extra fields, one date, two-dimensional arrays in Fortran order (W1 lies pixel by pixel) and all others in C
order, data at multiples of 64 bytes. The reader works those bytes out and compares. So whatever a stranger
could vary (member names, duplicates, overlaps, compression, links, trailing bytes, ...) is refused because it
differs, and a flipped bit in text or data because it changes a checksum. Nothing is unpickled, imported or
evaluated, and no memory is taken before the text and the size of the file agree.

Sources: PKWARE APPNOTE 6.3 (ZIP); NEP 1 (.npy 1.0).
"""

import io
import json
import math
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pgpong.errors import FileFormatError, NonFiniteError
from pgpong.storage.files import Chunk, write_atomically

Meta = dict[str, str | int | float | bool | None]
Arrays = dict[str, npt.NDArray[Any]]

DTYPES = ("<f2", "<f4", "<f8", "<i4", "<i8", "|i1", "|u1", "<u2")
MOST_ARRAYS = 96
MOST_DIMENSIONS = 4
LONGEST_TEXT = 1 << 16  # bytes of JSON
LARGEST_FILE = 1 << 30  # bytes; ZIP without its 64-bit extension ends at 4 GiB
LONGEST_STRING = 1_000  # characters
LARGEST_INTEGER = 10**40  # excluded; the states of numpy's random generators have up to 39 digits

_NAME = re.compile(r"[A-Za-z0-9_.]{1,40}")
_LOCAL = struct.Struct("<4s5H3L2H")  # ZIP: local file header
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # ZIP: central directory header
_END = struct.Struct("<4s4H2LH")  # ZIP: end of central directory record
_MAGIC = b"\x93NUMPY\x01\x00"  # .npy, version 1.0
_ALIGNMENT = 64
_HEADER = "header"
_TEXT = 2 * _ALIGNMENT  # where the JSON text begins


class _Spec(NamedTuple):
    """What the JSON text says of an array."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class _Member(NamedTuple):
    """Where an array lies: at `offset` come ZIP's header and `npy`, from `start` to `stop` the data."""

    spec: _Spec
    npy: bytes
    offset: int
    start: int
    stop: int


def write_arrays(path: Path, meta: Meta, arrays: Arrays) -> None:
    """Write `arrays` and `meta` to `path`, whole or not at all; the same contents give the same bytes.

    Raises:
        NonFiniteError: a number is NaN or infinite; nothing is written.
        DiskError: the system refused to write.
        ValueError: a name, dtype, shape or value that such a file cannot hold.
    """
    numbers = {name: np.asarray(value) for name, value in meta.items() if isinstance(value, float)}
    if name := _not_finite(arrays) or _not_finite(numbers):
        raise NonFiniteError(f"{name} holds NaN or infinity, it is not written to {path}")
    write_atomically(path, serialise(meta, arrays))


def read_arrays(path: Path) -> tuple[Meta, Arrays]:
    """Read what `write_arrays` wrote; the arrays are aligned, writable views of one copy of the file.

    Raises:
        FileFormatError: the file is missing, cut short, not of this kind, or holds NaN or infinity.
    """
    with open_foreign(path) as file:
        size = os.fstat(file.fileno()).st_size
        _read_header(file.read(_TEXT + LONGEST_TEXT), size, str(path))
        content = bytearray(size)
        file.seek(0)
        file.readinto(content)
    return parse(content, str(path))


def serialise(meta: Meta, arrays: Arrays) -> list[Chunk]:
    """Return the file's bytes in pieces; those of an array are a view of it, where it lies in file order.

    Raises:
        ValueError: a name, dtype, shape or value that such a file cannot hold.
    """
    specs = [_Spec(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    _check(meta, specs)
    text = _dump(meta, specs)
    members = _lay_out(len(text), specs)
    if len(text) > LONGEST_TEXT or _size(members) > LARGEST_FILE:
        raise ValueError(f"{len(text)} bytes of metadata, {_size(members)} in all: more than a file may hold")
    blocks: list[Chunk] = [text, *(_in_file_order(array) for array in arrays.values())]
    first, *frames = _frames(members, blocks)
    return [first, *(piece for pair in zip(blocks, frames, strict=True) for piece in pair)]


def parse(content: Chunk, name: str) -> tuple[Meta, Arrays]:
    """Take the `content` of a file apart; `name` is what errors call it. The arrays are views of `content`.

    Raises:
        FileFormatError: `write_arrays` would not have written these bytes.
    """
    meta, members = _read_header(content, len(content), name)
    view = memoryview(content)
    frames = _frames(members, [view[member.start : member.stop] for member in members])
    begins = [0, *(member.stop for member in members)]
    for begin, frame in zip(begins, frames, strict=True):
        if view[begin : begin + len(frame)] != frame:
            raise _refusal(name, "its bytes and its checksums differ")
    arrays = {member.spec.name: _array(content, member) for member in members[1:]}
    if bad := _not_finite(arrays):
        raise FileFormatError(f"{name}: {bad} holds NaN or infinity")
    return meta, arrays


@contextmanager
def open_foreign(path: Path) -> Iterator[io.BufferedReader]:
    """Open a regular file; what else there is (a pipe, a device) must neither block nor be read for ever.

    Raises:
        FileFormatError: there is none, or it cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FileFormatError(f"cannot read {path}: it is not a file")
            yield file
    except FileNotFoundError as error:
        raise FileFormatError(f"no such file: {path}") from error
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from error


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_header(head: Chunk, size: int, name: str) -> tuple[Meta, list[_Member]]:
    """Read metadata and layout from the beginning of a file of `size` bytes.

    Raises:
        FileFormatError: they are not what `write_arrays` writes, or belong to another size.
    """
    stored = int.from_bytes(head[22:26], "little")  # ZIP's size of the first member
    length = stored - (_TEXT - _LOCAL.size - len(_member_name(_HEADER)))
    if not 0 < length <= LONGEST_TEXT:
        raise _refusal(name, "no header")
    text = bytes(head[_TEXT : _TEXT + length])
    try:
        meta, specs = _load(text)
        _check(meta, specs)
        if _dump(meta, specs) != text:
            raise ValueError("its header is not spelled as pgpong spells it")
    except ValueError as error:
        raise _refusal(name, str(error)) from error
    members = _lay_out(length, specs)
    if not size == _size(members) <= LARGEST_FILE:
        raise _refusal(name, f"its header does not allow {size:,} bytes")
    return meta, members


def _refusal(name: str, reason: str) -> FileFormatError:
    return FileFormatError(f"{name} is damaged or was not written by pgpong: {reason}")


def _load(text: bytes) -> tuple[Meta, list[_Spec]]:
    """Parse the JSON text; what stands in it is still to be checked.

    Raises:
        ValueError: it is not JSON of the form in the module's docstring.
    """
    try:
        document = json.loads(text.decode("ascii"))
        specs = [_Spec(name, dtype, tuple(shape)) for name, dtype, shape in document["arrays"]]
        return dict(document["meta"]), specs
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("its header cannot be read") from error


def _dump(meta: Meta, specs: Sequence[_Spec]) -> bytes:
    """Write the JSON text."""
    return json.dumps({"arrays": specs, "meta": meta}, allow_nan=False).encode("ascii")


def _check(meta: Meta, specs: Sequence[_Spec]) -> None:
    """Check names, dtypes, shapes and metadata against what a file may hold.

    Raises:
        ValueError: they go beyond it. The message repeats no text that has not been checked.
    """
    names = [_HEADER, *(spec.name for spec in specs)]
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in [*names, *meta]):
        raise ValueError("expected names of 1 to 40 letters, digits, dots and underscores")
    if len(set(names)) < len(names) or len(specs) > MOST_ARRAYS:
        raise ValueError(f"expected up to {MOST_ARRAYS} arrays, each under its own name")
    for name, dtype, shape in specs:
        if dtype not in DTYPES:
            raise ValueError(f"expected {name} of a dtype among {', '.join(DTYPES)}")
        if len(shape) > MOST_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"expected {name} of up to {MOST_DIMENSIONS} dimensions, none negative")
        if math.prod(n or 1 for n in shape) > LARGEST_FILE:  # numpy refuses (0, 2**62, 2**62), empty as it is
            raise ValueError(f"{name} is too large")
    for name, value in meta.items():
        if not _fits(value):
            raise ValueError(f"{name} is not a finite number, True, False, None or a short printable text")


def _fits(value: object) -> bool:
    """Whether the metadata may hold `value`."""
    match value:
        case str():
            return len(value) <= LONGEST_STRING and value.isprintable()
        case float():
            return math.isfinite(value)
        case int():  # bool is one
            return abs(value) < LARGEST_INTEGER
    return value is None


def _lay_out(text_length: int, specs: Sequence[_Spec]) -> list[_Member]:
    """Find the place of every member: the JSON text and then the arrays, without gaps."""
    members, offset = [], 0
    for spec in (_Spec(_HEADER, "|u1", (text_length,)), *specs):
        before = offset + _LOCAL.size + len(_member_name(spec.name))
        npy = _npy_header(spec, before)
        start = before + len(npy)
        stop = start + math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
        members.append(_Member(spec, npy, offset, start, stop))
        offset = stop
    return members


def _npy_header(spec: _Spec, before: int) -> bytes:
    """Write the .npy header that stands `before` bytes into the file; the data after it are aligned there."""
    order = {"descr": spec.dtype, "fortran_order": len(spec.shape) == 2, "shape": spec.shape}
    text = repr(order).replace("}", ", }").encode("ascii")  # numpy's spelling; not all readers know another
    padding = -(before + len(_MAGIC) + 2 + len(text) + 1) % _ALIGNMENT
    text += b" " * padding + b"\n"
    return _MAGIC + struct.pack("<H", len(text)) + text


def _size(members: Sequence[_Member]) -> int:
    """Return the size of the whole file in bytes."""
    names = sum(len(_member_name(member.spec.name)) for member in members)
    return members[-1].stop + len(members) * _CENTRAL.size + names + _END.size


def _frames(members: Sequence[_Member], blocks: Sequence[Chunk]) -> list[bytes]:
    """Write what stands before, between and after the blocks of data: one more than there are blocks."""
    frames, directory = [], b""
    for member, block in zip(members, blocks, strict=True):
        name = _member_name(member.spec.name)
        checksum = zlib.crc32(block, zlib.crc32(member.npy))
        length = len(member.npy) + len(block)
        # Version 2.0, no flags, stored, midnight of 1980-01-01; sizes packed and unpacked; no extra field.
        fields = (20, 0, 0, 0, 0x21, checksum, length, length, len(name), 0)
        frames.append(_LOCAL.pack(b"PK\3\4", *fields) + name + member.npy)
        # No comment, disk 0, no attributes.
        directory += _CENTRAL.pack(b"PK\1\2", 20, *fields, 0, 0, 0, 0, member.offset) + name
    count, offset = len(members), members[-1].stop
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), offset, 0)
    return [*frames, directory + end]


def _member_name(name: str) -> bytes:
    return f"{name}.npy".encode("ascii")


def _in_file_order(array: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of an array as they stand in the file; no copy where it lies in memory like that."""
    array = np.ascontiguousarray(array.T if array.ndim == 2 else array)
    return array.reshape(-1).view(np.uint8).data


def _array(content: Chunk, member: _Member) -> npt.NDArray[Any]:
    """Make the array of one member, without a copy."""
    _, dtype, shape = member.spec
    return np.ndarray(shape, dtype, content, member.start, order="F" if len(shape) == 2 else "C")


def _not_finite(arrays: Arrays) -> str | None:
    """Name the first array that holds NaN or infinity."""
    bad = (name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all())
    return next(bad, None)
