"""Named arrays and a JSON header in one .npz file: data only, nothing in it can run."""

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pgpong.errors import FileFormatError, NonFiniteError
from pgpong.storage.files import write_atomically

Arrays = dict[str, npt.NDArray[Any]]

_HEADER = "header"  # the member with the JSON text, as bytes

# What numpy, zipfile and json say of a file that `write_arrays` did not write.
_NOT_OURS = (
    ValueError,
    KeyError,
    EOFError,
    AttributeError,
    TypeError,
    MemoryError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def write_arrays(path: Path, header: dict[str, Any], arrays: Arrays) -> None:
    """Write `arrays` and `header` to `path`, whole or not at all.

    Raises:
        NonFiniteError: an array holds NaN or infinity; nothing is written.
        DiskError: the system refused to write.
    """
    if name := _not_finite(arrays):
        raise NonFiniteError(f"{name} holds NaN or infinity, it is not written to {path}")
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{_HEADER: text}, **arrays)
    write_atomically(path, content.getvalue())


def read_arrays(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Read what `write_arrays` wrote.

    Raises:
        FileFormatError: the file is missing, cut short, not of this kind, or holds NaN or infinity.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
    except FileNotFoundError as error:
        raise FileFormatError(f"no such file: {path}") from error
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from error
    except _NOT_OURS as error:
        raise FileFormatError(f"{path} is damaged or was not written by pgpong") from error
    if not isinstance(header, dict):
        raise FileFormatError(f"{path} is damaged or was not written by pgpong")
    if name := _not_finite(arrays):
        raise FileFormatError(f"{path}: {name} holds NaN or infinity, such an agent cannot play")
    return header, arrays


def _not_finite(arrays: Arrays) -> str | None:
    """Name the first array that holds NaN or infinity."""
    bad = (name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all())
    return next(bad, None)
