"""Modules whose library is not installed are no place to look for doctests."""

from importlib.util import find_spec

_NEEDS = {"conv": "torch", "torch_backend": "torch", "cupy_backend": "cupy"}

collect_ignore = [f"pgpong/learning/{name}.py" for name, library in _NEEDS.items() if not find_spec(library)]
