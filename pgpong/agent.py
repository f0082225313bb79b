"""An agent: a policy and how it sees. What a user holds in a notebook."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from pgpong.envs.game import Game
from pgpong.envs.preprocess import observation_shape
from pgpong.envs.vector import PongVectorEnv
from pgpong.envs.wrappers import make_single
from pgpong.errors import FileFormatError
from pgpong.learning.backend import Backend, find_backend
from pgpong.learning.court import is_paired, unfold
from pgpong.learning.frames import sparse_frames
from pgpong.learning.policy import Policy, sample
from pgpong.pixels import PIXELS
from pgpong.storage.arrays import Arrays, Meta, read_arrays, write_arrays
from pgpong.storage.game_meta import GAME_KEYS, PROVENANCE, pack_game, unpack_game

FORMAT = "pgpong model 1"
MIRRORED = ", mirrored"  # the file has the first half of the hidden units; the others are their mirror images

TRAINING = "training."  # keys of the metadata that begin so are free too: what a training needs to go on


@dataclass
class Agent:
    """A policy, the game it was trained for, and a few facts on how it came about."""

    policy: Policy
    game: Game
    provenance: Meta = field(default_factory=dict)

    @property
    def sees_current(self) -> bool:
        """Whether it sees the current picture beside the difference frame."""
        return self.policy.pixels == 2 * PIXELS

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Shape of what it sees: (80, 80), or (2, 80, 80) with the current picture."""
        return observation_shape(self.sees_current)

    def probabilities(self, observations: npt.NDArray[np.int8]) -> npt.NDArray[np.floating[Any]]:
        """Return those of down, up and, if it may stay, staying (n, 2 or 3) for n observations."""
        policy = self.policy
        h, z = policy.forward(policy.see(sparse_frames(observations)))
        P: npt.NDArray[np.floating[Any]] = np.exp(policy.backend.to_numpy(policy.log_probabilities(h, z)))
        return P

    def act(
        self, observations: npt.NDArray[np.int8], rng: np.random.Generator | None = None
    ) -> npt.NDArray[np.int64]:
        """Choose actions (n,), 0 down, 1 up or 2 stay, for n observations or a single one.

        With a random generator they are sampled from the policy; without one the likeliest is taken.
        """
        shape = self.observation_shape
        if observations.shape[-len(shape) :] != shape:
            expected = f"({', '.join(map(str, shape))})"
            raise ValueError(f"expected shape {expected}, or n of these, got {observations.shape}")
        p = self.probabilities(observations.reshape(-1, *shape))
        actions = p.argmax(axis=1) if rng is None else sample(p, rng)
        return actions.astype(np.int64).reshape(observations.shape[: -len(shape)])

    def make(self, render_mode: str | None = None) -> gymnasium.Env[npt.NDArray[np.int8], np.int64]:
        """Make a single game as the agent plays it: it sees these observations and takes these actions."""
        return make_single(self.game, render_mode, stay=self.policy.may_stay, current=self.sees_current)

    def make_vec(self, num_envs: int, num_workers: int = 0) -> PongVectorEnv:
        """Make many games likewise, played by `num_workers` processes; 0 means one for each core."""
        kind = {"stay": self.policy.may_stay, "current": self.sees_current}
        return PongVectorEnv(self.game, num_envs, num_workers, **kind)

    def copy(self) -> "Agent":
        """Return one with weights of its own: a training changes its agent's in place."""
        return Agent(self.policy.copy(), self.game, dict(self.provenance))

    def to(self, place: str | Backend) -> "Agent":
        """Return one whose policy is on a device (cpu, cuda, cuda:1, mps) or a backend.

        On the CPU that is numpy, but for a convolutional policy, elsewhere torch;
        `pgpong.learning.backend.find_backend` finds others.

        Raises:
            SettingError: there is no such device here, or what it needs is not installed.
        """
        backend = find_backend(self.policy.needed_backend, place) if isinstance(place, str) else place
        return Agent(self.policy.to(backend), self.game, self.provenance)

    def save(self, path: str | Path, *, small: bool = False) -> None:
        """Write the agent to one .npz file; if `small`, in half precision, and of mirrored units one half.

        Raises:
            NonFiniteError: a weight is NaN or infinite; nothing is written.
            DiskError: the system refused to write.
        """
        meta, arrays = self.pack()
        if small:
            if is_paired(self.policy, sign=-1):
                meta["network"] = f"{meta['network']}{MIRRORED}"
                arrays = {name: array[: len(array) // 2] for name, array in arrays.items()}
            arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
        write_arrays(Path(path), meta, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Agent":
        """Read an agent from a file that `save`, or a training's checkpoint, wrote.

        Raises:
            FileFormatError: the file is missing, damaged, foreign, or made for another kind of input.
            SettingError: its network is convolutional, and torch is not installed.
        """
        return cls.unpack(Path(path), *read_arrays(Path(path)))

    def pack(self) -> tuple[Meta, Arrays]:
        """Return all there is to save: flat metadata and the weights by name."""
        policy = self.policy
        meta: Meta = {
            **_requirements(type(policy), policy.hidden, policy.pixels, may_stay=policy.may_stay),
            **pack_game(self.game),
            **{f"{PROVENANCE}{key}": value for key, value in self.provenance.items()},
        }
        return meta, {name: policy.backend.to_numpy(W) for name, W in policy.parameters.items()}

    @classmethod
    def unpack(cls, path: Path, meta: Meta, arrays: Arrays) -> "Agent":
        """Make an agent of what `pack` returned and a file brought back; `path` is named in errors.

        What a checkpoint holds beside the agent (metadata under "training.", further arrays) is passed over.

        Raises:
            FileFormatError: the parts are not those of an agent that this version can play.
            SettingError: its network is convolutional, and torch is not installed.
        """
        if meta.get("format") != FORMAT:
            raise FileFormatError(f"{path} is not a pgpong agent of a format this version knows ({FORMAT!r})")
        policy = _unpack_policy(path, meta, arrays)
        game = unpack_game(path, meta)
        provenance = {
            key.removeprefix(PROVENANCE): value for key, value in meta.items() if key.startswith(PROVENANCE)
        }
        return cls(policy, game, provenance)


def _requirements(policy: type[Policy], hidden: int, pixels: int, *, may_stay: bool) -> Meta:
    """Describe what must be the same here and where the agent was trained, or it would be played wrongly."""
    return {
        "format": FORMAT,
        "preprocessing": f"difference frames{' and pictures' if pixels == 2 * PIXELS else ''} 80x80",
        "actions": f"0 down, 1 up{', 2 stay' if may_stay else ''}",
        "network": f"{policy.kind} {pixels}-{hidden}-{2 if may_stay else 1}",
    }


def _class_of(meta: Meta) -> type[Policy]:
    """Find out what kind of network a file holds.

    Raises:
        SettingError: it is a convolutional one, and torch is not installed.
    """
    if not str(meta.get("network")).startswith("convolutional"):
        return Policy
    find_backend("torch", "cpu")
    from pgpong.learning.conv import ConvPolicy  # loads torch

    return ConvPolicy


def _unknown(meta: Meta, arrays: Arrays, weights: Iterable[str]) -> str | None:
    """Name something that is no part of an agent; a training's checkpoint may hold more than an agent."""
    training = "training.update" in meta
    free = (PROVENANCE, TRAINING) if training else PROVENANCE
    known = (*_requirements(Policy, 0, 0, may_stay=False), *GAME_KEYS)
    unknown = [key for key in meta if not key.startswith(free) and key not in known]
    if not training:
        unknown += [name for name in arrays if name not in weights]
    return unknown[0] if unknown else None


def _unpack_policy(path: Path, meta: Meta, arrays: Arrays) -> Policy:
    """Make a policy of its weights, of one floating dtype; a convolutional one on torch's CPU."""
    policy = _class_of(meta)
    mirrored = policy is Policy and str(meta.get("network")).endswith(MIRRORED)
    hidden, may_stay = arrays.get("W2", np.empty(0)).size, "W2_stay" in arrays
    two = f"{2 * PIXELS}-" in str(meta.get("network"))
    pixels = 2 * PIXELS if two else PIXELS
    shapes = policy.shapes(hidden, pixels, may_stay=may_stay)
    if unknown := _unknown(meta, arrays, shapes):
        raise FileFormatError(f"{path} holds {unknown}, which no agent of this version has")
    expected = _requirements(policy, 2 * hidden if mirrored else hidden, pixels, may_stay=may_stay)
    if mirrored:
        expected["network"] = f"{expected['network']}{MIRRORED}"
    for key, value in expected.items():
        if meta.get(key) != value:
            raise FileFormatError(
                f"{path}: the agent was made for {key} {meta.get(key)!r}, not for {value!r}"
            )
    weights = {name: arrays.get(name, np.empty(0)) for name in shapes}
    found, dtypes = ([getattr(W, what) for W in weights.values()] for what in ("shape", "dtype"))
    if found != list(shapes.values()) or not hidden:
        raise FileFormatError(
            f"{path}: weights of shapes {' and '.join(map(str, found))} do not fit together"
        )
    if len(set(dtypes)) > 1 or dtypes[0] not in (np.float16, np.float32, np.float64):
        raise FileFormatError(
            f"{path}: weights of dtypes {' and '.join(map(str, dtypes))} do not fit together"
        )
    # Half precision is for storing, not for computing.
    dtype = np.float32 if dtypes[0] == np.float16 else dtypes[0]
    backend = find_backend(policy.needed_backend, "cpu")
    there = {name: backend.asarray(np.asarray(W, dtype, order="A")) for name, W in weights.items()}
    made = policy(**there, backend=backend)
    return unfold(made, sign=-1) if mirrored else made
