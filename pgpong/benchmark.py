"""Training speed as a share of the bare emulator's, the two measured in turn in one process."""

import os
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ale_py.vector_env import AtariVectorEnv

from pgpong.config import TrainConfig
from pgpong.envs.game import EMULATOR_ACTIONS, Game, find_game
from pgpong.envs.preprocess import SCREEN_SHAPE
from pgpong.errors import SettingError
from pgpong.machine import available_cores
from pgpong.state import new_state
from pgpong.training import Record, train

STEPS = 256  # of each game in a round of the bare emulator, where the recipe does not say

PILOTS = 3  # measurements of each number of threads or workers before the rounds


@dataclass(frozen=True)
class Benchmark:
    """What was measured; the lists have an entry a round."""

    game: str
    recipe: str
    num_envs: int
    bare_threads: int
    training_workers: int
    bare_steps_per_second: list[float]
    training_steps_per_second: list[float]
    shares: dict[str, float]  # of the training's time: games, network, update

    @property
    def ratios(self) -> list[float]:
        """Training over bare emulator, round by round."""
        pairs = zip(self.training_steps_per_second, self.bare_steps_per_second, strict=True)
        return [training / bare for training, bare in pairs]

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.ratios)

    def as_dict(self) -> dict[str, Any]:
        """Return all figures, for JSON."""
        return {"ratio": self.ratio, "ratios": self.ratios, **vars(self)}


def benchmark(config: TrainConfig, rounds: int = 10) -> Benchmark:
    """Train and play bare in turn, `rounds` times a batch each, each with the threads or workers that suit.

    Bare means ale-py's vector environment with the same game, number of games and observation settings as
    the training, stepped with random ups and downs.

    Raises:
        SettingError: the game cannot be played by the vector environment.
    """
    game = find_game(config.env, config.frameskip, config.sticky)
    if not isinstance(game.frameskip, int):
        raise SettingError(
            f"{game.id} has a random frameskip, which ale-py's vector environment does not play"
        )
    steps = config.batch_steps or STEPS
    candidates = [available_cores(), 2 * available_cores()]
    bare_threads = _fastest(candidates, lambda threads: play_bare(game, config.num_envs, threads, steps))
    training_workers = _fastest(candidates, lambda workers: play_and_learn(config, game, workers))
    bare = play_bare(game, config.num_envs, bare_threads, steps)
    training = play_and_learn(config, game, training_workers)
    with closing(bare), closing(training):
        next(bare), next(training)  # caches and threads are warm after the first
        pairs = [(next(training), next(bare)) for _ in range(rounds)]
    records = [record for (_, record), _ in pairs]
    seconds = sum(record.seconds for record in records)
    return Benchmark(
        game=str(game),
        recipe=config.recipe,
        num_envs=config.num_envs,
        bare_threads=bare_threads,
        training_workers=training_workers,
        bare_steps_per_second=[speed for _, (speed, _) in pairs],
        training_steps_per_second=[speed for (speed, _), _ in pairs],
        shares={
            part: sum(getattr(record, f"{part}_seconds") for record in records) / seconds
            for part in ("games", "network", "update")
        },
    )


def play_and_learn(config: TrainConfig, game: Game, workers: int) -> Generator[tuple[float, Record]]:
    """Train; yield steps a second and the record of each batch with its update."""
    config = replace(config, num_workers=workers)
    records = train(config, new_state(config, game))
    while True:
        began = time.perf_counter()
        record = next(records)
        yield record.steps / (time.perf_counter() - began), record


def play_bare(game: Game, num_envs: int, threads: int, steps: int) -> Generator[tuple[float, None]]:
    """Step the bare emulator at random; yield steps a second over `steps` steps of each game."""
    env = make_bare(game, num_envs, threads)
    env.reset(seed=np.arange(num_envs))
    actions = np.random.default_rng(0).choice(EMULATOR_ACTIONS, (steps, num_envs))
    with closing(env):
        while True:
            began = time.perf_counter()
            for row in actions:
                env.step(row)
            yield steps * num_envs / (time.perf_counter() - began), None


def make_bare(game: Game, num_envs: int, threads: int) -> AtariVectorEnv:
    """Make ale-py's own vector environment: untouched grayscale screens, all six actions."""
    assert isinstance(game.frameskip, int)
    return AtariVectorEnv(
        game="pong",
        num_envs=num_envs,
        num_threads=threads,
        # With a thread for each core of the machine, thread i stays on core i. Left free, Linux wakes two of
        # them on the core that Python has just used while another is idle: a third of the speed was lost.
        thread_affinity_offset=0 if threads == available_cores() == os.cpu_count() else -1,
        frameskip=game.frameskip,
        repeat_action_probability=game.sticky,
        max_num_frames_per_episode=game.max_frames,
        img_height=SCREEN_SHAPE[0],
        img_width=SCREEN_SHAPE[1],
        stack_num=1,
        grayscale=True,
        maxpool=False,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
    )


def _fastest(candidates: list[int], measure: Callable[[int], Generator[tuple[float, Any]]]) -> int:
    """Return the number of threads or workers with the highest speed in the best of a few measurements."""
    speeds = {}
    for threads in candidates:
        with closing(measure(threads)) as speed:
            speeds[threads] = max(next(speed)[0] for _ in range(PILOTS))
    return max(speeds, key=lambda threads: speeds[threads])
