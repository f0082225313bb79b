"""The container: round trips, one spelling, other readers, and damage of every small kind."""

import io
import os
import random
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError, NonFiniteError
from pgpong.learning.policy import Policy
from pgpong.storage.arrays import DTYPES, parse, read_arrays, serialise, write_arrays
from tests.storage.forging import model_file

META = {
    "text": 'é "quoted" \\ 雪 \U0001f3d3',
    "int": -(10**40) + 1,
    "float": 0.1,
    "tiny": -5e-324,
    "true": True,
    "none": None,
}
ARRAYS = {
    **{f"a.{dtype[1:]}": np.arange(6).astype(dtype).reshape(2, 3) for dtype in DTYPES},
    "vector": np.arange(7, dtype=np.uint8),
    "cube": np.arange(24.0).reshape(2, 3, 4),
    "scalar": np.array(3),
    "empty": np.empty((0, 1 << 30, 1), np.float32),
    "header_": np.zeros((1, 1)),
}


def agent(hidden):
    policy = Policy.initialise(np.random.default_rng(0), hidden, 6400, fan_in=40)
    return Agent(policy, find_game("Pong-v0"), {"episode": 12})


def same(arrays, others):
    assert list(arrays) == list(others)
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (others[name].dtype, others[name].shape)
        assert (array == others[name]).all()


def test_what_is_written_is_read(tmp_path):
    write_arrays(tmp_path / "file.npz", META, ARRAYS)
    meta, arrays = read_arrays(tmp_path / "file.npz")
    assert list(meta.items()) == list(META.items())
    assert [type(value) for value in meta.values()] == [type(value) for value in META.values()]
    same(ARRAYS, arrays)


def test_no_metadata_and_no_arrays_are_a_file_too(tmp_path):
    write_arrays(tmp_path / "file.npz", {}, {})
    assert read_arrays(tmp_path / "file.npz") == ({}, {})


def test_arrays_that_are_read_can_be_trained_on(tmp_path):
    write_arrays(tmp_path / "file.npz", {}, ARRAYS)
    _, arrays = read_arrays(tmp_path / "file.npz")
    for array in arrays.values():
        assert array.flags.writeable
        assert array.flags.aligned
        assert array.flags.f_contiguous if array.ndim == 2 else array.flags.c_contiguous
    arrays["cube"] += 1
    same(ARRAYS, {**arrays, "cube": arrays["cube"] - 1})


def test_the_same_contents_are_the_same_bytes(tmp_path):
    strided = {"W": np.arange(12.0).reshape(3, 4)[::2, ::3]}
    in_c_order = {"W": np.ascontiguousarray(strided["W"])}
    assert model_file(META, strided) == model_file(META, in_c_order)
    write_arrays(tmp_path / "a.npz", META, ARRAYS)
    write_arrays(tmp_path / "b.npz", *read_arrays(tmp_path / "a.npz"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_numpy_and_zip_tools_open_the_file():
    content = io.BytesIO(model_file(META, ARRAYS))
    with np.load(content, allow_pickle=False) as members:
        assert members.files == ["header", *ARRAYS]
        same(ARRAYS, {name: members[name] for name in ARRAYS})
        assert members["a.f4"].flags.f_contiguous
    with zipfile.ZipFile(content) as archive:
        assert archive.testzip() is None


def test_weights_are_not_copied_to_be_written():
    W1 = agent(200).policy.W1
    tracemalloc.start()
    pieces = serialise({}, {"W1": W1})
    assert tracemalloc.get_traced_memory()[1] < 1e5
    tracemalloc.stop()
    assert any(np.shares_memory(np.frombuffer(piece, np.uint8), W1) for piece in pieces)


def test_reading_takes_little_more_memory_than_the_file(tmp_path):
    agent(200).save(tmp_path / "agent.npz")
    tracemalloc.start()
    read_arrays(tmp_path / "agent.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * (tmp_path / "agent.npz").stat().st_size


@pytest.mark.parametrize(("meta", "arrays"), [
    ({}, {"W": np.array([1, np.nan])}),
    ({}, {"W": np.array([[-np.inf]], np.float32)}),
    ({"W": float("nan")}, {}),
    ({"W": float("inf")}, {"W": np.zeros(1)}),
    ({"W": 0.0}, {"W": np.array(np.inf)}),
])  # fmt: skip
def test_what_is_no_number_is_not_written(meta, arrays, tmp_path):
    with pytest.raises(NonFiniteError, match="W holds NaN or infinity"):
        write_arrays(tmp_path / "file.npz", meta, arrays)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("message", "meta", "arrays"), [
    ("dtype", {}, {"W": np.zeros(1, complex)}),
    ("dtype", {}, {"W": np.zeros(1, ">f4")}),
    ("dtype", {}, {"W": np.zeros(1, object)}),
    ("dtype", {}, {"W": np.zeros(1, np.bool_)}),
    ("dimensions", {}, {"W": np.zeros((1,) * 5)}),
    ("too large", {}, {"W": np.empty((0, 1 << 31), np.uint8)}),
    ("more than a file may hold", {}, {"W": np.broadcast_to(np.uint8(0), 1 << 30)}),
    ("more than a file may hold", {f"k{i}": "x" * 1000 for i in range(66)}, {}),
    ("names", {}, {"": np.zeros(1)}),
    ("names", {}, {"../W": np.zeros(1)}),
    ("names", {}, {"W" * 41: np.zeros(1)}),
    ("names", {}, {"W\n": np.zeros(1)}),
    ("names", {}, {"Ŵ": np.zeros(1)}),
    ("names", {"a key": 1}, {}),
    ("own name", {}, {"header": np.zeros(1)}),
    ("up to 96 arrays", {}, {f"W{i}": np.zeros(1) for i in range(97)}),
    ("key is not a finite", {"key": [1]}, {}),
    ("key is not a finite", {"key": {}}, {}),
    ("key is not a finite", {"key": b""}, {}),
    ("key is not a finite", {"key": np.int64(1)}, {}),
    ("key is not a finite", {"key": 10**40}, {}),
    ("key is not a finite", {"key": "a\x1b[31m"}, {}),
    ("key is not a finite", {"key": "two\nlines"}, {}),
    ("key is not a finite", {"key": "x" * 1001}, {}),
])  # fmt: skip
def test_what_a_file_cannot_hold_is_a_mistake_of_the_caller(message, meta, arrays, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_arrays(tmp_path / "file.npz", meta, arrays)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "file.npz"
    write_arrays(path, META, ARRAYS)
    size = path.stat().st_size
    real = os.fstat

    def cut_after_the_size_is_known(handle):
        status = real(handle)
        os.truncate(path, size // 2)
        return status

    monkeypatch.setattr(os, "fstat", cut_after_the_size_is_known)
    with pytest.raises(FileFormatError, match="damaged"):
        read_arrays(path)


def accepted(content, bits):
    """Flip one bit after the other, each alone; return those with which the file was still read."""
    content, unseen = bytearray(content), []
    for bit in bits:
        content[bit // 8] ^= 1 << bit % 8
        try:
            parse(content, "file")
            unseen.append(bit)
        except FileFormatError:
            pass
        content[bit // 8] ^= 1 << bit % 8
    parse(content, "file")
    return unseen


def test_every_flipped_bit_is_seen(tally):
    every_kind = model_file(META, ARRAYS)
    assert accepted(every_kind, range(len(every_kind) * 8)) == []
    smallest = model_file(*agent(1).pack())
    total = len(smallest) * 8
    tally("bit flips", total - len(accepted(smallest, range(total))), total)


def test_flipped_bits_in_a_model_of_real_size_are_seen(tally):
    content = model_file(*agent(200).pack())
    # Half of them anywhere, half in the first and last thousand bytes, where the structure is.
    rng = random.Random(0)
    edge = 8 * 1000
    bits = rng.sample(range(edge, len(content) * 8 - edge), 5_000)
    bits += rng.sample([*range(edge), *range(len(content) * 8 - edge, len(content) * 8)], 5_000)
    with ThreadPoolExecutor(4) as pool:  # checksums run without the interpreter's lock
        unseen = sum(map(len, pool.map(accepted, [content] * 4, [bits[part::4] for part in range(4)])))
    tally("bit flips, 200 units", len(bits) - unseen, len(bits))


def test_every_truncation_is_seen(tally):
    content = model_file(*agent(1).pack())
    view, unseen = memoryview(content), 0
    for length in range(len(content)):
        try:
            parse(view[:length], "file")
            unseen += 1
        except FileFormatError:
            pass
    tally("truncations", len(content) - unseen, len(content))
