"""Writes a training down as it goes: its logs, its best agent, checkpoints. It consumes the loop's records.

What a crash at any moment leaves behind is enough to go on from without a gap: a checkpoint is written after
the lines before it are durable, and older ones are deleted after it has been read back.
"""

import math
import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, fields, replace
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import numpy as np

from pgpong.agent import Agent
from pgpong.config import TrainConfig, as_flag, from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError
from pgpong.evaluation import Evaluation
from pgpong.learning.backend import NUMPY, Backend
from pgpong.machine import git_commit, machine, versions
from pgpong.rollout import Episode
from pgpong.state import Progress, TrainingState
from pgpong.storage.arrays import Meta
from pgpong.storage.checkpoint import save_checkpoint
from pgpong.storage.files import remove_temporaries
from pgpong.storage.lines import LineLog, read_lines, trim_lines
from pgpong.storage.replay import Replay, Shelf
from pgpong.storage.run import Run, now
from pgpong.training import Candidate, Record, evaluate_state


class Recorder:
    """Keeps a run folder in step with its training; a context manager that saves when it is left.

    Left by an exception it saves nothing, and the last good checkpoint stays. `tell` gets a line for each
    evaluation, and where something that a crash left behind was put right.
    """

    def __init__(
        self,
        run: Run,
        state: TrainingState,
        command: list[str],
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.run = run
        self.config = run.config
        self.state = state
        self._name = "".join(c if c.isprintable() else "?" for c in run.name)  # as files may hold it
        self.ending = "crashed"  # what run.json says unless something better comes
        self._tell = tell
        backend = state.agent.policy.backend
        self._session = {
            "command": command,
            "git": git_commit(),
            "versions": versions() | {backend.name: str(import_module(backend.name).__version__)},
            "machine": machine(),
            "backend": str(backend),
            "start": now(),
            "first_update": state.progress.update + 1,
        }
        self._provenance = run.read_provenance()  # with the sessions before this one
        self._best = self._best_so_far()
        self._replays = Shelf(run.folder / "replays", go_on=True)
        came_from = run.checkpoint(state.progress.update)
        self._saved = came_from if came_from.is_file() else None
        self.saved_at = time.monotonic()

    def __enter__(self) -> Self:
        for folder in (self.run.folder, self.run.latest.parent, self.run.folder / "replays"):
            remove_temporaries(folder)
        for log in (self.run.metrics, self.run.episodes, self.run.evaluations):
            if trim_lines(log, self.state.progress.update):
                self._tell(f"{log}: the last line was cut short; it is taken off")
        for log, count in ((self.run.metrics, "update"), (self.run.episodes, "episode")):
            reached, lines = getattr(self.state.progress, count), read_lines(log)
            if (lines[-1].get(count) if lines else 0) != reached:
                self._tell(f"{log}: the lines up to {count} {reached} are not all there; it goes on without")
        with ExitStack() as stack:
            self._metrics = stack.enter_context(LineLog(self.run.metrics))
            self._episodes = stack.enter_context(LineLog(self.run.episodes))
            self._evaluations = stack.enter_context(LineLog(self.run.evaluations))
            self._evaluated = max((line["update"] for line in read_lines(self.run.evaluations)), default=-1)
            self.save()
            self._note()
            self._logs = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._logs:
            if kind is None:
                self.save()
        self._session |= {"end": now(), "ending": self.ending, "last_update": self.state.progress.update}
        self._note()

    def write(self, record: Record) -> None:
        """Append the record's lines, and save what is due.

        Raises:
            DiskError: the system refused to write.
        """
        if record.candidate is not None:
            self.consider(record.candidate)
        progress = self.state.progress
        first = progress.episode - len(record.episodes) + 1
        for number, episode in enumerate(record.episodes, start=first):
            self._episodes.append(episode_line(number, progress.update, episode))
            self._replays.consider(self._replay_of(number, episode))
        self._metrics.append(metrics(record, self.state))
        kept = progress.episode - progress.episode % self.config.keep_every
        if kept >= first:
            self.state.agent.provenance = self._describe(progress)
            self.state.agent.save(self.run.kept(kept))
        if progress.update % self.config.checkpoint_every == 0:
            self.save()

    def save(self) -> None:
        """Save a checkpoint, unless there is one of this update; then delete all but the one before it."""
        path = self.run.checkpoint(self.state.progress.update)
        if path == self._saved:
            return
        self.state.agent.provenance = self._describe(self.state.progress)
        self._replays.save()
        self._metrics.sync()
        self._episodes.sync()
        save_checkpoint(path, self.state)
        for older in self.run.checkpoints:
            if older not in (path, self._saved):
                with suppress(OSError):  # no harm: it is tried again after the next
                    older.unlink()
        self._saved = path
        self.saved_at = time.monotonic()

    def consider(self, candidate: Candidate) -> None:
        """Write an evaluation down, and save the agent if none was better; once for each update.

        Raises:
            DiskError: the system refused to write.
        """
        progress, evaluation = candidate.progress, candidate.evaluation
        if progress.update <= self._evaluated:  # before a crash, or at the end of the session before
            return
        is_best = evaluation.mean > self._best
        if is_best:
            facts = {f"evaluation_{name}": value for name, value in figures(evaluation).items()}
            candidate.agent.provenance = self._describe(progress) | facts
            candidate.agent.save(self.run.best)
            self._best = evaluation.mean
        self._evaluations.append(evaluation_line(candidate))
        self._evaluations.sync()
        self._evaluated = progress.update
        self._tell(
            f"evaluation at episode {progress.episode}: mean score {evaluation.mean:+.1f} in "
            f"{len(evaluation.scores)} games on {evaluation.game}{', the best so far' if is_best else ''}"
        )

    def conclude(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Evaluate the agent that a training has come to, unless that was done or is not wanted; save before.

        Raises:
            DiskError: the system refused to write.
        """
        if not self.config.evaluate_every or self.state.progress.update <= self._evaluated:
            return
        self.save()  # first, for the games take a while
        self._tell(f"the training is over: {self.config.evaluation_episodes} games to evaluate its agent")
        candidate = evaluate_state(self.config, self.state, should_stop)
        if candidate is not None:
            self.consider(candidate)

    def _describe(self, progress: Progress) -> Meta:
        """Say in an agent's file how it came about."""
        return {
            "run": self._name,
            "recipe": self.config.recipe,
            "seed": self.config.seed,
            "update": progress.update,
            "episode": progress.episode,
            "step": progress.step,
            "frame": progress.frame,
            "seconds": round(progress.seconds, 1),
            "score_mean": progress.score_mean,
        }

    def _replay_of(self, number: int, episode: Episode) -> Replay:
        facts: Meta = {"run": self._name, "episode": number, "update": self.state.progress.update}
        actions = np.frombuffer(episode.actions, np.uint8)
        game = self.state.agent.game
        return Replay(game, episode.seed, actions, episode.score, episode.screen, provenance=facts)

    def _note(self) -> None:
        """Keep this session's entry in run.json up to date, and how to make this run again."""
        before = self._provenance.get("sessions")
        sessions = [*(before if isinstance(before, list) else []), self._session]
        repeat = repeat_command(self.config, self.state.agent.policy.backend, self.state.progress.update)
        self.run.write_provenance({**self._provenance, "repeat": repeat, "sessions": sessions})

    def _best_so_far(self) -> float:
        if not self.run.best.is_file():
            return -math.inf
        try:
            score = Agent.load(self.run.best).provenance.get("evaluation_mean")
        except FileFormatError as error:
            self._tell(f"{error}: the next best agent will take its place")
            return -math.inf
        return score if isinstance(score, float) else -math.inf


def repeat_command(config: TrainConfig, backend: Backend, updates: int) -> str:
    """Write the command that makes the same run up to an update, with all that is not the recipe's own."""
    game = find_game(config.env)
    recipe = replace(
        from_recipe(config.recipe, policy=config.policy), frameskip=game.frameskip, sticky=game.sticky
    )
    changed = [as_flag("policy", config.policy)] if config.policy != TrainConfig.policy else []
    changed += [
        as_flag(setting.name, value)
        for setting in fields(config)
        if (value := getattr(config, setting.name)) != getattr(recipe, setting.name)
    ]
    if backend is not NUMPY:
        changed += [as_flag("backend", backend.name), as_flag("device", backend.device)]
    return shlex.join(["pgpong", "train", f"--recipe={config.recipe}", *changed, f"--updates={updates}"])


def episode_line(number: int, update: int, episode: Episode) -> dict[str, Any]:
    """Make the line of episodes.jsonl: the actions go into replays."""
    facts = {"score": episode.score, "steps": episode.steps, "frames": episode.frames, "seed": episode.seed}
    return {"episode": number, "update": update, **facts}


def counts(progress: Progress) -> dict[str, Any]:
    """Return how far a training had come, as the lines of its logs say it."""
    return {
        "update": progress.update,
        "episode": progress.episode,
        "step": progress.step,
        "frame": progress.frame,
        "seconds": round(progress.seconds, 3),
    }


def figures(evaluation: Evaluation) -> Meta:
    """Return what is kept of an evaluation beside its scores."""
    low, high = evaluation.interval or (None, None)
    games = {"games": len(evaluation.scores), "won": evaluation.won, "first_seed": evaluation.first_seed}
    return {"mean": evaluation.mean, "low": low, "high": high, **games}


def evaluation_line(candidate: Candidate) -> dict[str, Any]:
    """Make the line of evaluations.jsonl: how far the training had come, and what the agent reached."""
    return {
        **counts(candidate.progress),
        **figures(candidate.evaluation),
        "scores": candidate.evaluation.scores,
        "evaluation_seconds": round(candidate.seconds, 3),
    }


def metrics(record: Record, state: TrainingState) -> dict[str, Any]:
    """Make the line of metrics.jsonl: counts and score since the start, the update's own figures, seconds."""
    progress = state.progress
    return {
        **counts(progress),
        "score_mean": progress.score_mean,
        **asdict(record.stats),
        "batch_steps": record.steps,
        "games_seconds": round(record.games_seconds, 4),
        "network_seconds": round(record.network_seconds, 4),
        "update_seconds": round(record.update_seconds, 4),
    }
