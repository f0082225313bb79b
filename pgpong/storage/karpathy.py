"""The 2016 script's `save.p`: a pickle of {'W1': array, 'W2': array}, read without unpickling it.

A pickle is a program for a small stack machine, and Python's own machine calls whatever the program names.
The one here has the steps that a dictionary of arrays takes and no others (`_PUSH` and `_CHANGE` are all of
them), knows the names in `_NAMES`, and has an inert stand-in for each: nothing is imported, called or given
attributes, and numpy sees the numbers only after their dtype, shape and length have been checked.

Read is what Python 2's cPickle and Python 3's pickle write, protocols 0 to 5, with numpy 1 or 2. All strings
are held as text of one character for each byte (Latin-1): Python 2 did not tell the two kinds apart, and
Python 3 spells bytes as such text when it writes protocols 0 to 2.

Sources: CPython's Lib/pickletools.py (the steps); numpy's ndarray.__reduce__ and __reduce_ex__.
"""

import codecs
import enum
import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pgpong.errors import FileFormatError
from pgpong.pixels import PIXELS

MOST_STEPS = 1_000  # a pickle of two arrays takes about 150

_SHOWN = 60  # characters of the file that an error message repeats
_WIDE_UTF8 = re.compile(rb"[\xc4-\xff]")  # a character beyond Latin-1 begins or is damaged
_WIDE_ESCAPE = re.compile(rb"\\(?:U|u(?!00))")  # likewise, in protocol 0


class _RefusedError(Exception):
    """The pickle asks for something that arrays do not need. The message is fit to be printed."""


class _Name(enum.Enum):
    """What a pickle of arrays refers to by name."""

    RECONSTRUCT = enum.auto()
    NDARRAY = enum.auto()
    DTYPE = enum.auto()
    FROMBUFFER = enum.auto()
    ENCODE = enum.auto()


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    ("numpy.core.numeric", "_frombuffer"): _Name.FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): _Name.FROMBUFFER,
    ("_codecs", "encode"): _Name.ENCODE,
}


@dataclass
class _Dtype:
    """Stands for a dtype: "f4" or "f8", if it is to be read, and "<" or ">"."""

    code: str
    byte_order: str = "="


@dataclass
class _Array:
    """Stands for an array; `order` is C or F, `data` its bytes as Latin-1 text."""

    shape: tuple[Any, ...] = ()
    dtype: _Dtype | None = None
    order: str = "C"
    data: str = ""


def parse_save(content: bytes, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return W1 (hidden, pixels) and W2 (hidden,), each float32 or float64 as in the file, native byte order.

    `content` is the whole file and `name` what errors call it. What the numbers are is not looked at.

    Raises:
        FileFormatError: it is not a pickle of these two arrays and nothing else.
    """
    try:
        match _Machine(content).run():
            case {"W1": _Array() as W1, "W2": _Array() as W2, **rest} if not rest:
                return _read(W1, "W1", 2), _read(W2, "W2", 1)
        raise _RefusedError("it holds something else")
    except _RefusedError as refusal:
        reason = str(refusal)
    except (LookupError, ValueError):  # an empty stack, an unknown memo, a number or text that is none
        reason = "it is cut short or damaged"
    raise FileFormatError(f"{name} is not a pickle of the arrays W1 and W2 alone: {reason}")


class _Machine:
    """The program, where it stands in it, its stack (a list for each open mark) and its memo."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0
        self.stacks: list[list[Any]] = [[]]
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        """Take one step after the other; return what is on top of the stack at the last.

        Raises:
            _RefusedError, LookupError, ValueError: the program is not one that writes arrays.
        """
        for _ in range(MOST_STEPS):
            begin = self.at
            step = self.take(1)
            if step in _PUSH:
                value = _PUSH[step](self)  # may take a list off the stacks: first this, then the line below
                self.stacks[-1].append(value)
            elif step in _CHANGE:
                _CHANGE[step](self)
            elif step == b".":
                self.check_end()
                return self.pop()
            else:
                raise _RefusedError(f"it asks for {_describe(self.content[begin : begin + 1000])}")
        raise _RefusedError(f"it takes more than {MOST_STEPS:,} steps")

    # ---- reading the program

    def take(self, count: int) -> bytes:
        """Read `count` bytes."""
        if count > len(self.content) - self.at:
            raise _RefusedError("it is cut short")
        self.at += count
        return self.content[self.at - count : self.at]

    def line(self) -> bytes:
        """Read up to the next newline and over it."""
        line = self.take(self.content.index(b"\n", self.at) - self.at)
        self.at += 1
        return line

    def integer(self, size: int, signed: bool = False) -> int:
        """Read an integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def string(self, size: int) -> str:
        """Read bytes, their number before them as an integer of `size` bytes."""
        return self.take(self.integer(size)).decode("latin1")

    def text(self, size: int) -> str:
        """Read UTF-8 likewise; it must fit into Latin-1, or it could take four times its size in memory."""
        encoded = self.take(self.integer(size))
        if _WIDE_UTF8.search(encoded):
            raise _RefusedError("it holds text beyond Latin-1")
        return encoded.decode()

    def escaped_text(self) -> str:
        """Read a line of text as protocol 0 spells it; it must fit into Latin-1."""
        line = self.line()
        if _WIDE_ESCAPE.search(line):
            raise _RefusedError("it holds text beyond Latin-1")
        return codecs.raw_unicode_escape_decode(line)[0]

    def quoted(self) -> str:
        """Read a line that holds a string as Python 2 quotes it."""
        line = self.line()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
            raise ValueError("no quotes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            return codecs.escape_decode(memoryview(line)[1:-1])[0].decode("latin1")

    def global_name(self) -> _Name:
        """Read a name on two lines."""
        return _find(self.line().decode("latin1"), self.line().decode("latin1"))

    # ---- the stack

    def pop(self) -> Any:
        """Take the top of the stack."""
        return self.stacks[-1].pop()

    def pop_two(self) -> tuple[Any, Any]:
        """Take the two on top, the upper one last."""
        upper, lower = self.pop(), self.pop()
        return lower, upper

    def pop_tuple(self, count: int) -> tuple[Any, ...]:
        """Take `count` from the top, the topmost last."""
        return tuple([self.pop() for _ in range(count)][::-1])

    def pop_mark(self) -> list[Any]:
        """Take all down to the last mark, and the mark."""
        items = self.stacks.pop()
        if not self.stacks:
            raise _RefusedError("it is damaged")
        return items

    # ---- steps that change what is there

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values, in turn, into the dictionary on top of the stack."""
        _fill(self.stacks[-1][-1], items)

    def build(self) -> None:
        """Give the array or dtype on top of the stack its state."""
        state = self.pop()
        _set_state(self.stacks[-1][-1], state)

    def remember(self, index: int) -> None:
        """Put the top of the stack into the memo, too."""
        self.memo[index] = self.stacks[-1][-1]

    def check_end(self) -> None:
        """Nothing may follow the last step."""
        if self.at < len(self.content):
            raise _RefusedError("something follows its end")

    def check_frame(self) -> None:
        """Frames only say how much may be read at once."""
        if self.integer(8) > len(self.content) - self.at:
            raise _RefusedError("it is cut short")


# Steps that put something on the stack, by the byte that stands for them; names as in pickletools.
_PUSH: dict[bytes, Callable[[_Machine], Any]] = {
    b"N": lambda m: None,  # NONE
    b"\x88": lambda m: True,  # NEWTRUE
    b"\x89": lambda m: False,  # NEWFALSE
    b"I": lambda m: int(m.line()),  # INT; "00" and "01" are the truth values, equal to these numbers
    b"L": lambda m: int(m.line().rstrip(b"L")),  # LONG
    b"J": lambda m: m.integer(4, signed=True),  # BININT
    b"K": lambda m: m.integer(1),  # BININT1
    b"M": lambda m: m.integer(2),  # BININT2
    b"\x8a": lambda m: m.integer(m.integer(1), signed=True),  # LONG1
    b"S": _Machine.quoted,  # STRING
    b"U": lambda m: m.string(1),  # SHORT_BINSTRING
    b"T": lambda m: m.string(4),  # BINSTRING
    b"C": lambda m: m.string(1),  # SHORT_BINBYTES
    b"B": lambda m: m.string(4),  # BINBYTES
    b"\x96": lambda m: m.string(8),  # BYTEARRAY8
    b"V": _Machine.escaped_text,  # UNICODE
    b"X": lambda m: m.text(4),  # BINUNICODE
    b"\x8c": lambda m: m.text(1),  # SHORT_BINUNICODE
    b"c": _Machine.global_name,  # GLOBAL
    b"\x93": lambda m: _find(*m.pop_two()),  # STACK_GLOBAL
    b"R": lambda m: _call(*m.pop_two()),  # REDUCE
    b")": lambda m: (),  # EMPTY_TUPLE
    b"\x85": lambda m: m.pop_tuple(1),  # TUPLE1
    b"\x86": lambda m: m.pop_tuple(2),  # TUPLE2
    b"\x87": lambda m: m.pop_tuple(3),  # TUPLE3
    b"t": lambda m: tuple(m.pop_mark()),  # TUPLE
    b"}": lambda m: {},  # EMPTY_DICT
    b"d": lambda m: _fill({}, m.pop_mark()),  # DICT
    b"g": lambda m: m.memo[int(m.line())],  # GET
    b"h": lambda m: m.memo[m.integer(1)],  # BINGET
    b"j": lambda m: m.memo[m.integer(4)],  # LONG_BINGET
}

# Steps that do not.
_CHANGE: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": lambda m: _check_protocol(m.integer(1)),  # PROTO
    b"\x95": _Machine.check_frame,  # FRAME
    b"(": lambda m: m.stacks.append([]),  # MARK
    b"s": lambda m: m.set_items([*m.pop_two()]),  # SETITEM
    b"u": lambda m: m.set_items(m.pop_mark()),  # SETITEMS
    b"b": _Machine.build,  # BUILD
    b"p": lambda m: m.remember(int(m.line())),  # PUT
    b"q": lambda m: m.remember(m.integer(1)),  # BINPUT
    b"r": lambda m: m.remember(m.integer(4)),  # LONG_BINPUT
    b"\x94": lambda m: m.remember(len(m.memo)),  # MEMOIZE
}


def _check_protocol(protocol: int) -> None:
    if protocol > 5:
        raise _RefusedError(f"its protocol is {protocol}, not one of 0 to 5")


def _find(module: object, name: object) -> _Name:
    """Look a name up."""
    if not (isinstance(module, str) and isinstance(name, str)):  # before anything is hashed
        raise _RefusedError("it asks for a name that is no text")
    if (module, name) not in _NAMES:
        raise _RefusedError(f"it asks for {_shown(f'{module[:_SHOWN]}.{name[:_SHOWN]}')}")
    return _NAMES[module, name]


def _call(function: object, arguments: object) -> Any:
    """Return the stand-in for what a call would return, if it is one that makes arrays."""
    match function, arguments:
        case _Name.ENCODE, (str(text), "latin1"):
            return text
        case _Name.DTYPE, (str(code), 0, 1):
            return _Dtype(code)
        case _Name.RECONSTRUCT, (_Name.NDARRAY, (0,), "b"):
            return _Array()
        case _Name.FROMBUFFER, (str(data), _Dtype() as dtype, tuple(shape), "C" | "F" as order):
            return _Array(shape, dtype, order, data)
        case _Name(), _:
            raise _RefusedError(f"it calls numpy's or Python's {function.name.lower()} as no array needs it")
    raise _RefusedError("it calls what is no function")


def _set_state(thing: object, state: object) -> None:
    """Fill a stand-in with the state that numpy writes for it."""
    match thing, state:
        case _Dtype(), (3, "<" | ">" as byte_order, None, None, None, -1, -1, 0):
            thing.byte_order = byte_order
        case _Array(), (1, tuple(shape), _Dtype() as dtype, 0 | 1 as in_columns, str(data)):
            thing.shape, thing.dtype, thing.order, thing.data = shape, dtype, "CF"[in_columns], data
        case _:
            raise _RefusedError("it sets attributes as no array needs them")


def _fill(target: object, items: list[Any]) -> dict[str, Any]:
    """Put keys and values, in turn, into a dictionary and return it."""
    keys, values = items[::2], items[1::2]
    names = all(isinstance(key, str) for key in keys)  # to hash tuples of tuples may take for ever
    if not isinstance(target, dict) or not names:
        raise _RefusedError("it sets items of something else than a dictionary with names as keys")
    target.update(zip(keys, values, strict=True))
    return target


def _read(array: _Array, name: str, dimensions: int) -> npt.NDArray[Any]:
    """Make the array that `array` stands for, once its dtype, shape and number of bytes are known to fit."""
    dtype, shape, data = array.dtype, array.shape, array.data
    if dtype is None or dtype.code not in ("f4", "f8") or dtype.byte_order not in ("<", ">"):
        raise _RefusedError(f"{name} is not of float32 or float64")
    if len(shape) != dimensions or not all(type(n) is int and n > 0 for n in shape):
        raise _RefusedError(f"{name} is not of {dimensions} dimensions, none empty")
    if shape[1:] not in ((), (PIXELS,)):
        raise _RefusedError(f"{name} has {_shown(shape[1])} columns, not {PIXELS}")
    if np.dtype(dtype.code).itemsize * shape[0] * (PIXELS if shape[1:] else 1) != len(data):
        raise _RefusedError(f"{name} has {len(data):,} bytes, its shape and dtype imply another number")
    numbers = np.frombuffer(data.encode("latin1"), dtype.byte_order + dtype.code)
    return numbers.reshape(shape, order="F" if array.order == "F" else "C").astype(dtype.code)


def _describe(program: bytes) -> str:
    """Name the step with which `program` begins and what it refers to."""
    try:
        step, argument, _ = next(pickletools.genops(program))
    except ValueError:
        return f"what no array needs ({_shown(program[:8])})"
    return f"the step {step.name} {'' if argument is None else _shown(argument)}".rstrip()


def _shown(value: object) -> str:
    """Spell a value from the file so that it may be printed, shortened."""
    return ascii(value)[:_SHOWN]
