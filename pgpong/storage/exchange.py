r"""Agents for and from other programs: .safetensors files, and the 2016 script's save.p.

A .safetensors file of an agent holds the tensors W1 (hidden, pixels), W2 (hidden,) and, if it may stay,
W2_stay (hidden,), and as its metadata that of a model file, each value as JSON text:
{"env": "\"Pong-v0\"", "sticky": "0.25", ...}. What is read from either kind goes through the checks of a
model file before it is an agent.

Source: github.com/huggingface/safetensors (the format).
"""

import json
import os
from pathlib import Path

import numpy as np

from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError, RunError, SettingError
from pgpong.learning.policy import Policy
from pgpong.storage.arrays import LONGEST_TEXT, Arrays, Meta, open_foreign, parse, serialise
from pgpong.storage.files import write_atomically
from pgpong.storage.karpathy import parse_save

MODEL = ".npz"
SAFETENSORS = ".safetensors"
LARGEST_IMPORT = 256 << 20  # bytes
ENV_OF_2016 = "Pong-v0"

_ZIP = b"PK"  # how .npz begins


def import_agent(path: Path, env: str | None = None) -> Agent:
    """Read an agent from a save.p of the 2016 script or from a file that `export_agent` wrote.

    The script's pixels, difference frames, network and actions are pgpong's, so its weights are taken over as
    they are. `env` is the environment that they were trained in, for a save.p does not say; other files do.

    Raises:
        FileFormatError: the file is missing, damaged, of another kind or too large, or holds anything else.
        SettingError: `env` is unknown or was not to be given, or safetensors is not installed.
    """
    content = _read(path)
    if content[8:9] == b"{":  # after the length of a safetensors header
        if env is not None:
            raise SettingError(f"{path} names its own environment: leave --env out")
        return _check(path, *_parse_safetensors(content, path))
    if path.suffix == SAFETENSORS or content.startswith(_ZIP):
        raise FileFormatError(f"{path} is neither a save.p of the 2016 script nor a .safetensors file")
    W1, W2 = parse_save(content, str(path))
    game = find_game(ENV_OF_2016 if env is None else env)
    return _check(path, *Agent(Policy(W1, W2), game, {"imported_from": "save.p"}).pack())


def export_agent(agent: Agent, path: Path) -> None:
    """Write an agent to a .npz model file or, for other programs, to a .safetensors file.

    Raises:
        SettingError: the name ends otherwise, or safetensors is not installed.
        RunError: there is something at `path` already.
        DiskError: the system refused to write.
    """
    check_output(path, MODEL, SAFETENSORS)
    if path.suffix == MODEL:
        agent.save(path)
    else:
        write_atomically(path, [_safetensors(*agent.pack())])


def check_output(path: Path, *suffixes: str) -> None:
    """Check that a new file may be written at `path`.

    Raises:
        SettingError: its name has none of the `suffixes`.
        RunError: there is something already.
    """
    if path.suffix not in suffixes:
        raise SettingError(f"expected the name of a {' or '.join(suffixes)} file, got {str(path)!r}")
    if os.path.lexists(path):
        raise RunError(f"{path} exists: choose another --out")


def _read(path: Path) -> bytes:
    """Read a whole file, if it is not too large.

    Raises:
        FileFormatError: there is none, it cannot be read, or it is too large.
    """
    with open_foreign(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_IMPORT:
            raise FileFormatError(f"cannot read {path}: it has more than {LARGEST_IMPORT:,} bytes")
        return file.read(size)


def _check(path: Path, meta: Meta, arrays: Arrays) -> Agent:
    """Make an agent of what a foreign file held, as if it had come from a model file.

    Raises:
        FileFormatError: a model file could not hold it, or it is no agent that this version can play.
    """
    try:
        content = bytearray().join(serialise(meta, arrays))
    except ValueError as error:
        raise FileFormatError(f"{path}: {error}") from error
    return Agent.unpack(path, *parse(content, str(path)))


def _safetensors(meta: Meta, arrays: Arrays) -> bytes:
    """Write the bytes of a .safetensors file.

    Raises:
        SettingError: safetensors is not installed.
    """
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise _missing() from error
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(tensors, {key: json.dumps(value) for key, value in meta.items()})


def _parse_safetensors(content: bytes, path: Path) -> tuple[Meta, Arrays]:
    """Take a .safetensors file apart; what it holds is still to be checked.

    Raises:
        FileFormatError: it is damaged, or its metadata are not those that `_safetensors` writes.
        SettingError: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise _missing() from error
    length = int.from_bytes(content[:8], "little")
    if length > LONGEST_TEXT:
        raise FileFormatError(f"{path}: a header of {length:,} bytes is longer than any agent's")
    try:
        texts = json.loads(content[8 : 8 + length])["__metadata__"]
        # Sorted, for safetensors writes them in any order.
        return {key: json.loads(text) for key, text in sorted(texts.items())}, load(content)
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged or was not written by 'pgpong export'") from error


def _missing() -> SettingError:
    return SettingError(".safetensors files need safetensors: pip install 'pgpong[safetensors]'")
