"""A run's own data as arrays: its updates, episodes and evaluations, as its `.jsonl` files tell them.

    history = read_run("my-run")
    history.updates["entropy"], history.episodes["score"]
    history.episodes.to_pandas()

Reading needs no lock: the run may be training meanwhile.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pgpong.config import TrainConfig
from pgpong.envs.game import Game, find_game
from pgpong.errors import RunError, SettingError
from pgpong.state import SCORE_WINDOW
from pgpong.storage.lines import read_lines
from pgpong.storage.run import Run, find_run

if TYPE_CHECKING:
    import pandas

Column = npt.NDArray[Any]  # (lines,): int64 where all are whole numbers, else float64 with NaN for none

# What every line must have; whole numbers that never fall from one line to the next.
_COUNTS_OF_UPDATE = ("update", "episode", "step", "frame")
_COUNTS_OF_EPISODE = ("episode", "update")


class Table(Mapping[str, Column]):
    """Named columns of one length."""

    def __init__(self, columns: dict[str, Column]) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> Column:
        """Return a column."""
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the columns' names."""
        return iter(self._columns)

    def __len__(self) -> int:
        """Count the columns."""
        return len(self._columns)

    @property
    def rows(self) -> int:
        """Count the rows."""
        return max(map(len, self._columns.values()), default=0)

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the table as a pandas frame.

        Raises:
            SettingError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise SettingError(
                "frames need pandas: pip install pandas; the columns are arrays as they are"
            ) from None
        return pandas.DataFrame(self._columns)


@dataclass(frozen=True)
class History:
    """What a run has been so far."""

    run: Run
    config: TrainConfig
    game: Game
    provenance: dict[str, Any]  # run.json
    # A row for each update: update, episode, step, frame, seconds, score_mean, entropy, kl, ...
    updates: Table
    # A row for each finished episode: episode, update, score, steps, frames, seed.
    episodes: Table
    # A row for each evaluation of the agent: update, episode, ..., mean, low, high, won, ...
    evaluations: Table

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.run.name

    def mean_scores(self, window: int = SCORE_WINDOW) -> npt.NDArray[np.float64]:
        """Return for each episode the mean score (episodes,) of the last `window`, of fewer at the start."""
        return running_mean(self.episodes["score"], window)

    def when(self, count: str) -> Column:
        """Return for each episode (episodes,) how far its update came: `count` is step, frame or seconds."""
        rows = np.searchsorted(self.updates["update"], self.episodes["update"])
        return np.asarray(self.updates[count][rows])

    @property
    def resumed(self) -> list[int]:
        """The first update of each session but the first one, as far as run.json tells."""
        sessions = self.provenance.get("sessions")
        known = sessions if isinstance(sessions, list) else []
        first = [session.get("first_update") for session in known if isinstance(session, dict)]
        return [update for update in first if isinstance(update, int) and update > 1]


def read_run(run: str | Path | Run | None = None) -> History:
    """Read a run: a folder, a name under runs/, or, with None, the newest one.

    A last line that was cut short is left out, and so are episodes of an update that is not written yet.
    Of evaluations the figures are read, not the single scores.

    Raises:
        RunError: there is no such run, or a line of its logs is damaged or no run's.
        SettingError: its config.toml cannot be read.
    """
    if not isinstance(run, Run):
        run = find_run(None if run is None else str(run))
    config = run.config
    updates = _table(run.metrics, _COUNTS_OF_UPDATE, ("seconds", "score_mean"))
    episodes = _table(run.episodes, _COUNTS_OF_EPISODE, ("score", "steps", "frames"))
    known = np.isin(episodes["update"], updates["update"])
    return History(
        run=run,
        config=config,
        game=find_game(config.env, config.frameskip, config.sticky),
        provenance=run.read_provenance(),
        updates=updates,
        episodes=Table({name: column[known] for name, column in episodes.items()}),
        evaluations=_table(
            run.evaluations, _COUNTS_OF_UPDATE, ("seconds", "mean", "low", "high"), without=("scores",)
        ),
    )


def running_mean(values: Column, window: int) -> npt.NDArray[np.float64]:
    """Average each value with those before it, `window` in all, fewer at the start.

    >>> running_mean(np.array([1, 2, 3, 7]), 2)
    array([1. , 1.5, 2.5, 5. ])
    """
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - window, 0)
    return np.asarray((total[last] - total[first]) / (last - first))


def _table(
    path: Path, counts: tuple[str, ...], values: tuple[str, ...], without: tuple[str, ...] = ()
) -> Table:
    """Read a log into columns, all but those `without` which it is to be read.

    All lines must have the `counts`, rising, and the `values`, numbers or null.

    Raises:
        RunError: a line has not.
    """
    lines = [{k: v for k, v in line.items() if k not in without} for line in read_lines(path)]
    names = dict.fromkeys([*counts, *values, *(name for line in lines for name in line)])
    before = dict.fromkeys(counts, 0)
    for number, line in enumerate(lines, start=1):
        for name in (*counts, *values):
            if name not in line:
                raise RunError(f"{path}: line {number} is no line of a run's log: it has no {name!r}")
        for name, value in line.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise RunError(f"{path}: line {number}: {name!r} is no number but {str(value)[:40]!r}")
        for name in counts:
            if type(line[name]) is not int or line[name] < before[name]:
                raise RunError(f"{path}: line {number} does not follow the line before: {name} {line[name]}")
            before[name] = line[name]
    return Table({name: _column([line.get(name) for line in lines]) for name in names})


def _column(values: list[Any]) -> Column:
    if all(type(value) is int and abs(value) < 2**63 for value in values):
        return np.array(values, np.int64)
    return np.array([math.nan if value is None else value for value in values], np.float64)
