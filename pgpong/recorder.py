"""Writes a training down as it goes: metrics, episodes, checkpoints. It consumes the loop's records."""

import json
import math
import time
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TextIO

from pgpong.agent import Agent
from pgpong.config import TrainConfig
from pgpong.errors import DiskError
from pgpong.state import SCORE_WINDOW, TrainingState
from pgpong.storage.checkpoint import save_checkpoint
from pgpong.storage.run import Run, now
from pgpong.training import Record

METRICS, EPISODES = "metrics.jsonl", "episodes.jsonl"


class Recorder:
    """Keeps a run folder in step with its training; a context manager that saves when it is left.

    Left by an exception it saves nothing, and the last good checkpoint stays.
    """

    def __init__(self, run: Run, config: TrainConfig, state: TrainingState, command: list[str]) -> None:
        self.run = run
        self.config = config
        self.state = state
        self.ending = "crashed"  # what run.json says unless something better comes
        self._session = {"command": command, "start": now(), "first_update": state.progress.update + 1}
        self._provenance = run.read_provenance()  # with the sessions before this one
        self._best = self._best_so_far()
        self._saved_update = -1
        self.saved_at = time.monotonic()

    def __enter__(self) -> Self:
        for name in (METRICS, EPISODES):
            self.run.trim_lines(name, self.state.progress.update)
        try:
            self._metrics = (self.run.folder / METRICS).open("a", encoding="utf-8")
            self._episodes = (self.run.folder / EPISODES).open("a", encoding="utf-8")
        except OSError as error:
            raise DiskError(f"cannot write {self.run.folder}: {error.strerror}") from error
        self.save()
        self._note()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.close()
        self._episodes.close()
        if kind is None:
            self.save()
        self._session |= {"end": now(), "ending": self.ending, "last_update": self.state.progress.update}
        self._note()

    def write(self, record: Record) -> None:
        """Append the record's lines, and save what is due.

        Raises:
            DiskError: the system refused to write.
        """
        progress = self.state.progress
        first = progress.episode - len(record.episodes) + 1
        for number, episode in enumerate(record.episodes, start=first):
            line = {"episode": number, "update": progress.update, **asdict(episode)}
            self._append(self._episodes, line)
        self._append(self._metrics, metrics(record, self.state))
        if progress.update % self.config.checkpoint_every == 0:
            self.save()
        kept = progress.episode - progress.episode % self.config.keep_every
        if kept >= first:
            self._describe()
            self.state.agent.save(self.run.kept(kept))

    def save(self) -> None:
        """Save the latest checkpoint, and the best agent if it is better than the one before."""
        progress = self.state.progress
        if progress.update == self._saved_update:
            return
        self._describe()
        save_checkpoint(self.run.latest, self.state)
        score = progress.score_mean
        if len(progress.scores) == SCORE_WINDOW and score is not None and score > self._best:
            self.state.agent.save(self.run.best)
            self._best = score
        self._saved_update = progress.update
        self.saved_at = time.monotonic()

    def _describe(self) -> None:
        """Put into the agent's file how it came about."""
        progress = self.state.progress
        self.state.agent.provenance = {
            "run": self.run.name,
            "recipe": self.config.recipe,
            "seed": self.config.seed,
            "update": progress.update,
            "episode": progress.episode,
            "step": progress.step,
            "frame": progress.frame,
            "seconds": round(progress.seconds, 1),
            "score_mean": progress.score_mean,
        }

    def _append(self, file: TextIO, line: dict[str, Any]) -> None:
        try:
            file.write(json.dumps(line) + "\n")
            file.flush()
        except OSError as error:
            raise DiskError(f"cannot write {file.name}: {error.strerror}") from error

    def _note(self) -> None:
        """Keep this session's entry in run.json up to date."""
        sessions = [*self._provenance.get("sessions", []), self._session]
        self.run.write_provenance({**self._provenance, "sessions": sessions})

    def _best_so_far(self) -> float:
        if not self.run.best.is_file():
            return -math.inf
        return float(Agent.load(self.run.best).provenance["score_mean"])


def metrics(record: Record, state: TrainingState) -> dict[str, Any]:
    """Make the line of metrics.jsonl: counts and score since the start, the update's own figures, seconds."""
    progress = state.progress
    return {
        "update": progress.update,
        "episode": progress.episode,
        "step": progress.step,
        "frame": progress.frame,
        "seconds": round(progress.seconds, 3),
        "score_mean": progress.score_mean,
        **asdict(record.stats),
        "batch_steps": record.steps,
        "games_seconds": round(record.games_seconds, 4),
        "network_seconds": round(record.network_seconds, 4),
        "update_seconds": round(record.update_seconds, 4),
    }
