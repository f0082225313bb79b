"""Where the mathematics is computed: in numpy or in a library that is like it, perhaps on a GPU.

The mathematics is written once, with the functions of the Python array API standard (https://data-apis.org).
A `Backend` is the library at hand, a device of it, and what the standard leaves open: how arrays come there
and back, and how sparse frames are multiplied there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from pgpong.errors import SettingError

# An array of the library at hand. Shapes and element types stand in docstrings and trailing comments.
Array: TypeAlias = Any

# A module of array functions: numpy itself, or another that follows the array API standard.
Namespace: TypeAlias = Any

# Named arrays: the parameters of a policy, their gradients, an optimiser's running means.
Arrays: TypeAlias = dict[str, Array]

BACKENDS = ("numpy", "torch", "cupy")


@dataclass(frozen=True)
class Backend:
    """Any library of the standard, and a device of it; frames are dense there."""

    name: str
    xp: Namespace
    device: str  # cpu, cuda:0, cuda:1, mps

    def __str__(self) -> str:
        return f"{self.name} on {self.device}"

    def asarray(self, array: npt.NDArray[Any], like: Array | None = None) -> Array:
        """Bring an array of numpy's here, in the dtype of `like`; a matrix (n, m) lies column by column."""
        there = self._bring(array.T).T if array.ndim == 2 else self._bring(array)
        return there if like is None else self.xp.astype(there, like.dtype)

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Bring an array of this backend back to numpy."""
        return np.asarray(array)

    def frames(self, frames: "csr_array[np.float32]", like: Array) -> Array:
        """Bring sparse rows (n, pixels) here, in the dtype of `like`.

        There they have `x @ W` and `x.T @ W`.
        """
        return self.asarray(frames.toarray(), like)

    def pick(self, x: Array, rows: Array) -> Array:
        """Pick frames by an array of row numbers."""
        return self.xp.take(x, rows, axis=0)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Tell whether an error says that memory did not suffice."""
        return isinstance(error, MemoryError)

    @contextmanager
    def naming_memory(self) -> Iterator[None]:
        """Turn an error that says that memory did not suffice into one for the user."""
        try:
            yield
        except Exception as error:
            if not self.is_out_of_memory(error):
                raise
            raise SettingError(f"{self} has too little memory: try fewer --hidden units") from error

    def wait(self) -> None:
        """Return when all that was begun here is done."""

    def _bring(self, array: npt.NDArray[Any]) -> Array:
        return self.xp.asarray(np.ascontiguousarray(array))


class SparseBackend(Backend):
    """A library in which frames are sparse rows, which are picked as rows of an array are."""

    def pick(self, x: Array, rows: Array) -> Array:
        """Pick frames by an array of row numbers."""
        return x[rows]


class NumpyBackend(SparseBackend):
    """numpy, and sparse frames as scipy multiplies them."""

    def asarray(self, array: npt.NDArray[Any], like: Array | None = None) -> Array:
        """Return the array as it is, or in the dtype of `like`."""
        return array if like is None else array.astype(like.dtype, copy=False)

    def frames(self, frames: "csr_array[np.float32]", like: Array) -> Array:
        """Return the frames as they are: small whole numbers, which every product takes for what they are."""
        return frames


NUMPY = NumpyBackend("numpy", np, "cpu")


def find_backend(name: str | None = None, device: str | None = None) -> Backend:
    """Find a backend by the name of its library and device: cpu, cuda, cuda:1, mps.

    Without a name it is numpy for the CPU and torch for all else; without a device, the library's best here.

    Raises:
        SettingError: there is no such library or device, here or anywhere.
    """
    name = name or ("numpy" if device in (None, "cpu") else "torch")
    if name not in BACKENDS:
        raise SettingError(f"no backend {name!r}: choose one of {', '.join(BACKENDS)}")
    if name == "numpy":
        if device not in (None, "cpu"):
            raise SettingError(f"numpy has no device {device!r}: --device cpu, or another --backend")
        return NUMPY
    try:
        module = import_module(f"pgpong.learning.{name}_backend")
    except ImportError as error:
        raise SettingError(f"the backend {name} needs pip install 'pgpong[{name}]'") from error
    backend: Backend = module.open_device(device)
    return backend
