"""pgpong runs: the runs here, a line each."""

from datetime import datetime

import click
from rich.console import Console
from rich.table import Table

from pgpong.envs.game import find_game
from pgpong.errors import PgpongError
from pgpong.recorder import METRICS
from pgpong.storage.run import RUNS, Run, list_runs
from pgpong.viewing.progress import clock


@click.command("runs")
def command() -> None:
    """List the runs under runs/, those last written to first.

    Scores are means over the last 100 training episodes; compare them only within one environment.
    """
    console = Console()
    runs = list_runs()
    if not runs:
        console.print(f"no run under {RUNS.absolute()}: 'pgpong train' starts one", highlight=False)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "environment", "recipe", "seed"):
        table.add_column(heading, overflow="fold")
    for heading in ("episodes", "steps", "trained", "score", "highest"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("written", no_wrap=True)
    for run in runs:
        table.add_row(*row(run))
    console.print(table)


def row(run: Run) -> list[str]:
    """Sum a run up; one that cannot be read says so in its line."""
    try:
        config = run.config
        lines = run.read_lines(METRICS)
        game = str(find_game(config.env, config.frameskip, config.sticky))
    except PgpongError as error:
        return [run.name, f"unreadable: {error}"]
    facts = [run.name, game, config.recipe, str(config.seed)]
    if not lines:
        return [*facts, "0", "0", "0:00"]
    last = lines[-1]
    scores = [line["score_mean"] for line in lines if line["score_mean"] is not None]
    written = datetime.fromtimestamp((run.folder / METRICS).stat().st_mtime)
    return [
        *facts,
        f"{last['episode']:,}",
        f"{last['step']:,}",
        clock(last["seconds"]),
        f"{scores[-1]:+.1f}" if scores else "-",
        f"{max(scores):+.1f}" if scores else "-",
        f"{written:%Y-%m-%d %H:%M}",
    ]
