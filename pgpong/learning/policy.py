"""The two-layer policy network of the 2016 post and the Bernoulli policy that it defines.

    h = max(0, W1 x)      hidden units, ReLU
    z = W2 · h            the logit
    p = σ(z)              the probability of up

Source: A. Karpathy, "Deep Reinforcement Learning: Pong from Pixels" (2016).
"""

import math

import numpy as np

from pgpong.learning.backend import Array, Arrays, Namespace


class Policy:
    """A two-layer network: W1 (hidden, pixels), W2 (hidden,), ReLU, one logit, no biases.

    `x` is a batch of frames (n, pixels), dense or sparse; everything is computed in the dtype of W1.
    """

    def __init__(self, W1: Array, W2: Array, xp: Namespace = np) -> None:
        self.parameters: Arrays = {"W1": W1, "W2": W2}
        self.xp = xp

    @classmethod
    def initialise(
        cls, rng: np.random.Generator, hidden: int, pixels: int, fan_in: int, dtype: str = "float32"
    ) -> "Policy":
        """Draw W1 ~ N(0, 1/fan_in) and W2 ~ N(0, 1/hidden), variances given.

        `fan_in` is the number of inputs of a hidden unit that are taken to be non-zero at once: `pixels`
        in the 2016 recipe, about 40 where one knows that difference frames are sparse.
        """
        W1 = rng.standard_normal((hidden, pixels)) / math.sqrt(fan_in)
        W2 = rng.standard_normal(hidden) / math.sqrt(hidden)
        # W1 lies in memory pixel by pixel: a sparse product reads all hidden units of one pixel in a row.
        return cls(np.asarray(W1, dtype, order="F"), np.asarray(W2, dtype))

    @property
    def W1(self) -> Array:
        """The first layer, (hidden, pixels): row i is the picture that hidden unit i looks for."""
        return self.parameters["W1"]

    @property
    def W2(self) -> Array:
        """The second layer, (hidden,): positive says up, negative says down."""
        return self.parameters["W2"]

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Return the hidden activations h (n, hidden) and the logits z (n,) for frames x."""
        h = self.xp.maximum(x @ self.W1.T, 0)  # (n, hidden)
        return h, h @ self.W2

    def backward(self, x: Array, h: Array, dz: Array) -> Arrays:
        """Return the gradient of Σ over the batch, by name, from its derivative dz (n,) by the logits."""
        active = self.xp.astype(h > 0, h.dtype)
        dh = active * (dz[:, None] * self.W2[None, :])  # (n, hidden)
        return {"W1": (x.T @ dh).T, "W2": h.T @ dz}


def probability_of_up(z: Array, xp: Namespace = np) -> Array:
    """Return σ(z) = 1 / (1 + exp(-z)), without overflow for any finite logit."""
    return xp.exp(-xp.logaddexp(xp.zeros_like(z), -z))


def log_probability(z: Array, up: Array, xp: Namespace = np) -> Array:
    """Return log π(action) = log σ(±z), with + where the action was up: -log(1 + exp(∓z))."""
    toward = xp.where(up, z, -z)
    return -xp.logaddexp(xp.zeros_like(z), -toward)


def entropy(z: Array, xp: Namespace = np) -> Array:
    """Return the entropy in nats, H(p) = -p log p - (1-p) log(1-p), for logits z."""
    p = probability_of_up(z, xp)
    softplus = xp.logaddexp(xp.zeros_like(z), z)  # = -log(1-p), and log p = z - softplus
    return softplus - p * z
