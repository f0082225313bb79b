"""A batch of frames as the policy multiplies it: sparse rows, of 6,400 pixels or, with pictures, 12,800.

Of the 6,400 pixels of a difference frame of Pong 28 are non-zero on average, so a product with a sparse
row costs a fraction of a percent of the dense one.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, vstack

from pgpong.pixels import nonzero_pixels

Frames: TypeAlias = "csr_array[np.float32]"


def sparse_frames(differences: npt.NDArray[np.int8]) -> Frames:
    """Flatten difference frames (n, height, width) into sparse rows (n, height * width) of float32.

    >>> sparse_frames(np.array([[[0, 0, 0, 0], [0, -1, 1, 0]]], np.int8)).toarray()
    array([[ 0.,  0.,  0.,  0.,  0., -1.,  1.,  0.]], dtype=float32)
    """
    n, pixels = len(differences), math.prod(differences.shape[1:])
    position, values = nonzero_pixels(differences)  # ascending: the rows come out in order
    starts = np.searchsorted(position, np.arange(n + 1) * pixels).astype(np.int32)
    indices = (position % pixels).astype(np.int32)
    return csr_array((values.astype(np.float32), indices, starts), shape=(n, pixels))


def stack_frames(frames: list[Frames]) -> Frames:
    """Put batches of frames below each other, in the order of the list."""
    return csr_array(vstack(frames, format="csr"))


def pack_frames(frames: Frames) -> dict[str, npt.NDArray[Any]]:
    """Return n frames as three small arrays: how many pixels each has, which they are, and their values."""
    return {
        "pixel_count": np.diff(frames.indptr).astype(np.uint16),  # (n,)
        "pixel": frames.indices.astype(np.uint16),  # one for each that is not 0
        "pixel_value": frames.data.astype(np.int8),
    }


def unpack_frames(packed: dict[str, npt.NDArray[Any]], pixels: int) -> Frames:
    """Return the frames (n, pixels) that `pack_frames` packed."""
    starts = np.append(0, np.cumsum(packed["pixel_count"], dtype=np.int32)).astype(np.int32)
    values, indices = packed["pixel_value"].astype(np.float32), packed["pixel"].astype(np.int32)
    return csr_array((values, indices, starts), shape=(len(starts) - 1, pixels))
