"""pgpong resume: go on with a run."""

from typing import Any

import click

from pgpong.commands.options import stop_options
from pgpong.commands.train import run_training, take_stop_conditions
from pgpong.envs.game import find_game
from pgpong.storage.checkpoint import load_checkpoint
from pgpong.storage.run import find_run


@click.command("resume")
@click.argument("run", required=False)
@stop_options
def command(run: str | None, **options: Any) -> int:
    """Go on with RUN, a folder or a name under runs/; without it, with the newest run.

    Weights, optimiser, random generator and counters are restored and the same metrics files go on. Stop
    conditions are not inherited: give them again if you want any.
    """
    stop = take_stop_conditions(options)
    found = find_run(run)
    config = found.config
    game = find_game(config.env, config.frameskip, config.sticky)
    return run_training(found, config, load_checkpoint(found.latest, config, game), stop)
