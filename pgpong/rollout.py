"""Plays games with a policy and hands out batches of rallies.

What keeps a batch unbiased:

- A batch of *steps* is a window in time over games that never pause: every rally that ends in the window
  belongs to it, long ones as often as they are played. A rally still open when the window closes waits,
  with what the policy thought when it played it, and goes into the batch in which it ends. So each step
  belongs to exactly one batch, with its true return, and no episode crowds out another.
- Where a critic can say what is to come, the open rallies need not wait, and every step is learnt from while
  the policy is still the one that played it. Of each such rally the last step alone waits: in this batch its
  frame stands for what follows, in the next one the step is learnt from.
- A batch of *episodes* gives each game the same number of episodes, started under the policy of this batch
  and played to their end. To take the first ten that finish would prefer the short ones. A game that is
  through early idles until the others are; it starts afresh with the next batch.

The games may be several groups. While the policy looks at one group, the emulators play the others.

Each episode begins with a seed of its own, so that a seed and the actions since are all there is to know of
a game: that is how a checkpoint keeps the open ones, and how a resumed training gets them back, exactly.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from pgpong.actions import IDLE
from pgpong.learning.batch import Batch, concatenate
from pgpong.learning.finite import require_finite
from pgpong.learning.frames import Frames, pack_frames, sparse_frames, stack_frames, unpack_frames
from pgpong.learning.policy import Policy, log_probability, sample

# Seeds of 32 bits are shared out, so that no published score is of games by which the agent was made or
# chosen: from 0 on those of `evaluate`, then those by which a training chooses its best agent, then the
# training's own. In the words of supervised learning: test, validation and training set.
FIRST_VALIDATION_SEED = 2**30
FIRST_TRAINING_SEED = 2**31
SEED_LIMIT = 2**32


@dataclass(frozen=True)
class Episode:
    """A finished game; `score` is the points won less the points lost."""

    score: int
    steps: int
    frames: int
    seed: int  # of the reset it began with
    screen: int  # checksum of its last screen
    actions: bytes  # one a step: 0 down, 1 up, 2 stay


@dataclass(frozen=True)
class Played:
    """What a stretch of playing brought: the rallies to learn from and the episodes that finished."""

    batch: Batch
    episodes: list[Episode]
    steps: int
    frames: int
    games_seconds: float  # in which it waited for emulator and preprocessing, and kept the books
    network_seconds: float  # spent in choosing actions


# What a checkpoint keeps of the games: named columns.
Columns: TypeAlias = dict[str, npt.NDArray[Any]]
BOOKS = ("seed", "episode", "steps", "score", "frame", "idle")  # (games,) each

# Frames of all games of a group at one step, and the columns that go with them.
Row: TypeAlias = tuple[Frames, tuple[npt.NDArray[Any], ...]]


class SplitStepEnv(Protocol):
    """What a rollout needs of a vector environment: a step in two halves, so that others can run between."""

    num_envs: int

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all games, or those of `options["reset_mask"]`, each with its seed."""

    def step_async(self, actions: npt.NDArray[np.int64], seed: Any = None) -> None:
        """Begin a step; the games that it resets get their seeds."""

    def step_wait(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Finish it; return observations, rewards, terminated, truncated, info."""

    def replay_async(self, histories: Sequence[tuple[int, npt.NDArray[np.uint8]]]) -> None:
        """Begin to bring each game to where a seed and actions lead; `step_wait` will sum the rewards."""


class Rollout:
    """Keeps the games of `envs` going with a policy, one batch at a time.

    A batch ends after `batch_steps` steps of each game (with the first rally's end, if that comes later),
    or when each has played `episodes_per_game` episodes; the one that is not asked for is 0. With `cut`, it
    has the rallies that are still open too, as far as they have come, each with a last step that waits
    (`Batch.waits`).

    Given what another rollout's `pack` returned, it goes on where that one stood. `exact` is False if its
    games, played again, did not come to the same frame and score, as may be under another version of the
    emulator: then all games begin anew, and no rally is open.
    """

    def __init__(
        self,
        envs: Sequence[SplitStepEnv],
        rng: np.random.Generator,
        batch_steps: int = 0,
        episodes_per_game: int = 0,
        packed: Columns | None = None,
        *,
        cut: bool = False,
    ) -> None:
        self.rng = rng
        self.cut = cut
        self.batch_steps = batch_steps or math.inf
        self.episodes_per_game = episodes_per_game or math.inf
        bounds = np.cumsum([0, *(env.num_envs for env in envs)]).tolist()
        self._groups = [
            Games(env, rng, np.arange(*share), stride=bounds[-1])
            for env, share in zip(envs, pairwise(bounds), strict=True)
        ]
        self._open: list[Batch] = []  # steps that wait, of rallies that have begun and not ended
        self.exact = not packed or self._unpack(packed)
        if not packed or not self.exact:
            for games in self._groups:
                games.start()

    def play(self, policy: Policy, should_stop: Callable[[], bool] = lambda: False) -> Played | None:
        """Play until the batch is full; None if `should_stop` said so before."""
        began = time.perf_counter()
        stopped = False
        playing = list(self._groups)
        for games in playing:
            games.begin(self.episodes_per_game)
            games.act(policy)
        while playing:
            for games in list(playing):
                games.observe()
                stopped = stopped or should_stop()
                if stopped or games.all_through or self._window_closes(games):
                    playing.remove(games)
                else:
                    games.act(policy)
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

    def pack(self) -> Columns:
        """Return what it takes to go on from here, between two batches.

        Of n games seed, episode, steps, score, frame and idle (n,), and actions, all games' one after the
        other; of the open rallies' r steps frames, action, logp and in_episode (r,).
        """
        books = [games.pack() for games in self._groups]
        packed = {name: np.concatenate([book[name] for book in books]) for name in books[0]}
        for waiting in self._open:
            packed |= pack_frames(waiting.frames)
            packed |= {"action": waiting.actions, "logp": waiting.logp, "in_episode": waiting.episode}
        return packed

    def _unpack(self, packed: Columns) -> bool:
        actions = np.split(packed["actions"], np.cumsum(packed["steps"])[:-1])
        for games in self._groups:
            games.replay(packed, actions)
        same = [games.replayed(packed) for games in self._groups]
        if not all(same):
            return False
        if "logp" in packed:
            n = len(packed["logp"])
            frames = unpack_frames(packed, self._groups[0].pixels)
            nothing, going_on = np.zeros(n), np.zeros(n, np.bool_)
            columns = packed["action"], packed["logp"], nothing, going_on, packed["in_episode"]
            self._open = [Batch(frames, *columns)]
        return True

    def _window_closes(self, games: "Games") -> bool:
        return len(games.rows) >= self.batch_steps and any(group.rally_ended for group in self._groups)

    def _sort_out(self, rows: list[Row]) -> Batch:
        """Sort what was played into rallies; hand out those that have ended and keep what is to wait."""
        active, *columns = (np.concatenate(parts) for parts in zip(*(c for _, c in rows), strict=True))
        played = Batch(stack_frames([x for x, _ in rows]), *columns)[active]
        steps = concatenate([*self._open, played])
        # Steps were played in turn by all games: a stable sort puts each episode's in a row.
        steps = steps[np.argsort(steps.episode, kind="stable")]
        if self.cut:
            self._open = [steps[steps.waits]]
            return steps
        last = steps.ends | steps.waits  # of a rally so far
        lengths = np.diff(np.flatnonzero(last), prepend=-1)
        finished = np.repeat(steps.ends[last], lengths)
        self._open = [steps[~finished]]
        return steps[finished]


class Games:
    """A group of games that step together: what they show, and the books that are kept of them.

    `rows` are the steps of the batch so far, all games' at once: the frames (games, pixels), then a mask of
    the games that count and the columns of a `Batch`, (games,) each. `numbers` are the games' own, of
    `stride` in all groups.
    """

    def __init__(
        self, env: SplitStepEnv, rng: np.random.Generator, numbers: npt.NDArray[np.int64], stride: int
    ) -> None:
        n = env.num_envs
        self.env = env
        self.rng = rng
        self._numbers = numbers
        self._stride = stride
        self._ended = np.zeros(n, np.bool_)  # at the step before: the next one only resets
        self._left = np.zeros(n)  # episodes still to play for this batch; none: the game idles
        self._observations: npt.NDArray[np.int8]
        # Of the running episodes:
        self._seed = np.zeros(n, np.int64)
        self._episode = numbers - stride  # its number, unlike any other's
        self._steps = np.zeros(n, np.int64)
        self._actions = np.zeros((n, 1024), np.uint8)  # the first `steps` of a row count
        self._score = np.zeros(n)
        self._frame = np.zeros(n, np.int64)

    def start(self) -> None:
        """Begin every game anew."""
        self._left[:] = 0
        self._restart_idle()

    def begin(self, episodes_per_game: float) -> None:
        """Begin a batch; games that idled since they were through with the last one start afresh."""
        self._restart_idle()
        self._left = np.full(self.env.num_envs, episodes_per_game)
        self.rows: list[Row] = []
        self.episodes: list[Episode] = []
        self.frames = 0
        self.rally_ended = False
        self.network_seconds = 0.0

    @property
    def all_through(self) -> bool:
        """Whether every game has played its episodes."""
        return not np.any(self._left > 0)

    def act(self, policy: Policy) -> None:
        """Choose an action for each game and begin the step."""
        began = time.perf_counter()
        x = sparse_frames(self._observations)
        h, z = policy.forward(policy.see(x))
        log_p = policy.backend.to_numpy(policy.log_probabilities(h, z))
        require_finite("a logit", log_p)
        playing = self._left > 0
        self._begin_episodes(self._ended & playing)
        actions = sample(np.exp(log_p), self.rng)
        self.env.step_async(np.where(playing, actions, IDLE), seed=self._seed.tolist())
        logp = log_probability(log_p, actions)
        self._acted = x, actions.astype(np.uint8), logp
        self.network_seconds += time.perf_counter() - began

    def observe(self) -> None:
        """Finish the step and write it down."""
        x, actions, logp = self._acted
        self._observations, rewards, terminated, truncated, info = self.env.step_wait()
        active = (self._left > 0) & ~self._ended
        # One that ran out of time (ALE: 108,000 frames) has ended too: too few do so to foretell the rest.
        self._ended = terminated | truncated
        ended = self._ended & active
        ends = ((rewards != 0) & active) | ended
        self.rows.append((x, (active, actions, logp, rewards, ends, self._episode.copy())))
        self.rally_ended = self.rally_ended or bool(ends.any())
        self._note_actions(active, actions)
        self._score += np.where(active, rewards, 0.0)
        frame = info["episode_frame_number"].astype(np.int64)
        self.frames += int((frame - self._frame)[active].sum())
        self._frame = frame
        self._left = self._left - ended
        for game in np.flatnonzero(ended):
            self.episodes.append(self._finished(game, info["final_screen"][game]))

    def pack(self) -> Columns:
        """Return the books; those of idle games are empty, for such a game will begin anew."""
        idle = self._left <= 0
        steps = np.where(idle, 0, self._steps)
        return {
            "seed": self._seed,
            "episode": self._episode,
            "steps": steps,
            "score": np.where(idle, 0, self._score).astype(np.int64),
            "frame": np.where(idle, 0, self._frame),
            "idle": idle.astype(np.uint8),
            "actions": np.concatenate([row[:n] for row, n in zip(self._actions, steps, strict=True)]),
        }

    def replay(self, packed: Columns, actions: list[npt.NDArray[np.uint8]]) -> None:
        """Take the books back, and begin to play the games again up to where they stood."""
        self._seed, self._episode, self._steps = (
            packed[name][self._numbers] for name in ("seed", "episode", "steps")
        )
        histories = [actions[number] for number in self._numbers]
        width = max(int(self._steps.max()), self._actions.shape[1])
        self._actions = np.array([np.pad(history, (0, width - len(history))) for history in histories])
        self.env.replay_async(list(zip(self._seed.tolist(), histories, strict=True)))

    def replayed(self, packed: Columns) -> bool:
        """Finish that; tell whether the games came out the same."""
        self._observations, self._score, terminated, truncated, info = self.env.step_wait()
        self._frame = info["episode_frame_number"].astype(np.int64)
        self._ended = terminated | truncated
        self._left = np.where(packed["idle"][self._numbers], 0.0, 1.0)
        score, frame = (packed[name][self._numbers] for name in ("score", "frame"))
        return np.array_equal(self._score, score) and np.array_equal(self._frame, frame)

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return math.prod(self._observations.shape[1:])

    def _finished(self, game: np.int64, screen: np.int64) -> Episode:
        """Sum up the episode of a game that has ended."""
        score, steps, frame, seed = (
            int(book[game]) for book in (self._score, self._steps, self._frame, self._seed)
        )
        return Episode(score, steps, frame, seed, int(screen), self._actions[game, :steps].tobytes())

    def _restart_idle(self) -> None:
        """Begin the games that idle anew."""
        idle = self._left <= 0
        if idle.any():
            self._begin_episodes(idle)
            seeds = self._seed.tolist()
            self._observations, _ = self.env.reset(seed=seeds, options={"reset_mask": idle})
            self._ended &= ~idle
            self._left[idle] = 1

    def _begin_episodes(self, which: npt.NDArray[np.bool_]) -> None:
        """Open new books for the games `which` (games,), with new seeds."""
        self._seed[which] = self.rng.integers(FIRST_TRAINING_SEED, SEED_LIMIT, np.count_nonzero(which))
        self._episode[which] += self._stride
        self._steps[which] = self._score[which] = self._frame[which] = 0

    def _note_actions(self, active: npt.NDArray[np.bool_], actions: npt.NDArray[np.uint8]) -> None:
        if self._steps.max() == self._actions.shape[1]:
            self._actions = np.hstack([self._actions, np.zeros_like(self._actions)])
        self._actions[active, self._steps[active]] = actions[active]
        self._steps += active
