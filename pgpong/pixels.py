"""What is told of pictures on both sides, where games are played and where they are learnt from.

Of the 6,400 pixels of a difference frame 28 are not zero on average: they are all that travels between
processes, and all that is multiplied.
"""

import zlib

import numpy as np
import numpy.typing as npt

PICTURE_SHAPE = (80, 80)  # rows, columns
PIXELS = PICTURE_SHAPE[0] * PICTURE_SHAPE[1]

_WORD = 8  # pixels compared at once


def nonzero_pixels(
    differences: npt.NDArray[np.int8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """Return the places, ascending in the flattened array, and the values of what is not zero.

    >>> nonzero_pixels(np.array([[[0, 0, 0, 0], [0, -1, 1, 0]]], np.int8))
    (array([5, 6]), array([-1,  1], dtype=int8))
    """
    flat = np.ascontiguousarray(differences, np.int8).reshape(-1)
    # Most words of eight pixels are zero: only the others are looked at pixel by pixel.
    words = np.flatnonzero(flat.view(np.uint64) != 0)
    eights = flat.reshape(-1, _WORD)[words].reshape(-1)
    inside = np.flatnonzero(eights != 0)
    return words[inside // _WORD] * _WORD + inside % _WORD, eights[inside]


def checksum(screen: npt.NDArray[np.uint8]) -> int:
    """Return the CRC-32 of a screen (210, 160) in numbers of the Atari's palette."""
    return zlib.crc32(screen.tobytes())
