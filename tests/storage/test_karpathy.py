"""The 2016 script's save.p: every spelling of it is read, and nothing else that a pickle can ask for happens.

`ATTACKS` names a pickle, the reason for which it must be refused, and its bytes.
"""

import copyreg
import os
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import pgpong.agent
from pgpong.errors import FileFormatError
from pgpong.storage import karpathy
from pgpong.storage.exchange import import_agent
from pgpong.storage.karpathy import parse_save

HARM = "touch harmed"  # what the payloads would do
SYSTEM = f"{os.system.__module__}.system"  # posix
SLACK = 2 << 20  # bytes that a refusal may take beside four times the file
SECONDS = 5  # that reading a save.p of real size may take
ROUND = 2_000
LONG_ROUNDS = 50


# ---- pickles as Python 2 wrote them


def python2(W1, W2):
    r"""{'W1': W1, 'W2': W2} as cPickle of Python 2.7 dumped it by default, protocol 0, with numpy 1.

    Strings are quoted by repr, as Python 3 quotes bytes: 'W1', '\x00\n\xf0?'. cPickle puts into its memo
    (p1, p2, ...) only what something else refers to as well: not the tuples, nor 'b', nor the data. Names and
    the dtype are written once; the second array takes them from the memo (g3, g4, g7).
    """
    assert W1.dtype == W2.dtype == np.float64
    return (
        b"(dp1\nS'W1'\np2\n"
        b"cnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntRp5\n"
        b"(I1\n(I%d\nI%d\nt"
        b"cnumpy\ndtype\np6\n(S'f8'\nI0\nI1\ntRp7\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
        b"I00\nS%s\ntbsS'W2'\np8\n"
        b"g3\n(g4\n(I0\ntS'b'\ntRp9\n(I1\n(I%d\ntg7\nI00\nS%s\ntbs."
    ) % (*W1.shape, quote(W1), *W2.shape, quote(W2))


def python2_in_python(W1, W2):
    """The same by the module pickle, which puts everything into its memo."""
    return (
        b"(dp0\nS'W1'\np1\n"
        b"cnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
        b"(I1\n(L%dL\nI%d\ntp8\n"
        b"cnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nb"
        b"I00\nS%s\np15\ntp16\nbsS'W2'\np17\n"
        b"g2\n(g3\n(I0\ntp18\ng5\ntp19\nRp20\n(I1\n(I%d\ntp21\ng12\nI00\nS%s\np22\ntp23\nbs."
    ) % (*W1.shape, quote(W1), *W2.shape, quote(W2))


def python2_binary(W1, W2):
    """The same by cPickle in protocol 2."""
    return b"".join(
        (
            b"\x80\x02}q\x01(U\x02W1q\x02",
            b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05",
            b"(K\x01M%sM%s\x86" % (struct.pack("<H", len(W1)), struct.pack("<H", W1.shape[1])),
            b"cnumpy\ndtype\nq\x06U\x02f8K\x00K\x01\x87Rq\x07(K\x03U\x01<NNN" + b"J\xff\xff\xff\xff" * 2,
            b"K\x00tb\x89T" + struct.pack("<i", W1.nbytes) + W1.tobytes() + b"tb",
            b"U\x02W2q\x08h\x03h\x04K\x00\x85U\x01b\x87Rq\x09",
            b"(K\x01M%s\x85h\x07\x89T" % struct.pack("<H", len(W2)),
            struct.pack("<i", W2.nbytes) + W2.tobytes() + b"tbu.",
        )
    )


def quote(array):
    return repr(array.tobytes())[1:].encode()


def weights(hidden, pixels=6400, dtype=float):
    rng = np.random.default_rng(hidden)
    return rng.standard_normal((hidden, pixels)).astype(dtype), rng.standard_normal(hidden).astype(dtype)


def same(result, W1, W2):
    result = list(result)
    assert [array.dtype for array in result] == [W1.dtype.newbyteorder("="), W2.dtype.newbyteorder("=")]
    np.testing.assert_array_equal(result[0], W1)
    np.testing.assert_array_equal(result[1], W2)


# ---- what is read


@pytest.mark.parametrize("write", [python2, python2_in_python, python2_binary])
def test_what_python_2_wrote_is_read(write):
    W1, W2 = weights(3)
    W1[0, :4] = [0.0, -0.0, 5e-324, np.frombuffer(b"\\'\"\n\r\t\0\x7f")[0]]  # all that is quoted specially
    content = write(W1, W2)
    for encoding in ("latin1", "bytes"):
        same(pickle.loads(content, encoding=encoding).values(), W1, W2)  # Python agrees that it is one
    same(parse_save(content, "save.p"), W1, W2)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("keys", [("W1", "W2"), (b"W1", b"W2")])
@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", ">f8"])
def test_what_python_3_writes_is_read(protocol, keys, dtype):
    W1, W2 = weights(2, dtype=dtype)
    for variant in (W1, np.asfortranarray(W1), W1[:, ::-1], W1[::-1]):
        same(
            parse_save(pickle.dumps(dict(zip(keys, (variant, W2), strict=True)), protocol), "save.p"),
            variant,
            W2,
        )


@pytest.mark.parametrize("protocol", range(6))
def test_names_of_numpy_1_and_2_are_read(protocol):
    W1, W2 = weights(1)
    content = pickle.dumps({"W1": W1, "W2": W2}, protocol)
    for module in (b"numpy._core.numeric", b"numpy._core.multiarray"):
        old = module.replace(b"_core", b"core")
        if protocol >= 4:  # the length stands before the text, and before all of it
            module, old = (struct.pack("B", len(name)) + name for name in (module, old))
        content = content.replace(module, old)
    if protocol >= 4:
        content = content[:2] + content[11:]  # without the frame
    assert b"_core" not in content
    same(parse_save(content, "save.p"), W1, W2)


def test_a_save_of_real_size_is_read_in_seconds_and_little_memory():
    W1, W2 = weights(200)
    for content in (python2(W1, W2), *(pickle.dumps({"W1": W1, "W2": W2}, n) for n in range(6))):
        began = time.perf_counter()
        same(parse_save(content, "save.p"), W1, W2)
        assert time.perf_counter() - began < SECONDS
        tracemalloc.start()
        parse_save(content, "save.p")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * len(content)


# ---- what is refused


class Call:
    """Unpickling this calls something."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


W1, W2 = weights(1)  # the attacks below are this file with one thing wrong
GOOD = python2(W1, W2)
BINARY = python2_binary(W1, W2)
ARRAY = "it calls numpy's or Python's"
ATTRIBUTES = "it sets attributes"
ITEMS = "it sets items"
DAMAGED = "it is cut short or damaged"
CUT = "it is cut short"
ELSE = "it holds something else"
MAKE = b"cnumpy.core.multiarray\n_reconstruct\n"
CALLED = "what is no function"
SHAPE = "its shape and dtype imply"
DTYPE = "not of float32 or float64"
MATRIX = "not of 2 dimensions"
ROWS = b"(I1\n(I1\nI6400"  # version of the state and shape of W1
ENCODE = b"c_codecs\nencode\n"
ONE = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR"


def save(**items):
    """The dictionary with other things in it, by protocol 2."""
    return pickle.dumps({"W1": W1, "W2": W2} | items, 2)


def changed(old, new, content=GOOD):
    """The dictionary with some bytes of its pickle exchanged."""
    assert content.count(old) == 1
    return content.replace(old, new)


def beside(program):
    """The dictionary, with the value of a third key made by `program`."""
    return GOOD[:-1] + b"S'W3'\n" + program + b"s."


def registered():
    """A call that the pickle refers to by a number in the process-wide registry."""
    copyreg.add_extension(os.system.__module__, "system", 0x77)
    try:
        return pickle.dumps(Call(os.system, HARM), 2)
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 0x77)


ATTACKS = {
    # Calls.
    **{f"os.system, {n}": (SYSTEM, pickle.dumps(Call(os.system, HARM), n)) for n in range(6)},
    "a call beside the arrays": (SYSTEM, save(W3=Call(os.system, HARM))),
    "a call in place of an array": (SYSTEM, save(W1=Call(os.system, HARM))),
    "a call after the arrays": ("follows its end", GOOD + pickle.dumps(Call(os.system, HARM))),
    "a call whose result is dropped": (SYSTEM, b"cposix\nsystem\n(S'touch harmed'\ntR0" + GOOD),
    "GLOBAL": ("os.system", beside(b"cos\nsystem\n(S'touch harmed'\ntR")),
    "GLOBAL alone": ("os.system", beside(b"cos\nsystem\n")),
    "GLOBAL of Python 2's builtins": ("__builtin__.eval", beside(b"c__builtin__\neval\n(S'1'\ntR")),
    "STACK_GLOBAL": ("os.system", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch harmed\x85R."),
    "STACK_GLOBAL of a tuple": ("a name that is no text", beside(b")S'system'\n\x93")),
    "STACK_GLOBAL of nothing": (DAMAGED, b"\x93."),
    "INST": ("INST 'os system'", beside(b"(S'touch harmed'\nios\nsystem\n")),
    "INST of a known name": ("INST 'numpy ndarray'", beside(b"(I1\ninumpy\nndarray\n")),
    "OBJ": ("os.system", beside(b"(cos\nsystem\nS'touch harmed'\no")),
    "OBJ of a known name": ("the step OBJ", beside(b"(cnumpy\nndarray\nI1\no")),
    "NEWOBJ": ("subprocess.Popen", beside(b"csubprocess\nPopen\n(S'touch'\ntt\x81")),
    "NEWOBJ of a known name": ("the step NEWOBJ", beside(b"cnumpy\nndarray\n(I99999999999\nt\x81")),
    "NEWOBJ_EX of a known name": ("the step NEWOBJ_EX", beside(b"cnumpy\nndarray\n)}\x92")),
    "eval": ("__builtin__.eval", save(W3=Call(eval, "open('harmed', 'w')"))),
    "exec": ("__builtin__.exec", save(W3=Call(exec, "import os"))),
    "import": ("__builtin__.__import__", save(W3=Call(__import__, "os"))),
    "getattr": ("builtins.getattr", beside(b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'__class__'\ntR")),
    "a dotted name": ("numpy.ndarray.tofile", b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."),
    "a dotted name out of numpy": ("numpy.f2py.os.system", b"cnumpy\nf2py.os.system\n."),
    "open": ("io.open", save(W3=Call(open, "harmed", "w"))),
    "subprocess": (".Popen", save(W3=Call(subprocess.Popen, ["touch", "harmed"]))),
    "copyreg": ("copy_reg._reconstructor", save(W3=Call(copyreg._reconstructor, object, object, None))),
    "copyreg.add_extension": ("copy_reg.add_extension", save(W3=Call(copyreg.add_extension, "os", "x", 1))),
    "numpy.load": ("numpy.load", beside(b"cnumpy\nload\n(S'x.npy'\ntR")),
    "numpy.fromfile": ("numpy.fromfile", beside(b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR")),
    "numpy's scalar": ("multiarray.scalar", save(W3=W2[0])),
    "an object": ("__builtin__.object", save(W3=object())),
    "a nested pickle": ("loads", save(W3=Call(pickle.loads, pickle.dumps(Call(os.system, HARM))))),
    # What is called is known, its arguments are not.
    "_reconstruct of another class": (ARRAY, beside(MAKE + b"(cnumpy\ndtype\n(I0\ntS'b'\ntR")),
    "_reconstruct of a huge shape": (ARRAY, beside(MAKE + b"(cnumpy\nndarray\n(L99999999999L\ntS'b'\ntR")),
    "_reconstruct of objects": (ARRAY, beside(MAKE + b"(cnumpy\nndarray\n(I0\ntS'O'\ntR")),
    "_reconstruct without arguments": (ARRAY, beside(MAKE + b")R")),
    "ndarray called": (ARRAY + " ndarray", beside(b"cnumpy\nndarray\n(L99999999999L\ntR")),
    "dtype of a dictionary": (ARRAY + " dtype", beside(b"cnumpy\ndtype\n(}I0\nI1\ntR")),
    "dtype with more": (ARRAY, beside(b"cnumpy\ndtype\n(S'f8'\nI0\nI1\n}tR")),
    "_frombuffer of a name": (ARRAY, beside(b"cnumpy.core.numeric\n_frombuffer\n(S'x'\nS'f8'\n)S'C'\ntR")),
    "encode by zip": (ARRAY + " encode", beside(ENCODE + b"(V%s\nVzip\ntR" % (b"x" * 999))),
    "encode by rot13": (ARRAY, beside(ENCODE + b"(Vbf.flfgrz\nVrot13\ntR")),
    "encode by a module to import": (ARRAY, beside(ENCODE + b"(Vx\nVthis\ntR")),
    "encode without a codec": (ARRAY, beside(ENCODE + b"(Vx\ntR")),
    "arguments that are no tuple": (ARRAY, beside(ENCODE + b"}R")),
    "text called": (CALLED, beside(b"S'os'\n)R")),
    "a dictionary called": (CALLED, beside(b"})R")),
    "an array called": (CALLED, beside(MAKE + b"(cnumpy\nndarray\n(I0\ntS'b'\ntR)R")),
    # Attributes.
    "BUILD of a class": (ATTRIBUTES, beside(b"cnumpy\nndarray\n}S'__setstate__'\ncnumpy\ndtype\nsb")),
    "BUILD of a function": (ATTRIBUTES, beside(MAKE + b"}S'__code__'\nS'x'\nsb")),
    "BUILD of a dictionary": (ATTRIBUTES, beside(b"}}S'x'\nI1\nsb")),
    "BUILD of an array's attributes": (ATTRIBUTES, changed(b"tbs.", b"tb}S'__class__'\nI1\nsbs.")),
    "BUILD with slots": (ATTRIBUTES, beside(ONE + b"(N}S'code'\nS'O'\nstb")),
    "BUILD of a dtype's fields": (ATTRIBUTES, beside(ONE + b"(I3\nS'<'\nN(S'a'\nt}I8\nI1\nI0\ntb")),
    "BUILD of a dtype with metadata": (ATTRIBUTES, beside(ONE + b"(I4\nS'<'\nNNNI-1\nI-1\nI0\n}tb")),
    "BUILD of nothing": (DAMAGED, b"b."),
    # Registry, identities, buffers from elsewhere, containers that arrays do not need.
    "extension, registered": ("the step EXT1 119", registered()),
    "extension, two bytes": ("the step EXT2", beside(b"\x83\x01\x00")),
    "extension, four bytes": ("the step EXT4", beside(b"\x84\xff\xff\xff\xff")),
    "persistent id": ("PERSID 'os.system'", beside(b"Pos.system\n")),
    "persistent id from the stack": ("the step BINPERSID", beside(b"S'x'\nQ")),
    "buffer from elsewhere": ("the step NEXT_BUFFER", beside(b"\x97")),
    "read-only buffer": ("the step READONLY_BUFFER", beside(b"S'x'\n\x98")),
    "list": ("the step EMPTY_LIST", save(W3=[1])),
    "set": ("the step EMPTY_SET", pickle.dumps({1}, 4)),
    "frozen set": ("the step FROZENSET", pickle.dumps(frozenset([1]), 4)),
    "float": ("the step BINFLOAT", save(W3=1.0)),
    "items of an array": (ITEMS, changed(b"tbs.", b"tbI0\nI1\nss.")),
    "items of a name": (ITEMS, beside(b"cnumpy\nndarray\nS'a'\nI1\ns")),
    "a key that is no text": (ITEMS, pickle.dumps({("W1",): W1}, 2)),
    "a key that takes for ever to hash": (ITEMS, b"})q\0" + b"h\0h\0\x86q\0" * 150 + b"Ns."),
    # Sizes.
    "huge memo index": (ELSE, b"}r\xff\xff\xff\xff."),
    "huge memo index in text": (ELSE, b"}p" + b"9" * 4000 + b"\n."),
    "vast memo index in text": (DAMAGED, b"}p" + b"9" * 100_000 + b"\n."),
    "memo that is not there": (DAMAGED, b"j\xff\xff\xff\xff."),
    "huge frame": (CUT, b"\x80\x04\x95" + b"\xff" * 8 + b"}."),
    "huge bytes": (CUT, b"\x80\x03B\xff\xff\xff\xff."),
    "huge bytes, eight bytes of length": ("no array needs", b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f."),
    "huge bytearray": (CUT, b"\x80\x05\x96\0\0\0\0\1\0\0\0."),
    "huge text": (CUT, b"X\xff\xff\xff\xff."),
    "huge string": (CUT, b"T\xff\xff\xff\x7f."),
    "string of negative length": (CUT, b"T\xff\xff\xff\xff."),
    "huge integer": (CUT, b"\x8a\xff."),
    "huge integer, four bytes of length": ("no array needs", b"\x8b\xff\xff\xff\x7f."),
    "vast integer in text": (DAMAGED, b"I" + b"9" * 100_000 + b"\n."),
    "wide text": (
        "beyond Latin-1", b"X" + struct.pack("<I", 100_000) + b"x" * 99_996 + "\U0001f3d3".encode() + b"."),
    "wide text, escaped": ("beyond Latin-1", b"V" + b"x" * 99_996 + b"\\U0001f3d3\n."),
    "many steps": ("takes more than 1,000 steps", b"N" * 1_000_000 + b"."),
    "many marks": ("takes more than 1,000 steps", b"(" * 1_000_000),
    "deep tuples": ("takes more than 1,000 steps", b")" + b"\x85" * 1_000_000 + b"."),
    "tuples of tuples": (ELSE, b")q\0" + b"h\0h\0\x86q\0" * 150 + b"."),
    "tuples of tuples as a shape": (
        MATRIX, b")q\0" + b"h\0h\0\x86q\0" * 100 + changed(ROWS + b"\nt", b"(I1\ng0\n")),
    "text doubled": ("the step DUP", b"S'" + b"x" * 1000 + b"'\n" + b"2(tR" * 100 + b"."),
    "text encoded again and again": (
        ELSE, b"V" + b"x" * 100_000 + b"\np0\n" + (ENCODE + b"(g0\nVlatin1\ntR") * 150 + b"."),
    "a dictionary in itself": (ELSE, b"}q\0S'W1'\nh\0s."),
    # Arrays that are none of the two.
    "objects": (DTYPE, changed(b"S'f8'", b"S'O'")),
    "objects, pickled by numpy": (ATTRIBUTES, save(W1=np.array([Call(os.system, HARM)], object))),
    "records": (ATTRIBUTES, save(W1=np.zeros(1, [("a", "f8")]))),
    "whole numbers": (DTYPE, save(W1=W1.astype(int))),
    "half precision": (DTYPE, save(W1=W1.astype("f2"))),
    "long double": (DTYPE, changed(b"S'f8'", b"S'f16'")),
    "complex": (DTYPE, save(W2=W2.astype(complex))),
    "code as a dtype": (DTYPE, changed(b"S'f8'", b"S'f8,O'")),
    "no byte order": (DTYPE, changed(b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb", b"")),
    "array without a state": (
        DTYPE, b"(dS'W1'\n" + MAKE + b"(cnumpy\nndarray\n(I0\ntS'b'\ntRp0\nsS'W2'\ng0\ns."),
    "huge shape": (SHAPE, changed(ROWS, b"(I1\n(L1%sL\nI6400" % (b"0" * 30))),
    "negative shape": (MATRIX, changed(ROWS, b"(I1\n(I-1\nI6400")),
    "no hidden units": (MATRIX, changed(ROWS, b"(I1\n(I0\nI6400")),
    "shape of text": (MATRIX, changed(ROWS, b"(I1\n(S'1'\nI6400")),
    "truth value as a shape": (MATRIX, changed(b"M\x01\x00M\x00\x19\x86", b"\x88M\x00\x19\x86", BINARY)),
    "another picture": ("has 6399 columns, not 6400", save(W1=W1[:, 1:])),
    "huge picture": ("columns, not 6400", changed(b"I6400", b"L" + b"9" * 4000 + b"L")),
    "three dimensions": (MATRIX, save(W1=W1[None])),
    "W2 in two dimensions": ("not of 1 dimensions", save(W2=W2[None])),
    "more data than numbers": (SHAPE, changed(ROWS, b"(I1\n(I2\nI6400")),
    "other sizes": ("do not fit", save(W2=np.zeros(2))),
    "two precisions": ("do not fit", save(W2=W2.astype("f4"))),
    "NaN": ("W1 holds NaN or infinity", save(W1=W1 * np.nan)),
    "infinity": ("W2 holds NaN or infinity", save(W2=W2 * np.inf)),
    "no W2": (ELSE, pickle.dumps({"W1": W1}, 2)),
    "W3": (ELSE, save(W3=W2)),
    "a number as W2": (ELSE, save(W2=1)),
    "an array alone": (ELSE, pickle.dumps(W1, 2)),
    # No pickle at all.
    "empty": (CUT, b""),
    "cut": (CUT, BINARY[:-1]),
    "cut in the weights": (CUT, BINARY[:1000]),
    "cut in a line": (DAMAGED, GOOD[:1000]),
    "another protocol": ("its protocol is 6", b"\x80\x06" + BINARY[2:]),
    "STOP alone": (DAMAGED, b"."),
    "marks that are not there": ("it is damaged", b"t."),
    "odd items": (DAMAGED, b"(S'W1'\nd."),
    "no quotes": (DAMAGED, b"S\n."),
    "no latin letters": ("beyond Latin-1", b"X\x02\0\0\0\xff\xff."),
    "escapes that Python does not know": (ELSE, b"S'\\q'\n."),
    "escapes that are none": (DAMAGED, b"S'\\x'\n."),
    "terminal escape in a name": ("\\x1b[2J", beside(b"c\x1b[2J\nx\n")),
    "terminal escape in a step": ("\\x1b[2J", beside(b"P\x1b[2J\n")),
    "a long name": ("xxx", beside(b"c" + b"x" * 100_000 + b"\nx\n")),
    "a program": ("no array needs", b"#!/bin/sh\ntouch harmed\n"),
    "zeros": ("no array needs", bytes(1000)),
}  # fmt: skip


@pytest.fixture
def attacks(folder):
    """The attack files, in a folder: name to path and expected reason."""
    (folder / "attacks").mkdir()
    files = {}
    for number, (name, (reason, content)) in enumerate(ATTACKS.items()):
        path = folder / "attacks" / f"{number}.p"
        path.write_bytes(content)
        files[name] = (path, reason)
    return files


def fault(path, reason, cli):
    """Return what is wrong with how one attack file is refused; an empty text if nothing is."""
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(FileFormatError) as refusal:
        import_agent(path)
    seconds = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    status, out, err = cli("import", path, "--out", "out.npz")
    faults = (
        (reason in str(refusal.value), f"refused for another reason: {refusal.value}"),
        (seconds < 1, f"took {seconds:.3f} s"),
        (peak < 4 * path.stat().st_size + SLACK, f"took {peak:,} bytes"),
        (status == 2, f"exit status {status}"),
        (out == "" and err.count("\n") == 1 and err[:-1].isprintable(), f"printed {out + err!r}"),
        (len(err) < len(str(path)) + 200, f"printed {len(err)} characters"),
    )
    return "; ".join(text for good, text in faults if not good)


def test_attack_pickles_are_refused_with_one_line(attacks, cli, folder, tally):
    faults = {name: fault(path, reason, cli) for name, (path, reason) in attacks.items()}
    assert {name: text for name, text in faults.items() if text} == {}
    assert os.listdir(folder) == ["attacks"]
    tally("attack pickles", len(faults), len(ATTACKS))


def test_the_pickles_that_the_attacks_are_made_from_are_sound():
    for content in (GOOD, BINARY, save()):
        same(parse_save(content, "save.p"), W1, W2)


def test_the_payloads_would_do_harm(folder):
    pickle.loads(ATTACKS["os.system, 0"][1])
    assert (folder / "harmed").exists()


WATCHED = """
import os, sys
from pathlib import Path

from pgpong.errors import FileFormatError
from pgpong.storage.exchange import import_agent

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
        import_agent(path)
        loaded += 1
    except FileFormatError:
        refused += 1
    watching = False
print(refused, loaded, *seen, sep="\\n")
"""


def test_nothing_is_imported_compiled_run_or_written_while_a_pickle_is_read(attacks, folder):
    """Python's audit hooks see files being opened for reading, and not one event of any other kind."""
    for number in range(6):
        (folder / f"good{number}.p").write_bytes(pickle.dumps({"W1": W1, "W2": W2}, number))
    (folder / "good6.p").write_bytes(GOOD)
    good = sorted(folder.glob("good*"))
    paths = [path for path, _ in attacks.values()] + good
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.stdout.split("\n") == [str(len(attacks)), str(len(good)), ""]
    assert sorted(folder.iterdir()) == sorted([folder / "attacks", *good])


# ---- mutated pickles, of a picture of two pixels, so that most of their bytes are structure

SMALL = weights(2, pixels=2)
SPELLINGS = [
    *(write(*SMALL) for write in (python2, python2_in_python, python2_binary)),
    *(pickle.dumps({"W1": SMALL[0], "W2": SMALL[1]}, protocol) for protocol in range(6)),
]
WORDS = [
    *(b"cos\nsystem\n", b"ios\nsystem\n", b"cnumpy\nndarray\n", MAKE, ENCODE, ONE),
    *(b"W1", b"W2", b"I-1\n", b"L9L\n"),
    *(n.to_bytes(size, "little") for size in (1, 2, 4, 8) for n in (0, 1, 127, (1 << 8 * size) - 1)),
    *(step.to_bytes(1, "little") for step in range(256)),
]  # fmt: skip
PLACES = st.integers(0, 1 << 10)
BYTES = st.binary(min_size=1, max_size=16) | st.sampled_from(WORDS)
CHANGES = st.lists(
    st.one_of(
        st.tuples(PLACES, st.integers(0, 16), BYTES),  # in place of so many bytes
        st.tuples(PLACES, st.integers(1, 1 << 10), st.just(b"")),
        st.builds(
            lambda at, cut, source, begin, length: (at, cut, source[begin : begin + length]),
            *(PLACES, st.integers(0, 64), st.sampled_from(SPELLINGS), PLACES, st.integers(1, 64)),
        ),
    ),
    min_size=1,
    max_size=4,
)


def mutate(content, changes):
    for place, cut, new in changes:
        at = place % (len(content) + 1)
        content = content[:at] + new + content[at + cut :]
    return content


def test_only_our_own_error_comes_out_of_mutated_pickles(long, tally, tmp_path, monkeypatch):
    monkeypatch.setattr(karpathy, "PIXELS", 2)
    monkeypatch.setattr(pgpong.agent, "PIXELS", 2)
    path = tmp_path / "save.p"
    outcomes = []

    @settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.builds(mutate, st.sampled_from(SPELLINGS), CHANGES))
    def check(content):
        path.write_bytes(content)
        try:
            agent = import_agent(path)
        except FileFormatError:
            outcomes.append(False)
        else:
            assert np.isfinite(agent.policy.W1).all()
            outcomes.append(True)

    for content in SPELLINGS:
        path.write_bytes(content)
        same((import_agent(path).policy.W1, import_agent(path).policy.W2), *SMALL)
    rounds = LONG_ROUNDS if long else 1
    for number in range(rounds):
        seed(number)(check)()
    assert 0.01 < sum(outcomes) / len(outcomes) < 0.5  # some reach the end, most do not
    tally("import fuzz", len(outcomes), rounds * ROUND)
