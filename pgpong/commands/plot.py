"""pgpong plot: figures of agents and runs, written to files. One command a figure; `FIGURES` lists them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from matplotlib.figure import Figure

from pgpong import plots
from pgpong.agent import Agent
from pgpong.commands.options import check_folder, refuse
from pgpong.config import TrainConfig
from pgpong.plots.first_layer import SCALES
from pgpong.plots.learning_curve import AXES
from pgpong.plots.neurons import ORDERS
from pgpong.plots.style import check_format
from pgpong.rollout import FIRST_VALIDATION_SEED
from pgpong.storage.files import reporting
from pgpong.storage.run import find_agent, find_run, run_of
from pgpong.viewing.film import Picture, check_target, write_film

F = TypeVar("F", bound=Callable[..., Any])

FILM_FORMATS = (".gif", ".mp4")
_SHOWN = 45  # frames that each agent stays in an animation: three quarters of a second

out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="file to write [in the run's plots/]"
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, FIRST_VALIDATION_SEED - 1),
    default=0,
    show_default=True,
    help="of the games",
)
scale_option = click.option(
    "--scale",
    type=click.Choice(SCALES),
    default=SCALES[0],
    show_default=True,
    help="weights times how much their pixels move, or as they are",
)
agent_argument = click.argument("agent", default="")


def against_option(default: str) -> Callable[[F], F]:
    """Add the choice of what a curve is drawn against."""
    choice = click.Choice(list(AXES))
    return click.option("--against", type=choice, default=default, show_default=True, help="the x-axis")


class Figures(click.Group):
    """The group of figures; an unknown name is answered with those there are."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a figure."""
        if args and args[0] not in self.commands:
            raise click.UsageError(f"no figure {args[0]!r}: use {', '.join(self.commands)}", ctx)
        return super().resolve_command(ctx, args)


@click.group("plot", cls=Figures)
def command() -> None:
    """Draw a figure of an agent or a run into a .png, .svg or .pdf file.

    Without --out it goes into the run's plots/, or, where there is no run, here. A picture that stands there
    is replaced. AGENT is a file, a run (its best), RUN@latest, RUN@best, RUN@500 (episode 500's) or
    pretrained; without it, the newest run, and where there is none, pretrained.
    """


@command.command("filters")
@agent_argument
@out_option
@click.option("--number", type=click.IntRange(min=1), help="how many neurons [40]")
@click.option("--all", "everyone", is_flag=True, help="all of them")
@click.option("--order", type=click.Choice(ORDERS), default=ORDERS[0], show_default=True, help="which first")
@scale_option
@click.option("--columns", type=click.IntRange(min=1), help="in the grid [eight pictures in a row]")
@seed_option
@click.option("--neuron", type=int, help="this one alone, large, with its statistics")
def filters(
    agent: str,
    out: Path | None,
    number: int | None,
    everyone: bool,
    order: str,
    scale: str,
    columns: int | None,
    seed: int,
    neuron: int | None,
) -> None:
    """W1: the pictures that the hidden units of AGENT look for.

    White is positive, black negative, grey zero. The orders: weight, how much a neuron has to say, the size
    of W2 (and W2_stay); firing, how often it fires; importance, the product of both; norm, the length of its
    row of W1.
    """
    path, loaded = _load(agent)
    if neuron is not None:
        refuse("--neuron draws one alone", number=number, all=everyone, columns=columns)
        name = f"neuron-{neuron}"
        _write(out, path, name, lambda: plots.neuron(loaded, neuron, scale=scale, seed=seed))
        return
    settings: dict[str, Any] = {"order": order, "scale": scale, "columns": columns, "seed": seed}
    if everyone:
        number = loaded.policy.hidden
    _write(out, path, "filters", lambda: plots.filters(loaded, number=number, **settings))


@command.command("curve")
@click.argument("runs", nargs=-1)
@out_option
@against_option("episodes")
@click.option("--reference/--no-reference", default=True, show_default=True, help="the reference runs behind")
def curve(runs: tuple[str, ...], out: Path | None, against: str, reference: bool) -> None:
    """Learning curve of RUNS, folders or names under runs/: scores and the mean of the last 100 games.

    Without RUNS it is the newest run's. Several have a band from the lowest to the highest.
    """
    found = [find_run(run) for run in runs or (None,)]
    home = found[0].folder if len(found) == 1 else None
    _write(out, home, "curve", lambda: plots.curve(*found, against=against, reference=reference))


@command.command("training")
@click.argument("run", required=False)
@out_option
@against_option("updates")
def training(run: str | None, out: Path | None, against: str) -> None:
    """What one reads when RUN does not learn: entropy, KL, gradient, weights, speed, on one sheet."""
    found = find_run(run)
    _write(out, found.folder, "training", lambda: plots.training(found, against=against))


@command.command("activations")
@agent_argument
@out_option
@click.option("--step", type=click.IntRange(min=0), default=75, show_default=True, help="of the game")
@seed_option
def activations(agent: str, out: Path | None, step: int, seed: int) -> None:
    """One moment of a game: what AGENT sees, the neurons that fire hardest, what comes out."""
    path, loaded = _load(agent)
    _write(out, path, "activations", lambda: plots.activations(loaded, step=step, seed=seed))


@command.command("rally")
@agent_argument
@out_option
@click.option("--number", type=click.IntRange(min=1), default=1, show_default=True, help="which of the game")
@seed_option
@click.option("--gamma", type=float, default=TrainConfig.gamma, show_default=True, help="discount a step")
def rally(agent: str, out: Path | None, number: int, seed: int, gamma: float) -> None:
    """One rally of AGENT: actions, probability of up, and each step's credit in the algorithm of 2016."""
    path, loaded = _load(agent)
    _write(out, path, "rally", lambda: plots.rally(loaded, number=number, seed=seed, gamma=gamma))


@command.command("trajectory")
@agent_argument
@out_option
@click.option("--games", type=click.IntRange(min=1), default=16, show_default=True, help="played at once")
@click.option("--steps", type=click.IntRange(min=1), default=1000, show_default=True, help="of each game")
@seed_option
def trajectory(agent: str, out: Path | None, games: int, steps: int, seed: int) -> None:
    """Where ball and paddles are in the games of AGENT, rallies won and lost apart."""
    path, loaded = _load(agent)
    _write(out, path, "trajectory", lambda: plots.trajectory(loaded, games=games, steps=steps, seed=seed))


@command.command("evolution")
@click.argument("run", required=False)
@out_option
@click.option("--number", type=click.IntRange(min=1), help="how many neurons [8; 40 in an animation]")
@scale_option
@seed_option
def evolution(run: str | None, out: Path | None, number: int | None, scale: str, seed: int) -> None:
    """The same neurons of RUN across the agents it has kept; with --out FILE.gif or .mp4, an animation."""
    found = find_run(run)
    settings: dict[str, Any] = {"scale": scale, "seed": seed}
    if out is not None and out.suffix.lower() in FILM_FORMATS:
        check_target(out, overwrite=True)
        check_folder(out)
        frames = plots.evolution_frames(found, number=number, **settings)
        write_film(out, (Picture(plots.to_pixels(frame), _SHOWN) for frame in frames), overwrite=True)
        _tell(out)
        return
    _write(out, found.folder, "evolution", lambda: plots.evolution(found, number=number, **settings))


def _load(agent: str) -> tuple[Path | None, Agent]:
    """Load an agent; return the folder of the run it belongs to, None if to none, and itself."""
    path = find_agent(agent)
    run = run_of(path)
    return run.folder if run else None, Agent.load(path)


def _write(out: Path | None, home: Path | None, name: str, draw: Callable[[], Figure]) -> None:
    """Draw a figure and write it: where the user wants it, or into the run's plots/, or here."""
    if out is None:
        out = (home / "plots" if home else Path()) / f"{name}.png"
    else:
        check_folder(out)
    check_format(out)  # before the work
    figure = draw()
    with reporting(f"cannot make {out.parent}"):
        out.parent.mkdir(exist_ok=True)
    plots.save(figure, out)
    _tell(out)


def _tell(out: Path) -> None:
    click.echo(f"{out}: {os.path.getsize(out) / 1e3:,.0f} kB")
