"""Training speed as a share of the bare emulator's, the two measured in turn in one process."""

import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ale_py.vector_env import AtariVectorEnv

from pgpong.config import TrainConfig
from pgpong.contenders import STEPS, Contender, first_core, play_at_random
from pgpong.envs.game import Game, find_game
from pgpong.envs.preprocess import SCREEN_SHAPE
from pgpong.errors import SettingError
from pgpong.machine import available_cores
from pgpong.profiling import where_time_goes
from pgpong.state import new_state
from pgpong.training import Record, train

PILOTS = 3  # measurements of each number of threads or workers before the rounds

BARE, TRAINING = "bare emulator", "training"


@dataclass(frozen=True)
class Benchmark:
    """What was measured: by name, steps a second in each round."""

    game: Game
    config: TrainConfig  # with the workers that suit
    bare_threads: int
    steps_per_second: dict[str, list[float]]  # of the bare emulator, the training, and what was compared
    shares: dict[str, float]  # of the training's time: games, network, update
    microseconds: dict[str, dict[str, float]]  # of one core a step of the training takes, by part

    def ratios(self, name: str = TRAINING) -> list[float]:
        """Return the speed over the bare emulator's, round by round."""
        pairs = zip(self.steps_per_second[name], self.steps_per_second[BARE], strict=True)
        return [speed / bare for speed, bare in pairs]

    def ratio(self, name: str = TRAINING) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.ratios(name))

    def as_dict(self) -> dict[str, Any]:
        """Return all figures, for JSON."""
        return {
            "game": str(self.game),
            "recipe": self.config.recipe,
            "num_envs": self.config.num_envs,
            "bare_threads": self.bare_threads,
            "training_workers": self.config.num_workers,
            "ratio": self.ratio(),
            "ratios": {name: self.ratios(name) for name in self.steps_per_second},
            "steps_per_second": self.steps_per_second,
            "shares": self.shares,
            "microseconds": self.microseconds,
        }


def benchmark(config: TrainConfig, rounds: int = 10, contenders: Sequence[Contender] = ()) -> Benchmark:
    """Train, play bare and let `contenders` play in turn, `rounds` times a batch each.

    Bare means ale-py's vector environment with the same game, number of games and observation settings as
    the training, stepped with random ups and downs. Threads and workers are as many as suit each.

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
    workers = _fastest(
        candidates, lambda workers: play_and_learn(replace(config, num_workers=workers), game, [])
    )
    config = replace(config, num_workers=workers)
    records: list[Record] = []
    players = {
        BARE: play_bare(game, config.num_envs, bare_threads, steps),
        TRAINING: play_and_learn(config, game, records),
        **{contender.name: contender.play(game, config.num_envs) for contender in contenders},
    }
    with ExitStack() as stack:
        for player in players.values():
            next(stack.enter_context(closing(player)))  # caches and threads are warm after the first
        records.clear()
        turns = [{name: next(player) for name, player in players.items()} for _ in range(rounds)]
    seconds = sum(record.seconds for record in records)
    return Benchmark(
        game=game,
        config=config,
        bare_threads=bare_threads,
        steps_per_second={name: [turn[name] for turn in turns] for name in players},
        shares={
            part: sum(getattr(record, f"{part}_seconds") for record in records) / seconds
            for part in ("games", "network", "update")
        },
        microseconds=where_time_goes(config, game),
    )


def play_and_learn(config: TrainConfig, game: Game, records: list[Record]) -> Generator[float]:
    """Train; add the record of each batch with its update to `records`, and yield its steps a second."""
    config = replace(config, evaluate_every=0)  # a round is a batch and its update
    for_ever = train(config, new_state(config, game))
    while True:
        began = time.perf_counter()
        record = next(for_ever)
        elapsed = time.perf_counter() - began
        records.append(record)
        yield record.steps / elapsed


def play_bare(game: Game, num_envs: int, threads: int, steps: int) -> Generator[float]:
    """Step the bare emulator at random; yield steps a second over `steps` steps of each game."""
    env = make_bare(game, num_envs, threads)
    env.reset(seed=np.arange(num_envs))
    yield from play_at_random(env, num_envs, steps)


def make_bare(game: Game, num_envs: int, threads: int) -> AtariVectorEnv:
    """Make ale-py's own vector environment: untouched grayscale screens, all six actions."""
    assert isinstance(game.frameskip, int)
    return AtariVectorEnv(
        game="pong",
        num_envs=num_envs,
        num_threads=threads,
        thread_affinity_offset=first_core(threads),
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


def _fastest(candidates: list[int], measure: Callable[[int], Generator[float]]) -> int:
    """Return the number of threads or workers with the highest speed in the best of a few measurements."""
    speeds = {}
    for threads in candidates:
        with closing(measure(threads)) as speed:
            speeds[threads] = max(next(speed) for _ in range(PILOTS))
    return max(speeds, key=lambda threads: speeds[threads])
