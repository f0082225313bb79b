"""Many games at once, each equal to a single one bit for bit, played by worker processes."""

import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from pgpong.actions import IDLE, number_of_actions
from pgpong.envs.game import Game, action_space, find_game
from pgpong.envs.preprocess import observation_shape
from pgpong.envs.worker import Answer, History
from pgpong.errors import RunError, SettingError
from pgpong.machine import available_cores

Observations = npt.NDArray[np.int8]
Seed = int | Sequence[int | None] | None
Step = tuple[Observations, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]


def make_vec(
    num_envs: int,
    env_id: str = "ALE/Pong-v5",
    *,
    frameskip: int | tuple[int, int] | None = None,
    sticky: float | None = None,
    stay: bool = False,
    current: bool = False,
    num_workers: int = 0,
) -> "PongVectorEnv":
    """Make `num_envs` games of Pong that are played in step; column i equals `make()` seeded with seed + i.

    Observations are int8 (num_envs, 80, 80), actions (num_envs,) of 0 for down and 1 for up; `stay` and
    `current` are those of `make`. A game that has ended is reset by the step after (Gymnasium's NEXT_STEP),
    whose action is ignored; `info` has the frame number of each game, and the checksum of its screen if it
    has ended. `num_workers` processes play; 0 means one for each core. The number of workers changes no
    result.

    Raises:
        SettingError: the id is unknown or not Pong, or a setting is out of range.
    """
    game = find_game(env_id, frameskip, sticky)
    return PongVectorEnv(game, num_envs, num_workers, stay=stay, current=current)


class PongVectorEnv(VectorEnv[Observations, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """Difference frames and the actions of many games, shared out among worker processes."""

    def __init__(
        self, game: Game, num_envs: int, num_workers: int = 0, *, stay: bool = False, current: bool = False
    ) -> None:
        if num_envs < 1:
            raise SettingError(f"expected 1 game or more, got {num_envs}")
        if num_workers < 0:
            raise SettingError(f"expected 0 (one a core) or more workers, got {num_workers}")
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = Box(-1, 1, observation_shape(current), np.int8)
        self.single_action_space = action_space(stay)
        self._number_of_actions = number_of_actions(stay)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._shape = (num_envs, *observation_shape(current))
        self._observations: Observations = np.zeros(self._shape, np.int8)
        workers = min(num_workers or available_cores(), num_envs)
        bounds = [num_envs * worker // workers for worker in range(workers + 1)]
        self._shares = [slice(*pair) for pair in pairwise(bounds)]
        self._workers = [_Process(game, share.stop - share.start, current) for share in self._shares]

    def reset(
        self, *, seed: Seed = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Reset all games, or those of the boolean array `options["reset_mask"]` (num_envs,).

        Game i gets seed + i, or seeds[i] of a sequence with one seed a game; None lets the game's random
        generators go on from where they are.
        """
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_))
        seeds = self._one_a_game(seed)
        self._ask("reset", [(mask[share].tolist(), seeds[share]) for share in self._shares])
        shown = self._observations
        observations, *_, info = self._hear()
        of_game = mask.reshape(-1, *[1] * (observations.ndim - 1))
        self._observations = np.where(of_game, observations, shown)
        return self._observations, info

    def step(self, actions: npt.NDArray[np.int64]) -> Step:
        """Step all games; one that ended in the step before is reset, and its difference frame is all zeros.

        A game whose action is `IDLE` is not played, and stays as it is, ended or not.
        """
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: npt.NDArray[np.int64], seed: Seed = None) -> None:
        """Begin a step: the workers play while this process does something else.

        Games that the step resets get their seeds from `seed`, as in `reset`.

        Raises:
            ValueError: there is not one action a game, or no such action; the same of seeds. No game moves.
        """
        n = self._number_of_actions
        if actions.shape != (self.num_envs,) or actions.min() < IDLE or actions.max() >= n:
            raise ValueError(f"expected {self.num_envs} actions below {n}, one a game, got {actions}")
        seeds = self._one_a_game(seed)
        self._ask("step", [(actions[share].tolist(), seeds[share]) for share in self._shares])

    def step_wait(self) -> Step:
        """Finish the step that was begun; return what `step` does."""
        step = self._hear()
        self._observations = step[0]
        return step

    def replay_async(self, histories: Sequence[History]) -> None:
        """Begin to bring each game to where its seed and the actions since then lead.

        `step_wait` returns what the last of these steps did, but with rewards summed from the seed on.
        """
        self._ask("replay", [(histories[share],) for share in self._shares])

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()

    def _one_a_game(self, seed: Seed) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds, one a game, got {len(seeds)}")
        if any(s is not None and s < 0 for s in seeds):
            raise ValueError(f"expected seeds of 0 or more, got {seed}")
        return seeds

    def _ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        for worker, its in zip(self._workers, arguments, strict=True):
            worker.send((method, its))

    def _hear(self) -> Step:
        observations = np.zeros(self._shape, np.int8)
        answers: list[Answer] = [worker.receive() for worker in self._workers]
        for share, answer in zip(self._shares, answers, strict=True):
            observations[share].reshape(-1)[answer.pixels] = answer.values
        rewards, terminated, truncated, frames, screens = (
            np.concatenate([getattr(answer, name) for answer in answers])
            for name in ("rewards", "terminated", "truncated", "frames", "screens")
        )
        info = {"episode_frame_number": frames, "final_screen": screens}
        return observations, rewards, terminated, truncated, info


class _Process:
    """The environment's end of the line to one worker process."""

    def __init__(self, game: Game, n: int, current: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from pgpong.envs.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at the terminal is for the training to hear, not for its games
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.close = weakref.finalize(self, _end, self._process)  # also for those who forget to
        self.send((game, n, current))

    def send(self, request: Any) -> None:
        try:
            pickle.dump(request, self._requests, pickle.HIGHEST_PROTOCOL)
            self._requests.flush()
        except BrokenPipeError:
            self._mourn()

    def receive(self) -> Any:
        try:
            return pickle.load(self._answers)
        except (EOFError, pickle.UnpicklingError):  # it ended, perhaps in the middle of an answer
            self._mourn()

    def _mourn(self) -> NoReturn:
        status = self._process.wait()
        raise RunError(
            f"a process that plays games has ended (status {status}): is there enough memory?"
        ) from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a worker and wait for it: it holds nothing that could be lost."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):
            pipe.close()  # type: ignore[union-attr]
