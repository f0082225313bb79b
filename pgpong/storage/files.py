"""Writing files so that a reader, a crash or a power cut never meets half of one."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pgpong.errors import DiskError

Chunk = bytes | bytearray | memoryview

_PIECE = 1 << 20  # bytes read and compared at a time
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp", re.DOTALL)


def write_atomically(path: Path, chunks: Sequence[Chunk]) -> None:
    """Put the `chunks`, one after the other, at `path`: whole and durable, or not at all.

    They go to a temporary file beside `path`, which is flushed to the disk, read back and compared, and then
    takes the place of what stood there. Once this returns, a power cut cannot take the new file away.

    Raises:
        DiskError: the system refused, or what it wrote does not read back; what stood at `path` is still
            there. If nothing but the last flush failed, that of the folder, the new file is there instead.
    """
    views = [memoryview(chunk).cast("B") for chunk in chunks if memoryview(chunk).nbytes]
    with replacing(path) as temporary, opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL) as handle:
        for view in views:
            write_all(handle, view)
        os.fsync(handle)
        _verify(handle, views)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Name a file beside `path` for the block to write and flush; it takes the place of what stood there.

    If the block fails it vanishes instead, and what stood at `path` is still there.

    Raises:
        DiskError: the system refused, in the block or after it.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    with reporting(f"cannot write {path}"):
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)


def remove_temporaries(folder: Path) -> None:
    """Delete what killed writers left in `folder`, as far as the system lets us: it does no harm there."""
    with suppress(OSError):
        for name in filter(_TEMPORARY.fullmatch, os.listdir(folder)):
            with suppress(OSError):
                os.unlink(folder / name)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; where folders cannot be opened (Windows) there is nothing to do.

    Raises:
        OSError: the system refused.
    """
    if os.name == "posix":
        with opened(folder, os.O_RDONLY) as handle:
            os.fsync(handle)


@contextmanager
def reporting(what: str) -> Iterator[None]:
    """Turn the system's refusal into one line, `what` and the reason.

    Raises:
        DiskError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(f"{what}: {error.strerror or error}") from error


def open_handle(path: Path, flags: int) -> int:
    """Open `path`, for bytes, with a new file's usual rights; return the descriptor.

    Raises:
        OSError: the system refused.
    """
    return os.open(path, flags | _BINARY, 0o666)


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """Open `path` and close it again; an error of the block goes before one of the closing.

    Raises:
        OSError: the system refused.
    """
    handle = open_handle(path, flags)
    try:
        yield handle
    except BaseException:
        with suppress(OSError):
            os.close(handle)
        raise
    os.close(handle)


def write_all(handle: int, content: Chunk) -> None:
    """Write all of `content`, however little the system takes at a time.

    Raises:
        OSError: the system refused; some of it may be written.
    """
    rest = memoryview(content)
    while rest:
        written = os.write(handle, rest)
        if not written:  # or this would go on for ever
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rest = rest[written:]


def read_all(handle: int) -> bytes:
    """Read from where the file stands to its end.

    Raises:
        OSError: the system refused.
    """
    return b"".join(iter(lambda: os.read(handle, _PIECE), b""))


def _verify(handle: int, views: Sequence[memoryview]) -> None:
    """Compare the file with what was to be written, piece by piece.

    Raises:
        OSError: it is something else, or the system refused.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # forget the pages in memory, so that the disk itself is asked
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(handle, 0, os.SEEK_SET)
    for view in views:
        rest = view
        while rest:
            piece = os.read(handle, min(len(rest), _PIECE))
            if not piece or piece != bytes(rest[: len(piece)]):  # bytes compare far faster than views
                raise OSError(errno.EIO, "it does not read back as it was written")
            rest = rest[len(piece) :]
    if os.read(handle, 1):
        raise OSError(errno.EIO, "it does not read back as it was written")
