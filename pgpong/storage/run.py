"""The run folder: settings, provenance, metrics, episodes and checkpoints of one training.

    runs/NAME/
        config.toml       every setting; the run can be repeated from it
        run.json          command line, versions, machine, seed, git commit, start and end
        metrics.jsonl     a line for each update
        episodes.jsonl    a line for each finished episode
        checkpoints/      latest.npz, best.npz, episode-000500.npz, ...

The JSONL files are the truth about a run; whatever shows one reads them.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgpong.config import TrainConfig
from pgpong.errors import DiskError, RunError
from pgpong.storage.files import write_atomically

RUNS = Path("runs")


class Run:
    """A run folder that exists."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, config: TrainConfig, provenance: dict[str, Any]) -> "Run":
        """Make the folder of a new run and write down its settings.

        Raises:
            RunError: the folder is there already.
            DiskError: it cannot be written.
        """
        try:
            folder.mkdir(parents=True)
            (folder / "checkpoints").mkdir()
        except FileExistsError as error:
            raise RunError(
                f"{folder} exists: choose another --run, or go on with it: pgpong resume {folder}"
            ) from error
        except OSError as error:
            raise DiskError(f"cannot make {folder}: {error.strerror}") from error
        run = cls(folder)
        write_atomically(folder / "config.toml", config.dump().encode())
        run.write_provenance({**provenance, "sessions": []})
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open a run folder.

        Raises:
            RunError: there is none.
        """
        if not (folder / "config.toml").is_file():
            raise RunError(f"no run at {folder}: 'pgpong runs' lists the runs here")
        return cls(folder)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def config(self) -> TrainConfig:
        """The settings, read from config.toml."""
        return TrainConfig.load(self.folder / "config.toml")

    @property
    def latest(self) -> Path:
        """The newest checkpoint."""
        return self.folder / "checkpoints" / "latest.npz"

    @property
    def best(self) -> Path:
        """The agent with the best mean over 100 training episodes so far."""
        return self.folder / "checkpoints" / "best.npz"

    def kept(self, episode: int) -> Path:
        """Name the file of the agent kept when `episode` episodes had been played."""
        return self.folder / "checkpoints" / f"episode-{episode:06d}.npz"

    def read_provenance(self) -> dict[str, Any]:
        """Read run.json; empty if it is missing or damaged, for nothing depends on it."""
        try:
            provenance = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return provenance if isinstance(provenance, dict) else {}

    def write_provenance(self, provenance: dict[str, Any]) -> None:
        """Write run.json."""
        write_atomically(self.folder / "run.json", json.dumps(provenance, indent=2).encode())

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """Read metrics.jsonl or episodes.jsonl; a last line that a crash cut short is left out."""
        try:
            lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(json.loads(line))
            except ValueError as error:
                if number < len(lines):
                    raise RunError(f"{self.folder / name}: line {number} is damaged") from error
        return records

    def trim_lines(self, name: str, update: int) -> None:
        """Drop the lines after `update`: what a crash kept of a stretch that will be played again."""
        lines = self.read_lines(name)
        kept = [line for line in lines if line["update"] <= update]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(self.folder / name, text.encode())


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
    runs = [Run(path.parent) for path in RUNS.glob("*/config.toml")]
    return sorted(runs, key=_last_written, reverse=True)


def _last_written(run: Run) -> float:
    return max(path.stat().st_mtime for path in run.folder.iterdir() if path.suffix in (".toml", ".jsonl"))


def find_agent(reference: str) -> Path:
    """Find the file that AGENT names: a file, a run (its best), RUN@latest, RUN@best or RUN@500.

    A run that has no best yet, for want of 100 episodes, is represented by its latest.

    Raises:
        RunError: there is no such run, or it has no such agent.
    """
    if Path(reference).is_file():
        return Path(reference)
    name, _, which = reference.partition("@")
    if name == "pretrained":
        raise RunError("this version ships no pretrained agent: train one with 'pgpong train'")
    run = find_run(name or None)
    if not which:
        which = "best" if run.best.is_file() else "latest"
    if which not in ("best", "latest") and not which.isdecimal():
        raise RunError(f"{reference}: expected RUN@latest, RUN@best or RUN@EPISODE, got @{which}")
    path = run.kept(int(which)) if which.isdecimal() else getattr(run, which)
    if not path.is_file():
        there = sorted(re.sub(r"^episode-0*", "", p.stem) for p in path.parent.glob("*.npz"))
        raise RunError(f"{run.folder} has no agent @{which}; it has: {', '.join(there) or 'none yet'}")
    return Path(path)


def new_name(config: TrainConfig) -> str:
    """Make up a name for a run: recipe, date and time."""
    return f"{config.recipe}-{datetime.now():%Y%m%d-%H%M%S}"


def now() -> str:
    """Return the time as it stands in run.json: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
