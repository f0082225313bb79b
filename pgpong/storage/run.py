"""The run folder: settings, provenance, metrics, episodes and checkpoints of one training.

What lies where in it is told in runs/README.md. The JSONL files are the truth about a run; whatever shows one
reads them. Reading needs no lock.
"""

import json
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgpong.config import TrainConfig
from pgpong.errors import DiskError, RunError
from pgpong.storage.files import reporting, sync_folder, write_atomically
from pgpong.storage.lock import RunLock

RUNS = Path("runs")
PRETRAINED = "pretrained"
SHIPPED = Path(__file__).parent.parent / "data" / "pretrained.npz"


class Run:
    """A run folder that exists."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, config: TrainConfig, provenance: dict[str, Any]) -> "Run":
        """Make the folder of a new run and write down its settings.

        Raises:
            RunError: the folder is there already, or another process is making it.
            DiskError: it cannot be written.
        """
        run = cls(folder)
        try:
            folder.mkdir(parents=True, exist_ok=_is_hardly_begun(folder))
            (folder / "checkpoints").mkdir(exist_ok=True)
        except FileExistsError as error:
            raise run._exists() from error
        except OSError as error:
            raise DiskError(f"cannot make {folder}: {error.strerror}") from error
        with reporting(f"cannot make {folder}"):
            sync_folder(folder.parent)
            sync_folder(folder.parent.parent)  # where runs/ itself may be new
        with RunLock(folder):
            if run.settings_file.exists():  # since we looked
                raise run._exists()
            write_atomically(run.settings_file, [config.dump().encode()])
            run.write_provenance({**provenance, "sessions": []})
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open a run folder.

        Raises:
            RunError: there is none.
        """
        if not cls(folder).settings_file.is_file():
            raise RunError(f"no run at {folder}: 'pgpong runs' lists the runs here")
        return cls(folder)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def called(self) -> str:
        """What finds the run from here, as one types it: its name under runs/, else its folder."""
        is_here = self.folder.absolute() == (RUNS / self.name).absolute()
        return shlex.quote(self.name if is_here else str(self.folder))

    @property
    def config(self) -> TrainConfig:
        """The settings, read from config.toml."""
        return TrainConfig.load(self.settings_file)

    @property
    def settings_file(self) -> Path:
        """The file of the settings; a folder with one is a run."""
        return self.folder / "config.toml"

    def _exists(self) -> RunError:
        return RunError(
            f"{self.folder} exists: choose another --run, or go on with it: pgpong resume {self.called}"
        )

    @property
    def checkpoints(self) -> list[Path]:
        """What the training can go on from, the newest first."""
        return sorted((self.folder / "checkpoints").glob("update-*.npz"), key=_number_of, reverse=True)

    @property
    def latest(self) -> Path:
        """The newest checkpoint; a path without a file if there is none."""
        return next(iter(self.checkpoints), self.checkpoint(0))

    def checkpoint(self, update: int) -> Path:
        """Name the file of the checkpoint after `update`."""
        return self.folder / "checkpoints" / f"update-{update:06d}.npz"

    @property
    def best(self) -> Path:
        """The agent that did best in an evaluation so far."""
        return self.folder / "checkpoints" / "best.npz"

    @property
    def agent(self) -> Path:
        """What represents the run: its best agent, or where it has none yet its latest."""
        return self.best if self.best.is_file() else self.latest

    def kept(self, episode: int) -> Path:
        """Name the file of the agent kept when `episode` episodes had been played."""
        return self.folder / "checkpoints" / f"episode-{episode:06d}.npz"

    @property
    def kept_agents(self) -> list[Path]:
        """The agents that the run has kept for good, the earliest first.

        Raises:
            RunError: there is none.
        """
        kept = sorted((self.folder / "checkpoints").glob("episode-*.npz"), key=_number_of)
        if not kept:
            every = self.config.keep_every
            raise RunError(f"{self.folder} has kept no agent yet: it keeps one every {every} episodes")
        return kept

    def read_provenance(self) -> dict[str, Any]:
        """Read run.json; empty if it is missing or damaged, for nothing depends on it."""
        try:
            provenance = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return provenance if isinstance(provenance, dict) else {}

    def write_provenance(self, provenance: dict[str, Any]) -> None:
        """Write run.json."""
        write_atomically(self.folder / "run.json", [json.dumps(provenance, indent=2).encode()])

    @property
    def metrics(self) -> Path:
        """The log of updates."""
        return self.folder / "metrics.jsonl"

    @property
    def episodes(self) -> Path:
        """The log of finished episodes."""
        return self.folder / "episodes.jsonl"

    @property
    def evaluations(self) -> Path:
        """The log of evaluations."""
        return self.folder / "evaluations.jsonl"


def find_run(name: str | None) -> Run:
    """Find a run by folder, by name under runs/, or, with None, the newest one.

    Raises:
        RunError: there is no such run.
    """
    if name is None:
        runs = list_runs()
        if not runs:
            raise RunError("no run here yet: 'pgpong train' starts one")
        return runs[0]
    beside = RUNS / name
    return Run.open(beside if beside.is_dir() else Path(name))


def list_runs() -> list[Run]:
    """List the runs under runs/, those last written to first."""
    runs = [Run(path.parent) for path in RUNS.glob("*/config.toml") if path.is_file()]
    return sorted(runs, key=_last_written, reverse=True)


def _is_hardly_begun(folder: Path) -> bool:
    """Tell whether a folder is what a crash left of one that was just being made: without settings yet."""
    if not folder.is_dir():
        return False
    checkpoints = folder / "checkpoints"
    no_matter = (checkpoints, folder / "lock")
    rest = [path for path in folder.iterdir() if path not in no_matter and path.suffix != ".tmp"]
    return not rest and not (checkpoints.is_dir() and any(checkpoints.iterdir()))


def _last_written(run: Run) -> float:
    return max(path.stat().st_mtime for path in run.folder.iterdir() if path.suffix in (".toml", ".jsonl"))


def find_agent(reference: str) -> Path:
    """Find the file that AGENT names: a file, a run (its best), RUN@latest, RUN@best, RUN@500, `pretrained`.

    A run whose agent was never evaluated has no best, and is represented by its latest. With "" it is the
    newest run, and where there is none, the agent that ships with the package.

    Raises:
        RunError: there is no such run, or it has no such agent.
    """
    file = Path(reference)
    if os.path.lexists(file) and not file.is_dir():  # a pipe, say, is refused by its reader
        return file
    if reference == PRETRAINED or not (reference or list_runs()):
        return SHIPPED
    folder, name = os.path.split(reference)
    which = ""
    if not (file.is_dir() or (RUNS / reference).is_dir()):
        name, _, which = name.partition("@")
    run = find_run(os.path.join(folder, name) or None)
    if which not in ("", "best", "latest") and not which.isdecimal():
        raise RunError(f"{reference}: expected RUN@latest, RUN@best or RUN@EPISODE, got @{which}")
    path = run.kept(int(which)) if which.isdecimal() else getattr(run, which or "agent")
    if not path.is_file():
        kept = sorted(path.parent.glob("episode-*.npz"), key=_number_of)
        there = [p.stem.removeprefix("episode-").lstrip("0") for p in kept]
        there += [name for name in ("best", "latest") if getattr(run, name).is_file()]
        if not there:
            raise RunError(f"{run.folder} holds no agent; the one that ships is called {PRETRAINED}")
        raise RunError(f"{run.folder} has no agent @{which or 'latest'}; it has: {', '.join(there)}")
    return Path(path)


def run_of(file: Path) -> Run | None:
    """Return the run that an agent's file or a replay belongs to, None if to none."""
    run = Run(file.parent.parent)
    inside = file.parent.name in ("checkpoints", "replays") and run.settings_file.is_file()
    return run if inside else None


def spread(paths: list[Path], most: int) -> list[Path]:
    """Choose at most so many paths, evenly, the first and the last among them.

    >>> [path.name for path in spread([Path(str(n)) for n in range(10)], 4)]
    ['0', '3', '6', '9']
    """
    if len(paths) <= most:
        return paths
    return [paths[round(n * (len(paths) - 1) / max(1, most - 1))] for n in range(most)]


def _number_of(checkpoint: Path) -> int:
    """Return its update or episode; -1 of a file whose name has none."""
    number = checkpoint.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def new_name(config: TrainConfig) -> str:
    """Make up a name for a run: recipe, date and time."""
    return f"{config.recipe}-{datetime.now():%Y%m%d-%H%M%S}"


def now() -> str:
    """Return the time as it stands in run.json: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
