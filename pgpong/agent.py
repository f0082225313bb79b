"""An agent: a policy and how it sees. What a user holds in a notebook."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pgpong.envs.game import Game
from pgpong.envs.preprocess import PICTURE_SHAPE, PIXELS
from pgpong.errors import FileFormatError
from pgpong.learning.frames import sparse_frames
from pgpong.learning.policy import Policy, probability_of_up
from pgpong.storage.arrays import Arrays, read_arrays, write_arrays

FORMAT = "pgpong 1"
PREPROCESSING = "difference frames 80x80"


@dataclass
class Agent:
    """A policy, the game it was trained for, and a few facts on how it came about."""

    policy: Policy
    game: Game
    provenance: dict[str, Any] = field(default_factory=dict)

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

    def save(self, path: str | Path) -> None:
        """Write the agent to one .npz file.

        Raises:
            NonFiniteError: a weight is NaN or infinite; nothing is written.
            DiskError: the system refused to write.
        """
        write_arrays(Path(path), *self.pack())

    @classmethod
    def load(cls, path: str | Path) -> "Agent":
        """Read an agent from a file that `save`, or a training's checkpoint, wrote.

        Raises:
            FileFormatError: the file is missing, damaged, foreign, or made for another kind of input.
        """
        return cls.unpack(Path(path), *read_arrays(Path(path)))

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        """Return all there is to save: a header for JSON and the weights by name."""
        header = {
            "format": FORMAT,
            "preprocessing": PREPROCESSING,
            "game": asdict(self.game),
            "provenance": self.provenance,
        }
        return header, {name: np.asarray(array) for name, array in self.policy.parameters.items()}

    @classmethod
    def unpack(cls, path: Path, header: dict[str, Any], arrays: Arrays) -> "Agent":
        """Make an agent of what `pack` returned and a file brought back; `path` is named in errors.

        Raises:
            FileFormatError: the parts are not those of an agent that this version can play.
        """
        if header.get("format") != FORMAT:
            raise FileFormatError(f"{path} is not a pgpong agent of a format this version knows ({FORMAT!r})")
        if header.get("preprocessing") != PREPROCESSING:
            seen = header.get("preprocessing")
            raise FileFormatError(f"{path}: the agent was made for {seen!r}, not for {PREPROCESSING}")
        try:
            game = header["game"]
            skip = game["frameskip"]
            game = Game(**{**game, "frameskip": skip if isinstance(skip, int) else tuple(skip)})
            W1, W2 = arrays["W1"], arrays["W2"]
        except (KeyError, TypeError) as error:
            raise FileFormatError(f"{path} is damaged: a part of the agent is missing") from error
        if W1.ndim != 2 or W1.shape[1] != PIXELS or W2.shape != W1.shape[:1] or W1.dtype != W2.dtype:
            raise FileFormatError(f"{path}: weights of shapes {W1.shape} and {W2.shape} do not fit together")
        return cls(Policy(np.asfortranarray(W1), W2), game, header.get("provenance", {}))
