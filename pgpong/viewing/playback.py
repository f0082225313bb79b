"""A game played for somebody to look at: scene by scene, in colour, with what the network sees and says.

    for scene in play(game, seed, agent_player(agent)):
        ...

Viewers, films and notebooks show `Scene`s and know neither emulator nor agent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pgpong.actions import STAY, UP
from pgpong.agent import Agent
from pgpong.envs.emulator import Emulator
from pgpong.envs.game import EMULATOR_ACTIONS, Game
from pgpong.envs.preprocess import BACKGROUND_COLOURS, SCREEN_SHAPE, difference_frame, observation, picture
from pgpong.errors import RunError
from pgpong.learning.policy import sample
from pgpong.pixels import PICTURE_SHAPE, checksum
from pgpong.storage.replay import Replay

FRAMES_PER_SECOND = 60  # of the game's own time

# Given a scene: 0 down, 1 up or 2 stay, and the probabilities of up and of staying where there are such.
Player = Callable[["Scene"], tuple[int, float | None, float | None]]


@dataclass(frozen=True)
class Scene:
    """One moment of a game, before the next step."""

    screen: npt.NDArray[np.uint8]  # (210, 160, 3), red, green, blue
    difference: npt.NDArray[np.int8]  # (80, 80), what the network sees, and some networks the picture too
    probability: float | None  # of up; None where no network plays, and at the end
    action: int | None  # what comes next: 0 down, 1 up, 2 stay; None at the end
    score: tuple[int, int]  # points of the built-in opponent on the left, and of whom we watch on the right
    step: int
    frame: int  # since the game began
    ended: bool
    picture: npt.NDArray[np.int8]  # (80, 80)
    stay: float | None = None  # probability of staying; None too where the network cannot


class Playback:
    """One game on an emulator in this process, and the books to make a replay of it."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self._emulator = Emulator(game)
        self._numbers = np.zeros(SCREEN_SHAPE, np.uint8)
        self._screen = np.zeros((*SCREEN_SHAPE, 3), np.uint8)

    def begin(self, seed: int) -> Scene:
        """Begin the game of a seed; return its first scene, whose difference frame is all zeros."""
        self._emulator.reset(seed)
        self.seed = seed
        self._actions: list[int] = []
        self._points = [0, 0]  # the opponent's, ours
        self._last = self._picture()
        return self._scene(np.zeros(PICTURE_SHAPE, np.int8))

    def step(self, action: int) -> Scene:
        """Play a step: 0 down, 1 up, 2 stay."""
        reward = self._emulator.step(EMULATOR_ACTIONS[action])
        self._actions.append(action)
        self._points[reward > 0] += abs(reward)
        last, self._last = self._last, self._picture()
        return self._scene(difference_frame(self._last, last))

    def replay(self) -> Replay:
        """Return what has been played so far as a replay."""
        opponent, us = self._points
        actions = np.array(self._actions, np.uint8)
        return Replay(self.game, self.seed, actions, us - opponent, checksum(self._numbers))

    def _picture(self) -> npt.NDArray[np.int8]:
        self._emulator.read_screen(self._numbers)
        return picture(self._numbers, BACKGROUND_COLOURS)

    def _scene(self, difference: npt.NDArray[np.int8]) -> Scene:
        emulator = self._emulator
        emulator.read_colours(self._screen)
        opponent, us = self._points
        return Scene(
            screen=self._screen.copy(),
            difference=difference,
            probability=None,
            action=None,
            score=(opponent, us),
            step=len(self._actions),
            frame=emulator.frame,
            ended=emulator.terminated or emulator.truncated,
            picture=self._last,
        )


def seen_by(agent: Agent, scene: Scene) -> npt.NDArray[np.int8]:
    """Return what an agent sees of a scene."""
    return observation(scene.difference, scene.picture, agent.sees_current)


def play(playback: Playback, seed: int, player: Player) -> Iterator[Scene]:
    """Play one game to its end; yield each moment with the action that follows, the last one without."""
    scene = playback.begin(seed)
    while not scene.ended:
        action, up, stay = player(scene)
        yield replace(scene, action=action, probability=up, stay=stay)
        scene = playback.step(action)
    yield scene


def play_replay(playback: Playback, replay: Replay) -> Iterator[Scene]:
    """Play a replay back.

    Raises:
        RunError: the game did not come out as it was: another version of ale-py plays it otherwise.
    """
    scene = playback.begin(replay.seed)
    for action in replay.actions.tolist():
        yield replace(scene, action=action)
        scene = playback.step(action)
    yield scene
    again = playback.replay()
    if (again.score, again.screen) != (replay.score, replay.screen):
        raise RunError(
            f"the replay did not come out as it was played: made with ale-py {replay.ale_py}, "
            f"played back with {again.ale_py}"
        )


def agent_player(agent: Agent, rng: np.random.Generator | None = None) -> Player:
    """Let an agent choose: sampled with `rng`, or without it the likeliest action."""

    def choose(scene: Scene) -> tuple[int, float, float | None]:
        P = agent.probabilities(seen_by(agent, scene)[None])
        action = P.argmax() if rng is None else sample(P, rng)[0]
        return int(action), float(P[0, UP]), float(P[0, STAY]) if agent.policy.may_stay else None

    return choose
