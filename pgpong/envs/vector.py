"""Many games at once: ale-py's C++ vector environment, seen through the same preprocessing."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from ale_py.vector_env import AtariVectorEnv
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

from pgpong.envs.game import EMULATOR_ACTIONS, Game, find_game
from pgpong.envs.preprocess import PICTURE_SHAPE, SCREEN_SHAPE, difference_frame, picture
from pgpong.envs.seeding import emulator_seed, usable_seed
from pgpong.envs.wrappers import make_single
from pgpong.errors import SettingError
from pgpong.machine import available_cores

Pictures = npt.NDArray[np.int8]


def make_vec(
    num_envs: int,
    env_id: str = "ALE/Pong-v5",
    *,
    frameskip: int | tuple[int, int] | None = None,
    sticky: float | None = None,
    num_threads: int = 0,
) -> "PongVectorEnv | SinglesVectorEnv":
    """Make `num_envs` games of Pong that are played in step; column i equals `make()` seeded with seed + i.

    Observations are int8 (num_envs, 80, 80), actions (num_envs,) of 0 for down and 1 for up. A game that
    has ended is reset by the step after (Gymnasium's NEXT_STEP), whose action is ignored. `num_threads`
    emulator threads play; 0 means one for each core. The number of threads changes no result.

    Raises:
        SettingError: the id is unknown or not Pong, or a setting is out of range.
    """
    if num_envs < 1:
        raise SettingError(f"expected 1 game or more, got {num_envs}")
    if num_threads < 0:
        raise SettingError(f"expected 0 (one a core) or more emulator threads, got {num_threads}")
    game = find_game(env_id, frameskip, sticky)
    if isinstance(game.frameskip, int):
        return PongVectorEnv(make_screens_vec(game, num_envs, num_threads))
    # AtariVectorEnv knows no random frameskip: such a game is played singly, several in turn.
    return SinglesVectorEnv([lambda: make_single(game)] * num_envs)


def make_screens_vec(game: Game, num_envs: int, num_threads: int = 0) -> AtariVectorEnv:
    """Make the bare vectorised emulator: untouched grayscale screens, all six actions."""
    assert isinstance(game.frameskip, int)
    threads = num_threads or available_cores()
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
        # What a single game does not do is switched off, so that the two are equal bit for bit.
        maxpool=False,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
    )


class PongVectorEnv(VectorEnv[Pictures, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """Difference frames and two actions over an `AtariVectorEnv` that shows whole grayscale screens."""

    def __init__(self, screens: AtariVectorEnv) -> None:
        self.env = screens
        self.num_envs = screens.num_envs
        self.metadata = {**screens.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = Box(-1, 1, PICTURE_SHAPE, np.int8)
        self.single_action_space = Discrete(len(EMULATOR_ACTIONS))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._actions = np.array(EMULATOR_ACTIONS, np.int64)
        self._last: Pictures = np.zeros((self.num_envs, *PICTURE_SHAPE), np.int8)
        self._differences = np.zeros_like(self._last)
        self._ended = np.zeros(self.num_envs, np.bool_)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pictures, dict[str, Any]]:
        """Reset all games, or those of the boolean array `options["reset_mask"]` (num_envs,).

        Game i gets seed + i, or seeds[i] of a list with one seed a game; None leaves the emulator's
        random state as it is.
        """
        options = options or {}
        mask = options.get("reset_mask", np.ones(self.num_envs, np.bool_))
        seeds: list[int | None] = [None] * self.num_envs
        if isinstance(seed, int):
            seeds = [seed + i for i in range(self.num_envs)]
        elif seed is not None:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds, one a game, got {len(seeds)}")
        words = [-1 if s is None else emulator_seed(usable_seed(s)) for s in seeds]  # -1: unseeded
        screens, info = self.env.reset(seed=np.array(words)[mask], options={**options, "reset_mask": mask})
        self._last = picture(screens[:, 0])
        self._differences = np.where(mask[:, None, None], np.int8(0), self._differences)
        self._ended = self._ended & ~mask
        return self._differences, info

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Pictures, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        """Step all games; one that ended in the step before is reset. Zeros there and where a game ends."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Begin a step: the emulators play while Python does something else."""
        self.env.send(self._actions[actions])

    def step_wait(
        self,
    ) -> tuple[Pictures, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        """Finish the step that was begun; return what `step` does."""
        screens, rewards, terminated, truncated, info = self.env.recv()
        current = picture(screens[:, 0])
        ended = terminated | truncated
        self._differences = difference_frame(current, self._last)
        self._differences[self._ended | ended] = 0
        self._last = current
        self._ended = ended
        return self._differences, rewards.astype(np.float64), terminated, truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Free the emulators."""
        self.env.close()


class SinglesVectorEnv(SyncVectorEnv):
    """Single games played in turn, with the step in two halves that `PongVectorEnv` has."""

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Keep the actions; nothing is played before `step_wait`."""
        self._kept_actions = actions

    def step_wait(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Play the step that was begun."""
        return self.step(self._kept_actions)
