"""One run, one owner: a lock on the run folder that dies with the process that holds it."""

import json
import os
import struct
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pgpong.errors import RunError
from pgpong.storage.files import open_handle, reporting, write_all

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PATIENCE = 1.0  # seconds that a new owner gets to write down who it is


@dataclass(frozen=True)
class Owner:
    """Who holds a run folder, as the lock's file says."""

    pid: int
    host: str
    start: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.start}"


# The folders this process holds. The kernel would let it have them twice, and closing the second descriptor
# would drop the first lock. A forked child inherits the table but not the locks, hence the pid in the key.
_held: dict[tuple[int, int, int], Owner] = {}


class RunLock:
    """Holds a run folder for this process; a context manager.

    It is a POSIX record lock on the file `lock` in the folder: the kernel drops it when the process ends, in
    whatever way, and children do not inherit it. The kernel also drops it when the owner closes *any*
    descriptor of that file, so nothing else may open it. The file stays, for deleting it would let two
    processes lock two files of that name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            RunError: another process has it, or the system has no such locks.
            DiskError: the system refused.
        """
        if fcntl is None:
            raise RunError("locking a run needs a POSIX system: use Linux, macOS or WSL")
        owner = Owner(os.getpid(), os.uname().nodename, datetime.now(UTC).isoformat(timespec="seconds"))
        with reporting(f"cannot lock {self.folder}"):
            status = os.stat(self.folder)
            self._key = (owner.pid, status.st_dev, status.st_ino)
            if self._key in _held:
                raise self._in_use(str(_held[self._key]))
            # A link in a folder from a stranger must not lead us to write somewhere else.
            self._handle = open_handle(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try:
                self._take(owner)
            except BaseException:
                with suppress(OSError):
                    os.close(self._handle)
                raise
        _held[self._key] = owner
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            os.ftruncate(self._handle, 0)
        with suppress(OSError):
            os.close(self._handle)
        del _held[self._key]

    def _take(self, owner: Owner) -> None:
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # the two answers POSIX allows
            raise self._in_use(_find_owner(self._handle)) from None
        os.ftruncate(self._handle, 0)
        write_all(self._handle, json.dumps(asdict(owner)).encode() + b"\n")

    def _in_use(self, owner: str) -> RunError:
        return RunError(f"{self.folder} is in use by {owner}: wait for it or stop it")


def _find_owner(handle: int) -> str:
    """Say who holds the lock; a new owner needs a moment before the file says so."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        pid, owner = _kernel_pid(handle), _read_owner(handle)
        if owner is not None and pid in (owner.pid, None):  # not the note of one that was killed
            return str(owner)
        if time.monotonic() > deadline:
            return f"process {pid}" if pid else "another process"
        time.sleep(0.02)


def _read_owner(handle: int) -> Owner | None:
    """Read who the file says its owner is; None if it does not, or says anything else: it may be foreign."""
    with suppress(OSError, ValueError, RecursionError):
        match json.loads(os.pread(handle, 1024, 0).decode()):
            case {"pid": int(pid), "host": str(host), "start": str(start)} if (
                0 < pid < 2**31 and max(len(host), len(start)) <= 255 and (host + start).isprintable()
            ):
                return Owner(int(pid), host, start)
    return None


def _kernel_pid(handle: int) -> int | None:
    """Ask the kernel who holds the lock; None where it does not say: another host, container or system."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return None
    layout = "hhqqi4x"  # struct flock: type, whence, start, length, pid
    query = struct.pack(layout, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with suppress(OSError):
        kind, *_, pid = struct.unpack(layout, fcntl.fcntl(handle, fcntl.F_GETLK, query))
        return pid if kind != fcntl.F_UNLCK and pid > 0 else None
    return None
