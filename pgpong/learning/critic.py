"""A critic foretells returns, so that a step is judged by what came of it beyond what was to be expected."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pgpong.config import TrainConfig
from pgpong.learning.ascent import ascend
from pgpong.learning.backend import Array, Arrays
from pgpong.learning.court import fold
from pgpong.learning.optimizers import Optimizer
from pgpong.learning.pieces import add
from pgpong.learning.policy import Policy


class Critic:
    """A network like the policy's, which has a value V(x) where that has a logit, and its optimiser."""

    def __init__(self, network: Policy, optimizer: Optimizer) -> None:
        self.network = network
        self.optimizer = optimizer

    def values(self, x: Array) -> npt.NDArray[np.float64]:
        """Return V (n,) for frames x (n, pixels)."""
        network, backend = self.network, self.network.backend

        def values(rows: Array) -> npt.NDArray[np.float64]:
            return backend.to_numpy(network.forward(backend.pick(x, rows))[1]).astype(np.float64)

        return network.pieces.do(values, np.append, backend.asarray(np.arange(x.shape[0])))

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
            self._step(x, returns, rows, config)

    def _step(self, x: Array, returns: Array, rows: Array, config: TrainConfig) -> None:
        """Take one step down the mean of (R - V)² / 2 over `rows`."""
        network, backend = self.network, self.network.backend

        def gradient(some: Array) -> Arrays:
            frames = backend.pick(x, some)
            h, V = network.forward(frames)
            gradients = network.backward(frames, h, (returns[some] - V) / rows.shape[0])
            return fold(gradients, 1, network.xp) if config.mirror else gradients

        gradients = network.pieces.do(gradient, add, rows)
        ascend(network, self.optimizer, gradients, config, sign=1)
