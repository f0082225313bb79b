"""Sparse frames against the dense array they stand for."""

import numpy as np
import pytest

from pgpong.learning.frames import sparse_frames, stack_frames


@pytest.mark.parametrize("density", [0.0, 0.004, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 7])
def test_sparse_rows_are_the_dense_frames(n, density):
    rng = np.random.default_rng(0)
    dense = rng.choice([-1, 1], (n, 80, 80)) * (rng.random((n, 80, 80)) < density)
    frames = sparse_frames(dense.astype(np.int8))
    assert frames.dtype == np.float32
    assert (frames.toarray() == dense.reshape(n, 6400)).all()
    assert frames.nnz == np.count_nonzero(dense)
    frames.check_format(full_check=True)
    assert frames.has_sorted_indices


def test_a_non_contiguous_array_is_read_rightly():
    dense = np.random.default_rng(1).integers(-1, 2, (4, 80, 160)).astype(np.int8)[:, :, ::2]
    assert (sparse_frames(dense).toarray() == dense.reshape(4, -1)).all()


def test_frames_are_stacked_in_order():
    dense = np.random.default_rng(2).integers(-1, 2, (5, 80, 80)).astype(np.int8)
    stacked = stack_frames([sparse_frames(dense[:2]), sparse_frames(dense[2:2]), sparse_frames(dense[2:])])
    assert (stacked.toarray() == dense.reshape(5, -1)).all()
