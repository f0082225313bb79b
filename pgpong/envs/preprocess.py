"""From the Atari screen to what the network sees; pure functions on arrays of any leading shape.

The steps are those of the 2016 experiment (A. Karpathy, "Deep Reinforcement Learning: Pong from
Pixels", function `prepro`), on the grayscale screen, whose background is one single value.
"""

import numpy as np
import numpy.typing as npt

from pgpong.pixels import PICTURE_SHAPE as PICTURE_SHAPE

SCREEN_SHAPE = (210, 160)
PIXELS = PICTURE_SHAPE[0] * PICTURE_SHAPE[1]

# Pong's court is one flat grey inside the cropped rows; ball and paddles are anything else.
BACKGROUND = 87
BACKGROUND_COLOUR = 34  # the number of the same colour in the Atari's palette


def picture(screen: npt.NDArray[np.uint8], background: int = BACKGROUND) -> npt.NDArray[np.int8]:
    """Reduce grayscale screens (..., 210, 160) to binary pictures (..., 80, 80): 1 is ball or paddle.

    Screens in the Atari's palette give the same pictures with `background=BACKGROUND_COLOUR`.
    """
    court = screen[..., 35:195, :]  # (..., 160, 160): score line and lower wall are gone
    small = court[..., ::2, ::2]  # (..., 80, 80): every second pixel of every second row
    return np.not_equal(small, background).view(np.int8)  # 0 background, 1 ball or paddle


def difference_frame(current: npt.NDArray[np.int8], last: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Subtract the last picture from the current one: 1 where something came, -1 where it left."""
    return np.subtract(current, last)
