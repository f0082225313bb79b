"""Where the time of a training goes: processor time by part, from Python's own profiler."""

import inspect
import time
from collections.abc import Callable
from cProfile import Profile
from types import CodeType
from typing import Any, ParamSpec, TypeVar

import numpy as np

from pgpong.actions import number_of_actions
from pgpong.config import TrainConfig
from pgpong.envs.emulator import Emulator
from pgpong.envs.game import Game
from pgpong.envs.vector import PongVectorEnv
from pgpong.envs.worker import Worker
from pgpong.learning.ascent import ascend
from pgpong.learning.critic import Critic
from pgpong.learning.frames import sparse_frames
from pgpong.learning.policy import Policy
from pgpong.learning.policy_gradient import climb, minibatch_gradient, update
from pgpong.rollout import Games, Rollout
from pgpong.state import TrainingState, new_state
from pgpong.training import split, train

EPISODE = 1500  # steps a game is profiled for: an episode of random play and its reset are in them

P = ParamSpec("P")
R = TypeVar("R")


class Spent:
    """Processor time that went into the Python functions called by `run`."""

    def __init__(self) -> None:
        self.steps = 0  # that the time was spent on
        self._profile = Profile(time.process_time, builtins=False)

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function and add up what is called in it."""
        return self._profile.runcall(function, *args, **kwargs)

    def on(self, function: Callable[..., Any], caller: Callable[..., Any] | None = None) -> float:
        """Return microseconds a step in a function and all below it; of calls by `caller` alone, if given."""
        entries = self._profile.getstats()
        if caller is None:
            times = {entry.code: entry.totaltime for entry in entries}
        else:
            (calls,) = (entry.calls or [] for entry in entries if entry.code is _code(caller))
            times = {call.code: call.totaltime for call in calls}
        return 1e6 * times.get(_code(function), 0.0) / self.steps


def where_time_goes(config: TrainConfig, game: Game, batches: int = 2) -> dict[str, dict[str, float]]:
    """Train some batches under the profiler; return what a step costs by part, in microseconds of one core.

    What a process that plays does, it does once more here, where it is seen.
    """
    state = new_state(config, game)
    learner = _profile_learner(config, state, batches)
    games, workers = split(config)[-1]
    player = _profile_player(game, -(-games // workers), config)
    emulator, resets = player.on(Emulator.step), player.on(Emulator.reset)
    sparse, forward = learner.on(sparse_frames), learner.on(Policy.forward, Games.act)
    asking, hearing = learner.on(PongVectorEnv.step_async), learner.on(PongVectorEnv.step_wait)
    forward_again, backward = (
        learner.on(function, minibatch_gradient) for function in (Policy.forward, Policy.backward)
    )
    stepping = learner.on(ascend, climb)
    critic = {"critic": learner.on(Critic.values) + learner.on(Critic.learn)} if config.critic else {}
    return {
        "games": {
            "emulator": emulator,
            "resets": resets,
            "preprocessing": player.on(Worker.step) - emulator - resets,
            "to and from the learner": asking + hearing,
        },
        "network": {
            "sparse frames": sparse,
            "forward": forward,
            "actions": learner.on(Games.act) - sparse - forward - asking,
        },
        "rallies": {
            "books": learner.on(Games.observe) - hearing,
            "sorting": learner.on(Rollout._sort_out),
        },
        "update": {
            "forward": forward_again,
            "backward": backward,
            "optimiser": stepping,
            **critic,
            "the rest": learner.on(update) - forward_again - backward - stepping - sum(critic.values()),
        },
    }


def _profile_learner(config: TrainConfig, state: TrainingState, batches: int) -> Spent:
    records = train(config, state, threads=False)  # or the profiler would not see the critic
    next(records)  # the first batch is of a few short rallies, and nothing is warm
    spent = Spent()
    for _ in range(batches):
        spent.steps += spent.run(next, records).steps
    return spent


def _profile_player(game: Game, num_envs: int, config: TrainConfig) -> Spent:
    worker = Worker(game, num_envs, config.current)
    seeds: list[int | None] = [*range(num_envs)]
    worker.reset([True] * num_envs, seeds)
    spent = Spent()
    kinds = number_of_actions(config.stay)
    for actions in np.random.default_rng(0).integers(0, kinds, (EPISODE, num_envs)).tolist():
        spent.run(worker.step, actions, seeds)
        spent.steps += num_envs
    return spent


def _code(function: Callable[..., Any]) -> CodeType:
    code: CodeType = inspect.unwrap(function).__code__
    return code
