"""An agent: a policy and how it sees. What a user holds in a notebook."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pgpong.envs.game import Game
from pgpong.envs.preprocess import PICTURE_SHAPE, PIXELS
from pgpong.errors import FileFormatError
from pgpong.learning.frames import sparse_frames
from pgpong.learning.policy import Policy, probability_of_up
from pgpong.storage.arrays import Arrays, Meta, read_arrays, write_arrays
from pgpong.storage.game_meta import GAME_KEYS, pack_game, unpack_game

FORMAT = "pgpong model 1"
PREPROCESSING = "difference frames 80x80"
ACTIONS = "0 down, 1 up"

# Keys of the metadata that begin so are free: how the agent came about; what a training needs to go on.
PROVENANCE = "provenance."
TRAINING = "training."


@dataclass
class Agent:
    """A policy, the game it was trained for, and a few facts on how it came about."""

    policy: Policy
    game: Game
    provenance: Meta = field(default_factory=dict)

    def probability_of_up(self, observations: npt.NDArray[np.int8]) -> npt.NDArray[np.floating[Any]]:
        """Return the probability of up (n,) for difference frames (n, 80, 80)."""
        _, z = self.policy.forward(sparse_frames(observations))
        return np.asarray(probability_of_up(z, self.policy.xp))

    def act(
        self, observations: npt.NDArray[np.int8], rng: np.random.Generator | None = None
    ) -> npt.NDArray[np.int64]:
        """Choose actions (n,), 0 down or 1 up, for difference frames (n, 80, 80) or one of (80, 80).

        With a random generator they are sampled from the policy; without one the likelier is taken.
        """
        if observations.shape[-2:] != PICTURE_SHAPE:
            raise ValueError(f"expected difference frames (n, 80, 80) or (80, 80), got {observations.shape}")
        p = self.probability_of_up(observations.reshape(-1, *PICTURE_SHAPE))
        threshold = 0.5 if rng is None else rng.random(len(p))
        return (p > threshold).astype(np.int64).reshape(observations.shape[:-2])

    def copy(self) -> "Agent":
        """Return one with weights of its own: a training changes its agent's in place."""
        policy = self.policy
        W1, W2 = (policy.xp.asarray(W, copy=True) for W in (policy.W1, policy.W2))
        return Agent(Policy(W1, W2, policy.xp), self.game, dict(self.provenance))

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write the agent to one .npz file; with `half`, its weights in half precision.

        Raises:
            NonFiniteError: a weight is NaN or infinite; nothing is written.
            DiskError: the system refused to write.
        """
        meta, arrays = self.pack()
        if half:
            arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
        write_arrays(Path(path), meta, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Agent":
        """Read an agent from a file that `save`, or a training's checkpoint, wrote.

        Raises:
            FileFormatError: the file is missing, damaged, foreign, or made for another kind of input.
        """
        return cls.unpack(Path(path), *read_arrays(Path(path)))

    def pack(self) -> tuple[Meta, Arrays]:
        """Return all there is to save: flat metadata and the weights by name."""
        meta: Meta = {
            **_requirements(len(self.policy.W2)),
            **pack_game(self.game),
            **{f"{PROVENANCE}{key}": value for key, value in self.provenance.items()},
        }
        return meta, {name: np.asarray(array) for name, array in self.policy.parameters.items()}

    @classmethod
    def unpack(cls, path: Path, meta: Meta, arrays: Arrays) -> "Agent":
        """Make an agent of what `pack` returned and a file brought back; `path` is named in errors.

        What a checkpoint holds beside the agent (metadata under "training.", further arrays) is passed over.

        Raises:
            FileFormatError: the parts are not those of an agent that this version can play.
        """
        if meta.get("format") != FORMAT:
            raise FileFormatError(f"{path} is not a pgpong agent of a format this version knows ({FORMAT!r})")
        if unknown := _unknown(meta, arrays):
            raise FileFormatError(f"{path} holds {unknown}, which no agent of this version has")
        W1, W2 = _unpack_weights(path, meta, arrays)
        game = unpack_game(path, meta)
        provenance = {
            key.removeprefix(PROVENANCE): value for key, value in meta.items() if key.startswith(PROVENANCE)
        }
        return cls(Policy(np.asfortranarray(W1), W2), game, provenance)


def _requirements(hidden: int) -> Meta:
    """Describe what must be the same here and where the agent was trained, or it would be played wrongly."""
    return {
        "format": FORMAT,
        "preprocessing": PREPROCESSING,
        "actions": ACTIONS,
        "network": f"two-layer ReLU {PIXELS}-{hidden}-1",
    }


def _unknown(meta: Meta, arrays: Arrays) -> str | None:
    """Name something that is no part of an agent; a training's checkpoint may hold more than an agent."""
    training = "training.update" in meta
    free = (PROVENANCE, TRAINING) if training else PROVENANCE
    keys = [key for key in meta if not key.startswith(free)]
    unknown = [key for key in keys if key not in _requirements(0) and key not in GAME_KEYS]
    if not training:
        unknown += [name for name in arrays if name not in ("W1", "W2")]
    return unknown[0] if unknown else None


def _unpack_weights(path: Path, meta: Meta, arrays: Arrays) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return W1 (hidden, pixels) and W2 (hidden,), of one floating dtype."""
    W1, W2 = (arrays.get(name, np.empty(0)) for name in ("W1", "W2"))
    for key, value in _requirements(W2.size).items():
        if meta.get(key) != value:
            raise FileFormatError(
                f"{path}: the agent was made for {key} {meta.get(key)!r}, not for {value!r}"
            )
    if W1.shape != (W2.size, PIXELS) or W2.ndim != 1 or not W2.size:
        raise FileFormatError(f"{path}: weights of shapes {W1.shape} and {W2.shape} do not fit together")
    if W1.dtype != W2.dtype or W1.dtype not in (np.float16, np.float32, np.float64):
        raise FileFormatError(f"{path}: weights of dtypes {W1.dtype} and {W2.dtype} do not fit together")
    if W1.dtype == np.float16:  # for storing, not for computing
        return W1.astype(np.float32), W2.astype(np.float32)
    return W1, W2
