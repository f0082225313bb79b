"""Replays: an episode as its seed and its actions, a few hundred bytes that play back bit for bit."""

import operator
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pgpong.actions import STAY
from pgpong.envs.game import Game
from pgpong.errors import FileFormatError
from pgpong.storage.arrays import Meta, read_arrays, write_arrays
from pgpong.storage.files import reporting
from pgpong.storage.game_meta import GAME_KEYS, PROVENANCE, pack_game, unpack_game

FORMAT = "pgpong replay 1"
SUFFIX = ".replay"

_KEYS = {"format": str, "seed": int, "steps": int, "score": int, "screen": int, "ale_py": str}


@dataclass(frozen=True)
class Replay:
    """An episode that was played, or the beginning of one."""

    game: Game
    seed: int
    actions: npt.NDArray[np.uint8]  # (steps,): 0 down, 1 up, 2 stay
    score: int  # points won less points lost
    screen: int  # checksum of the last screen, to see that it was played back as it was
    ale_py: str = field(default_factory=lambda: version("ale-py"))
    provenance: Meta = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write the replay to one file.

        Raises:
            DiskError: the system refused to write.
        """
        meta: Meta = {
            "format": FORMAT,
            "seed": self.seed,
            "steps": len(self.actions),
            "score": self.score,
            "screen": self.screen,
            "ale_py": self.ale_py,
            **pack_game(self.game),
            **{f"{PROVENANCE}{key}": value for key, value in self.provenance.items()},
        }
        write_arrays(Path(path), meta, {"actions": _pack(self.actions)})

    @classmethod
    def load(cls, path: str | Path) -> "Replay":
        """Read a replay.

        Raises:
            FileFormatError: the file is missing, damaged, or no replay of this version.
        """
        path = Path(path)
        meta, arrays = read_arrays(path)
        if meta.get("format") != FORMAT:
            raise FileFormatError(f"{path} is not a replay of a format this version knows ({FORMAT!r})")
        values: list[Any] = [meta.get(key) for key in _KEYS]
        unknown = [k for k in meta if k not in {**_KEYS, **GAME_KEYS} and not k.startswith(PROVENANCE)]
        actions = arrays.get("actions", np.empty(0))
        if (
            unknown
            or [type(value) for value in values] != [*_KEYS.values()]
            or arrays.keys() != {"actions"}
            or actions.ndim != 1
            or actions.dtype != np.uint8
            or values[1] < 0
            or not 0 <= values[2] <= 4 * len(actions) < values[2] + 4
            or _unpack(actions).max(initial=0) > STAY
        ):
            raise FileFormatError(f"{path} is not a whole replay")
        _, seed, steps, score, screen, ale_py = values
        provenance = {k.removeprefix(PROVENANCE): v for k, v in meta.items() if k.startswith(PROVENANCE)}
        return cls(unpack_game(path, meta), seed, _unpack(actions)[:steps], score, screen, ale_py, provenance)


def _pack(actions: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Put four actions into a byte."""
    return np.packbits(np.stack([actions >> 1, actions & 1], axis=1).reshape(-1))


def _unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Take the actions out again, and up to three zeros that fill the last byte."""
    high, low = np.unpackbits(packed).reshape(-1, 2).T
    return 2 * high + low


class Shelf:
    """Keeps the best, the worst and the latest of the episodes it is shown as files in a folder."""

    BETTER: ClassVar[dict[str, Callable[[int, int], bool]]] = {
        "best": operator.gt,
        "worst": operator.lt,
        "latest": lambda score, before: True,
    }

    def __init__(self, folder: Path, prefix: str = "", *, go_on: bool = False) -> None:
        """Take a folder, made when it is needed; with `go_on`, what stands in it counts."""
        self._paths = {name: folder / f"{prefix}{name}{SUFFIX}" for name in self.BETTER}
        self._scores: dict[str, int] = {}
        self._new: dict[str, Replay] = {}
        for name, path in self._paths.items() if go_on else ():
            with suppress(FileFormatError):
                self._scores[name] = Replay.load(path).score

    def consider(self, replay: Replay) -> None:
        """Take an episode in; `save` writes it if no other takes its place."""
        for name, better in self.BETTER.items():
            if name not in self._scores or better(replay.score, self._scores[name]):
                self._scores[name] = replay.score
                self._new[name] = replay

    def save(self) -> None:
        """Write what is new.

        Raises:
            DiskError: the system refused to write.
        """
        for name, replay in self._new.items():
            path = self._paths[name]
            with reporting(f"cannot make {path.parent}"):
                path.parent.mkdir(parents=True, exist_ok=True)
            replay.save(path)
        self._new.clear()
