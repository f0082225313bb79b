"""Plays evaluation games: each from its own seed, to its end, none shared with any training.

`evaluate` makes the scores that are published. A training chooses its best agent by `validate`, with other
games: or the score of that agent would be of the games that it was chosen for.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from threadpoolctl import threadpool_limits

from pgpong.actions import IDLE
from pgpong.agent import Agent
from pgpong.envs.vector import PongVectorEnv
from pgpong.errors import SettingError
from pgpong.rollout import FIRST_VALIDATION_SEED
from pgpong.storage.arrays import Meta
from pgpong.storage.replay import Replay

GAMES_AT_ONCE = 32
ENOUGH = 100  # games of a score that may be published
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Evaluation:
    """Scores and lengths of the games with seeds `first_seed`, `first_seed` + 1, ..."""

    game: str
    greedy: bool
    first_seed: int
    scores: list[int]
    steps: list[int]

    @classmethod
    def of(cls, agent: Agent, greedy: bool, first_seed: int, games: Iterable[Replay]) -> "Evaluation":
        """Sum games of an agent up."""
        played = [(replay.score, len(replay.actions)) for replay in games]
        return cls(str(agent.game), greedy, first_seed, [s for s, _ in played], [n for _, n in played])

    @property
    def mean(self) -> float:
        """Mean score."""
        return sum(self.scores) / len(self.scores)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the mean by Student's t, within -21 to 21; None for a single game."""
        return mean_interval(self.scores)

    @property
    def won(self) -> int:
        """Games with a positive score."""
        return sum(score > 0 for score in self.scores)

    def as_dict(self) -> dict[str, Any]:
        """Return all figures, for JSON."""
        derived = {
            "episodes": len(self.scores),
            "mean": self.mean,
            "interval": self.interval,
            "won": self.won,
        }
        return {**derived, **asdict(self)}


def mean_interval(scores: list[int]) -> tuple[float, float] | None:
    """Return mean ± t s / √n at 95%, cut to the scores that there can be.

    >>> [round(bound, 3) for bound in mean_interval([1, 2, 3])]
    [-0.484, 4.484]
    """
    n = len(scores)
    if n < 2:
        return None
    mean = sum(scores) / n
    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * float(np.std(scores, ddof=1)) / math.sqrt(n)
    return max(-21.0, mean - half), min(21.0, mean + half)


def check_seeds(seed: int, episodes: int) -> None:
    """Check that no training or choice of agents uses the seeds of so many episodes, from `seed` on.

    Raises:
        SettingError: one does.
    """
    if not 0 <= seed <= FIRST_VALIDATION_SEED - episodes:
        raise SettingError(f"expected a seed from 0 to {FIRST_VALIDATION_SEED - episodes}, got {seed}")


def evaluate(
    agent: Agent,
    episodes: int = 100,
    seed: int = 0,
    *,
    greedy: bool = False,
    num_workers: int = 0,
    keep: Callable[[Replay], None] = lambda replay: None,
) -> Evaluation:
    """Play `episodes` games of the agent's own environment with the seeds `seed`, `seed` + 1, ...

    Every game that is begun is played to its end and counted, so short games are not preferred. Actions are
    sampled, unless `greedy`, from a random generator seeded with `seed`: the same call, the same games.
    `keep` gets a replay of each.

    Raises:
        SettingError: no episodes are asked for, or the seeds would run into those of trainings.
    """
    if episodes < 1:
        raise SettingError(f"expected 1 episode or more, got {episodes}")
    check_seeds(seed, episodes)
    games = []
    for replay in play(agent, episodes, seed, greedy=greedy, num_workers=num_workers):
        keep(replay)
        games.append(replay)
    return Evaluation.of(agent, greedy, seed, games)


def validate(
    agent: Agent,
    episodes: int,
    num_workers: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Play the games by which a training chooses its best agent, the same ones for every agent.

    Actions are sampled. `should_stop` is asked at every step; None if it said so before the last game's end.
    """
    games = list(
        play(agent, episodes, FIRST_VALIDATION_SEED, num_workers=num_workers, should_stop=should_stop)
    )
    whole = len(games) == episodes
    return Evaluation.of(agent, False, FIRST_VALIDATION_SEED, games) if whole else None


def play(
    agent: Agent,
    episodes: int,
    seed: int,
    *,
    greedy: bool = False,
    num_workers: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Replay]:
    """Play games with the seeds `seed`, `seed` + 1, ... and yield them as replays.

    Actions are sampled, unless `greedy`, from a random generator seeded with `seed`. The games of the moment
    at which `should_stop` says so, and those after them, are not yielded.
    """
    rng = None if greedy else np.random.default_rng(seed)
    with (
        threadpool_limits(1),  # the cores are the emulator's
        closing(agent.make_vec(min(GAMES_AT_ONCE, episodes), num_workers)) as env,
    ):
        for first in range(0, episodes, env.num_envs):
            games = play_once(agent, env, min(env.num_envs, episodes - first), seed + first, rng, should_stop)
            if games is None:
                return
            yield from games


def play_once(
    agent: Agent,
    env: PongVectorEnv,
    n: int,
    seed: int,
    rng: np.random.Generator | None,
    should_stop: Callable[[], bool],
) -> list[Replay] | None:
    """Play one game each with the seeds `seed` to `seed` + n - 1; return them as replays, None if stopped.

    The first n games of `env` are played, and the others left alone.
    """
    scores, steps, screens = (np.zeros(env.num_envs, np.int64) for _ in range(3))
    running = np.arange(env.num_envs) < n
    played: list[npt.NDArray[np.int64]] = []
    observations, _ = env.reset(seed=seed, options={"reset_mask": running})
    while running.any():
        if should_stop():
            return None
        actions = np.full(env.num_envs, IDLE)
        actions[:n] = agent.act(observations[:n], rng)
        played.append(actions[:n])
        observations, rewards, terminated, truncated, info = env.step(np.where(running, actions, IDLE))
        scores += (rewards * running).astype(np.int64)
        steps += running
        ended = (terminated | truncated) & running
        screens[ended] = info["final_screen"][ended]
        running &= ~ended
    of_game = np.array(played, np.uint8).T  # (games, steps of the longest)
    facts: Meta = {key: agent.provenance[key] for key in ("run", "episode") if key in agent.provenance}
    facts["actions"] = "greedy" if rng is None else "sampled"
    return [
        Replay(
            agent.game,
            seed + i,
            of_game[i, : steps[i]].copy(),
            int(scores[i]),
            int(screens[i]),
            provenance=facts,
        )
        for i in range(n)
    ]
