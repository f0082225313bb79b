"""Logs of JSON lines: whole lines only, read and cut back whatever a crash has left."""

import json
import math
import os
from pathlib import Path

import pytest

from pgpong.errors import DiskError, NonFiniteError, RunError
from pgpong.storage.lines import LineLog, read_lines, trim_lines
from tests.storage.disk import Faults, descriptors, fails, under

WHOLE = b'{"update": 1}\n{"update": 2, "x": "\\u2028"}\n{"update": 2}\n{"update": 4}\n'
UPDATES = [1, 2, 2, 4]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def updates(path):
    return [line["update"] for line in read_lines(path)]


def test_lines_come_back_as_they_were_appended(path):
    records = [{"update": n, "x": [n / 3, None, "ü\n"], "y": {"z": True}} for n in range(5)]
    with LineLog(path) as log:
        for record in records[:3]:
            log.append(record)
        log.sync()
    with LineLog(path) as log:
        for record in records[3:]:
            log.append(record)
    assert read_lines(path) == records
    assert path.read_text() == "".join(json.dumps(record) + "\n" for record in records)


def test_a_line_is_there_at_once_and_takes_one_write(path):
    with LineLog(path) as log, under(Faults(lambda *_: None)) as disk:
        log.append({"update": 1})
        assert disk.calls == ["write"]
        assert path.read_bytes() == b'{"update": 1}\n'


def test_closing_twice_does_nothing(path):
    before = descriptors()
    log = LineLog(path)
    log.close()
    log.close()
    assert descriptors() == before


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan]])
def test_what_is_not_finite_is_not_written(path, value):
    with LineLog(path) as log, pytest.raises(NonFiniteError, match="NaN or infinity in"):
        log.append({"update": 1, "loss": value})
    assert path.read_bytes() == b""


def test_a_missing_log_has_no_lines(path):
    assert read_lines(path) == []
    assert trim_lines(path, 3) is False
    assert not path.exists()


@pytest.mark.parametrize("size", range(len(WHOLE) + 1))
def test_a_log_cut_at_any_byte_is_read_up_to_the_last_whole_line(path, size):
    path.write_bytes(WHOLE[:size])
    whole = WHOLE[:size].count(b"\n")
    cut = not WHOLE[:size].endswith(b"\n") and size > 0
    assert updates(path) == UPDATES[:whole]
    assert trim_lines(path, 9) is cut
    assert path.read_bytes() == b"".join(WHOLE.splitlines(keepends=True)[:whole])
    assert trim_lines(path, 9) is False


@pytest.mark.parametrize(("update", "count"), [(-1, 0), (0, 0), (1, 1), (2, 3), (3, 3), (4, 4), (99, 4)])
@pytest.mark.parametrize("tail", [b"", b'{"update": 5', b'{"update": 5}', b"\0\0\0", b"\xff\n", b"\n"])
def test_a_log_is_cut_back_to_an_update(path, update, count, tail):
    path.write_bytes(WHOLE + tail)
    inode = path.stat().st_ino
    assert trim_lines(path, update) is bool(tail)
    assert path.read_bytes() == b"".join(WHOLE.splitlines(keepends=True)[:count])
    assert path.stat().st_ino == inode  # in place


DAMAGED = [
    b"nonsense", b"", b"[1]", b"7", b'"update"', b"null", b'{"update": 2', b'{"update": 2}}', b"1" * 9_999,
    b"\xff\xfe", b"\0" * 9, '{"update": 2}\n'.encode("utf-16-be")[:-1], b'{"a": ' * 100_000, b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_is_named_in_the_middle_and_left_out_at_the_end(path, line):
    path.write_bytes(b'{"update": 1}\n' + line + b'\n{"update": 3}\n')
    for reader in (read_lines, lambda path: trim_lines(path, 3)):
        with pytest.raises(RunError) as caught:
            reader(path)
        assert str(caught.value) == f"{path}: line 2 is damaged"
    path.write_bytes(b'{"update": 1}\n' + line + b"\n")
    assert updates(path) == [1]
    assert trim_lines(path, 3) is True
    assert path.read_bytes() == b'{"update": 1}\n'


def test_damage_after_the_lines_that_stay_is_cut_off_with_the_rest(path):
    path.write_bytes(b'{"update": 1}\n\0\0\0\n{"update": 3}\n')
    assert trim_lines(path, 1) is True
    assert path.read_bytes() == b'{"update": 1}\n'


@pytest.mark.parametrize("line", [b"{}", b'{"update": "2"}', b'{"update": null}', b'{"update": 2.5}'])
def test_a_line_without_its_update_is_damaged_where_updates_matter(path, line):
    path.write_bytes(line + b'\n{"update": 3}\n')
    assert len(read_lines(path)) == 2
    with pytest.raises(RunError, match="line 1 is damaged"):
        trim_lines(path, 3)


def full_after(count):
    """A disk that takes `count` bytes more, once, and then is full."""
    left = [count]

    def disk(name, call, *arguments):
        if name != "write":
            return call(*arguments)
        handle, content = arguments
        if not left:
            raise OSError(28, "No space left on device")
        return call(handle, content[: left.pop()])

    return disk


def test_a_half_written_line_is_taken_back(path):
    with LineLog(path) as log:
        log.append({"update": 1})
        with under(full_after(5)), pytest.raises(DiskError, match="jsonl: No space left on device"):
            log.append({"update": 2})
        assert path.read_bytes() == b'{"update": 1}\n'
        log.append({"update": 3})
    assert updates(path) == [1, 3]


def test_nothing_is_added_to_a_half_line_that_cannot_be_taken_back(path):
    with LineLog(path) as log:
        log.append({"update": 1})
        disk = full_after(5)
        no_truncation = fails("ftruncate", code=5)
        with under(disk), under(no_truncation), pytest.raises(DiskError, match="No space"):
            log.append({"update": 2})
        for again in (lambda: log.append({"update": 3}), log.sync):
            with pytest.raises(DiskError, match="No space"):
                again()
    assert path.read_bytes() == b'{"update": 1}\n{"upd'
    assert updates(path) == [1]
    assert trim_lines(path, 1) is True


def test_a_sync_that_failed_is_not_forgotten(path):
    # The kernel tells of lost pages once; a second fsync would find nothing wrong.
    with LineLog(path) as log:
        log.append({"update": 1})
        with under(fails("fsync", code=5)), pytest.raises(DiskError, match="Input/output error"):
            log.sync()
        with pytest.raises(DiskError, match="Input/output error"):
            log.sync()


def test_an_error_of_closing_is_said_unless_it_would_hide_the_one_before(path):
    log = LineLog(path)
    with under(fails("close", code=5)), pytest.raises(DiskError, match="Input/output error"), log:
        pass
    log = LineLog(path)
    with under(fails("close", code=5)), pytest.raises(ZeroDivisionError), log:
        raise ZeroDivisionError


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_is_really_full():
    with LineLog(Path("/dev/full")) as log:
        for _ in range(2):
            with pytest.raises(DiskError, match=r"cannot write .*: No space left on device"):
                log.append({"update": 1})


def test_a_link_in_a_logs_place_is_not_followed_nor_a_pipe_waited_for(path):
    mine = path.with_name("mine")
    mine.write_text("not to be touched")
    path.symlink_to(mine)
    for act in (lambda: LineLog(path), lambda: read_lines(path), lambda: trim_lines(path, 0)):
        with pytest.raises(DiskError, match="symbolic links"):
            act()
    assert mine.read_text() == "not to be touched"
    path.unlink()
    os.mkfifo(path)
    assert read_lines(path) == []
