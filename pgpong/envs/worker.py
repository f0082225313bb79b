"""What runs in a process that plays some of a vector environment's games.

ale-py's emulator holds Python's lock while it plays, so games run at once only in processes of their own.
Requests come on standard input and answers go out on standard output, pickled; when the input ends, because
the environment was closed or its process has died, however suddenly, the worker ends too.
"""

import os
import pickle
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pgpong.actions import IDLE
from pgpong.envs.emulator import Emulator
from pgpong.envs.game import EMULATOR_ACTIONS, Game
from pgpong.envs.preprocess import BACKGROUND_COLOURS, SCREEN_SHAPE, difference_frame, observation, picture
from pgpong.pixels import PICTURE_SHAPE, checksum, nonzero_pixels

Seeds: TypeAlias = list[int | None]  # one a game
History: TypeAlias = tuple[int, npt.NDArray[np.uint8]]  # a seed, and the actions since, as `actions` has them


@dataclass(frozen=True)
class Answer:
    """What n games show and say after a request."""

    pixels: npt.NDArray[np.int64]  # of all n observations one after the other: those that are not 0
    values: npt.NDArray[np.int8]  # and what they are, 1 or -1
    rewards: npt.NDArray[np.float64]  # (n,)
    terminated: npt.NDArray[np.bool_]  # (n,)
    truncated: npt.NDArray[np.bool_]  # (n,)
    frames: npt.NDArray[np.int64]  # (n,) since the game began
    screens: npt.NDArray[np.int64]  # (n,) checksums of the screens of games that have ended, else 0


class Worker:
    """`n` games that step together; observations come with the current picture if `current`."""

    def __init__(self, game: Game, n: int, current: bool) -> None:
        self._with_current = current
        self._games = [Emulator(game) for _ in range(n)]
        self._screens = np.zeros((n, *SCREEN_SHAPE), np.uint8)
        self._last = np.zeros((n, *PICTURE_SHAPE), np.int8)
        self._ended = np.zeros(n, np.bool_)

    def reset(self, mask: list[bool], seeds: Seeds) -> Answer:
        """Begin the games of `mask` anew, seeded where there is a seed; the others have frames of zeros."""
        for game, wanted, seed in zip(self._games, mask, seeds, strict=True):
            if wanted:
                game.reset(seed)
        return self._answer(np.zeros(len(self._games)), began=mask)

    def step(self, actions: list[int], seeds: Seeds) -> Answer:
        """Play a step of each game; those that ended in the step before begin anew instead.

        A game whose action is `IDLE` stays as it is, ended or not.
        """
        rewards = np.zeros(len(self._games))
        idle = [action == IDLE for action in actions]
        began = [ended and not idles for ended, idles in zip(self._ended.tolist(), idle, strict=True)]
        for i, game in enumerate(self._games):
            if began[i]:
                game.reset(seeds[i])
            elif not idle[i]:
                rewards[i] = game.step(EMULATOR_ACTIONS[actions[i]])
        return self._answer(rewards, began)

    def replay(self, histories: list[History]) -> Answer:
        """Play each game's history again; the rewards are the sums over it."""
        scores = np.zeros(len(self._games))
        for i, (game, (seed, actions)) in enumerate(zip(self._games, histories, strict=True)):
            game.reset(seed)
            for step, action in enumerate(actions.tolist()):
                if step == len(actions) - 1:
                    game.read_screen(self._screens[i])
                scores[i] += game.step(EMULATOR_ACTIONS[action])
        self._last = picture(self._screens, BACKGROUND_COLOURS)
        return self._answer(scores, began=[len(actions) == 0 for _, actions in histories])

    def _answer(self, rewards: npt.NDArray[np.float64], began: list[bool]) -> Answer:
        for game, screen in zip(self._games, self._screens, strict=True):
            game.read_screen(screen)
        current = picture(self._screens, BACKGROUND_COLOURS)
        differences = difference_frame(current, self._last)
        differences[began] = 0
        self._last = current
        terminated = np.array([game.terminated for game in self._games])
        truncated = np.array([game.truncated for game in self._games])
        self._ended = terminated | truncated
        frames = np.array([game.frame for game in self._games])
        screens = np.zeros(len(frames), np.int64)
        for i in np.flatnonzero(self._ended):
            screens[i] = checksum(self._screens[i])
        seen = observation(differences, current, self._with_current)
        return Answer(*nonzero_pixels(seen), rewards, terminated, truncated, frames, screens)


def main() -> None:
    """Answer requests until there are no more."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing printed may get between the answers
    # Either end of the line may be the one on which a worker notices that its owner is no more.
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError), answers:
        worker = Worker(*pickle.load(requests))
        while True:
            method, arguments = pickle.load(requests)
            pickle.dump(getattr(worker, method)(*arguments), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
