"""Agents that go to .safetensors files and back, and those that come from the 2016 script."""

import json
import math
import os
import struct
import time

import numpy as np
import pytest
from safetensors.numpy import load, save

from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import DiskError, FileFormatError, RunError, SettingError
from pgpong.learning.policy import Policy
from pgpong.storage import exchange
from pgpong.storage.exchange import export_agent, import_agent
from tests.storage.test_karpathy import python2, weights

PROVENANCE = {"run": 'né "x" 雪', "episode": 12, "score": -20.5, "tiny": 5e-324, "best": True, "note": None}


def agent(hidden=2, dtype="float32", env="PongNoFrameskip-v4"):
    policy = Policy.initialise(np.random.default_rng(0), hidden, 6400, fan_in=40, dtype=dtype)
    return Agent(policy, find_game(env), PROVENANCE)


def same(first, second):
    assert first.game == second.game
    assert first.provenance == second.provenance
    for key, value in first.provenance.items():
        assert type(value) is type(second.provenance[key])
    for name, array in first.policy.parameters.items():
        other = second.policy.parameters[name]
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        assert array.tobytes() == other.tobytes()
    assert second.policy.W1.flags.f_contiguous
    assert second.policy.W1.flags.writeable


# ---- .safetensors


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("env", ["PongNoFrameskip-v4", "Pong-v0"])
def test_what_is_exported_is_imported_bit_for_bit(tmp_path, dtype, env):
    exported = agent(3, dtype, env)
    export_agent(exported, tmp_path / "agent.safetensors")
    same(exported, import_agent(tmp_path / "agent.safetensors"))


def test_other_programs_find_weights_in_c_order_and_metadata_as_text(tmp_path):
    exported = agent()
    export_agent(exported, tmp_path / "agent.safetensors")
    content = (tmp_path / "agent.safetensors").read_bytes()
    tensors = load(content)
    assert set(tensors) == {"W1", "W2"}
    np.testing.assert_array_equal(tensors["W1"], exported.policy.W1)
    np.testing.assert_array_equal(tensors["W2"], exported.policy.W2)
    meta = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    assert meta["env"] == '"PongNoFrameskip-v4"'
    assert meta["frameskip_low"] == "1"


def test_an_exported_model_file_is_the_agent_alone(tmp_path):
    exported = agent()
    export_agent(exported, tmp_path / "agent.npz")
    same(exported, Agent.load(tmp_path / "agent.npz"))


def texts(**changes):
    """The metadata of a sound file, with changes; dots are spelled as double underscores."""
    meta, _ = agent().pack()
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return {key: json.dumps(value) for key, value in meta.items()} | changes


def tensors(**changes):
    _, arrays = agent().pack()
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()} | changes


def framed(header, data=b""):
    return struct.pack("<Q", len(header)) + header + data


GOOD = save(tensors(), texts())
W1, W2 = tensors().values()
DAMAGED = "damaged or was not written by"
UNFIT = "do not fit together"
FILES = {
    "no metadata": (DAMAGED, save(tensors())),
    "metadata of another program": (DAMAGED, save(tensors(), {"format": "pt"})),
    "metadata that are no JSON": (DAMAGED, save(tensors(), texts(env="Pong-v0"))),
    "deep metadata": (DAMAGED, save(tensors(), texts(env="[" * 30_000))),
    "a list in the metadata": ("is not a finite number", save(tensors(), texts(env="[]"))),
    "NaN in the metadata": ("is not a finite number", save(tensors(), texts(sticky="NaN"))),
    "terminal escape": ("is not a finite number", save(tensors(), texts(provenance__run='"\\u001b[2J"'))),
    "terminal escape in a key": ("expected names", save(tensors(), texts(**{"\x1b[2J": "1"}))),
    "unknown key": ("holds hook", save(tensors(), texts(hook="1"))),
    "unknown tensor": ("holds W3", save(tensors(W3=W2), texts())),
    "much metadata": ("longer than any agent's", save(tensors(), texts(env=json.dumps("x" * 70_000)))),
    "another format": ("a format this version knows", save(tensors(), texts(format='"pgpong model 9"'))),
    "another preprocessing": ("was made for", save(tensors(), texts(preprocessing='"grey"'))),
    "another game": ("unknown environment", save(tensors(), texts(env='"ALE/Breakout-v5"'))),
    "no W2": (DAMAGED, save({"W1": W1}, texts())),
    "other sizes": ("was made for", save(tensors(W2=np.zeros(3, np.float32)), texts())),
    "another picture": (UNFIT, save(tensors(W1=W1[:, 1:].copy()), texts())),
    "two precisions": (UNFIT, save(tensors(W2=W2.astype(float)), texts())),
    "short whole numbers": ("of a dtype among", save(tensors(W1=W1.astype("i2")), texts())),
    "NaN": ("W1 holds NaN or infinity", save(tensors(W1=W1 * np.nan), texts())),
    "infinity": ("W2 holds NaN or infinity", save(tensors(W2=W2 * np.inf), texts())),
    "cut": (DAMAGED, GOOD[:-1]),
    "cut in the header": (DAMAGED, GOOD[:100]),
    "more at the end": (DAMAGED, GOOD + b"\0"),
    "unknown dtype": (DAMAGED, framed(
        b'{"__metadata__":{},"W1":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}', b"\0")),
    "huge shape": (DAMAGED, framed(
        b'{"__metadata__":{},"W1":{"dtype":"F32","shape":[9999999999999],"data_offsets":[0,4]}}', bytes(4))),
    "overlapping tensors": (DAMAGED, framed(
        b'{"__metadata__":{},"W1":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"W2":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4))),
    "a header that is no JSON": (DAMAGED, framed(b"{import os}")),
    "a deep header": (DAMAGED, framed(b'{"a":' * 10_000)),
    "a list as metadata": (DAMAGED, framed(b'{"__metadata__":[1]}')),
    "a number as metadata": (DAMAGED, framed(b'{"__metadata__":{"a":1}}')),
}  # fmt: skip
FILES["no W2"] = ("was made for", FILES["no W2"][1])


@pytest.mark.parametrize("name", FILES)
def test_a_safetensors_file_that_is_no_agent_is_refused(tmp_path, name):
    reason, content = FILES[name]
    path = tmp_path / "agent.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as refusal:
        import_agent(path)
    assert reason in str(refusal.value)
    assert str(refusal.value).isprintable()


def test_the_safetensors_file_that_these_are_made_from_is_sound(tmp_path):
    (tmp_path / "agent.safetensors").write_bytes(GOOD)
    same(agent(), import_agent(tmp_path / "agent.safetensors"))


def test_every_truncation_is_seen(tmp_path):
    path = tmp_path / "agent.safetensors"
    header = int.from_bytes(GOOD[:8], "little") + 8
    for length in (*range(header + 8), len(GOOD) - 1):
        path.write_bytes(GOOD[:length])
        with pytest.raises(FileFormatError):
            import_agent(path)


# ---- save.p


def probability_in_2016(W1, W2, x):
    """The forward pass of the 2016 script, one frame after the other, in its own words."""
    out = []
    for frame in x.reshape(len(x), -1).astype(float):
        h = np.dot(W1, frame)
        h[h < 0] = 0
        logp = np.dot(W2, h)
        out.append(1.0 / (1.0 + math.exp(-logp)))
    return out


def test_an_imported_agent_plays_as_the_2016_script_did(tmp_path):
    W1, W2 = weights(200)
    W1 /= math.sqrt(40)
    W2 /= math.sqrt(200)
    (tmp_path / "save.p").write_bytes(python2(W1, W2))
    began = time.perf_counter()
    imported = import_agent(tmp_path / "save.p")
    assert time.perf_counter() - began < 5
    np.testing.assert_array_equal(imported.policy.W1, W1)
    np.testing.assert_array_equal(imported.policy.W2, W2)
    assert imported.policy.W1.flags.f_contiguous
    assert imported.game == find_game("Pong-v0")
    assert imported.provenance == {"imported_from": "save.p"}
    frames = np.random.default_rng(1).choice(np.int8([-1, 0, 1]), (50, 80, 80), p=[0.002, 0.996, 0.002])
    expected = probability_in_2016(W1, W2, frames)
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(imported.probabilities(frames)[:, 1], expected, rtol=1e-12)


def test_the_environment_of_a_save_can_be_named(tmp_path):
    (tmp_path / "save.p").write_bytes(python2(*weights(1)))
    assert import_agent(tmp_path / "save.p", "ALE/Pong-v5").game == find_game("ALE/Pong-v5")
    with pytest.raises(SettingError, match="unknown environment"):
        import_agent(tmp_path / "save.p", "ALE/Breakout-v5")


def test_a_safetensors_file_names_its_own_environment(tmp_path):
    export_agent(agent(), tmp_path / "agent.safetensors")
    with pytest.raises(SettingError, match="leave --env out"):
        import_agent(tmp_path / "agent.safetensors", "Pong-v0")


# ---- what is no file, or in the way


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX's")
def test_what_is_no_regular_file_neither_blocks_nor_is_read_for_ever(tmp_path):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 37 << 30)
    handles = len(os.listdir("/dev/fd"))
    for path in sorted(tmp_path.iterdir()):
        began = time.perf_counter()
        with pytest.raises(FileFormatError, match=r"cannot read|no such file"):
            import_agent(path)
        assert time.perf_counter() - began < 0.1
    assert len(os.listdir("/dev/fd")) == handles


@pytest.mark.parametrize("name", ["agent.npz", "agent.safetensors"])
def test_what_is_there_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    (tmp_path / f"link.{name}").symlink_to("nowhere")
    for path in (tmp_path / name, tmp_path / f"link.{name}"):
        with pytest.raises(RunError, match="exists: choose another --out"):
            export_agent(agent(), path)
    assert (tmp_path / name).read_bytes() == b"mine"


def test_a_failed_export_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(handle, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    for name in ("agent.npz", "agent.safetensors"):
        with pytest.raises(DiskError, match="No space left"):
            export_agent(agent(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_model_file_is_not_imported(tmp_path):
    agent().save(tmp_path / "agent.npz")
    with pytest.raises(FileFormatError, match="nor a "):
        import_agent(tmp_path / "agent.npz")


def test_the_largest_import_holds_a_thousand_hidden_units_in_any_spelling():
    assert exchange.LARGEST_IMPORT > 1000 * 6400 * 8 * 4  # a byte is spelled by up to four
