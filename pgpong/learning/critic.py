"""A critic foretells returns, so that a step is judged by what came of it beyond what was to be expected."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pgpong.config import TrainConfig
from pgpong.learning.backend import Array
from pgpong.learning.court import ascend, fold
from pgpong.learning.optimizers import Optimizer
from pgpong.learning.policy import Policy


class Critic:
    """A network like the policy's, which has a value V(x) where that has a logit, and its optimiser."""

    def __init__(self, network: Policy, optimizer: Optimizer) -> None:
        self.network = network
        self.optimizer = optimizer

    def values(self, x: Array) -> npt.NDArray[np.float64]:
        """Return V (n,) for frames x (n, pixels)."""
        return self.network.backend.to_numpy(self.network.forward(x)[1]).astype(np.float64)

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")  # looked for, and named, by the update
    def learn(
        self,
        x: Array,
        returns: Array,
        parts: Iterable[Array],
        config: TrainConfig,
    ) -> None:
        """Take a step for each of `parts`, row numbers of frames x (n, pixels) and returns R (n,)."""
        for rows in parts:
            self.step(self.network.backend.pick(x, rows), returns[rows], config)

    def step(self, x: Array, returns: Array, config: TrainConfig) -> None:
        """Take one step down the mean of (R - V)² / 2 for frames x (n, pixels) and returns R (n,)."""
        network, xp = self.network, self.network.xp
        h, V = network.forward(x)
        error = returns - V
        gradients = network.backward(x, h, error / V.shape[0])
        if config.mirror:
            gradients = fold(gradients, 1, xp)
        ascend(network, self.optimizer, gradients, config, sign=1)
