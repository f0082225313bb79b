"""Learning Pong from pixels: a two-layer policy network and policy gradients.

The names below are imported when they are first used, so that `import pgpong` is quick and loads neither
matplotlib nor a GPU library. `gymnasium.make("pgpong/Pong-v5")` works once the package is imported.
"""

from importlib import import_module
from typing import Any

from gymnasium.envs.registration import register

__version__ = "0.1.0"

_HOME = {
    "Agent": "pgpong.agent",
    "Evaluation": "pgpong.evaluation",
    "PgpongError": "pgpong.errors",
    "Policy": "pgpong.learning.policy",
    "TrainConfig": "pgpong.config",
    "evaluate": "pgpong.evaluation",
    "find_agent": "pgpong.storage.run",
    "find_game": "pgpong.envs.game",
    "from_recipe": "pgpong.config",
    "make": "pgpong.envs.wrappers",
    "make_vec": "pgpong.envs.vector",
    "new_state": "pgpong.state",
    "read_run": "pgpong.storage.history",
    "show": "pgpong.viewing.notebook",
    "train": "pgpong.training",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pgpong' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


register(
    "pgpong/Pong-v5",
    entry_point="pgpong.envs.wrappers:make",
    vector_entry_point="pgpong.envs.vector:make_vec",
)
