"""Numbers stay numbers: NaN and infinity are named where they turn up."""

import numpy as np

from pgpong.errors import NonFiniteError
from pgpong.learning.backend import Array, Namespace


def require_finite(what: str, values: Array, xp: Namespace = np) -> None:
    """Raise if any of `values`, an array of any shape, is NaN or infinite.

    Raises:
        NonFiniteError: one is; the message names `what`.
    """
    if not bool(xp.all(xp.isfinite(values))):
        raise NonFiniteError(f"{what} is not finite: try a smaller --learning-rate")
