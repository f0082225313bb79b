"""A session of a training, as a user meets it: run folder, loop, recorder, display, and the last lines."""

import math
import os
import sys
import time
from contextlib import closing, suppress
from dataclasses import fields, replace
from itertools import starmap
from pathlib import Path

from rich.console import Console

from pgpong.config import TrainConfig
from pgpong.envs.game import find_game
from pgpong.errors import SettingError
from pgpong.recorder import Recorder
from pgpong.reference import find_reference
from pgpong.state import TrainingState
from pgpong.stopping import Moment, Signals, StopConditions
from pgpong.storage.history import read_run
from pgpong.storage.lines import read_lines
from pgpong.storage.run import PRETRAINED, RUNS, Run, new_name
from pgpong.training import train
from pgpong.viewing.guarded import Guarded
from pgpong.viewing.progress import Subject, make_display
from pgpong.viewing.tensorboard import make_listener


class Output(Console):
    """Standard output; once its reader has gone (`| head`), lines go nowhere and no error comes."""

    def on_broken_pipe(self) -> None:
        """Write no more, and spare the interpreter's last flush the same error."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def start_run(config: TrainConfig, name: str | None = None) -> Run:
    """Make the folder of a new run, and write its settings down, the game's own filled in.

    Raises:
        SettingError: the environment is unknown, or the name is a path.
        RunError: a run of this name exists.
        DiskError: the folder cannot be written.
    """
    name = name or new_name(config)
    if Path(name).name != name or "@" in name or name == PRETRAINED or not name.isprintable():
        rule = f"a plain name without @, for a folder under {RUNS}/, and not {PRETRAINED}"
        raise SettingError(f"--run: expected {rule}, got {name!r}")
    game = find_game(config.env, config.frameskip, config.sticky)
    complete = replace(config, frameskip=game.frameskip, sticky=game.sticky)
    return Run.create(RUNS / name, complete, {"seed": config.seed})


def run_training(
    run: Run,
    state: TrainingState,
    stop: StopConditions,
    stopped: Signals,
    tensorboard: bool = False,
) -> int:
    """Train until a condition or a signal stops it; save, say how to go on, return the exit status.

    The caller holds the run's lock. With `tensorboard`, event files are written beside the run's own.
    """
    console = Output()

    def tell(line: str) -> None:
        # The terminal may be gone, and the run is not to go with it; a folder's name may be no text.
        with suppress(OSError, UnicodeError):
            say(console, line)

    config, game = run.config, state.agent.game
    title = f"pgpong {run.name}: {game}, recipe {config.recipe}"
    reference = find_reference(config, game)
    began = time.monotonic()
    command = ["pgpong", *sys.argv[1:]]
    listener = make_listener(tensorboard, run.folder / "tensorboard", config, state, tell)
    with Recorder(run, state, command, tell) as recorder:
        # Now that what a crash left behind the checkpoint is off the logs.
        updates = read_run(run).updates
        rows = zip(*(updates[field.name].tolist() for field in fields(Moment)), strict=True)
        history = [moment for moment in starmap(Moment, rows) if not math.isnan(moment.score_mean)]
        subject = Subject(title, state.progress, history, stop, lambda: recorder.saved_at, reference)
        reason = stop.reached(state.progress, 0.0)
        with (
            Guarded("the display", make_display(console, subject), tell) as display,
            listener,
            closing(train(config, state, stopped, tell)) as records,
        ):
            for record in records if reason is None else ():
                listener.show(record)  # before the checkpoint: whoever goes on from that has these events
                recorder.write(record)
                display.show(record)
                reason = stop.reached(state.progress, time.monotonic() - began)
                if reason or stopped():
                    break
        if reason:
            recorder.conclude(stopped)  # saves: so after the listener, whose events are to be there first
        recorder.ending = stopped.received.name if stopped.received else str(reason)
    progress = state.progress
    score = "no game finished yet" if progress.score_mean is None else (
        f"mean score of the last {len(progress.scores)} episodes {progress.score_mean:.1f} on {game}"
    )  # fmt: skip
    tell(f"{recorder.ending}: saved update {progress.update}, episode {progress.episode}; {score}")
    tell(representative(run))
    tell(f"go on with: pgpong resume {run.called}")
    return 128 + stopped.received if stopped.received else 0


def representative(run: Run) -> str:
    """Say which agent stands for a run where only the run is named."""
    evaluations = read_lines(run.evaluations)
    if not evaluations or not run.best.is_file():
        return "its agent: the latest, for none was evaluated"
    best = max(evaluations, key=lambda line: float(line["mean"]))
    return (
        f"its agent: that of episode {best['episode']}, the best of {len(evaluations)} evaluated, mean score "
        f"{best['mean']:+.1f} in {best['games']} games"
    )


def say(console: Console, line: str) -> None:
    """Print a line as it is, unwrapped and uncoloured."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
