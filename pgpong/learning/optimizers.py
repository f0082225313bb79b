"""Optimisers. They ascend: a policy gradient points to where the objective grows."""

from typing import Protocol

import numpy as np

from pgpong.learning.backend import Arrays, Namespace


class Optimizer(Protocol):
    """What an update needs of an optimiser; `state` holds all that a checkpoint must keep."""

    state: dict[str, Arrays]

    def step(self, parameters: Arrays, gradients: Arrays, learning_rate: float) -> None:
        """Change `parameters` in place along `gradients`."""


class RMSProp:
    """Divide each gradient by a running root mean square of itself, as the 2016 script does.

        m ← decay · m + (1 - decay) · g²
        θ ← θ + learning_rate · g / (√m + epsilon)

    Source: T. Tieleman and G. Hinton, "Lecture 6.5", Coursera (2012).
    """

    def __init__(self, parameters: Arrays, decay: float, epsilon: float, xp: Namespace = np) -> None:
        self.decay = decay
        self.epsilon = epsilon
        self.xp = xp
        self.state = {"mean_square": {name: xp.zeros_like(p) for name, p in parameters.items()}}

    def step(self, parameters: Arrays, gradients: Arrays, learning_rate: float) -> None:
        """Change `parameters` in place along `gradients`."""
        for name, g in gradients.items():
            m = self.state["mean_square"][name]
            m *= self.decay
            m += (1 - self.decay) * (g * g)
            parameters[name] += learning_rate * g / (self.xp.sqrt(m) + self.epsilon)


class Adam:
    """Step along a running mean of the gradient, divided by a running root mean square.

        u ← momentum · u + (1 - momentum) · g
        m ← decay · m + (1 - decay) · g²
        θ ← θ + learning_rate · û / (√m̂ + epsilon),  û and m̂ freed of their start at zero

    Source: D. Kingma and J. Ba, "Adam", arXiv:1412.6980, algorithm 1.
    """

    def __init__(
        self, parameters: Arrays, momentum: float, decay: float, epsilon: float, xp: Namespace = np
    ) -> None:
        self.momentum = momentum
        self.decay = decay
        self.epsilon = epsilon
        self.xp = xp
        self.state = {
            "mean": {name: xp.zeros_like(p) for name, p in parameters.items()},
            "mean_square": {name: xp.zeros_like(p) for name, p in parameters.items()},
            "steps": {name: xp.zeros((), dtype=xp.int64) for name in parameters},
        }

    def step(self, parameters: Arrays, gradients: Arrays, learning_rate: float) -> None:
        """Change `parameters` in place along `gradients`."""
        for name, g in gradients.items():
            u, m, steps = (self.state[key][name] for key in ("mean", "mean_square", "steps"))
            u *= self.momentum
            u += (1 - self.momentum) * g
            m *= self.decay
            m += (1 - self.decay) * (g * g)
            steps += 1
            t = int(steps)
            # û / (√m̂ + ε) with both corrections moved into the two numbers: one pass less over the arrays.
            root = (1 - self.decay**t) ** 0.5
            rate = learning_rate * root / (1 - self.momentum**t)
            parameters[name] += rate * u / (self.xp.sqrt(m) + self.epsilon * root)
