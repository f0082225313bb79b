"""PyTorch as a backend, on the CPU or a GPU. Imported only where it is asked for."""

import warnings
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array

from pgpong.errors import SettingError
from pgpong.learning.backend import Array, SparseBackend

# Once a process torch says that its sparse tensors may change and that their indices are not checked.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))


class TorchBackend(SparseBackend):
    """PyTorch; sparse frames travel as the places and values of their pixels."""

    def asarray(self, array: npt.NDArray[Any], like: Array | None = None) -> Array:
        """Bring an array of numpy's here; the dtype of `like` it has before, for mps has no float64."""
        if like is not None:
            array = array.astype(str(like.dtype).removeprefix("torch."), copy=False)
        return super().asarray(array)

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Bring a tensor back to numpy."""
        return np.asarray(array.cpu())

    def frames(self, frames: "csr_array[np.float32]", like: Array) -> Array:
        """Bring sparse rows (n, pixels) here; dense to a device that has no sparse products (mps)."""
        if self.device.startswith("mps"):
            return super().frames(frames, like)
        starts, pixels = (self._bring(part.astype(np.int64)) for part in (frames.indptr, frames.indices))
        return SparseRows(starts, pixels, self.asarray(frames.data, like), frames.shape[1])

    def is_out_of_memory(self, error: Exception) -> bool:
        """Tell whether an error says that memory did not suffice; on the CPU and mps only its words do."""
        words = ("out of memory", "not enough memory", "can't allocate memory", "bad_alloc")
        said = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
        return said or super().is_out_of_memory(error)

    def wait(self) -> None:
        """Return when all that was begun on the device is done."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        elif self.device.startswith("mps"):
            torch.mps.synchronize()

    def _bring(self, array: npt.NDArray[Any]) -> Array:
        if self.device == "mps" and array.dtype == np.float64:
            raise SettingError("mps has no float64: --device cpu")
        there = torch.from_numpy(np.ascontiguousarray(array))
        return there.clone() if self.device == "cpu" else there.to(self.device)


class SparseRows:
    """Sparse rows that can be picked by number, which torch's own sparse tensors cannot.

    Row i has the `values` from `starts[i]` to `starts[i + 1]`, at `pixels` of `width`.
    """

    def __init__(self, starts: Array, pixels: Array, values: Array, width: int) -> None:
        self._starts = starts
        self._pixels = pixels
        self._values = values
        self._width = width

    @property
    def shape(self) -> tuple[int, int]:
        """Count rows and pixels."""
        return len(self._starts) - 1, self._width

    def __getitem__(self, rows: Array) -> "SparseRows":
        """Pick rows by number."""
        counts = torch.diff(self._starts)[rows]
        starts = torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])
        total = int(starts[-1])
        shifts = torch.repeat_interleave(self._starts[rows] - starts[:-1], counts, output_size=total)
        where = torch.arange(total, device=counts.device) + shifts
        return SparseRows(starts, self._pixels[where], self._values[where], self._width)

    def __matmul__(self, W: Array) -> Array:
        """Multiply with a dense matrix (width, n)."""
        return self._matrix() @ W

    @property
    def T(self) -> Array:
        """The transposed matrix (width, rows), one of torch's sparse tensors."""
        return self._matrix().t()

    def to_dense(self) -> Array:
        """Return all pixels, (rows, pixels)."""
        return self._matrix().to_dense()

    def _matrix(self) -> Array:
        return torch.sparse_csr_tensor(
            self._starts, self._pixels, self._values, self.shape, check_invariants=False
        )


def open_device(device: str | None) -> TorchBackend:
    """Make the backend of a device: cpu, cuda, cuda:1, mps; None: a GPU, or the CPU where there is none.

    Raises:
        SettingError: there is no such device.
    """
    there = devices()
    name = {None: there[0], "cuda": "cuda:0"}.get(device, device)
    if name not in there:
        raise SettingError(f"torch finds no device {device!r} here, only {', '.join(there)}")
    return TorchBackend("torch", xp, str(name))


def devices() -> list[str]:
    """Name the devices there are, the best one first."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [*gpus, *["mps"] * torch.backends.mps.is_available(), "cpu"]
