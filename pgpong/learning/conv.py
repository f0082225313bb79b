"""A convolutional policy in place of the two-layer one, on PyTorch. Imported only where it is asked for.

    16 filters of 8 x 8 pixels, every 4 pixels; 32 of 4 x 4, every 2; then the hidden units, then the logits

Source: V. Mnih et al., "Playing Atari with Deep Reinforcement Learning", arXiv:1312.5602, section 4.1, on the
pictures of 80 x 80 that the two-layer network sees as well.
"""

import math

import numpy as np
import torch

from pgpong.errors import SettingError
from pgpong.learning.backend import Array, Arrays, Backend
from pgpong.learning.policy import Policy
from pgpong.pixels import PICTURE_SHAPE, PIXELS

FILTERS = (16, 8, 4), (32, 4, 2)  # of each layer: how many, how large, how far apart
_SIDE = 8  # of what comes out of the second: 80 -> 19 -> 8


class ConvPolicy(Policy):
    """What `Policy` is, with convolutions before the hidden units.

    W1 (16, pictures, 8, 8) and b1 (16,), conv (32, 16, 4, 4) and b_conv (32,), dense (hidden, 32 · 8 · 8) and
    b_dense (hidden,); W2 and W2_stay (hidden,) are as they are there.
    """

    kind = "convolutional ReLU"
    needed_backend = "torch"

    def __init__(
        self, W1: Array, W2: Array, backend: Backend, W2_stay: Array | None = None, **others: Array
    ) -> None:
        if backend.name != self.needed_backend:
            raise SettingError(
                f"a convolutional policy is for the backend {self.needed_backend}, not {backend}"
            )
        super().__init__(W1, W2, backend, W2_stay)
        self.parameters |= others

    @classmethod
    def draw(
        cls, rng: np.random.Generator, hidden: int, pixels: int, backend: Backend, *, may_stay: bool = False
    ) -> "ConvPolicy":
        """Draw weights ~ N(0, 2/inputs) before a ReLU and N(0, 1/hidden) before the logits; biases are 0.

        Source: K. He et al., "Delving Deep into Rectifiers", arXiv:1502.01852, equation 10.
        """
        shapes = cls.shapes(hidden, pixels, may_stay=may_stay)
        weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        for name, W in weights.items():
            if W.ndim > 1:
                W[:] = rng.standard_normal(W.shape) * math.sqrt(2 / math.prod(W.shape[1:]))
            elif name.startswith("W2"):
                W[:] = rng.standard_normal(W.shape) / math.sqrt(hidden)
        return cls(**{name: backend.asarray(W) for name, W in weights.items()}, backend=backend)

    @classmethod
    def shapes(cls, hidden: int, pixels: int, *, may_stay: bool) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all weights by name."""
        (many, size, _), (more, smaller, _) = FILTERS
        return {
            "W1": (many, pixels // PIXELS, size, size),
            "b1": (many,),
            "conv": (more, many, smaller, smaller),
            "b_conv": (more,),
            "dense": (hidden, more * _SIDE**2),
            "b_dense": (hidden,),
            "W2": (hidden,),
            **({"W2_stay": (hidden,)} if may_stay else {}),
        }

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return int(self.W1.shape[1]) * PIXELS

    def _hidden(self, x: Array) -> Array:
        with torch.no_grad():
            return self._compute(x, self.parameters)

    def _backward_hidden(self, x: Array, h: Array, dh: Array) -> Arrays:
        """Return the gradient by what is before the hidden units, by PyTorch's own differentiation."""
        before = {
            name: W.detach().requires_grad_()
            for name, W in self.parameters.items()
            if not name.startswith("W2")
        }
        with torch.enable_grad():
            again = self._compute(x, before)
        return dict(zip(before, torch.autograd.grad(again, list(before.values()), dh), strict=True))

    def _compute(self, x: Array, W: Arrays) -> Array:
        x = x.to_dense().reshape(x.shape[0], -1, *PICTURE_SHAPE)
        conv2d = torch.nn.functional.conv2d
        (*_, first), (*_, second) = FILTERS
        x = torch.relu(conv2d(x, W["W1"], W["b1"], stride=first))
        x = torch.relu(conv2d(x, W["conv"], W["b_conv"], stride=second))
        return torch.relu(x.reshape(x.shape[0], -1) @ W["dense"].T + W["b_dense"])
