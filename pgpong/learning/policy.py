"""The two-layer policy network of the 2016 post and the policy that it defines.

    h = max(0, W1 x)      hidden units, ReLU
    z = W2 · h            the logit of up
    p = σ(z)              the probability of up, of one who moves

A network that may stay has one logit more. Up and down are to each other as before, and staying competes with
both:

    s = W2_stay · h
    P(down), P(up), P(stay) = softmax(-z/2, z/2, s)

Source: A. Karpathy, "Deep Reinforcement Learning: Pong from Pixels" (2016).
"""

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pgpong.actions import DOWN, STAY, UP
from pgpong.learning.backend import NUMPY, Array, Arrays, Backend, Namespace
from pgpong.learning.frames import Frames
from pgpong.learning.pieces import Pieces


class Policy:
    """A two-layer network: W1 (hidden, pixels), W2 (hidden,), ReLU, one logit, no biases.

    With W2_stay (hidden,) it has a second logit, that of staying.

    `x` is a batch of frames (n, pixels), dense or as `see` returns them; everything is computed in the dtype
    of W1. The weights are arrays of `backend`.
    """

    kind = "two-layer ReLU"  # how a file names it
    needed_backend: str | None = None  # by its name, if it runs on no other

    def __init__(self, W1: Array, W2: Array, backend: Backend = NUMPY, W2_stay: Array | None = None) -> None:
        self.parameters: Arrays = {"W1": W1, "W2": W2}
        if W2_stay is not None:
            self.parameters["W2_stay"] = W2_stay
        self.backend = backend
        self.xp = backend.xp
        self.pieces = Pieces(backend)  # in which memory holds the steps of a minibatch

    @classmethod
    def initialise(
        cls,
        rng: np.random.Generator,
        hidden: int,
        pixels: int,
        fan_in: int,
        dtype: str = "float32",
        *,
        may_stay: bool = False,
    ) -> "Policy":
        """Draw W1 ~ N(0, 1/fan_in), W2 and, if it may stay, W2_stay ~ N(0, 1/hidden), variances given.

        `fan_in` is the number of inputs of a hidden unit that are taken to be non-zero at once: `pixels`
        in the 2016 recipe. Of a difference frame 28 are on average; the recipe fast has more, for it shows
        the current picture too, and its blurred weights do not cancel out.
        """
        W1 = rng.standard_normal((hidden, pixels)) / math.sqrt(fan_in)
        W2 = rng.standard_normal(hidden) / math.sqrt(hidden)
        # W1 lies in memory pixel by pixel: a sparse product reads all hidden units of one pixel in a row.
        policy = cls(np.asarray(W1, dtype, order="F"), np.asarray(W2, dtype))
        if may_stay:
            policy.parameters["W2_stay"] = np.asarray(rng.standard_normal(hidden) / math.sqrt(hidden), dtype)
        return policy

    def copy(self) -> Self:
        """Return one with weights of its own."""
        weights = {name: self.xp.asarray(W, copy=True) for name, W in self.parameters.items()}
        return type(self)(**weights, backend=self.backend)

    def to(self, backend: Backend) -> Self:
        """Return one with weights of its own on another backend; on the same, itself."""
        if backend == self.backend:
            return self
        # What is brought back from torch's CPU is its memory, and a training would change it here too.
        weights = {
            name: backend.asarray(self.backend.to_numpy(W).copy(order="K"))
            for name, W in self.parameters.items()
        }
        return type(self)(**weights, backend=backend)

    def see(self, frames: Frames) -> Array:
        """Bring sparse frames (n, pixels) to where the weights are."""
        return self.backend.frames(frames, like=self.W1)

    @property
    def W1(self) -> Array:
        """The first layer, (hidden, pixels): row i is the picture that hidden unit i looks for."""
        return self.parameters["W1"]

    @property
    def W2(self) -> Array:
        """The second layer, (hidden,): positive says up, negative says down."""
        return self.parameters["W2"]

    @property
    def may_stay(self) -> bool:
        """Whether staying is one of its actions."""
        return "W2_stay" in self.parameters

    @classmethod
    def shapes(cls, hidden: int, pixels: int, *, may_stay: bool) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all weights by name."""
        shapes: dict[str, tuple[int, ...]] = {"W1": (hidden, pixels), "W2": (hidden,)}
        return shapes | ({"W2_stay": (hidden,)} if may_stay else {})

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return int(self.W1.shape[1])

    @property
    def hidden(self) -> int:
        """Hidden units of the last layer before the logits."""
        return int(self.W2.shape[0])

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Return the hidden activations h (n, hidden) and the logits z (n,) for frames x."""
        h = self._hidden(x)
        return h, h @ self.W2

    def log_probabilities(self, h: Array, z: Array) -> Array:
        """Return those of the actions (n, 2 or 3), given what `forward` returned."""
        s = h @ self.parameters["W2_stay"] if self.may_stay else None
        return log_probabilities(z, s, self.xp)

    def backward(self, x: Array, h: Array, dz: Array, ds: Array | None = None) -> Arrays:
        """Return the gradient of Σ over the batch, by name, from its derivatives by the logits, (n,) each."""
        dh = dz[:, None] * self.W2[None, :]  # (n, hidden)
        by_name = {"W2": h.T @ dz}
        if ds is not None:
            dh = dh + ds[:, None] * self.parameters["W2_stay"][None, :]
            by_name["W2_stay"] = h.T @ ds
        return self._backward_hidden(x, h, dh) | by_name

    def _hidden(self, x: Array) -> Array:
        return self.xp.maximum(x @ self.W1.T, 0)  # (n, hidden)

    def _backward_hidden(self, x: Array, h: Array, dh: Array) -> Arrays:
        """Return the gradient by what is before the hidden units, from that by them (n, hidden)."""
        dh = dh * self.xp.astype(h > 0, h.dtype)
        return {"W1": (x.T @ dh).T}


def log_probabilities(z: Array, s: Array | None = None, xp: Namespace = np) -> Array:
    """Return the logarithms of P(down), P(up) and, given the logits s of staying, P(stay): (n, 2 or 3).

    They are finite for any logits whose differences are.
    """
    either = xp.logaddexp(z / 2, -z / 2)
    total = either if s is None else xp.logaddexp(either, s)
    logits = [-z / 2, z / 2] if s is None else [-z / 2, z / 2, s]
    return xp.stack(logits, axis=1) - total[:, None]


def one_hot(actions: Array, of: Array, xp: Namespace = np) -> Array:
    """Return 1 where an action was taken (n,) and 0 elsewhere, in shape and dtype of `of` (n, actions)."""
    return xp.astype(xp.stack([actions == action for action in range(of.shape[1])], axis=1), of.dtype)


def log_probability(log_p: Array, actions: Array, xp: Namespace = np) -> Array:
    """Pick those of the actions taken (n,) from log-probabilities (n, actions)."""
    return xp.sum(one_hot(actions, log_p, xp) * log_p, axis=1)


def entropy(log_p: Array, xp: Namespace = np) -> Array:
    """Return H = -Σ P log P (n,) in nats, for log-probabilities (n, actions)."""
    return -xp.sum(xp.exp(log_p) * log_p, axis=1)


def sample(P: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw actions (n,) from probabilities (n, actions), with one random number each."""
    u = rng.random(len(P))
    bounds = np.cumsum(P[:, UP:], axis=1)  # up below the first, then stay; down is what is left
    return np.where(u < bounds[:, 0], UP, np.where(u < bounds[:, -1], STAY, DOWN))
