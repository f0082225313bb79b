"""From the Atari screen to what the network sees; pure functions on arrays of any leading shape.

The steps are those of the 2016 experiment (A. Karpathy, "Deep Reinforcement Learning: Pong from
Pixels", function `prepro`), on the grayscale screen, whose background is one single value, and another one
on a game's first screen.
"""

import numpy as np
import numpy.typing as npt

from pgpong.pixels import PICTURE_SHAPE

SCREEN_SHAPE = (210, 160)

# Pong's court is one flat grey inside the cropped rows, a lighter one on a game's first screen; ball and
# paddles are anything else. These are the two colours that the 2016 script erases, 144 and 109 in its red.
BACKGROUNDS = (87, 107)
BACKGROUND_COLOURS = (34, 228)  # the numbers of the same colours in the Atari's palette


def picture(
    screen: npt.NDArray[np.uint8], backgrounds: tuple[int, int] = BACKGROUNDS
) -> npt.NDArray[np.int8]:
    """Reduce grayscale screens (..., 210, 160) to binary pictures (..., 80, 80): 1 is ball or paddle.

    Screens in the Atari's palette give the same pictures with `backgrounds=BACKGROUND_COLOURS`.
    """
    court = screen[..., 35:195, :]  # (..., 160, 160): score line and lower wall are gone
    small = court[..., ::2, ::2]  # (..., 80, 80): every second pixel of every second row
    usual, first = backgrounds
    lit: npt.NDArray[np.bool_] = np.not_equal(small, usual) & np.not_equal(small, first)
    picture: npt.NDArray[np.int8] = lit.view(np.int8)  # 0 background, 1 ball or paddle
    return picture


def observation_shape(with_current: bool) -> tuple[int, ...]:
    """Return the shape of an observation: of a difference frame, or of one with the current picture."""
    return (2, *PICTURE_SHAPE) if with_current else PICTURE_SHAPE


def difference_frame(current: npt.NDArray[np.int8], last: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Subtract the last picture from the current one: 1 where something came, -1 where it left."""
    return np.subtract(current, last)


def observation(
    difference: npt.NDArray[np.int8], current: npt.NDArray[np.int8], with_current: bool
) -> npt.NDArray[np.int8]:
    """Return difference frames (..., 80, 80), or with the current pictures beside them (..., 2, 80, 80)."""
    return np.stack([difference, current], axis=-3) if with_current else difference
