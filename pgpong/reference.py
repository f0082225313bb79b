"""The reference runs: their learning curves, as they ship with the package, to compare a run with.

`python benchmarks/reference_curves.py` makes the file of the runs in runs/reference/.
"""

import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pgpong.config import RECIPES, TrainConfig
from pgpong.envs.game import Game
from pgpong.storage.history import History

Floats = npt.NDArray[np.float64]

FILE = Path(__file__).parent / "data" / "reference_curves.json"
COUNTS = ("update", "episode", "step", "frame", "seconds")
POINTS = 300  # of a curve
# Two means of 100 games can differ by this much though the agents are equally good: while an agent learns to
# win, the scores of single games have a standard deviation of 5 to 7 and more.
TOLERANCE = 1.0

# Settings that change nothing about how a run learns, and those that recipe and game say already.
_ASIDE = {
    "recipe", "seed", "env", "frameskip", "sticky", "num_workers",
    "evaluate_every", "evaluation_episodes", "checkpoint_every", "keep_every",
}  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """Where a run stands beside the reference runs at its step.

    They had mean scores from `low` to `high`; where the step is `past` their end, they ended with those.
    """

    score: float
    low: float
    high: float
    past: bool

    @property
    def lead(self) -> float:
        """How far the run is above the highest, or, negative, below the lowest; 0 if that means little."""
        outside = max(self.score - self.high, 0.0) + min(self.score - self.low, 0.0)
        return outside if abs(outside) > TOLERANCE else 0.0

    @property
    def word(self) -> str:
        """Say it in a word or three."""
        if not self.lead:
            return "on track"
        return f"{'ahead' if self.lead > 0 else 'behind'} by {abs(self.lead):.1f}"


@dataclass(frozen=True)
class Reference:
    """The reference runs of a recipe on a game, maybe none: steps and mean scores (points,) of each.

    What is compared is the same step. Steps are what is learnt from and what takes time; a run that loses
    fast has played more episodes by then, and an update is as large as its batch.
    """

    recipe: str
    curves: tuple[tuple[Floats, Floats], ...] = ()
    other_settings: tuple[str, ...] = ()  # those in which the run to compare differs

    def __str__(self) -> str:
        """Say what there is to compare with.

        >>> str(Reference("fast", ((np.array([9.0]), np.array([-20.0])),)))
        '1 reference run of fast'
        """
        n = len(self.curves)
        return f"{n} reference run{'' if n == 1 else 's'} of {self.recipe}"

    @property
    def begin(self) -> float:
        """The first step that all runs have a score at; infinite if there is no run."""
        return max((float(steps[0]) for steps, _ in self.curves), default=math.inf)

    @property
    def end(self) -> float:
        """The last step that all runs came to."""
        return min((float(steps[-1]) for steps, _ in self.curves), default=math.inf)

    def scores_at(self, steps: Sequence[float]) -> Floats:
        """Return the mean scores (runs, n) at n steps, NaN where not all runs have one."""
        x = np.asarray(steps, np.float64)
        scores = np.array([np.interp(x, *curve) for curve in self.curves])
        scores[:, (x < self.begin) | (x > self.end)] = np.nan
        return scores

    def standing(self, step: int, score: float) -> Standing | None:
        """Compare a mean score with those of the runs at that step; None before their first."""
        if step < self.begin:
            return None
        scores = self.scores_at([min(step, self.end)])
        return Standing(score, float(scores.min()), float(scores.max()), past=step > self.end)

    def reaching(self, target: float) -> int:
        """Count the runs that came to a mean score."""
        return sum(math.isfinite(_first(*curve, target)) for curve in self.curves)

    def steps_to(self, target: float, step: int, score: float) -> float:
        """Return how many steps the runs took to a mean score from a lower one, in the median.

        A run may have had the lower score for long: it is counted from where it had it nearest to `step`.
        Infinite if half of the runs or more never came to the target.
        """
        return float(np.median([_steps_between(*curve, score, target, step) for curve in self.curves]))


def find_reference(config: TrainConfig, game: Game) -> Reference:
    """Return the reference runs to compare a run with; those of its very settings, if there are any."""
    found, other_settings = curves_beside(config, game)
    curves = tuple(
        (np.asarray(curve["step"], np.float64), np.asarray(curve["score_mean"], np.float64))
        for curve in found
    )
    return Reference(config.recipe, curves, other_settings)


def curves_beside(config: TrainConfig, game: Game) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the curves to compare a run with, as they ship, and the settings in which it differs."""
    found = reference_curves(config.recipe, str(game))
    others = [_other_settings(config, curve) for curve in found]
    if () in others:
        return [curve for curve, other in zip(found, others, strict=True) if not other], ()
    return found, tuple(dict.fromkeys(name for other in others for name in other))


def reference_curves(recipe: str, game: str) -> list[dict[str, Any]]:
    """Return the curves of the reference runs of a recipe on a game, `str(Game)`: counts and `score_mean`."""
    return [curve for curve in _all() if (curve["recipe"], curve["game"]) == (recipe, game)]


def curve_to_ship(history: History) -> dict[str, Any]:
    """Sum a run up: the mean score of its last 100 episodes at so many updates, the last among them."""
    updates = history.updates
    (scored,) = np.nonzero(np.isfinite(updates["score_mean"]))
    rows = scored[np.unique(np.linspace(0, len(scored) - 1, POINTS).round().astype(int))]
    # As they were written down: a setting that came later is none of this run's.
    settings = tomllib.loads(history.run.settings_file.read_text(encoding="utf-8"))
    return {
        "name": history.name,
        "recipe": history.config.recipe,
        "game": str(history.game),
        "settings": {name: value for name, value in settings.items() if name not in _ASIDE},
        "machine": history.provenance["sessions"][0]["machine"],
        **{name: updates[name][rows].round(1).tolist() for name in COUNTS},
        "score_mean": updates["score_mean"][rows].round(2).tolist(),
    }


def _other_settings(config: TrainConfig, curve: dict[str, Any]) -> tuple[str, ...]:
    """Name the settings that differ from a reference run's; those it did not have yet are its recipe's."""
    theirs = {**asdict(TrainConfig()), **RECIPES.get(config.recipe, {}), **curve["settings"]}
    return tuple(
        name for name, value in asdict(config).items() if name not in _ASIDE and value != theirs[name]
    )


def _first(x: Floats, y: Floats, level: float) -> float:
    """Return the x at which y first is at a level or above, in straight lines; infinite if it never is.

    >>> _first(np.array([0.0, 10, 20]), np.array([-1.0, -3, 1]), 0)
    17.5
    """
    above = np.flatnonzero(y >= level)
    if not len(above):
        return math.inf
    around = slice(max(above[0] - 1, 0), above[0] + 1)
    return float(np.interp(level, y[around], x[around]))


def _steps_between(x: Floats, y: Floats, score: float, target: float, step: float) -> float:
    """Return how far it is on a curve from a score, where that is nearest to `step`, to a higher one."""
    there = _first(x, y, target)
    if math.isinf(there):
        return math.inf
    x, y = np.append(x[x < there], there), np.append(y[x < there], target)
    first, last = _first(x, y, score), -_first(-x[::-1], -y[::-1], -score)
    return there - max(first, min(step, last))


@cache
def _all() -> list[dict[str, Any]]:
    curves: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return curves
