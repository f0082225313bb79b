"""pgpong runs: the runs here, a line each."""

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgpong.envs.game import find_game
from pgpong.errors import PgpongError
from pgpong.storage.lines import read_lines
from pgpong.storage.run import RUNS, Run, list_runs
from pgpong.viewing.progress import clock


@click.command("runs")
def command() -> None:
    """List the runs under runs/, by environment, those last written to first.

    Scores are means over the last 100 training episodes (fewer where there are fewer). Beside them stands the
    mean of the evaluation that chose the best agent; a score to publish comes from 'pgpong evaluate'.
    """
    console = Console(highlight=False)
    by_game: dict[str, list[Run]] = {}
    for run in list_runs():
        by_game.setdefault(game_of(run), []).append(run)
    if not by_game:
        console.print(
            f"no run under {RUNS.absolute()}: 'pgpong train' starts one", markup=False, soft_wrap=True
        )
    for game, runs in by_game.items():
        table = Table(title=Text(game), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("run", "recipe", "seed"):
            table.add_column(heading, overflow="fold")
        for heading in ("episodes", "steps", "trained", "score", "best"):
            table.add_column(heading, justify="right", no_wrap=True)
        for run in runs:
            table.add_row(*(Text(cell) for cell in row(run)))
        console.print(table)


def game_of(run: Run) -> str:
    """Name the game of a run, as it stands beside its scores."""
    try:
        config = run.config
        return str(find_game(config.env, config.frameskip, config.sticky))
    except PgpongError:
        return "settings that cannot be read"


def row(run: Run) -> list[str]:
    """Sum a run up; one that cannot be read says so in its line."""
    try:
        config = run.config
        lines = read_lines(run.metrics)
        means = [line["mean"] for line in read_lines(run.evaluations)]
        facts = [run.name, config.recipe, str(config.seed)]
        if not lines:
            return [*facts, "0", "0", "0:00", "-", "-"]
        last = lines[-1]
        scores = [line["score_mean"] for line in lines if line["score_mean"] is not None]
        return [
            *facts,
            f"{last['episode']:,}",
            f"{last['step']:,}",
            clock(last["seconds"]),
            f"{scores[-1]:+.1f}" if scores else "-",
            f"{max(means):+.1f}" if means else "-",
        ]
    except PgpongError as error:
        return [run.name, str(error)]
    except (KeyError, TypeError, ValueError):
        return [run.name, "its logs are no run's of this version"]
