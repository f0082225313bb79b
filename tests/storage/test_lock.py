"""One run, one owner: the lock on a run folder, between real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from pgpong.errors import DiskError, RunError
from pgpong.storage import lock
from pgpong.storage.lock import RunLock

PREFACE = """
import os, subprocess, sys
from pathlib import Path
from pgpong.errors import RunError
from pgpong.storage.lock import RunLock
folder = Path(sys.argv[1])
"""

# Holds the folder until its input ends, or says why it cannot.
HOLD = """
try:
    with RunLock(folder):
        print("held", flush=True)
        sys.stdin.read()
except RunError as error:
    print(error, flush=True)
"""

# Holds the folder and has children: one that runs another program, one that is a copy of itself.
PARENT = """
with RunLock(folder):
    program = subprocess.Popen(["sleep", "60"])
    copy = os.fork()
    if not copy:
        sys.stdin.read()
        os._exit(0)
    print(program.pid, copy, flush=True)
    sys.stdin.read()
"""

# In each round waits for the word, tries, says what came of it, and waits for the word to let go.
CONTEND = """
print("ready", flush=True)
while sys.stdin.readline():
    try:
        with RunLock(folder):
            print("held", flush=True)
            sys.stdin.readline()
    except RunError as error:
        print(error, flush=True)
        sys.stdin.readline()
    print("ready", flush=True)
"""

# Holds the kernel's lock and writes nothing into the file.
SILENT = """
import fcntl
handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
fcntl.lockf(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Start a process of that code; it is killed at the end of the test."""
    with ExitStack() as stack:

        def run(code):
            process = subprocess.Popen(
                [sys.executable, "-c", PREFACE + code, str(tmp_path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            stack.enter_context(process)  # waits for it, after the line below
            stack.callback(process.kill)
            return process

        yield run


def answer(process):
    return process.stdout.readline().strip()


def tell(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def is_free(folder):
    try:
        with RunLock(folder):
            return True
    except RunError:
        return False


def test_the_second_process_leaves_at_once_and_names_the_first(tmp_path, start):
    first = start(HOLD)
    assert answer(first) == "held"
    began = time.monotonic()
    message = answer(start(HOLD))
    assert time.monotonic() - began < 2
    assert re.fullmatch(
        rf"{tmp_path} is in use by process {first.pid} on {os.uname().nodename} "
        r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00: wait for it or stop it",
        message,
    )
    first.stdin.close()
    first.wait()
    assert (tmp_path / "lock").read_bytes() == b""
    assert is_free(tmp_path)


def test_a_killed_owner_holds_nothing(tmp_path, start):
    first = start(HOLD)
    assert answer(first) == "held"
    assert not is_free(tmp_path)
    first.kill()
    first.wait()
    assert json.loads((tmp_path / "lock").read_bytes())["pid"] == first.pid  # it had no time to tidy up
    assert is_free(tmp_path)


def test_children_that_outlive_the_owner_hold_nothing(tmp_path, start):
    parent = start(PARENT)
    children = [int(pid) for pid in answer(parent).split()]
    try:
        assert not is_free(tmp_path)
        parent.kill()
        parent.wait()
        for pid in children:
            os.kill(pid, 0)  # still there
        assert is_free(tmp_path)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def test_of_twenty_processes_one_gets_the_folder(tmp_path, start, tally):
    processes = [start(CONTEND) for _ in range(20)]
    rounds, good = 20, 0
    for _ in range(rounds):
        assert all(answer(process) == "ready" for process in processes)
        for process in processes:
            tell(process)
        answers = {process.pid: answer(process) for process in processes}
        winners = [pid for pid, said in answers.items() if said == "held"]
        named = [said for said in answers.values() if f" in use by process {winners[0]} on " in said]
        good += len(winners) == 1 and len(named) == 19
        for process in processes:
            tell(process)
    tally("one owner", good, rounds)


def test_within_a_process_too_there_is_one_owner(tmp_path, start):
    first, second = RunLock(tmp_path), RunLock(tmp_path / "." / ".." / tmp_path.name)
    with first:
        for again in (first, second):
            with pytest.raises(RunError, match=f"in use by process {os.getpid()} on .* since "), again:
                pass
        assert f"process {os.getpid()} on" in answer(start(HOLD))  # the attempts did not drop the lock
        (tmp_path / "other").mkdir()
        with RunLock(tmp_path / "other"):
            pass
    with second:
        pass


ODD = [
    b"", b"\n", b"\xff\xfe", b"null", b"[" * 5000, b"9" * 5000,
    *(json.dumps({"pid": 1, "host": "h", "start": "s"} | odd).encode() for odd in (
        {"pid": "1"}, {"pid": -1}, {"pid": 2**80}, {"pid": None}, {"pid": [1]}, {"host": 7},
        {"host": "h\x1b[31m"}, {"host": "x" * 300}, {"start": "a\nb"}, {"start": None}, {"host": "\u202e"},
    )),
]  # fmt: skip


def test_what_the_file_says_is_believed_only_if_it_reads_well(tmp_path, start, monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", 0.03)
    monkeypatch.setattr(lock, "_kernel_pid", lambda handle: None)
    assert answer(start(SILENT)) == "held"
    for content in ODD:
        (tmp_path / "lock").write_bytes(content)
        with pytest.raises(RunError, match="in use by another process:"), RunLock(tmp_path):
            pass
    (tmp_path / "lock").write_bytes(b'{"pid": 1, "host": "h", "start": "s"}\n')
    with pytest.raises(RunError, match="in use by process 1 on h since s:"), RunLock(tmp_path):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked on Linux only")
def test_the_note_of_a_killed_owner_is_not_taken_for_the_next_ones(tmp_path, start, monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", 0.03)
    silent = start(SILENT)
    assert answer(silent) == "held"
    for content in (b"", b'{"pid": 1, "host": "h", "start": "s"}\n'):
        (tmp_path / "lock").write_bytes(content)
        with pytest.raises(RunError, match=f"in use by process {silent.pid}:"), RunLock(tmp_path):
            pass


def test_an_owner_that_says_nothing_is_not_waited_for_longer_than_a_second(tmp_path, start):
    assert answer(start(SILENT)) == "held"
    began = time.monotonic()
    assert not is_free(tmp_path)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("content", [b"", b'{"pid": 1, "host": "h", "start": "s"}\n', b"\xff" * 9999])
def test_what_an_earlier_owner_left_does_not_matter(tmp_path, start, content):
    (tmp_path / "lock").write_bytes(content)
    with RunLock(tmp_path):
        assert f"in use by process {os.getpid()} on {os.uname().nodename} since" in answer(start(HOLD))
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "lock").symlink_to("precious")
    with pytest.raises(DiskError, match="cannot lock"), RunLock(tmp_path):
        pass
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_folder_that_is_missing_is_a_refusal_of_the_system(tmp_path):
    with pytest.raises(DiskError, match=r"cannot lock .*nowhere: No such"), RunLock(tmp_path / "nowhere"):
        pass


def test_without_posix_the_package_imports_and_locking_says_so(tmp_path):
    code = "import sys; sys.modules['fcntl'] = None" + PREFACE + HOLD
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert told.stdout == "locking a run needs a POSIX system: use Linux, macOS or WSL\n"
