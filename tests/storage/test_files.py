"""Whole files: what write_atomically leaves behind, also if it is killed."""

import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from pgpong.errors import DiskError
from pgpong.storage.files import remove_temporaries, write_atomically
from tests.storage.disk import under

SIZE = 2_000_000

# Writes a file of one repeated byte over and over.
WRITER = """
import itertools, sys
from pathlib import Path
from pgpong.storage.files import write_atomically
print("ready", flush=True)
for n in itertools.count(int(sys.argv[2])):
    write_atomically(Path(sys.argv[1]), [bytes([n % 256]) * 500_000] * 4)
"""


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [b""],
        [b"one"],
        [b"one", bytearray(b"two"), b"", memoryview(b"three")],
        [b"large" * 700_000, b"small"],
        [np.arange(6, dtype=np.float32).reshape(2, 3).data, np.zeros((0, 3)).data],
    ],
)
def test_the_chunks_stand_there_one_after_the_other(tmp_path, chunks):
    (tmp_path / "a").write_bytes(b"old")
    write_atomically(tmp_path / "a", chunks)
    assert (tmp_path / "a").read_bytes() == b"".join(bytes(chunk) for chunk in chunks)
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_has_the_rights_that_any_new_file_has(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", [b"x"])
        (tmp_path / "b").write_bytes(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_the_refusal_is_said_in_one_line_with_the_file(tmp_path):
    with pytest.raises(DiskError) as caught:
        write_atomically(tmp_path / "nowhere" / "a", [b"x"])
    assert str(caught.value) == f"cannot write {tmp_path / 'nowhere' / 'a'}: No such file or directory"


def lie(answer):
    """A disk that says it wrote, and did not quite: it wrote `answer(content)` instead."""

    def disk(name, call, *arguments):
        if name == "write":
            handle, content = arguments
            call(handle, answer(bytes(content)))
            return len(content)
        return call(*arguments)

    return disk


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda content: content[:-1] + bytes([content[-1] ^ 1]), id="one bit"),
        pytest.param(lambda content: content[:-1], id="a byte less"),
        pytest.param(lambda content: content + b"!", id="a byte more"),
        pytest.param(lambda content: b"", id="nothing"),
    ],
)
def test_what_does_not_read_back_is_not_put_in_place(tmp_path, answer):
    (tmp_path / "a").write_bytes(b"old")
    with under(lie(answer)), pytest.raises(DiskError, match="a: it does not read back as it was written"):
        write_atomically(tmp_path / "a", [b"new content " * 100_000])
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_reading_back_makes_no_second_copy(tmp_path):
    content = bytes(30_000_000)
    tracemalloc.start()
    try:
        write_atomically(tmp_path / "a", [content])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_an_interrupted_save_leaves_nothing_behind(tmp_path):
    def interrupted(name, call, *arguments):
        if name == "fsync":
            raise KeyboardInterrupt
        return call(*arguments)

    with under(interrupted), pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", [b"x"])
    assert os.listdir(tmp_path) == []


def test_only_our_temporaries_are_removed(tmp_path):
    others = ["a", ".a", ".a.tmp", ".a.0123456.tmp", ".a.npz.012345678.tmp", "a.01234567.tmp", ".git.tmp"]
    for name in (*others, ".a.npz.01234567.tmp", ".update-000020.npz.89abcdef.tmp"):
        (tmp_path / name).touch()
    (tmp_path / ".folder.01234567.tmp").mkdir()  # cannot be unlinked: no reason to stop
    remove_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, ".folder.01234567.tmp"])
    remove_temporaries(tmp_path / "nowhere")


def test_a_killed_writer_leaves_a_whole_file(tmp_path, long, tally):
    rounds, whole, interrupted = 300 if long else 20, 0, 0
    path = tmp_path / "a"
    write_atomically(path, [bytes(SIZE)])
    chance = random.Random(1)
    for n in range(rounds):
        command = [sys.executable, "-c", WRITER, str(path), str(n)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        whole += len(content) == SIZE == content.count(content[0])
        interrupted += len(os.listdir(tmp_path)) > 1
        remove_temporaries(tmp_path)
        assert os.listdir(tmp_path) == ["a"]
    tally("kill while writing", whole, rounds)
    assert interrupted  # or this tested nothing
