"""Files from a stranger: each is refused with one line, at once, and nothing in it runs.

`ATTACKS` names a file, the reason for which it must be refused, and the function that makes it. Many are the
file of a playable agent with one thing wrong, so that they fail for the reason given and for no other.
"""

import gzip
import io
import json
import marshal
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
import warnings
import zipfile

import cloudpickle
import numpy as np
import pytest

from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError
from pgpong.learning.policy import Policy
from tests.storage.forging import forge, header_text, model_file, sparse_file

SECONDS = 0.1
SLACK = 2 << 20  # bytes that a refusal may take beside twice the file: the longest header's JSON
HARM = "echo > harmed"  # what the payloads would do


class Payload:
    """Unpickling this runs a command."""

    def __reduce__(self):
        return os.system, (HARM,)


POLICY = Policy.initialise(np.random.default_rng(0), 1, 6400, fan_in=40)
META, ARRAYS = Agent(POLICY, find_game("ALE/Pong-v5"), {"run": "night"}).pack()
W1, W2 = ARRAYS["W1"], ARRAYS["W2"]
GOOD = model_file(META, ARRAYS)
TEXT = header_text(META, ARRAYS)
DIRECTORY = struct.unpack("<L", GOOD[-6:-2])[0]  # where the central directory begins
SECOND = DIRECTORY + 46 + len("header.npy")  # W1's entry in it
THIRD = SECOND + 46 + len("W1.npy")


# ---- what the files are made of


def model(**meta):
    """An agent with other metadata, well written; dots are spelled as double underscores."""
    return lambda: model_file({**META, **{key.replace("__", "."): meta[key] for key in meta}}, ARRAYS)


def weights(**arrays):
    """An agent with other arrays, well written; None takes one away."""
    held = {name: array for name, array in {**ARRAYS, **arrays}.items() if array is not None}
    return lambda: model_file(META, held)


def forged(meta=(), **arrays):
    """The same, not checked when it is written."""
    meta, arrays = {**META, **dict(meta)}, {**ARRAYS, **arrays}
    return lambda: forge(header_text(meta, arrays), arrays)


def saying(old, new):
    """An agent whose JSON text has `new` in place of `old`; lengths and checksums are right again."""
    assert TEXT.count(old.encode()) == 1
    return lambda: forge(TEXT.replace(old.encode(), new.encode()), ARRAYS)


def text(content):
    """An agent with a JSON text of another kind."""
    return lambda: forge(content.encode(), ARRAYS)


def patched(position, content):
    """An agent's file with some bytes overwritten."""
    return lambda: GOOD[:position] + content + GOOD[position + len(content) :]


def replaced(old, new):
    """An agent's file with some bytes exchanged."""
    assert GOOD.count(old) == 1
    assert len(old) == len(new)
    return lambda: GOOD.replace(old, new)


def archive(*members, compression=zipfile.ZIP_STORED, content=b""):
    """A ZIP archive of (name or ZipInfo, bytes), or of `content` and these beside."""
    file = io.BytesIO(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's of duplicate names
        with zipfile.ZipFile(file, "a", compression) as target:
            for name, data in members:
                target.writestr(name, data)
    return file.getvalue()


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def npy_header(descr, shape):
    """A .npy file that is all promise and no data."""
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def objects():
    return np.array([Payload()], object)


def symlink():
    info = zipfile.ZipInfo("W3.npy")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return archive((info, "/etc/passwd"), content=GOOD)


def duplicate(name):
    """Two arrays of one name: in a Python dictionary that takes a second key that prints alike."""
    arrays = {**ARRAYS, type("Name", (str,), {"__hash__": object.__hash__})(name): W2}
    return forge(header_text(META, arrays), arrays)


def reordered():
    """W2 before W1 in the central directory, as some archivers write it."""
    return GOOD[:SECOND] + GOOD[THIRD:-22] + GOOD[SECOND:THIRD] + GOOD[-22:]


def repacked():
    """The same arrays as zipfile and numpy write them."""
    return archive(("header.npy", GOOD[40:128] + TEXT), ("W1.npy", npy(W1)), ("W2.npy", npy(W2)))


def zip64():
    """Sizes in a ZIP64 end record."""
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, len(GOOD) - 22 - DIRECTORY, DIRECTORY
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(GOOD) - 22, 1)
    return GOOD[:-22] + record + locator + b"PK\5\6" + b"\xff" * 16 + b"\0\0"


def gap():
    """A stretch between the arrays and the directory that nothing describes."""
    return GOOD[:DIRECTORY] + b"\0" * 64 + GOOD[DIRECTORY:-6] + struct.pack("<LH", DIRECTORY + 64, 0)


def torch(version):
    pickled = pickle.dumps({"W1": Payload()}, 2)
    if version == "legacy":
        return pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickled
    inner = archive(("archive/data.pkl", pickled), ("archive/data/0", bytes(64)), ("archive/version", b"3\n"))
    return inner if version == "zip" else archive(("W1.npy", inner), ("header.npy", npy(np.uint8([1]))))


def quine_like():
    content = bytes(1 << 20)
    for _ in range(4):
        content = archive(*((f"{i}.zip", content) for i in range(4)), compression=zipfile.ZIP_DEFLATED)
    return content


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as target:
        info = tarfile.TarInfo("../../model.npz")
        info.size = len(GOOD)
        target.addfile(info, io.BytesIO(GOOD))
    return file.getvalue()


def deflated(**members):
    return archive(
        *((f"{name}.npy", data) for name, data in members.items()), compression=zipfile.ZIP_DEFLATED
    )


# ---- the reasons

FOREIGN = "no header"  # nothing at the place where the length of the JSON text stands, or a senseless one
UNREADABLE = "header cannot be read"
SPELLING = "not spelled as pgpong spells it"
NAME = "expected names of"
TWICE = "each under its own name"
DTYPE = "of a dtype among"
DIMENSIONS = "dimensions, none negative"
LARGE = "is too large"
SIZE = "its header does not allow"
BYTES = "its bytes and its checksums differ"
VALUE = "is not a finite number"
NUMBERS = "holds NaN or infinity"
UNFIT = "do not fit together"
MADE_FOR = "the agent was made for"
UNKNOWN = "which no agent of this version has"

ATTACKS = {
    # Not our container at all.
    **{f"pickle {p}": (FOREIGN, lambda p=p: pickle.dumps(Payload(), p)) for p in range(6)},
    "pickle of weights": (FOREIGN, lambda: pickle.dumps({"W1": W1, "W2": W2, "x": Payload()})),
    "cloudpickle of an agent": (FOREIGN, lambda: cloudpickle.dumps(lambda: os.system(HARM))),
    "object array": (FOREIGN, lambda: npy(objects(), allow_pickle=True)),
    "object arrays, zipped": (FOREIGN, lambda: npz(header=objects(), W1=objects(), W2=objects())),
    "object array after a header": (SIZE, lambda: archive(("W3.npy", npy(objects())), content=GOOD)),
    "marshal": (FOREIGN, lambda: marshal.dumps(compile(f"__import__('os').system({HARM!r})", "x", "exec"))),
    "python": (FOREIGN, lambda: f"import os\nos.system({HARM!r})\n".encode()),
    "shell": (FOREIGN, lambda: f"#!/bin/sh\nset -e\n{HARM}\nexit\n".encode()),
    "yaml": (FOREIGN, lambda: f"!!python/object/apply:os.system ['{HARM}']\n".encode()),
    "torch": (FOREIGN, lambda: torch("zip")),
    "torch, nested": (UNREADABLE, lambda: torch("nested")),
    "torch, legacy": (FOREIGN, lambda: torch("legacy")),
    "safetensors": (FOREIGN, lambda: struct.pack("<Q", 2) + b"{}"),
    "safetensors, huge header": (FOREIGN, lambda: struct.pack("<Q", 1 << 62) + b"{" * 64),
    "hdf5": (FOREIGN, lambda: b"\x89HDF\r\n\x1a\n" + bytes(504)),
    "gzip": (FOREIGN, lambda: gzip.compress(GOOD)),
    "tar": (FOREIGN, tar),
    "html": (FOREIGN, lambda: b"<!doctype html><script>alert(1)</script>" * 9),
    "empty": (FOREIGN, bytes),
    "one byte": (FOREIGN, lambda: b"P"),
    "zeros": (FOREIGN, lambda: bytes(1 << 20)),
    "ones": (FOREIGN, lambda: b"\xff" * (1 << 20)),
    "noise": (FOREIGN, lambda: np.random.default_rng(0).bytes(1 << 16)),
    "lines": (FOREIGN, lambda: b"\n" * 4096),
    "empty archive": (FOREIGN, archive),
    # Archives that unpack to more than they are, or claim to.
    "zip bomb": (FOREIGN, lambda: deflated(header=bytes(50_000_000))),
    "zip bomb, weights": (SIZE, lambda: archive(("W3.npy", bytes(50_000_000)), compression=8, content=GOOD)),
    "zip bomb, nested": (UNREADABLE, quine_like),
    "37 GiB in 128 bytes": (FOREIGN, lambda: npy_header("<f8", (200, 25_000_000))),
    "37 GiB, zipped": (UNREADABLE, lambda: archive(("W1.npy", npy_header("<f8", (200, 25_000_000))))),
    "37 GiB in the header": (LARGE, saying("[1, 6400]", "[6200000, 6400]")),
    "1 GiB in the header": (SIZE, saying("[1, 6400]", "[40000, 6400]")),
    "exabytes in the header": (LARGE, saying("[1, 6400]", f"[{1 << 60}, 6400]")),
    "overflow to zero": (LARGE, saying("[1, 6400]", f"[0, {1 << 62}, {1 << 62}]")),
    "nothing in vast rows": (LARGE, saying("[1, 6400]", f"[0, {10**4000}]")),
    "header of 4 GiB": (FOREIGN, patched(22, b"\xff\xff\xff\xff")),
    "header beyond the file": (UNREADABLE, patched(22, struct.pack("<L", 60_000))),
    "header of size 0": (FOREIGN, patched(22, bytes(4))),
    "header over the limit": (FOREIGN, forged({"provenance.run": "x" * 66_000})),
    "header of 50 MB": (FOREIGN, text(" " * 50_000_000)),
    ".npy header of 64 kB": (BYTES, patched(48, b"\xff\xff")),
    # ZIP: another order, holes, doubles, links, more than one reading.
    "numpy's own spelling": (FOREIGN, lambda: npz(header=np.frombuffer(TEXT, np.uint8), **ARRAYS)),
    "repacked": (SIZE, repacked),
    "compressed": (FOREIGN, lambda: npz(np.savez_compressed, header=np.frombuffer(TEXT, np.uint8), **ARRAYS)),
    "extra member": (SIZE, lambda: archive(("x.npy", npy(W2)), content=GOOD)),
    "duplicate member": (SIZE, lambda: archive(("W1.npy", npy(W1)), content=GOOD)),
    "duplicate array": (TWICE, lambda: duplicate("W1")),
    "second header": (TWICE, lambda: duplicate("header")),
    "overlapping members": (BYTES, patched(THIRD + 42, GOOD[SECOND + 42 : SECOND + 46])),
    "member beyond the file": (BYTES, patched(THIRD + 42, b"\xff\xff\xff\x7f")),
    "directory in another order": (BYTES, reordered),
    "directory with another name": (BYTES, patched(SECOND + 46, b"V1.npy")),
    "local header with another name": (BYTES, patched(30, b"reader.npy")),
    "zero byte in a name": (BYTES, patched(SECOND + 46, b"W\0.npy")),
    "deflated, it says": (BYTES, patched(SECOND + 10, b"\x08\0")),
    "encrypted, it says": (BYTES, patched(6, b"\x01\0")),
    "sizes in a data descriptor": (BYTES, patched(6, b"\x08\0")),
    "extra field": (BYTES, patched(28, b"\x04\0")),
    "another date": (BYTES, patched(10, b"\0\0\x22\0")),
    "wrong checksum": (BYTES, patched(14, bytes(4))),
    "symlink member": (SIZE, symlink),
    "attributes of a symlink": (BYTES, patched(SECOND + 38, struct.pack("<L", 0o120777 << 16))),
    "path traversal": (NAME, forged(**{"../../W3": W2})),
    "path traversal, backslashes": (NAME, forged(**{"..\\..\\W3": W2})),
    "path traversal, member": (SIZE, lambda: archive(("../../harmed", b"x"), content=GOOD)),
    "absolute path": (NAME, forged(**{"/tmp/W3": W2})),
    "drive letter": (NAME, forged(**{"C:W3": W2})),
    "comment": (SIZE, lambda: GOOD[:-2] + b"\x05\0hello"),
    "trailing bytes": (SIZE, lambda: GOOD + b"\0"),
    "trailing script": (SIZE, lambda: GOOD + b"\nimport os\n"),
    "two files in one": (SIZE, lambda: GOOD + GOOD),
    "leading bytes": (FOREIGN, lambda: b"#!/bin/sh\n" + GOOD),
    "leading archive": (SIZE, lambda: GOOD[:DIRECTORY] + GOOD),
    "zip64": (SIZE, zip64),
    "gap": (SIZE, gap),
    "cut": (SIZE, lambda: GOOD[:-1]),
    "cut in the weights": (SIZE, lambda: GOOD[: len(GOOD) // 2]),
    "cut in the header": (UNREADABLE, lambda: GOOD[:200]),
    # .npy: other layouts of the same numbers.
    "C order": (BYTES, replaced(b"order': True,", b"order':False,")),
    ".npy 2.0": (BYTES, patched(46, b"\x02")),
    "code in a .npy header": (BYTES, replaced(b"(1, 6400), }", b"exit(64000)}")),
    # JSON.
    "no JSON": (UNREADABLE, text("import os")),
    "YAML in the header": (UNREADABLE, text("!!python/object/apply:os.system [harm]")),
    "a list": (UNREADABLE, text("[1]")),
    "a number": (UNREADABLE, text("1")),
    "a text": (UNREADABLE, text('"arrays"')),
    "null": (UNREADABLE, text("null")),
    "no arrays": (UNREADABLE, text('{"meta": {}}')),
    "arrays of numbers": (UNREADABLE, text('{"arrays": [1], "meta": {}}')),
    "meta is a number": (UNREADABLE, text('{"arrays": [], "meta": 1}')),
    "meta is a list": (SPELLING, text('{"arrays": [], "meta": []}')),
    "meta is a list of pairs": (NAME, text('{"arrays": [], "meta": [[1, 2]]}')),
    "third key": (SPELLING, lambda: forge(header_text(META, ARRAYS, more=1), ARRAYS)),
    "keys in another order": (SPELLING, lambda: forge(json.dumps({"meta": META, "arrays": []}).encode(), {})),
    "duplicate key": (SPELLING, saying('"sticky": 0.25', '"sticky": 0.5, "sticky": 0.25')),
    "duplicate arrays": (SPELLING, saying('{"arrays": ', '{"arrays": [], "arrays": ')),
    "white space": (SPELLING, saying('"sticky": ', '"sticky":  ')),
    "spaces at the end": (SPELLING, saying("}}", "}}  ")),
    "escaped letters": (SPELLING, saying('"sticky"', '"\\u0073ticky"')),
    "another spelling of a number": (SPELLING, saying("0.25", "25e-2")),
    "minus zero": (SPELLING, saying("0.25", "-0")),
    "NaN in JSON": (VALUE, saying("0.25", "NaN")),
    "infinity in JSON": (VALUE, saying("0.25", "-Infinity")),
    "overflow to infinity": (VALUE, saying("0.25", "1e999")),
    "huge integer": (VALUE, saying("108000", "9" * 41)),
    "vast integer": (UNREADABLE, saying("108000", "9" * 60_000)),
    "deep JSON": (UNREADABLE, text("[" * 65_000)),
    "deep and whole JSON": (UNREADABLE, text('{"arrays": [], "meta": ' + "[" * 30_000 + "]" * 30_000 + "}")),
    "many small lists": (UNREADABLE, text('{"arrays": [' + "[]," * 21_000 + '[]], "meta": {}}')),
    "many keys": (SPELLING, text('{"arrays": [], "meta": {' + '"a": 1, ' * 8_000 + '"b": 1}}')),
    "nested metadata": (VALUE, saying("0.25", "[0.25]")),
    "object in metadata": (VALUE, saying("0.25", '{"__class__": "os.system"}')),
    "lone surrogate": (VALUE, saying("night", "\\ud800")),
    "lone surrogate in a key": (NAME, saying('"provenance.run"', '"\\udfff"')),
    "not ASCII": (UNREADABLE, saying("night", "nüit")),
    "byte order mark": (UNREADABLE, saying('{"arrays"', '\ufeff{"arrays"')),
    "UTF-16": (UNREADABLE, lambda: forge(TEXT.decode().encode("utf-16"), ARRAYS)),
    # Text that would reach a terminal.
    "terminal escape": (VALUE, forged({"provenance.run": "\x1b]0;title\x07\x1b[2J"})),
    "terminal escape, eight bits": (VALUE, forged({"provenance.run": "\x9b2J"})),
    "terminal escape in a key": (NAME, forged({"provenance.\x1b[2J": 1})),
    "terminal escape in an array's name": (NAME, forged(**{"\x1b[2J": W2})),
    "terminal escape in a dtype": (DTYPE, saying('"W1", "<f4"', '"W1", "\\u001b[2J"')),
    "terminal escape as a shape": (DIMENSIONS, saying("[1, 6400]", '["\\u001b[2J"]')),
    "second line": (VALUE, forged({"env": "x\nTraceback (most recent call last)"})),
    "carriage return": (VALUE, forged({"format": "x\rall is well"})),
    "text from right to left": (VALUE, forged({"preprocessing": "\u202egnp.exe"})),
    "long text": (VALUE, forged({"preprocessing": "x" * 1001})),
    "long name": (NAME, forged(**{"W" * 41: W2})),
    "markup": (UNKNOWN, model(script="<script>alert(1)</script>")),
    # Numbers, shapes and types.
    "NaN": (NUMBERS, forged(W1=np.full_like(W1, np.nan))),
    "one infinity": (NUMBERS, forged(W2=np.float32([np.inf]))),
    "NaN in a checkpoint's array": (NUMBERS, forged({"training.update": 1}, v=np.array(np.nan))),
    "objects": (DTYPE, saying('"W1", "<f4"', '"W1", "|O"')),
    "records": (DTYPE, saying('"W1", "<f4"', '"W1", [["a", "<f4"]]')),
    "code as a dtype": (DTYPE, saying('"W1", "<f4"', '"W1", "__import__(\'os\')"')),
    "big endian": (DTYPE, forged(W1=W1.astype(">f4"))),
    "short whole numbers": (DTYPE, forged(W1=W1.astype("<i2"))),
    "complex": (DTYPE, forged(W1=W1.astype("<c8"))),
    "dates": (DTYPE, forged(W1=np.zeros((1, 6400), "<M8[s]"))),
    "negative dimension": (DIMENSIONS, saying("[1, 6400]", "[-1, -6400]")),
    "fractional dimension": (DIMENSIONS, saying("[1, 6400]", "[1.0, 6400]")),
    "boolean dimension": (DIMENSIONS, saying("[1, 6400]", "[true, 6400]")),
    "dimension is a text": (DIMENSIONS, saying("[1, 6400]", '["1", "6400"]')),
    "five dimensions": (DIMENSIONS, forged(W1=W1.reshape(1, 1, 1, 1, 6400))),
    "thousands of dimensions": (DIMENSIONS, saying("[1, 6400]", f"[{'1, ' * 9_000}6400]")),
    "97 arrays": (TWICE, forged(**{f"a{i}": W2 for i in range(95)})),
    "another shape": (SIZE, saying("[1, 6400]", "[2, 6400]")),
    "another shape of the same size": (BYTES, saying("[1, 6400]", "[2, 3200]")),
    "another dtype of the same size": (BYTES, saying('"W1", "<f4"', '"W1", "<i4"')),
    # Sound files that hold no agent that can be played here.
    "nothing": ("not a pgpong agent of a format", lambda: model_file({}, {})),
    "another format": ("not a pgpong agent of a format", model(format="pgpong model 2")),
    "a format that is a number": ("not a pgpong agent of a format", model(format=1)),
    "another preprocessing": (MADE_FOR, model(preprocessing="grey 84x84, four frames")),
    "other actions": (MADE_FOR, model(actions="0 up, 1 down")),
    "another network": (MADE_FOR, model(network="two-layer ReLU 6400-200-1")),
    "another activation": (MADE_FOR, model(network="two-layer tanh 6400-1-1")),
    "unknown key": (UNKNOWN, model(__reduce__="os.system")),
    "unknown array": (UNKNOWN, weights(W3=W2)),
    "training without an update": (UNKNOWN, model(training__rng=1)),
    "unknown key in a checkpoint": (UNKNOWN, model(training__update=1, hook="os.system")),
    "no W1": (UNFIT, weights(W1=None)),
    "no W2": (MADE_FOR, weights(W2=None)),
    "no hidden units": (
        UNFIT,
        lambda: model_file({**META, "network": "two-layer ReLU 6400-0-1"}, {"W1": W1[:0], "W2": W2[:0]}),
    ),
    "another picture": (UNFIT, weights(W1=W1[:, 1:])),
    "W1 transposed": (UNFIT, weights(W1=W1.T)),
    "W2 too long": (MADE_FOR, weights(W2=np.zeros(2, np.float32))),
    "W2 in two dimensions": (UNFIT, weights(W2=np.zeros((1, 1), np.float32))),
    "W2 is a number": (UNFIT, weights(W2=np.float32(1).reshape(()))),
    "whole numbers": (UNFIT, weights(W1=W1.astype(int), W2=W2.astype(int))),
    "two precisions": (UNFIT, weights(W2=W2.astype(float))),
    "environment by module": ("unknown environment", model(env="os:system")),
    "environment on disk": ("unknown environment", model(env="../../evil:Pong-v0")),
    "another game": ("unknown environment", model(env="ALE/Breakout-v5")),
    "unknown environment": ("unknown environment", model(env="Pong-v77")),
    "no environment": ("not whole", model(env=None)),
    "frameskip is a switch": ("not whole", model(frameskip_low=True)),
    "frameskip is a fraction": ("not whole", model(frameskip_low=4.0)),
    "frameskip 0": ("expected a frameskip", model(frameskip_low=0, frameskip_high=1)),
    "frameskip below 0": ("expected a frameskip", model(frameskip_low=-4, frameskip_high=-3)),
    "frameskip from high to low": (
        "expected a range of frameskips",
        model(frameskip_low=5, frameskip_high=2),
    ),
    "frameskip beyond C's integers": ("expected a frameskip", model(frameskip_low=4, frameskip_high=1 << 70)),
    "sticky 1": ("expected a sticky probability", model(sticky=1.0)),
    "sticky below 0": ("expected a sticky probability", model(sticky=-0.25)),
    "episodes of another length": ("episodes end after", model(max_frames=10**30)),
}


@pytest.fixture
def attacks(folder):
    """The attack files, in a folder: name to path and expected reason."""
    (folder / "attacks").mkdir()
    files = {}
    for number, (name, (reason, make)) in enumerate(ATTACKS.items()):
        path = folder / "attacks" / f"{number}.npz"
        path.write_bytes(make())
        files[name] = (path, reason)
    return files


def specials(folder):
    """Things at a path that are no regular file, and a file of 37 GiB that takes no space on the disk."""
    (folder / "directory").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "gone").symlink_to(folder / "nowhere")
    sparse_file(folder / "sparse", 37)
    return [folder / name for name in ("directory", "pipe", "loop", "zero", "gone", "sparse")]


def cost(path):
    """Refuse a file; return the reason, the least of three times in seconds, and the peak memory in bytes."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        with pytest.raises(FileFormatError) as refusal:
            Agent.load(path)
        seconds.append(time.perf_counter() - began)
    tracemalloc.start()
    with pytest.raises(FileFormatError):
        Agent.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return str(refusal.value), min(seconds), peak


def fault(path, reason, cli):
    """Return what is wrong with how one attack file is refused; an empty text if nothing is."""
    message, seconds, peak = cost(path)
    status, out, err = cli("evaluate", path, "--episodes", "1")
    faults = (
        (reason in message, f"refused for another reason: {message}"),
        (seconds < SECONDS, f"took {seconds:.3f} s"),
        (peak < 2 * path.stat().st_size + SLACK, f"took {peak:,} bytes"),
        (status == 2, f"exit status {status}"),
        (out == "" and err.count("\n") == 1 and err[:-1].isprintable(), f"printed {out + err!r}"),
    )
    return "; ".join(text for good, text in faults if not good)


def test_attack_files_are_refused_with_one_line_at_once(attacks, cli, folder, tally):
    faults = {name: fault(path, reason, cli) for name, (path, reason) in attacks.items()}
    assert {name: text for name, text in faults.items() if text} == {}
    assert not (folder / "harmed").exists()
    assert len(faults) >= 40
    tally("attack files", len(faults), len(ATTACKS))


def test_the_file_that_the_attacks_are_made_from_is_a_playable_agent(folder):
    """Or they would all be refused for nothing."""
    assert forge(TEXT, ARRAYS) == GOOD
    for content in (GOOD, model(training__update=1)(), model(training__x=1, training__update=1)()):
        (folder / "good.npz").write_bytes(content)
        assert Agent.load(folder / "good.npz").game == find_game("ALE/Pong-v5")


def test_the_payloads_would_do_harm(folder):
    pickle.loads(ATTACKS["pickle 2"][1]())
    assert (folder / "harmed").exists()


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX's")
def test_what_is_no_regular_file_neither_blocks_nor_is_read_for_ever(folder, cli):
    for path in specials(folder):
        _, seconds, peak = cost(path)
        assert seconds < SECONDS
        assert peak < SLACK
        status, out, err = cli("evaluate", path, "--episodes", "1")
        # What is no file is looked for among the runs; there it is missing.
        assert status in (1, 2)
        assert out == ""
        assert err.count("\n") == 1


WATCHED = """
import os, sys
from pathlib import Path

from pgpong.agent import Agent
from pgpong.errors import FileFormatError

seen = []
def hook(event, arguments):
    reading = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    if watching and not reading:
        seen.append(f"{path.name}: {event} {arguments!r:.200}")

watching = False
sys.addaudithook(hook)
refused = loaded = 0
for path in map(Path, sys.argv[1:]):
    watching = True
    try:
        Agent.load(path)
        loaded += 1
    except FileFormatError:
        refused += 1
    watching = False
print(refused, loaded, *seen, sep="\\n")
"""


def test_nothing_is_imported_compiled_run_or_written_while_a_file_is_loaded(attacks, folder):
    """Python's audit hooks see files being opened for reading, and not one event of any other kind."""
    (folder / "good.npz").write_bytes(GOOD)
    paths = [path for path, _ in attacks.values()] + [folder / "good.npz"]
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.stdout.split("\n") == [str(len(attacks)), "1", ""]
    assert sorted(folder.iterdir()) == sorted({folder / "attacks", folder / "good.npz"})
