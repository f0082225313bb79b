"""pgpong train: start a run."""

from functools import partial
from typing import Any

import click
from rich.console import Console

from pgpong.commands.options import (
    backend_options,
    config_options,
    stop_options,
    take_backend,
    take_stop_conditions,
    tensorboard_option,
    usual_backend,
)
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.fastest import seconds_a_batch
from pgpong.session import run_training, say, start_run
from pgpong.state import new_state
from pgpong.stopping import Signals
from pgpong.storage.checkpoint import check_size
from pgpong.storage.lock import RunLock
from pgpong.viewing.tensorboard import check_tensorboard


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
    # Before there is a folder: the policy may be none for this backend, or too large.
    state = new_state(config, find_game(config.env, config.frameskip, config.sticky), backend)
    check_size(state)
    with Signals() as stopped:
        run = start_run(config, name)
        with RunLock(run.folder):
            return run_training(run, state, stop, stopped, tensorboard)
