"""A disk that refuses, at every system call, once or from then on: nothing is lost, nothing is made up."""

import errno
import json
import os
import subprocess
import sys
from contextlib import suppress
from itertools import product

import pytest

from pgpong.errors import DiskError, RunError
from pgpong.storage import lock
from pgpong.storage.files import remove_temporaries, write_atomically
from pgpong.storage.lines import LineLog, read_lines, trim_lines
from pgpong.storage.lock import RunLock
from tests.storage.disk import Faults, descriptors, every_fault, under

CODES = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE]
ADVICE = {"posix_fadvise"}  # nothing is lost if the system does not take it

OLD, NEW = b"old " * 10, [b"new " * 5, b"", b"end"]
LINES = [{"update": n} for n in range(1, 6)]


def dumped(lines):
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def attempt(act, *arguments):
    """Return whether it was done; only our own errors are let pass."""
    try:
        act(*arguments)
    except (DiskError, RunError):
        return False
    return True


def save(folder, disk, old=OLD):
    path, new = folder / "a", b"".join(NEW)
    if old is not None:
        path.write_bytes(old)
    with under(disk):
        done = attempt(write_atomically, path, NEW)
    found = path.read_bytes() if path.exists() else None
    assert done == (not set(disk.refused) - ADVICE)
    assert found == new if done else found in (old, new)
    if "unlink" not in disk.refused:
        assert os.listdir(folder) == ["a"] * (found is not None)
    remove_temporaries(folder)
    assert os.listdir(folder) == ["a"] * (found is not None)


def first_save(folder, disk):
    save(folder, disk, old=None)


def log(folder, disk):
    path, logs, acknowledged, in_sync = folder / "log", [], LINES[:2], True
    path.write_bytes(dumped(acknowledged))
    with under(disk):
        attempt(lambda: logs.append(LineLog(path)))
        for lines in logs:
            for line in LINES[2:]:
                if attempt(lines.append, line):
                    acknowledged = [*acknowledged, line]
                synced = attempt(lines.sync)
                in_sync = in_sync and "fsync" not in disk.refused
                assert in_sync or not synced
            attempt(lines.close)
    assert read_lines(path) == acknowledged
    if "ftruncate" not in disk.refused:
        assert path.read_bytes() == dumped(acknowledged)
    # The next session goes on from there.
    half_a_line = path.read_bytes() != dumped(acknowledged)
    assert trim_lines(path, 5) == half_a_line
    with LineLog(path) as lines:
        lines.append({"update": 6})
    assert read_lines(path) == [*acknowledged, {"update": 6}]


def trim(folder, disk):
    path, before = folder / "log", dumped(LINES) + b'{"upd'
    path.write_bytes(before)
    with under(disk):
        done = attempt(trim_lines, path, 3)
    assert done == (not disk.refused)
    assert path.read_bytes() in ([dumped(LINES[:3])] if done else [before, dumped(LINES[:3])])


def read(folder, disk):
    path, found = folder / "log", []
    path.write_bytes(dumped(LINES))
    with under(disk):
        done = attempt(lambda: found.extend(read_lines(path)))
    assert done == (not disk.refused)
    assert found == (LINES if done else [])


def hold(folder, disk):
    refused = None
    with under(disk), suppress(DiskError, RunError), RunLock(folder):
        refused = disk.refused.copy()
    assert refused == [] if refused is not None else disk.refused
    with RunLock(folder):  # whatever happened, it is free again
        pass
    assert (folder / "lock").read_bytes() == b""


def sweep(folder, disk):
    for name in (".a.01234567.tmp", ".b.01234567.tmp"):
        (folder / name).touch()
    with under(disk):
        remove_temporaries(folder)
    left = os.listdir(folder)
    assert len(left) == (2 if "listdir" in disk.refused else disk.refused.count("unlink"))


def test_no_refusal_costs_a_file_and_none_is_hidden(tmp_path, tally, monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", 0.01)
    before, passed, failed = descriptors(), 0, []
    acts = (save, first_save, log, trim, read, hold, sweep)
    for act, code, forever, most in product(acts, CODES, (False, True), (None, 7)):
        for disk in every_fault(code, forever, most):
            folder = tmp_path / f"{passed}-{len(failed)}"
            folder.mkdir()
            try:
                act(folder, disk)
                assert descriptors() == before
            except Exception as error:
                failed.append((act.__name__, code, forever, most, disk.calls, disk.refused, error))
            else:
                passed += 1
    print(*failed[:10], sep="\n")
    tally("disk errors", passed, passed + len(failed))


def test_the_first_refusal_is_the_one_that_is_said(tmp_path):
    codes = {"fsync": errno.ENOSPC, "close": errno.EIO, "unlink": errno.EACCES}
    with under(Faults(lambda _, name: codes.get(name))), pytest.raises(DiskError, match="a: No space left"):
        write_atomically(tmp_path / "a", NEW)


def test_a_file_system_that_takes_nothing_is_no_endless_loop(tmp_path):
    def disk(name, call, *arguments):
        return 0 if name == "write" else call(*arguments)

    with under(disk), pytest.raises(DiskError, match="Input/output error"):
        write_atomically(tmp_path / "a", NEW)


LIMITED = """
import resource, sys
from pathlib import Path
from pgpong.errors import DiskError
from pgpong.storage.files import write_atomically
from pgpong.storage.lines import LineLog
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
folder = Path(sys.argv[1])
try:
    write_atomically(folder / "a", [bytes(60_000)] * 3)
except DiskError as error:
    print(error)
with LineLog(folder / "log") as log:
    try:
        for n in range(1000):
            log.append({"update": n, "text": "x" * 300})
    except DiskError as error:
        print(error)
        log.append({"last": n})
"""


def test_a_limit_that_is_real(tmp_path):
    (tmp_path / "a").write_bytes(OLD)
    answer = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines() == [
        f"cannot write {tmp_path / name}: File too large" for name in ("a", "log")
    ]
    assert (tmp_path / "a").read_bytes() == OLD
    assert sorted(os.listdir(tmp_path)) == ["a", "log"]
    *lines, last = read_lines(tmp_path / "log")
    assert [line["update"] for line in lines] == list(range(last["last"]))
    assert 99_000 < (tmp_path / "log").stat().st_size <= 100_000
