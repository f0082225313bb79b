"""Which game is played: a Pong id of ale-py's and the settings that make its scores comparable."""

from dataclasses import dataclass
from typing import Any

import ale_py
import gymnasium
from gymnasium.spaces import Discrete

from pgpong.actions import number_of_actions
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
    return Discrete(number_of_actions(stay))


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
        low, high = self.skip_range
        shown = f"{low}" if high == low + 1 else f"{low}-{high - 1}"
        return f"{self.id} (frameskip {shown}, sticky {self.sticky:g})"

    @property
    def skip_range(self) -> tuple[int, int]:
        """The frames that a step may take, from low to high, high excluded."""
        return skip_range(self.frameskip)


def skip_range(frameskip: int | tuple[int, int]) -> tuple[int, int]:
    """Return the frames that a step may take, from low to high, high excluded.

    >>> skip_range(4), skip_range((2, 5))
    ((4, 5), (2, 5))
    """
    low, high = (frameskip, frameskip + 1) if isinstance(frameskip, int) else frameskip
    return int(low), int(high)


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
    low, high = skip_range(skip)
    game = Game(
        id=env_id,
        frameskip=low if high == low + 1 else (low, high),
        sticky=settings["repeat_action_probability"] if sticky is None else sticky,
        max_frames=settings["max_num_frames_per_episode"],
    )
    if low < 1:
        raise SettingError(f"expected a frameskip of 1 or more, got {low}")
    if low >= high:
        raise SettingError(f"expected a range of frameskips, the second number excluded, got {low} to {high}")
    if high > game.max_frames + 1:
        raise SettingError(f"expected a frameskip of {game.max_frames} or less, got {high - 1}")
    if not 0 <= game.sticky < 1:
        raise SettingError(f"expected a sticky probability from 0 to below 1, got {game.sticky:g}")
    return game
