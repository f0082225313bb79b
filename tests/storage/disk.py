"""A disk that refuses, and a disk that loses its power: what the tests of pgpong.storage put under it.

Both stand between pgpong and the system's calls. `Faults` lets chosen calls fail. `Journal` notes what a
writer did, and `aftermaths` works out from that every state in which a power cut may leave the folder.
"""

import os
import random
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from itertools import product

import pytest

from pgpong.storage import lock

CALLS = [
    *((os, name) for name in ("open", "close", "read", "pread", "write", "lseek", "fsync", "ftruncate")),
    *((os, name) for name in ("replace", "unlink", "stat", "listdir", "posix_fadvise") if hasattr(os, name)),
    *((lock.fcntl, name) for name in ("lockf", "fcntl")),
]


@contextmanager
def under(disk):
    """Pass every system call of the block through `disk(name, call, *arguments)`."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in CALLS:
            patch.setattr(module, name, partial(disk, name, getattr(module, name)))
        yield disk


class Faults:
    """A disk on which call number n fails where `code(n, name)` is an errno, not None.

    It takes at most `most` bytes at a time.
    """

    def __init__(self, code, most=None):
        self.code = code
        self.most = most
        self.calls = []
        self.refused = []

    def __call__(self, name, call, *arguments, **options):
        code = self.code(len(self.calls), name)
        self.calls.append(name)
        if code is None:
            return call(*_at_most(self.most, name, arguments), **options)
        self.refused.append(name)
        if name == "close":
            call(*arguments)  # Linux closes it all the same
        raise OSError(code, os.strerror(code))


def fails(*names, code):
    """Let every call of these names fail."""
    return Faults(lambda _, name: code if name in names else None)


def every_fault(code, forever, most):
    """Let the first call fail (and, if `forever`, all after it), then the second, ...; last of all none."""
    number = 0
    while True:
        faults = Faults(partial(_fault, code, number, forever), most)
        yield faults
        if number >= len(faults.calls):
            return
        number += 1


def _fault(code, number, forever, n, name):
    return code if n == number or (forever and n > number) else None


class Journal:
    """A disk that does as it is told and notes each call that changes it, or makes a change durable.

    It knows one folder and the files in it: those in `before` by name, new ones by number. Calls named in
    `skipped` it neither makes nor notes.
    """

    def __init__(self, before=(), most=None, skipped=()):
        self.calls = []
        self.most = most
        self.skipped = skipped
        self.names = {name: name for name in before}
        self.handles = {}

    def mark(self, what):
        """Note that the writer has come this far."""
        self.calls.append(("mark", what))

    def __call__(self, name, call, *arguments):
        note = getattr(self, f"_{name}", None)
        if note is None:
            return call(*arguments)
        if name == "fsync" and self._what(arguments[0]) in self.skipped:
            return None
        arguments = _at_most(self.most, name, arguments)
        answer = call(*arguments)
        note(answer, *arguments)
        return answer

    def _what(self, handle):
        return "fsync folder" if self.handles[handle] is None else "fsync"

    def _open(self, handle, path, flags, mode=0o777):
        name = os.path.basename(path)
        if os.path.isdir(path):
            self.handles[handle] = None
            return
        if name not in self.names:
            self.names[name] = len(self.calls)
            self.calls.append(("create", name, self.names[name]))
        elif flags & os.O_TRUNC:
            self.calls.append(("cut", self.names[name], 0))
        self.handles[handle] = self.names[name]

    def _write(self, written, handle, content):
        offset = os.lseek(handle, 0, os.SEEK_CUR) - written
        self.calls.append(("write", self.handles[handle], offset, bytes(content[:written])))

    def _ftruncate(self, _, handle, size):
        self.calls.append(("cut", self.handles[handle], size))

    def _fsync(self, _, handle):
        self.calls.append((self._what(handle), self.handles[handle]))

    def _replace(self, _, old, new):
        old, new = os.path.basename(old), os.path.basename(new)
        self.names[new] = self.names.pop(old)
        self.calls.append(("replace", old, new))

    def _unlink(self, _, path):
        del self.names[os.path.basename(path)]
        self.calls.append(("unlink", os.path.basename(path)))

    def _close(self, _, handle):
        self.calls.append(("close", self.handles.pop(handle)))


def aftermaths(before, calls):
    """Yield what the folder `before` may hold if the power is cut after `calls`, as {name: content}.

    Durable is what was there before and what an fsync of the file, for its content, or of the folder, for
    the names in it, made so. Of the changes of names since, the first few have happened, any number of them;
    of the changes of content, anything may have become.
    """
    names = {name: name for name in before}
    durable = dict(before)
    moves, changes = [], defaultdict(list)
    for call in calls:
        match call:
            case ("create", _, file):
                durable[file] = b""
                moves.append(call)
            case ("replace" | "unlink", *_):
                moves.append(call)
            case ("write", file, offset, content):
                changes[file].append((offset, content))
            case ("cut", file, size):
                changes[file].append((size, None))
            case ("fsync", file):
                durable[file] = _changed(durable[file], changes.pop(file, []))
            case ("fsync folder", _):
                names, moves = _moved(names, moves), []
    for happened in range(len(moves) + 1):
        there = _moved(names, moves[:happened])
        contents = [sorted(_contents(durable[file], changes[file])) for file in there.values()]
        for combination in product(*contents):
            yield dict(zip(there, combination, strict=True))


def _moved(names, moves):
    names = dict(names)
    for move in moves:
        match move:
            case ("create", name, file):
                names[name] = file
            case ("replace", old, new):
                names[new] = names.pop(old)
            case ("unlink", name):
                del names[name]
    return names


def _changed(content, changes):
    for offset, piece in changes:
        if piece is None:
            content = content[:offset]
        else:
            content = content[:offset].ljust(offset, b"\0") + piece + content[offset + len(piece) :]
    return content


def _contents(durable, changes):
    """Whatever may be found of a file with unsynced changes."""
    found = {_changed(durable, changes[:n]) for n in range(len(changes) + 1)}  # kept, dropped, kept in part
    found |= {_changed(durable, changes[:n] + changes[n + 1 :]) for n in range(len(changes))}  # disorder
    whole = _changed(durable, changes)
    start = next((n for n, (a, b) in enumerate(zip(durable, whole, strict=False)) if a != b), len(durable))
    start = min(start, len(whole))
    new = len(whole) - start
    if new:
        kept, chance = whole[:start], random.Random(new)
        found |= {whole[: start + part] for part in (1, new // 2, new - 1)}  # cut
        found |= {kept + bytes(new), kept + chance.randbytes(new), kept + b"\n" * new}  # garbled
        for place in (start, start + new // 2, len(whole) - 1):  # a single bit
            found.add(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
    return found


def _at_most(most, name, arguments):
    return (arguments[0], arguments[1][:most]) if name == "write" else arguments


def descriptors():
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
