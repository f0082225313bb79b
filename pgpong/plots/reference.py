"""The learning curves of the reference runs, as they ship with the package, to stand behind a user's own.

`python benchmarks/reference_curves.py` makes the file of the runs in runs/reference/.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pgpong.storage.history import History

FILE = Path(__file__).parent.parent / "data" / "reference_curves.json"
COUNTS = ("update", "episode", "frame", "seconds")
POINTS = 150  # of a curve


def reference_curves(recipe: str, game: str) -> list[dict[str, Any]]:
    """Return the curves of the reference runs of a recipe on a game, `str(Game)`: counts and `score_mean`."""
    return [curve for curve in _all() if (curve["recipe"], curve["game"]) == (recipe, game)]


def curve_to_ship(history: History) -> dict[str, Any]:
    """Sum a run up: the mean score of its last 100 episodes at so many updates, the last among them."""
    updates = history.updates
    (scored,) = np.nonzero(np.isfinite(updates["score_mean"]))
    rows = scored[np.unique(np.linspace(0, len(scored) - 1, POINTS).round().astype(int))]
    columns = {name: updates[name][rows].round(1).tolist() for name in COUNTS}
    about = {"name": history.name, "recipe": history.config.recipe, "game": str(history.game)}
    machine = history.provenance.get("machine")
    return {
        **about,
        "machine": machine,
        **columns,
        "score_mean": updates["score_mean"][rows].round(2).tolist(),
    }


@cache
def _all() -> list[dict[str, Any]]:
    curves: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return curves
