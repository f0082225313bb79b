"""pgpong train: start a run."""

import math
import shlex
import sys
import time
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pgpong.commands.options import as_flag, backend_options, config_options, stop_options, take_backend
from pgpong.config import TrainConfig, from_recipe
from pgpong.envs.game import Game, find_game
from pgpong.errors import SettingError
from pgpong.fastest import seconds_a_batch
from pgpong.learning.backend import NUMPY, Backend
from pgpong.recorder import Recorder
from pgpong.reference import find_reference
from pgpong.state import TrainingState, new_state
from pgpong.stopping import Moment, Signals, StopConditions
from pgpong.storage.lines import read_lines
from pgpong.storage.lock import RunLock
from pgpong.storage.run import PRETRAINED, RUNS, Run, new_name
from pgpong.training import train
from pgpong.viewing.guarded import Guarded
from pgpong.viewing.progress import Subject, make_display
from pgpong.viewing.tensorboard import check_tensorboard, make_listener

tensorboard_option = click.option(
    "--tensorboard",
    is_flag=True,
    help="write scalars, settings and filters for TensorBoard, into the run's folder",
)


@click.command("train")
@click.option("--run", "name", help="name of the run, a folder under runs/ [recipe, date and time]")
@stop_options
@backend_options
@tensorboard_option
@config_options
def command(name: str | None, tensorboard: bool, **options: Any) -> int:
    """Start a run: learn Pong from pixels.

    No flag is needed. The run is kept under runs/; Ctrl-C saves it and stops, 'pgpong resume' goes on.
    Where a setting has two defaults they are those of the recipes fast and karpathy.
    """
    stop = take_stop_conditions(options)
    place = {key: options.pop(key) for key in ("backend", "device")}
    config = from_recipe(**{key: value for key, value in options.items() if value is not None})
    if tensorboard:
        check_tensorboard()
    backend = take_backend(
        place, usual_backend(config), partial(seconds_a_batch, config), partial(say, Console())
    )
    # Before there is a folder: the policy may be none for this backend.
    state = new_state(config, find_game(config.env, config.frameskip, config.sticky), backend)
    with Signals() as stopped:
        run, config, _ = start_run(config, name)
        with RunLock(run.folder):
            return run_training(run, config, state, stop, stopped, tensorboard)


def take_stop_conditions(options: dict[str, Any]) -> StopConditions:
    """Take the stop conditions out of parsed options."""
    hours, minutes = options.pop("hours"), options.pop("minutes")
    given = [m for m in (minutes, None if hours is None else 60 * hours) if m is not None]
    if any(math.isnan(number) for number in (*given, options["until"] or 0)):
        raise SettingError("--hours, --minutes and --until: expected a number, got nan")
    return StopConditions(
        episodes=options.pop("episodes"),
        updates=options.pop("updates"),
        minutes=min(given, default=None),
        until=options.pop("until"),
    )


def usual_backend(config: TrainConfig) -> str | None:
    """Name the backend that a network needs where no other is asked for; None if any will do."""
    return "torch" if config.policy == "conv" else None


def start_run(config: TrainConfig, name: str | None = None) -> tuple[Run, TrainConfig, Game]:
    """Make the folder of a new run; return it, the settings with the game's own filled in, and the game.

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
    config = replace(config, frameskip=game.frameskip, sticky=game.sticky)
    return Run.create(RUNS / name, config, {"seed": config.seed}), config, game


def run_training(
    run: Run,
    config: TrainConfig,
    state: TrainingState,
    stop: StopConditions,
    stopped: Signals,
    tensorboard: bool = False,
) -> int:
    """Train until a condition or a signal stops it; save, say how to go on, return the exit status.

    The caller holds the run's lock. With `tensorboard`, event files are written beside the run's own.
    """
    console = Console()

    def tell(line: str) -> None:
        with suppress(OSError):  # the terminal may be gone, and the run is not to go with it
            say(console, line)

    game = state.agent.game
    title = f"pgpong {run.name}: {game}, recipe {config.recipe}"
    reference = find_reference(config, game)
    began = time.monotonic()
    command = ["pgpong", *sys.argv[1:]]
    repeat = partial(repeat_command, config, state.agent.policy.backend)
    listener = make_listener(tensorboard, run.folder / "tensorboard", config, state, tell)
    with Recorder(run, config, state, command, repeat, tell) as recorder:
        # Now that what a crash left behind the checkpoint is off the logs.
        history = [
            Moment(line["seconds"], line["update"], line["episode"], line["step"], line["score_mean"])
            for line in read_lines(run.metrics)
            if line["score_mean"] is not None
        ]
        subject = Subject(title, state.progress, history, stop, lambda: recorder.saved_at, reference)
        with Guarded("the display", make_display(console, subject), tell) as display, listener:
            reason = stop.reached(state.progress, 0.0)
            records = train(config, state, stopped, tell) if reason is None else iter(())
            for record in records:
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


def say(console: Console, line: str) -> None:
    """Print a line as it is, unwrapped and uncoloured."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
