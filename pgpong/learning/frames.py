"""A batch of difference frames as the policy multiplies it: sparse rows on the CPU.

Of the 6,400 pixels of a difference frame of Pong 28 are non-zero on average, so a product with a sparse
row costs a fraction of a percent of the dense one.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, vstack

Frames: TypeAlias = "csr_array[np.float32]"

_WORD = 8  # pixels compared at once


def sparse_frames(differences: npt.NDArray[np.int8]) -> Frames:
    """Flatten difference frames (n, height, width) into sparse rows (n, height * width) of float32.

    >>> sparse_frames(np.array([[[0, 0, 0, 0], [0, -1, 1, 0]]], np.int8)).toarray()
    array([[ 0.,  0.,  0.,  0.,  0., -1.,  1.,  0.]], dtype=float32)
    """
    n, pixels = len(differences), math.prod(differences.shape[1:])
    flat = np.ascontiguousarray(differences).reshape(n, pixels)
    # Most words of eight pixels are zero: only the others are looked at pixel by pixel.
    words = np.flatnonzero(flat.reshape(-1).view(np.uint64) != 0)
    eights = flat.reshape(-1, _WORD)[words].reshape(-1)
    inside = np.flatnonzero(eights != 0)
    position = words[inside // _WORD] * _WORD + inside % _WORD  # ascending: the rows come out in order
    starts = np.searchsorted(position, np.arange(n + 1) * pixels).astype(np.int32)
    values = eights[inside].astype(np.float32)
    indices = (position % pixels).astype(np.int32)
    return csr_array((values, indices, starts), shape=(n, pixels))


def stack_frames(frames: list[Frames]) -> Frames:
    """Put batches of frames below each other, in the order of the list."""
    return csr_array(vstack(frames, format="csr"))
