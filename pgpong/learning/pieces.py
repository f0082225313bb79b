"""Work on many rows at once, in as few pieces as memory holds."""

from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import TypeVar

from pgpong.learning.backend import Array, Arrays, Backend

T = TypeVar("T")


def add(gradients: Arrays, others: Arrays) -> Arrays:
    """Add arrays of the same names."""
    return {name: g + others[name] for name, g in gradients.items()}


class Pieces:
    """Cuts rows into twice as many pieces each time that memory does not suffice, and stays with that."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.count = 1

    def do(self, work: Callable[[Array], T], add: Callable[[T, T], T], rows: Array) -> T:
        """Return what `work` makes of all `rows`, put together by `add` where they were cut.

        Where memory does not suffice for a single row, the library's own error says so.
        """
        while True:
            try:
                return reduce(add, map(work, self._cut(rows)))
            except Exception as error:
                if not self.backend.is_out_of_memory(error) or self.count >= rows.shape[0]:
                    raise
            self.count *= 2

    def _cut(self, rows: Array) -> list[Array]:
        n = rows.shape[0]
        bounds = [n * i // self.count for i in range(self.count + 1)]
        return [rows[a:b] for a, b in pairwise(bounds) if a < b]
