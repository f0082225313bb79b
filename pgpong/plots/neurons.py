"""The hidden units as numbers: how often each fires, how strongly, what it says, and how much it matters."""

import math
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from pgpong.actions import DOWN, STAY, UP
from pgpong.agent import Agent
from pgpong.errors import SettingError
from pgpong.learning.batch import Batch
from pgpong.pixels import PICTURE_SHAPE, PIXELS
from pgpong.rollout import Rollout

Floats = npt.NDArray[np.float64]

ORDERS = ("importance", "weight", "firing", "norm", "number")
GAMES, STEPS = 4, 320  # played to see which neurons fire


@dataclass(frozen=True)
class Neurons:
    """Facts on the hidden units, (hidden,) each; `firing` and `strength` are NaN if nothing was played."""

    says: Floats  # W2: positive says up, negative down
    says_stay: Floats | None  # W2_stay: positive says stay; None if the agent may not
    norm: Floats  # Euclidean length of the row of W1
    firing: Floats  # share of the steps at which h > 0
    strength: Floats  # mean h at the steps at which it fires; 0 if it never does
    steps: int  # that this was counted over

    @property
    def weight(self) -> Floats:
        """How much a neuron has to say: |W2|, or with W2_stay √(W2² + 4/3 W2_stay²).

        That is √2 times the length of what it adds to the logits -W2/2, W2/2 and W2_stay beyond their mean,
        for a softmax heeds differences alone.
        """
        stay = 0.0 if self.says_stay is None else self.says_stay
        return np.asarray(np.sqrt(self.says**2 + 4 / 3 * stay**2))

    @property
    def importance(self) -> Floats:
        """The weight times how often the neuron fires."""
        return np.asarray(self.weight * self.firing)

    def action(self, number: int) -> int | None:
        """Return the action that a neuron makes likeliest, by its logit; None if it prefers none."""
        up = float(self.says[number])
        stay = 0.0 if self.says_stay is None else float(self.says_stay[number])
        if stay > abs(up) / 2:
            return STAY
        return UP if up > 0 else DOWN if up < 0 else None

    def order(self, by: str = "importance") -> npt.NDArray[np.int64]:
        """Return the neurons' numbers (hidden,), those first that matter most; equals by their number.

        Raises:
            SettingError: there is no such order.
        """
        if by not in ORDERS:
            raise SettingError(f"unknown order {by!r}: use {', '.join(ORDERS)}")
        values = {
            "importance": self.importance,
            "weight": self.weight,
            "firing": self.firing,
            "norm": self.norm,
            "number": -np.arange(len(self.says)),
        }
        return np.argsort(-values[by], kind="stable")


def look_at_neurons(agent: Agent, batch: Batch | None) -> Neurons:
    """Sum up what each neuron did on the steps of `batch`, if there is one."""
    weights = {name: np.asarray(W, np.float64) for name, W in agent.policy.parameters.items()}
    W1, W2 = weights["W1"], weights["W2"]
    firing, strength = np.full(len(W2), np.nan), np.full(len(W2), np.nan)
    if batch is not None:
        h, _ = agent.policy.forward(batch.frames)  # (n, hidden)
        fires = np.count_nonzero(h > 0, axis=0)
        firing = fires / len(batch)
        strength = h.sum(axis=0, dtype=np.float64) / np.maximum(fires, 1)
    steps = 0 if batch is None else len(batch)
    return Neurons(W2, weights.get("W2_stay"), np.linalg.norm(W1, axis=1), firing, strength, steps)


def play_rallies(agent: Agent, games: int = GAMES, steps: int = STEPS, seed: int = 0) -> Batch:
    """Let the agent play `games` at once for about `steps` each; return the rallies that ended meanwhile.

    The same seed brings the same rallies. No score is published of them.

    Raises:
        SettingError: the agent sees what no game shows.
    """
    shown = math.prod(agent.observation_shape)
    if agent.policy.W1.shape[1] != shown:
        raise SettingError(
            f"the agent sees {agent.policy.W1.shape[1]:,} pixels, the game shows {shown:,}, "
            "so it cannot play: take the order weight, norm or number, and the scale weights"
        )
    with (
        threadpool_limits(1),
        closing(agent.make_vec(games)) as env,
    ):  # the cores are the emulator's
        played = Rollout([env], np.random.default_rng(seed), steps).play(agent.policy)
    assert played is not None  # nobody stops it
    return played.batch


def pictures_of(W1: npt.NDArray[Any]) -> Floats:
    """Return the rows of W1 (n, k · 6400) as pictures (n, 80, k · 80), the k inputs side by side.

    Raises:
        SettingError: the rows are not whole pictures.
    """
    n, pixels = W1.shape
    if pixels % PIXELS:
        raise SettingError(f"expected rows of whole 80x80 pictures, got {pixels:,} pixels")
    k, (height, width) = pixels // PIXELS, PICTURE_SHAPE
    tiles = np.asarray(W1, np.float64).reshape(n, k, height, width)
    return tiles.transpose(0, 2, 1, 3).reshape(n, height, k * width)


def check_neuron(number: int, hidden: int) -> None:
    """Check that there is such a neuron.

    Raises:
        SettingError: there is none.
    """
    if not 0 <= number < hidden:
        raise SettingError(f"neuron {number}: the agent has neurons 0 to {hidden - 1}")
