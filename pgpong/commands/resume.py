"""pgpong resume: go on with a run."""

from functools import partial
from typing import Any

import click
from rich.console import Console

from pgpong.commands.options import (
    backend_options,
    stop_options,
    take_backend,
    take_stop_conditions,
    tensorboard_option,
    usual_backend,
)
from pgpong.envs.game import find_game
from pgpong.fastest import seconds_a_batch
from pgpong.session import run_training, say
from pgpong.state import new_state
from pgpong.stopping import Signals
from pgpong.storage.checkpoint import load_newest
from pgpong.storage.lines import read_lines
from pgpong.storage.lock import RunLock
from pgpong.storage.run import find_run
from pgpong.viewing.tensorboard import check_tensorboard


@click.command("resume")
@click.argument("run", required=False)
@stop_options
@backend_options
@tensorboard_option
def command(run: str | None, tensorboard: bool, **options: Any) -> int:
    """Go on with RUN, a folder or a name under runs/; without it, with the newest run.

    It goes on exactly where it stood after its last saved update, as if it had never stopped: weights,
    optimiser, random generator, open games, and the same metrics files. Stop conditions are not inherited:
    give them again if you want any. So it is with the backend: it is the usual one unless another is given.
    """
    stop = take_stop_conditions(options)
    if tensorboard:
        check_tensorboard()
    found = find_run(run)
    config = found.config
    game = find_game(config.env, config.frameskip, config.sticky)
    tell = partial(say, Console())
    backend = take_backend(options, usual_backend(config), partial(seconds_a_batch, config), tell)
    with Signals() as stopped, RunLock(found.folder):
        if found.checkpoints or read_lines(found.metrics):
            state = load_newest(found.checkpoints, config, game, tell, backend)
        else:
            tell("the run was stopped before its first checkpoint: it begins at its beginning")
            state = new_state(config, game, backend)
        return run_training(found, state, stop, stopped, tensorboard)
