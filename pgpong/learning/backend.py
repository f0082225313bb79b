"""The array namespace `xp` that the mathematics is written against: numpy, or one that is like it.

A function of this package uses only what the Python array API standard has (https://data-apis.org),
so that an array library which follows the standard can take numpy's place.
"""

from typing import Any, TypeAlias

# An array of the namespace at hand. Shapes and element types stand in docstrings and trailing comments.
Array: TypeAlias = Any

# A module of array functions: numpy itself, or another that follows the array API standard.
Namespace: TypeAlias = Any

# Named arrays: the parameters of a policy, their gradients, an optimiser's running means.
Arrays: TypeAlias = dict[str, Array]
