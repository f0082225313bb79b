"""A single game: four wrappers, one job each, between Atari Pong and the policy."""

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs

from pgpong.envs.game import EMULATOR_ACTIONS, Game, action_space, find_game, skip_range
from pgpong.envs.preprocess import difference_frame, observation, observation_shape, picture
from pgpong.pixels import PICTURE_SHAPE

Screen = npt.NDArray[np.uint8]
Picture = npt.NDArray[np.int8]


class FrameSkip(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Repeat each action for several frames, and stop when the game ends.

    `AtariEnv`'s own frameskip goes on after the end: it draws from the emulator's random generator for
    frames that are never played, and the next game differs from the vector environment's.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], frameskip: int | tuple[int, int]) -> None:
        RecordConstructorArgs.__init__(self, frameskip=frameskip)
        super().__init__(env)
        self._range = skip_range(frameskip)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play the frames of one step; the reward is their sum."""
        low, high = self._range
        frames = low if high == low + 1 else int(self.np_random.integers(low, high))
        score = 0.0
        for _ in range(frames):
            screen, reward, terminated, truncated, info = self.env.step(action)
            score += float(reward)
            if terminated or truncated:
                break
        return screen, score, terminated, truncated, info


class UpDown(gymnasium.ActionWrapper[Any, np.int64, np.int64], RecordConstructorArgs):
    """Leave two actions of six, 0 down and 1 up, or with `stay` a third, 2 stay."""

    def __init__(self, env: gymnasium.Env[Any, np.int64], stay: bool = False) -> None:
        RecordConstructorArgs.__init__(self, stay=stay)
        super().__init__(env)
        self.action_space = action_space(stay)

    def action(self, action: np.int64) -> np.int64:
        """Map down, up and stay to the emulator's LEFT, RIGHT and NOOP.

        Raises:
            ValueError: there is no such action.
        """
        if action not in self.action_space:  # -1 would be the last of them
            raise ValueError(f"expected an action of {self.action_space}, got {action}")
        return np.int64(EMULATOR_ACTIONS[action])


class BinaryPicture(gymnasium.ObservationWrapper[Picture, Any, Screen], RecordConstructorArgs):
    """Turn the grayscale screen (210, 160) into the binary picture (80, 80)."""

    def __init__(self, env: gymnasium.Env[Screen, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.observation_space = Box(0, 1, PICTURE_SHAPE, np.int8)

    def observation(self, observation: Screen) -> Picture:
        """Crop, thin out and threshold one screen."""
        return picture(observation)


class DifferenceFrame(gymnasium.Wrapper[Picture, Any, Picture, Any], RecordConstructorArgs):
    """Turn pictures into differences: the current one minus the last one.

    All zeros at the first step, where there is no last picture. With `current`, the current picture comes
    along: (2, 80, 80).
    """

    def __init__(self, env: gymnasium.Env[Picture, Any], current: bool = False) -> None:
        RecordConstructorArgs.__init__(self, current=current)
        super().__init__(env)
        self.observation_space = Box(-1, 1, observation_shape(current), np.int8)
        self._with_current = current
        self._last: Picture = np.zeros(PICTURE_SHAPE, np.int8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Picture, dict[str, Any]]:
        """Reset; the first difference frame is all zeros."""
        self._last, info = self.env.reset(seed=seed, options=options)
        return observation(difference_frame(self._last, self._last), self._last, self._with_current), info

    def step(self, action: Any) -> tuple[Picture, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and subtract the picture before from the one after."""
        current, reward, terminated, truncated, info = self.env.step(action)
        difference = difference_frame(current, self._last)
        self._last = current
        return observation(difference, current, self._with_current), reward, terminated, truncated, info


def make(
    env_id: str = "ALE/Pong-v5",
    *,
    frameskip: int | tuple[int, int] | None = None,
    sticky: float | None = None,
    stay: bool = False,
    current: bool = False,
    render_mode: str | None = None,
) -> gymnasium.Env[Picture, np.int64]:
    """Make a single game of Pong that shows difference frames and takes actions.

    Observations are int8 (80, 80) of -1, 0, 1; actions are 0 for down and 1 for up; the reward is 1 for a
    point won and -1 for a point lost. `frameskip` and `sticky` replace the id's own where given. With `stay`
    there is a third action, 2, that does nothing; with `current`, the current picture of 0 and 1 comes beside
    the difference frame: (2, 80, 80).

    >>> env = make()
    >>> observation, info = env.reset(seed=1)
    >>> observation.shape, int(abs(observation).sum()), env.action_space
    ((80, 80), 0, Discrete(2))
    >>> env.close()

    Raises:
        SettingError: the id is unknown or not Pong, or a setting is out of range.
    """
    return make_single(find_game(env_id, frameskip, sticky), render_mode, stay=stay, current=current)


def make_single(
    game: Game, render_mode: str | None = None, *, stay: bool = False, current: bool = False
) -> gymnasium.Env[Picture, np.int64]:
    """Make `game` and chain the wrappers over it."""
    screens: gymnasium.Env[Screen, np.int64] = gymnasium.make(
        gymnasium.spec(game.id),  # not the id: that warns of old versions, which were asked for by name
        frameskip=1,  # FrameSkip repeats the action instead
        max_num_frames_per_episode=game.max_frames,
        repeat_action_probability=game.sticky,
        obs_type="grayscale",
        render_mode=render_mode,
        disable_env_checker=True,  # it would watch the emulator's every frame
    )
    steps = FrameSkip(screens, game.frameskip)  # (210, 160) screens, a step at a time
    pictures = BinaryPicture(UpDown(steps, stay))  # (80, 80) of 0, 1; down and up
    return DifferenceFrame(pictures, current)  # (80, 80) of -1, 0, 1
