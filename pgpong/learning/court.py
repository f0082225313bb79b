"""What is known of the court before anything is learnt: neighbouring pixels and its two halves are alike.

A network of `config.blur` sees its frames blurred: W1 = V B, with B the blur and V what is learnt. Then what
is learnt of a ball here holds for one a pixel further. In a network of `config.mirror` each hidden unit has a
mirror image, so that what is learnt above holds below. Both are kept by what is done to a new network, to
each gradient and to each step: the network itself is one like any other.

Arrays W1 are (hidden, pixels), the pixels those of pictures of `PICTURE_SHAPE`, one after the other.
"""

import math

import numpy as np

from pgpong.config import TrainConfig
from pgpong.learning.backend import Array, Arrays, Namespace
from pgpong.learning.optimizers import Optimizer
from pgpong.learning.policy import Policy
from pgpong.pixels import PICTURE_SHAPE


def shape(network: Policy, config: TrainConfig, sign: int) -> None:
    """Make a network that was drawn one of these; turned upside down, a frame has `sign` times the output."""
    if config.blur:
        network.W1[:] = blur(network.W1, config.blur, network.xp)
    if config.mirror:
        pair(network.W1, network.W2, sign, network.xp)


def tied(gradients: Arrays, config: TrainConfig, sign: int, xp: Namespace = np) -> Arrays:
    """Return the gradients by what is learnt in place of those by the weights."""
    if config.mirror:
        gradients = symmetrise(gradients, sign, xp)
    if config.blur:  # ∂/∂V = ∂/∂W1 Bᵀ, and B is symmetric
        gradients = gradients | {"W1": blur(gradients["W1"], config.blur, xp)}
    return gradients


def ascend(network: Policy, optimizer: Optimizer, gradients: Arrays, config: TrainConfig) -> None:
    """Take the optimiser's step along gradients by what is learnt: ΔW1 = ΔV B."""
    steps = optimizer.steps(gradients, config.learning_rate)
    if config.blur:
        steps["W1"] = blur(steps["W1"], config.blur, network.xp)
    for name, step in steps.items():
        network.parameters[name] += step


def blur(W1: Array, times: int, xp: Namespace = np) -> Array:
    """Pass each picture so many times through the filter [1 2 1], downwards and across; black is around it.

    That is a Gaussian blur of √(times / 2) pixels, nearly, scaled so that the variance of white noise stays.
    """
    height, width = PICTURE_SHAPE
    pixels = W1.T  # W1 lies in memory pixel by pixel
    pictures = xp.reshape(pixels, (-1, height, width, pixels.shape[1]))
    for _ in range(times):
        down = 2 * pictures
        down[:, 1:, ...] += pictures[:, :-1, ...]
        down[:, :-1, ...] += pictures[:, 1:, ...]
        pictures = 2 * down
        pictures[:, :, 1:, :] += down[:, :, :-1, :]
        pictures[:, :, :-1, :] += down[:, :, 1:, :]
    # Down and across alike, the squares of the binomial coefficients C(2n, k) sum up to C(4n, 2n).
    pictures *= 1 / math.comb(4 * times, 2 * times)
    return xp.reshape(pictures, pixels.shape).T


def pair(W1: Array, W2: Array, sign: int, xp: Namespace = np) -> None:
    """Make the second half of the hidden units mirror images of the first, in place.

    Unit i + hidden / 2 looks for unit i's picture upside down, and says `sign` times the same. With -1, a
    policy's, a frame turned upside down has the logit with the other sign: p(up | x) = 1 - p(up | x upside
    down). With 1, a critic's, it has the same value.
    """
    half = W2.shape[0] // 2
    W1[half:] = _upside_down(W1[:half].T, xp).T
    W2[half:] = sign * W2[:half]


def symmetrise(gradients: Arrays, sign: int, xp: Namespace = np) -> Arrays:
    """Return the part of the gradients that keeps paired units paired: their mean with their mirror image."""
    W1, W2 = gradients["W1"].T, gradients["W2"]
    half = W2.shape[0] // 2
    first = (W1[:, :half] + _upside_down(W1[:, half:], xp)) / 2
    says = (W2[:half] + sign * W2[half:]) / 2
    return {
        "W1": xp.concat([first, _upside_down(first, xp)], axis=1).T,
        "W2": xp.concat([says, sign * says]),
    }


def _upside_down(pixels: Array, xp: Namespace) -> Array:
    """Turn pictures (pixels, n) upside down."""
    height, width = PICTURE_SHAPE
    pictures = xp.reshape(pixels, (-1, height, width, pixels.shape[1]))
    return xp.reshape(xp.flip(pictures, axis=1), pixels.shape)
