"""A small game in Pong's place, learnt in seconds: a ball crosses a court of ten by ten cells to a paddle."""

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import VectorEnv

from pgpong.actions import DOWN, UP
from pgpong.envs.game import action_space
from pgpong.envs.preprocess import difference_frame, observation, observation_shape
from pgpong.pixels import PICTURE_SHAPE

CELLS = 10
RALLIES = 5  # of an episode


def _draw(row, column):
    """Draw a cell into a picture: two pixels in its middle, so that it is alike upside down."""
    picture = np.zeros(PICTURE_SHAPE, np.int8)
    picture[8 * row + 3 : 8 * row + 5, 8 * column + 4] = 1
    return picture


BALLS = np.array([[_draw(row, column) for column in range(CELLS)] for row in range(CELLS)])
PADDLES = np.array([sum(_draw(row + side, CELLS - 1) for side in (-1, 0, 1)) for row in range(1, CELLS - 1)])


class SmallGames(VectorEnv):
    """Many of them. The ball bounces off the walls; a step moves it by a column and the paddle by a row.

    A rally is nine steps and a point, won where the ball meets one of the paddle's three cells. The next ball
    comes from anywhere; the paddle stays where it is. Seeds are not heeded.
    """

    def __init__(self, num_envs, seed, *, stay, current):
        self.num_envs = num_envs
        self.single_observation_space = Box(-1, 1, observation_shape(current), np.int8)
        self.single_action_space = action_space(stay)
        self._current = current
        self._rng = np.random.default_rng(seed)
        self._ball, self._speed, self._column, self._paddle, self._rallies, self._frame = np.zeros(
            (6, num_envs), np.int64
        )
        self._over = np.zeros(num_envs, bool)
        self._picture = np.zeros((num_envs, *PICTURE_SHAPE), np.int8)

    def reset(self, *, seed=None, options=None):
        """Begin the games of the mask anew."""
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self._begin(mask)
        return self._observe(mask), {}

    def step_async(self, actions, seed=None):
        """Take the actions."""
        self._moves = np.where(actions == UP, -1, np.where(actions == DOWN, 1, 0))

    def step_wait(self):
        """Play a step; games that have ended begin anew instead."""
        began = self._over.copy()
        playing = ~began
        self._begin(began)
        self._frame += playing
        self._paddle = np.clip(self._paddle + self._moves * playing, 0, len(PADDLES) - 1)
        served = playing & (self._column == CELLS - 1)
        self._serve(served)
        flying = playing & ~served
        bounces = flying & ((self._ball + self._speed < 0) | (self._ball + self._speed >= CELLS))
        self._speed[bounces] *= -1
        self._ball += self._speed * flying
        self._column += flying
        there = flying & (self._column == CELLS - 1)
        hit = abs(self._paddle + 1 - self._ball) <= 1
        self._rallies += there
        self._over = self._rallies == RALLIES
        rewards = np.where(there, np.where(hit, 1.0, -1.0), 0.0)
        info = {"episode_frame_number": self._frame.copy(), "final_screen": np.zeros(self.num_envs, int)}
        return self._observe(began), rewards, self._over.copy(), np.zeros(self.num_envs, bool), info

    def _begin(self, which):
        self._serve(which)
        self._rallies[which] = self._frame[which] = 0
        self._over[which] = False
        self._paddle[which] = self._rng.integers(0, len(PADDLES), np.count_nonzero(which))

    def _serve(self, which):
        n = np.count_nonzero(which)
        self._column[which] = 0
        self._ball[which] = self._rng.integers(0, CELLS, n)
        self._speed[which] = self._rng.integers(-1, 2, n)

    def _observe(self, began):
        picture = BALLS[self._ball, self._column] | PADDLES[self._paddle]
        difference = difference_frame(picture, self._picture)
        difference[began] = 0
        self._picture = picture
        return observation(difference, picture, self._current)
