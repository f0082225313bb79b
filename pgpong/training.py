"""The training loop as a generator: play, update, yield a record. Everything else consumes records."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from pgpong.config import TrainConfig
from pgpong.envs.vector import PongVectorEnv, make_vec
from pgpong.learning.policy_gradient import UpdateStats, update
from pgpong.machine import available_cores
from pgpong.rollout import Episode, Rollout
from pgpong.state import TrainingState

SMALLEST_GROUP = 32  # games; smaller groups lose more to each call than turns gain


@dataclass(frozen=True)
class Record:
    """What one update was: the batch before it, the update, and where the seconds went."""

    stats: UpdateStats
    episodes: list[Episode]
    steps: int
    games_seconds: float
    network_seconds: float
    update_seconds: float

    @property
    def seconds(self) -> float:
        """Time of the batch and its update together."""
        return self.games_seconds + self.network_seconds + self.update_seconds


def train(
    config: TrainConfig,
    state: TrainingState,
    should_stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = warnings.warn,
) -> Iterator[Record]:
    """Train `state` in place and yield a record after each update, for ever or until `should_stop`.

    Whenever a record comes out, `state` stands at the boundary after its update. `should_stop` is asked at
    every step; a batch that it cuts short is forgotten. `tell` gets a line where the open games of a resumed
    training cannot be had back.

    Raises:
        NonFiniteError: the numbers went out of bounds in this update.
    """
    progress = state.progress
    policy = state.agent.policy
    # BLAS threads would take the cores from the emulator's, and their number changes the last bit of a sum.
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        envs = [stack.enter_context(closing(env)) for env in make_groups(config)]
        rollout = Rollout(envs, state.rng, config.batch_steps, config.episodes_per_game, state.games)
        if not rollout.exact:
            tell("the open games cannot be played again as they were (another ale-py?): they begin anew")
        while (played := rollout.play(policy, should_stop)) is not None:
            began = time.perf_counter()
            settings = config.at(progress.step)
            stats = update(policy, state.optimizer, played.batch, settings, state.rng, state.critic)
            update_seconds = time.perf_counter() - began
            record = Record(
                stats,
                played.episodes,
                played.steps,
                played.games_seconds,
                played.network_seconds,
                update_seconds,
            )
            progress.update += 1
            progress.episode += len(played.episodes)
            progress.step += played.steps
            progress.frame += played.frames
            progress.seconds += record.seconds
            progress.scores.extend(episode.score for episode in played.episodes)
            state.mark_boundary(rollout.pack())
            yield record


def make_groups(config: TrainConfig) -> Iterator[PongVectorEnv]:
    """Make the games of a training; in two groups that take turns, if they are enough for that to pay."""
    groups = 2 if config.num_envs >= 2 * SMALLEST_GROUP else 1
    workers = config.num_workers or available_cores()
    for group in range(groups):
        yield make_vec(
            (config.num_envs + group) // groups,
            config.env,
            frameskip=config.frameskip,
            sticky=config.sticky,
            num_workers=-(-workers // groups),
        )
