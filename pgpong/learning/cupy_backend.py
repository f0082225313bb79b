"""CuPy as a backend, on an NVIDIA GPU. Imported only where it is asked for."""

from typing import Any

import array_api_compat.cupy as xp
import cupy
import numpy as np
import numpy.typing as npt
from cupyx.scipy.sparse import csr_matrix
from scipy.sparse import csr_array

from pgpong.errors import SettingError
from pgpong.learning.backend import Array, SparseBackend


class CupyBackend(SparseBackend):
    """CuPy, whose sparse matrices are like scipy's."""

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Bring an array back to numpy."""
        return np.asarray(cupy.asnumpy(array))

    def frames(self, frames: "csr_array[np.float32]", like: Array) -> Array:
        """Bring sparse rows (n, pixels) here."""
        parts = self.asarray(frames.data, like), self._bring(frames.indices), self._bring(frames.indptr)
        return csr_matrix(parts, shape=frames.shape)

    def wait(self) -> None:
        """Return when all that was begun on the device is done."""
        cupy.cuda.get_current_stream().synchronize()


def open_device(device: str | None) -> CupyBackend:
    """Make the backend of a device: cuda or cuda:1; None: the first.

    Raises:
        SettingError: there is no such device.
    """
    there = devices()
    name = "cuda:0" if device in (None, "cuda") else device
    if name not in there:
        found = f"only {', '.join(there)}" if there else "no CUDA device at all"
        raise SettingError(f"cupy finds no device {name!r} here, {found}")
    cupy.cuda.Device(there.index(name)).use()  # from here on, for this thread
    return CupyBackend("cupy", xp, name)


def devices() -> list[str]:
    """Name the devices there are."""
    try:
        return [f"cuda:{number}" for number in range(cupy.cuda.runtime.getDeviceCount())]
    except cupy.cuda.runtime.CUDARuntimeError:  # no driver, or none that fits
        return []
