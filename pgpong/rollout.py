"""Plays games with a policy and hands out batches of whole rallies.

What keeps a batch unbiased:

- A batch of *steps* is a window in time over games that never pause: every rally that ends in the window
  belongs to it, long ones as often as they are played. A rally still open when the window closes waits,
  with what the policy thought when it played it, and goes into the batch in which it ends. So each step
  is learnt from exactly once, with its true return, and no episode crowds out another.
- A batch of *episodes* gives each game the same number of episodes, started under the policy of this batch
  and played to their end. To take the first ten that finish would prefer the short ones. A game that is
  through early idles until the others are; it starts afresh with the next batch.

The games may be several groups. While the policy looks at one group, the emulators play the others.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

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


# Frames of all games of a group at one step, and the columns that go with them.
Row: TypeAlias = tuple[Frames, tuple[npt.NDArray[Any], ...]]


class SplitStepEnv(Protocol):
    """What a rollout needs of a vector environment: a step in two halves, so that others can run between."""

    num_envs: int

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all games, or those of `options["reset_mask"]`."""

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Begin a step."""

    def step_wait(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Finish it; return observations, rewards, terminated, truncated, info."""


class Rollout:
    """Keeps the games of `envs` going with a policy, one batch at a time.

    A batch ends after `batch_steps` steps of each game (with the first rally's end, if that comes later),
    or when each has played `episodes_per_game` episodes; the one that is not asked for is 0.
    """

    def __init__(
        self,
        envs: Sequence[SplitStepEnv],
        rng: np.random.Generator,
        batch_steps: int = 0,
        episodes_per_game: int = 0,
    ) -> None:
        self.rng = rng
        self.batch_steps = batch_steps or math.inf
        self.episodes_per_game = episodes_per_game or math.inf
        serials = itertools.count()
        self._groups = [Games(env, rng, serials) for env in envs]
        self._open: list[Batch] = []  # rallies that have begun and not ended

    def play(self, policy: Policy, should_stop: Callable[[], bool] = lambda: False) -> Played | None:
        """Play until the batch is full; None if `should_stop` said so before."""
        began = time.perf_counter()
        stopped = False
        playing = list(self._groups)
        for games in playing:
            games.begin(self.episodes_per_game)
            games.act(policy, self.rng)
        while playing:
            for games in list(playing):
                games.observe()
                stopped = stopped or should_stop()
                if stopped or games.all_through or self._window_closes(games):
                    playing.remove(games)
                else:
                    games.act(policy, self.rng)
        if stopped:
            return None
        batch = self._sort_out([row for games in self._groups for row in games.rows])
        network = sum(games.network_seconds for games in self._groups)
        return Played(
            batch,
            [episode for games in self._groups for episode in games.episodes],
            steps=int(
                sum(np.count_nonzero(active) for games in self._groups for _, (active, *_) in games.rows)
            ),
            frames=sum(games.frames for games in self._groups),
            games_seconds=time.perf_counter() - began - network,
            network_seconds=network,
        )

    def _window_closes(self, games: "Games") -> bool:
        return len(games.rows) >= self.batch_steps and any(group.rally_ended for group in self._groups)

    def _sort_out(self, rows: list[Row]) -> Batch:
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


class Games:
    """A group of games that step together: what they show, and the books that are kept of them.

    `rows` are the steps of the batch so far, all games' at once: the frames (games, pixels), then a mask of
    the games that count and the columns of a `Batch`, (games,) each.
    """

    def __init__(self, env: SplitStepEnv, rng: np.random.Generator, serials: Iterator[int]) -> None:
        n = env.num_envs
        self.env = env
        self._serials = serials
        self._seeds: list[int | None] = rng.integers(FIRST_TRAINING_SEED, SEED_LIMIT, n).tolist()
        self._observations, _ = env.reset(seed=self._seeds)
        self._ended = np.zeros(n, np.bool_)  # at the step before: the next one only resets
        self._left = np.ones(n)  # episodes still to play for this batch
        self._score = np.zeros(n)
        self._steps = np.zeros(n, np.int64)
        self._frame = np.zeros(n, np.int64)  # of the running episode
        self._episode = np.array([next(serials) for _ in range(n)])  # its number, unlike any other's

    def begin(self, episodes_per_game: float) -> None:
        """Begin a batch; games that idled since they were through with the last one start afresh."""
        idle = self._left <= 0
        if idle.any():
            self._observations, _ = self.env.reset(options={"reset_mask": idle})
            self._ended &= ~idle
            self._frame[idle] = 0
        self._left = np.full(len(idle), episodes_per_game)
        self.rows: list[Row] = []
        self.episodes: list[Episode] = []
        self.frames = 0
        self.rally_ended = False
        self.network_seconds = 0.0

    @property
    def all_through(self) -> bool:
        """Whether every game has played its episodes."""
        return not np.any(self._left > 0)

    def act(self, policy: Policy, rng: np.random.Generator) -> None:
        """Choose an action for each game and begin the step."""
        began = time.perf_counter()
        x = sparse_frames(self._observations)
        _, z = policy.forward(x)
        up = rng.random(len(z)) < probability_of_up(z, policy.xp)
        self.env.step_async(up.astype(np.int64))
        self._acted = x, up, log_probability(z, up, policy.xp)
        self.network_seconds += time.perf_counter() - began

    def observe(self) -> None:
        """Finish the step and write it down."""
        x, up, logp = self._acted
        self._observations, rewards, terminated, truncated, info = self.env.step_wait()
        active = (self._left > 0) & ~self._ended
        ended = (terminated | truncated) & active
        ends = ((rewards != 0) | ended) & active
        self.rows.append((x, (active, up, logp, rewards, ends, self._episode.copy())))
        self.rally_ended = self.rally_ended or bool(ends.any())
        self._score += np.where(active, rewards, 0.0)
        self._steps += active
        frame = info["episode_frame_number"].astype(np.int64)
        self.frames += int((frame - self._frame)[active].sum())
        self._frame = frame
        for game in np.flatnonzero(ended):
            self._finish(game)
        self._left = self._left - ended
        self._ended = terminated | truncated

    def _finish(self, game: np.int64) -> None:
        """Close the books of a game that has ended, and open those of the next."""
        score, steps, frames = (int(book[game]) for book in (self._score, self._steps, self._frame))
        self.episodes.append(Episode(score, steps, frames, self._seeds[game]))
        self._score[game] = self._steps[game] = 0
        self._seeds[game] = None
        self._episode[game] = next(self._serials)
