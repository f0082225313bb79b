"""Which game is played: a Pong id of ale-py's and the settings that make its scores comparable."""

from dataclasses import dataclass
from typing import Any

import ale_py
import gymnasium
from gymnasium.spaces import Discrete

from pgpong.errors import SettingError

# ale-py registers its ids when it is imported; to say so keeps linters from removing the import.
gymnasium.register_envs(ale_py)
# The emulator greets on stderr, which would tear a live display.
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)

# The policy's actions, 0 down, 1 up and 2 stay, in Pong's minimal action set (NOOP FIRE RIGHT LEFT ...):
# there LEFT moves the paddle down and RIGHT moves it up.
EMULATOR_ACTIONS = (3, 2, 0)


def action_space(stay: bool) -> Discrete:
    """Return the actions down and up, or with `stay` all three."""
    return Discrete(len(EMULATOR_ACTIONS) if stay else len(EMULATOR_ACTIONS) - 1)


@dataclass(frozen=True)
class Game:
    """A Pong id with the settings in force. Scores of two games that differ are not comparable.

    `frameskip` is the number of emulator frames a step, or a range (low, high) with high excluded, from
    which each step draws. `sticky` is the probability that a frame repeats the action before. An
    episode is truncated after `max_frames` frames.
    """

    id: str
    frameskip: int | tuple[int, int]
    sticky: float
    max_frames: int

    def __str__(self) -> str:
        """Name id and settings in the form that stands beside every score.

        >>> str(find_game("ALE/Pong-v5"))
        'ALE/Pong-v5 (frameskip 4, sticky 0.25)'
        >>> str(find_game("Pong-v0"))
        'Pong-v0 (frameskip 2-4, sticky 0.25)'
        """
        skip = self.frameskip
        shown = f"{skip}" if isinstance(skip, int) else f"{skip[0]}-{skip[1] - 1}"
        return f"{self.id} (frameskip {shown}, sticky {self.sticky:g})"


def find_game(
    env_id: str, frameskip: int | tuple[int, int] | None = None, sticky: float | None = None
) -> Game:
    """Look an id up in Gymnasium's registry; `frameskip` and `sticky`, where given, replace its own.

    Raises:
        SettingError: the id is unknown or not Pong, or a setting is out of range.
    """
    try:
        settings: dict[str, Any] = dict(gymnasium.spec(env_id).kwargs)
    except gymnasium.error.Error:
        settings = {}
    if settings.get("game") != "pong":
        raise SettingError(
            f"unknown environment {env_id!r}: use a Pong id, ALE/Pong-v5, PongNoFrameskip-v4 or Pong-v0"
        )
    skip = settings["frameskip"] if frameskip is None else frameskip
    game = Game(
        id=env_id,
        frameskip=skip if isinstance(skip, int) else (int(skip[0]), int(skip[1])),
        sticky=settings["repeat_action_probability"] if sticky is None else sticky,
        max_frames=settings["max_num_frames_per_episode"],
    )
    low, high = (skip, skip) if isinstance(skip := game.frameskip, int) else (skip[0], skip[1] - 1)
    if low < 1:
        raise SettingError(f"expected a frameskip of 1 or more, got {low}")
    if high > game.max_frames:
        raise SettingError(f"expected a frameskip of {game.max_frames} or less, got {high}")
    if not 0 <= game.sticky < 1:
        raise SettingError(f"expected a sticky probability from 0 to below 1, got {game.sticky:g}")
    return game
