"""What one update learns from."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pgpong.learning.frames import Frames, stack_frames


@dataclass(frozen=True)
class Batch:
    """n steps, rally after rally, in the order they were played; each rally goes to its end.

    Or, in a batch that was cut, to a step that waits for what is to come of it. Shapes: frames (n, pixels),
    all others (n,).
    """

    frames: Frames  # what the policy saw
    actions: npt.NDArray[np.uint8]  # what it did: 0 down, 1 up, 2 stay
    logp: npt.NDArray[np.floating[Any]]  # how likely that was then, as the policy computes
    rewards: npt.NDArray[np.float64]  # what came of it: -1, 0, 1
    ends: npt.NDArray[np.bool_]  # the last step of a rally: a point, or the end of the episode
    episode: npt.NDArray[np.int64]  # a number for each episode, the same for all its steps

    @property
    def waits(self) -> npt.NDArray[np.bool_]:
        """The last step of each rally that has not ended, (n,)."""
        last_of_episode = np.append(self.episode[1:] != self.episode[:-1], True)
        return np.asarray(last_of_episode & ~self.ends, np.bool_)

    def __len__(self) -> int:
        """Count the steps."""
        return len(self.actions)

    def __getitem__(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Batch":
        """Pick steps by index or mask."""
        return Batch(*(getattr(self, column.name)[rows] for column in fields(self)))


def concatenate(batches: list[Batch]) -> Batch:
    """Put batches one after the other."""
    columns = {column.name: [getattr(b, column.name) for b in batches] for column in fields(Batch)}
    frames = stack_frames(columns.pop("frames"))
    return Batch(frames, **{name: np.concatenate(parts) for name, parts in columns.items()})
