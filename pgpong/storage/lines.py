"""Logs of JSON lines, such as metrics.jsonl and episodes.jsonl: appended to, read, and cut back to an update.

A line is whole if its newline is there. A crash can cut the last one short, and a power cut can garble
whatever was written after the last `LineLog.sync`; nothing before that is ever touched.
"""

import io
import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pgpong.errors import DiskError, NonFiniteError, RunError
from pgpong.storage.files import open_handle, opened, read_all, reporting, sync_folder, write_all

Record = dict[str, Any]

# A folder from a stranger may have a link or a pipe in a log's place: none is followed or waited for.
_OWN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class LineLog:
    """A log open for appending; a context manager. `trim_lines` it first: it goes on after the last byte.

    Where a refusal leaves in doubt what stands in the file, all that is asked of it later is refused too.
    """

    def __init__(self, path: Path) -> None:
        """Open the log, a new one if there is none.

        Raises:
            DiskError: the system refused.
        """
        self.path = path
        self._refusal: OSError | None = None
        with reporting(f"cannot write {path}"):
            self._handle = open_handle(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _OWN)
            try:
                self._size = os.lseek(self._handle, 0, os.SEEK_END)
                sync_folder(path.parent)
            except BaseException:
                with suppress(DiskError):
                    self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except DiskError:
            if error is None:  # or it would hide what ended the block
                raise

    def append(self, record: Record) -> None:
        """Write one line, whole or not at all.

        Raises:
            NonFiniteError: a number is NaN or infinite; nothing is written.
            DiskError: the system refused; the line is not there.
        """
        line = _dump(record, self.path)
        with reporting(f"cannot write {self.path}"):
            self._check()
            try:
                write_all(self._handle, line)
            except OSError as refusal:
                self._refusal = refusal
                with suppress(OSError):
                    os.ftruncate(self._handle, self._size)
                    self._refusal = None  # the file is as it was
                raise
        self._size += len(line)

    def sync(self) -> None:
        """Make the lines so far durable.

        Raises:
            DiskError: the system refused; a power cut may take lines away.
        """
        with reporting(f"cannot write {self.path}"):
            self._check()
            try:
                os.fsync(self._handle)
            except OSError as refusal:
                self._refusal = refusal  # asked again, the system would say yes although the lines are lost
                raise

    def close(self) -> None:
        """Close the file; a second time does nothing.

        Raises:
            DiskError: the system refused.
        """
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with reporting(f"cannot write {self.path}"):
                os.close(handle)

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal


def read_lines(path: Path) -> list[Record]:
    """Read a log; a last line that is not whole is left out, and a file that is missing has no lines.

    Raises:
        RunError: a line before the last is damaged.
        DiskError: the system refused.
    """
    content = b""
    with (
        reporting(f"cannot read {path}"),
        suppress(FileNotFoundError),
        opened(path, os.O_RDONLY | _OWN) as handle,
    ):
        content = read_all(handle)
    records = [record for _, record in _parse(content)]
    if None in records[:-1]:
        raise RunError(f"{path}: line {records.index(None) + 1} is damaged")
    return [record for record in records if record is not None]


def trim_lines(path: Path, update: int) -> bool:
    """Cut a log off after the last line of `update`; the lines stand in the order of their updates.

    What follows is a stretch that will be played again, or what a crash made of it.

    Returns:
        Whether something that is not a whole line was among what was cut off.

    Raises:
        RunError: a line that should stay is damaged; nothing is changed.
        DiskError: the system refused.
    """
    kept, damaged = 0, 0  # bytes to keep; number of the first damaged line
    with (
        reporting(f"cannot write {path}"),
        suppress(FileNotFoundError),
        opened(path, os.O_RDWR | _OWN) as handle,
    ):
        content = read_all(handle)
        for number, (end, record) in enumerate(_parse(content), start=1):
            if record is None or not isinstance(record.get("update"), int):
                damaged = damaged or number
            elif record["update"] <= update:
                if damaged:
                    raise RunError(f"{path}: line {damaged} is damaged")
                kept = end
        if kept < len(content):
            os.ftruncate(handle, kept)
            os.fsync(handle)
    return damaged > 0


def _parse(content: bytes) -> Iterator[tuple[int, Record | None]]:
    """Yield where each line ends, in bytes, and its record, None if it is not a whole line of JSON."""
    end = 0
    for line in io.BytesIO(content):
        end += len(line)
        record = None
        if line.endswith(b"\n"):
            with suppress(ValueError, RecursionError):
                record = json.loads(line.decode())
        yield end, record if isinstance(record, dict) else None


def _dump(record: Record, path: Path) -> bytes:
    try:
        return json.dumps(record, allow_nan=False).encode() + b"\n"
    except ValueError as error:
        bad = [key for key, value in record.items() if isinstance(value, float) and not math.isfinite(value)]
        names = ", ".join(bad) or "the line"
        raise NonFiniteError(f"NaN or infinity in {names}: it is not written to {path}") from error
