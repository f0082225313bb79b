"""The training loop as a generator: play, update, yield a record. Everything else consumes records.

Now and then the agent is evaluated between two updates, before the next batch. Like that batch, an evaluation
is part of the record of the next update, and forgotten if it is cut short: a resumed training makes it again.
"""

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from pgpong.agent import Agent
from pgpong.config import TrainConfig
from pgpong.envs.vector import PongVectorEnv, make_vec
from pgpong.evaluation import Evaluation, validate
from pgpong.learning.backend import Backend
from pgpong.learning.policy_gradient import UpdateStats, update
from pgpong.machine import available_cores
from pgpong.rollout import Episode, Rollout
from pgpong.state import Progress, TrainingState

SMALLEST_GROUP = 16  # games; smaller groups lose more to each call than turns gain


@dataclass(frozen=True)
class Candidate:
    """An agent that was evaluated, and how far the training had come; both are copies."""

    agent: Agent
    progress: Progress
    evaluation: Evaluation
    seconds: float  # that the games took


@dataclass(frozen=True)
class Record:
    """What one update was: the batch before it, the update, and where the seconds went.

    `candidate` is the agent as it was before that batch, if it was evaluated.
    """

    stats: UpdateStats
    episodes: list[Episode]
    steps: int
    games_seconds: float
    network_seconds: float
    update_seconds: float
    candidate: Candidate | None = None

    @property
    def seconds(self) -> float:
        """Time of the batch and its update together, without the evaluation."""
        return self.games_seconds + self.network_seconds + self.update_seconds


def train(
    config: TrainConfig,
    state: TrainingState,
    should_stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = warnings.warn,
    *,
    threads: bool = True,
) -> Generator[Record]:
    """Train `state` in place and yield a record after each update, for ever or until `should_stop`.

    Whenever a record comes out, `state` stands at the boundary after its update. `should_stop` is asked at
    every step; a batch that it cuts short is forgotten. `tell` gets a line where the open games of a resumed
    training cannot be had back, and where minibatches have to be taken in pieces. With `threads`, policy and
    critic learn at the same time on the CPU.

    Raises:
        NonFiniteError: the numbers went out of bounds in this update.
        SettingError: memory does not suffice for it, not even for a single step.
        RunError: a process that plays games has ended.
    """
    progress = state.progress
    policy = state.agent.policy
    state.rng.bit_generator.state = state.rng_state  # a batch that was cut short has drawn from it
    # BLAS threads would take the cores from the emulator's, and their number changes the last bit of a sum.
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        executor = stack.enter_context(beside(policy.backend)) if threads else None
        envs = [stack.enter_context(closing(env)) for env in make_groups(config)]
        length = config.batch_steps, config.episodes_per_game
        rollout = Rollout(envs, state.rng, *length, state.games, cut=config.critic)
        if not rollout.exact:
            tell("the open games cannot be played again as they were (another ale-py?): they begin anew")
        pieces = 1
        while True:
            is_due = evaluation_is_due(config, progress)
            candidate = evaluate_state(config, state, should_stop) if is_due else None
            if (played := rollout.play(policy, should_stop)) is None:
                return
            began = time.perf_counter()
            settings = config.at(progress.step)
            learners = policy, state.optimizer, played.batch, settings, state.rng, state.critic, executor
            with policy.backend.naming_memory():
                stats = update(*learners)
            if (needed := state.pieces) > pieces:
                pieces = needed
                tell(f"{policy.backend} has too little memory: minibatches are taken in {pieces} pieces now")
            update_seconds = time.perf_counter() - began
            record = Record(
                stats,
                played.episodes,
                played.steps,
                played.games_seconds,
                played.network_seconds,
                update_seconds,
                candidate,
            )
            count(progress, record, played.frames)
            state.mark_boundary(rollout.pack())
            yield record


@contextmanager
def beside(backend: Backend) -> Iterator[Executor | None]:
    """Give a critic a thread to learn in beside the policy; on a GPU, which works in turn anyway, none."""
    if backend.device != "cpu":
        yield None
        return
    # PyTorch has a number of threads for each thread that calls it.
    with ThreadPoolExecutor(1, initializer=threadpool_limits, initargs=(1,)) as executor:
        yield executor


def count(progress: Progress, record: Record, frames: int) -> None:
    """Add a record, and the frames of its batch, to how far a training has come."""
    progress.update += 1
    progress.episode += len(record.episodes)
    progress.step += record.steps
    progress.frame += frames
    progress.seconds += record.seconds
    if record.candidate is not None:
        progress.seconds += record.candidate.seconds
        progress.evaluated = record.candidate.progress.episode
    progress.scores.extend(episode.score for episode in record.episodes)


def evaluation_is_due(config: TrainConfig, progress: Progress) -> bool:
    """Tell whether a multiple of `evaluate_every` episodes has been passed since the last evaluation."""
    every = config.evaluate_every
    return every > 0 and progress.episode // every > progress.evaluated // every


def evaluate_state(
    config: TrainConfig, state: TrainingState, should_stop: Callable[[], bool] = lambda: False
) -> Candidate | None:
    """Evaluate the agent as it is, without any change to `state`; None if `should_stop` said so before."""
    began = time.perf_counter()
    evaluation = validate(state.agent, config.evaluation_episodes, config.num_workers, should_stop)
    if evaluation is None:
        return None
    seconds = time.perf_counter() - began
    return Candidate(state.agent.copy(), deepcopy(state.progress), evaluation, seconds)


def make_groups(config: TrainConfig) -> Iterator[PongVectorEnv]:
    """Make the games of a training."""
    for num_envs, num_workers in split(config):
        yield make_vec(
            num_envs,
            config.env,
            frameskip=config.frameskip,
            sticky=config.sticky,
            stay=config.stay,
            current=config.current,
            num_workers=num_workers,
        )


def split(config: TrainConfig) -> list[tuple[int, int]]:
    """Split a training's games into two groups that take turns, if they are enough for that to pay.

    Return, for each group, its games and the processes that play them. The groups do not depend on the number
    of processes, for the order in which actions are drawn depends on the groups.
    """
    groups = 2 if config.num_envs >= 2 * SMALLEST_GROUP else 1
    workers = config.num_workers or available_cores()
    return [
        ((config.num_envs + group) // groups, max(1, (workers + group) // groups)) for group in range(groups)
    ]
