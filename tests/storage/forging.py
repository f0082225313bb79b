"""Files that are wrong in one thing only: everything else about them, checksums included, is right."""

import json
import os
import struct
from itertools import chain
from pathlib import Path

from pgpong.storage import arrays as container
from pgpong.storage.arrays import Arrays, Meta, serialise


def model_file(meta: Meta, arrays: Arrays) -> bytes:
    """The file that pgpong writes."""
    return b"".join(serialise(meta, arrays))


def header_text(meta: object, arrays: Arrays, /, **changes: object) -> bytes:
    """The JSON text of a file, unchecked; `changes` replace or add top-level keys."""
    specs = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    return json.dumps({"arrays": specs, "meta": meta, **changes}).encode()


def forge(text: bytes, arrays: Arrays) -> bytes:
    """A file of any text and arrays, framed as pgpong frames them but not checked."""
    specs = [container._Spec(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    blocks = [text, *(container._in_file_order(array) for array in arrays.values())]
    first, *frames = container._frames(container._lay_out(len(text), specs), blocks)
    return b"".join([first, *chain(*zip(blocks, frames, strict=True))])


def sparse_file(path: Path, gigabytes: int) -> None:
    """A file whose size is what its header says, in arrays of a GiB each; on the disk it takes a few kB."""
    specs = [container._Spec(f"a{number}", "|u1", (1 << 30,)) for number in range(gigabytes)]
    text = container._dump({}, specs)
    members = container._lay_out(len(text), specs)
    beginning = bytes(22) + struct.pack("<L", members[0].stop - 40)
    path.write_bytes(beginning.ljust(members[0].start, b"\0") + text)
    os.truncate(path, container._size(members))
