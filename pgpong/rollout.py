"""Plays games with a policy and hands out batches of whole rallies.

What keeps a batch unbiased:

- A batch of *steps* is a window in time over games that never pause: every rally that ends in the window
  belongs to it, long ones as often as they are played. A rally still open when the window closes waits,
  with what the policy thought when it played it, and goes into the batch in which it ends. So each step
  is learnt from exactly once, with its true return, and no episode crowds out another.
- A batch of *episodes* gives each game the same number of episodes, started under the policy of this batch
  and played to their end. To take the first ten that finish would prefer the short ones. A game that is
  through early idles until the others are; it starts afresh with the next batch.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from pgpong.learning.batch import Batch, concatenate
from pgpong.learning.frames import Frames, sparse_frames, stack_frames
from pgpong.learning.policy import Policy, log_probability, probability_of_up

# Games of the training are seeded from the upper half of 32 bits, evaluations from the lower half.
FIRST_TRAINING_SEED = 2**31
SEED_LIMIT = 2**32


@dataclass(frozen=True)
class Episode:
    """A finished game; `score` is the points won less the points lost."""

    score: int
    steps: int
    frames: int
    seed: int | None  # of the reset it began with; None if the game just went on from the one before


@dataclass(frozen=True)
class Played:
    """What a stretch of playing brought: the rallies to learn from and the episodes that finished."""

    batch: Batch
    episodes: list[Episode]
    steps: int
    frames: int
    games_seconds: float  # spent in the emulator and the preprocessing
    network_seconds: float  # spent in choosing actions


class Rollout:
    """Keeps the games of `env` going with a policy, one batch at a time.

    A batch ends after `batch_steps` steps of each game (with the first rally's end, if that comes later),
    or when each has played `episodes_per_game` episodes; the one that is not asked for is 0.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        rng: np.random.Generator,
        batch_steps: int = 0,
        episodes_per_game: int = 0,
    ) -> None:
        self.env = env
        self.rng = rng
        self.batch_steps = batch_steps or math.inf
        self.episodes_per_game = episodes_per_game or math.inf
        n = env.num_envs
        self._seeds: list[int | None] = rng.integers(FIRST_TRAINING_SEED, SEED_LIMIT, n).tolist()
        self._observations, _ = env.reset(seed=self._seeds)
        self._ended = np.zeros(n, np.bool_)  # at the step before: the next one only resets
        self._idle = np.zeros(n, np.bool_)  # games that are through with a batch of episodes
        self._score = np.zeros(n)
        self._steps = np.zeros(n, np.int64)
        self._frame = np.zeros(n, np.int64)
        self._episode = np.arange(n)  # a serial number for each running episode
        self._open: list[Batch] = []  # rallies that have begun and not ended

    def play(self, policy: Policy, should_stop: Callable[[], bool] = lambda: False) -> Played | None:
        """Play until the batch is full; None if `should_stop` said so before."""
        self._restart(self._idle)
        rows: list[tuple[Frames, tuple[npt.NDArray[Any], ...]]] = []
        episodes: list[Episode] = []
        left = np.full(self.env.num_envs, self.episodes_per_game)
        rally_ended = False
        frames, network = 0, 0.0
        began = time.perf_counter()
        while np.any(left > 0) and (len(rows) < self.batch_steps or not rally_ended):
            if should_stop():
                return None
            looked = time.perf_counter()
            x = sparse_frames(self._observations)
            _, z = policy.forward(x)
            up = self.rng.random(len(z)) < probability_of_up(z, policy.xp)
            network += time.perf_counter() - looked

            active = (left > 0) & ~self._ended
            self._observations, rewards, terminated, truncated, info = self.env.step(up.astype(np.int64))
            ended = (terminated | truncated) & active
            ends = ((rewards != 0) | ended) & active
            logp = log_probability(z, up, policy.xp)
            rows.append((x, (active, up, logp, rewards, ends, self._episode.copy())))
            rally_ended = rally_ended or bool(ends.any())
            frames += self._count(active, rewards, info["episode_frame_number"])
            episodes += [self._finish(game) for game in np.flatnonzero(ended)]
            left = left - ended
            self._ended = terminated | truncated
        self._idle = left <= 0
        steps = int(sum(np.count_nonzero(active) for _, (active, *_) in rows))
        batch = self._close(rows)
        games = time.perf_counter() - began - network
        return Played(batch, episodes, steps, frames, games, network)

    def _restart(self, games: npt.NDArray[np.bool_]) -> None:
        """Reset the games of a mask; the emulators' random states go on."""
        if games.any():
            self._observations, _ = self.env.reset(options={"reset_mask": games})
            self._ended = self._ended & ~games
            self._frame[games] = 0

    def _count(
        self, active: npt.NDArray[np.bool_], rewards: npt.NDArray[np.float64], frame: npt.NDArray[np.int64]
    ) -> int:
        """Add one step to the running episodes; return the frames it took."""
        self._score += np.where(active, rewards, 0.0)
        self._steps += active
        frames = int((frame - self._frame)[active].sum())
        self._frame = frame.astype(np.int64)
        return frames

    def _finish(self, game: np.int64) -> Episode:
        """Close the books of a game that has ended, and open those of the next."""
        episode = Episode(
            int(self._score[game]), int(self._steps[game]), int(self._frame[game]), self._seeds[game]
        )
        self._score[game] = self._steps[game] = 0
        self._seeds[game] = None
        self._episode[game] = self._episode.max() + 1
        return episode

    def _close(self, rows: list[tuple[Frames, tuple[npt.NDArray[Any], ...]]]) -> Batch:
        """Sort what was played into rallies; hand out those that have ended and keep the open ones."""
        active, *columns = (np.concatenate(parts) for parts in zip(*(c for _, c in rows), strict=True))
        played = Batch(stack_frames([x for x, _ in rows]), *columns)[active]
        steps = concatenate([*self._open, played])
        # Steps were played in turn by all games: a stable sort puts each episode's in a row.
        steps = steps[np.argsort(steps.episode, kind="stable")]
        last = np.append(steps.episode[1:] != steps.episode[:-1], True) | steps.ends  # of a rally so far
        lengths = np.diff(np.flatnonzero(last), prepend=-1)
        finished = np.repeat(steps.ends[last], lengths)
        self._open = [steps[~finished]]
        return steps[finished]
