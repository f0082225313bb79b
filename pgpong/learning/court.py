"""What may be known of the court before anything is learnt: neighbouring pixels and the two halves are alike.

Arrays are weights whose columns are pixels: one or more pictures of `PICTURE_SHAPE`, one after the other.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pgpong.learning.backend import Array, Arrays, Namespace
from pgpong.learning.policy import Policy
from pgpong.pixels import PICTURE_SHAPE, PIXELS


def blur(W1: npt.NDArray[Any], width: float) -> npt.NDArray[Any]:
    """Blur each picture of W1 (hidden, pixels) with a Gaussian of `width` pixels; the variance stays.

    Of white noise each pixel says something of its own; blurred, it says much the same as its neighbours,
    so that what is learnt of a ball here holds for a ball one pixel further.
    """
    from scipy.ndimage import gaussian_filter  # a tenth of a second that only the start of a training needs

    pictures = W1.reshape(len(W1), -1, *PICTURE_SHAPE)
    blurred: npt.NDArray[Any] = gaussian_filter(pictures, (0, 0, width, width)).reshape(W1.shape)
    blurred *= W1.std() / blurred.std()
    return blurred


def learnt(network: Policy, mirror: bool) -> Arrays:
    """Return what is learnt of a network: of a mirrored one the first half of the hidden units, as views."""
    half = network.W2.shape[0] // 2 if mirror else None
    return {name: W[:half, ...] for name, W in network.parameters.items()}


def pair(network: Policy, sign: int) -> None:
    """Make the second half of the hidden units mirror images of the first, in place.

    Unit i + hidden / 2 looks for unit i's picture upside down, and says `sign` times the same. With -1, a
    policy's, a frame turned upside down has the logit of up with the other sign, and that of staying as it
    is: up and down change places. With 1, a critic's, it has the same value.
    """
    half = network.W2.shape[0] // 2
    W1 = network.W1.T  # in memory pixel by pixel
    W1[:, half:] = _upside_down(W1[:, :half], network.xp)
    network.W2[half:] = sign * network.W2[:half]
    if network.may_stay:
        W2_stay = network.parameters["W2_stay"]
        W2_stay[half:] = W2_stay[:half]


def is_paired(network: Policy, sign: int) -> bool:
    """Tell whether the second half of the hidden units are mirror images of the first, to the bit."""
    if network.W2.shape[0] % 2 or network.W1.shape[1] % PIXELS:
        return False
    paired = network.copy()
    pair(paired, sign)
    return all(bool(network.xp.all(paired.parameters[name] == W)) for name, W in network.parameters.items())


def unfold(half: Policy, sign: int) -> Policy:
    """Make a mirrored network of the first half of its hidden units."""
    xp = half.xp
    twice = {name: xp.concat([W.T, W.T], axis=-1).T for name, W in half.parameters.items()}
    network = Policy(**twice, backend=half.backend)
    pair(network, sign)
    return network


def fold(gradients: Arrays, sign: int, xp: Namespace = np) -> Arrays:
    """Return the gradient by what is learnt of a mirrored network, from that by all its weights."""
    W1 = gradients["W1"].T  # in memory pixel by pixel
    half = W1.shape[1] // 2
    folded = {"W1": (W1[:, :half] + _upside_down(W1[:, half:], xp)).T}
    for name, its_sign in (("W2", sign), ("W2_stay", 1)):
        if name in gradients:
            folded[name] = gradients[name][:half] + its_sign * gradients[name][half:]
    return folded


def _upside_down(pixels: Array, xp: Namespace) -> Array:
    """Turn pictures (pixels, n) upside down."""
    height, width = PICTURE_SHAPE
    pictures = xp.reshape(pixels, (-1, height, width, pixels.shape[1]))
    return xp.reshape(xp.flip(pictures, axis=1), pixels.shape)
