"""pgpong record: films of games."""

import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.status import Status

from pgpong.commands.options import check_finite, check_folder, refuse
from pgpong.evaluation import check_seeds
from pgpong.rollout import FIRST_VALIDATION_SEED
from pgpong.storage.files import reporting
from pgpong.storage.replay import Replay
from pgpong.storage.run import Run, find_agent, find_run, run_of
from pgpong.viewing.film import (
    Look,
    Picture,
    can_write_mp4,
    check_target,
    excerpt,
    games_pictures,
    replay_pictures,
    write_film,
)
from pgpong.viewing.growth import growth_pictures
from pgpong.viewing.playback import FRAMES_PER_SECOND
from pgpong.viewing.progress import clock
from pgpong.viewing.sources import load_subject

_UPDATE_EVERY = 30  # pictures, of the progress line


@click.command("record")
@click.argument("agent", default="")
@click.option("--out", type=click.Path(path_type=Path), help="the .mp4 or .gif file to write [in films/]")
@click.option("--episodes", type=click.IntRange(min=1), help="games to play [1]")
@click.option("--seed", type=click.IntRange(0, FIRST_VALIDATION_SEED - 1), help="of the first game [0]")
@click.option("--greedy", is_flag=True, help="take the likeliest action instead of sampling")
@click.option(
    "--overlay/--no-overlay",
    default=True,
    show_default=True,
    help="show the score, what the network sees and the probability of up beside the game",
)
@click.option("--scale", type=click.IntRange(1, 8), default=2, show_default=True, help="2: 640x420 pixels")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="of each game, at most [all]")
@click.option("--growth", is_flag=True, help="a minute through the agents that a run has kept")
@click.option("--overwrite", is_flag=True, help="replace the file if it exists")
def command(
    agent: str,
    out: Path | None,
    episodes: int | None,
    seed: int | None,
    greedy: bool,
    overlay: bool,
    scale: int,
    seconds: float | None,
    growth: bool,
    overwrite: bool,
) -> None:
    """Film AGENT at the game's own speed.

    AGENT is a file, a run (its best), RUN@latest, RUN@best, RUN@500 (episode 500's), pretrained, or a
    replay's file; without it, the newest run, and where there is none, pretrained. The games have the seeds
    SEED, SEED + 1, ..., none of which any training uses.

    A .mp4 needs PyAV: pip install 'pgpong[video]'. A .gif needs nothing more. Without --out the film goes
    into the run's films/, or, where there is no run, here.

    With --growth AGENT is a run, and the film shows how it learned: the same game as each of its kept agents
    plays it, then its best and its latest.
    """
    check_finite(seconds=seconds)
    check_seeds(seed or 0, episodes or 1)
    look = Look(scale=scale, overlay=overlay)
    filmed: Run | None
    if growth:
        refuse("growth shows one game of each agent", episodes=episodes)
        run = find_run(agent or None)
        filmed, name = run, "growth"
        pictures = growth_pictures(run, look, seed or 0, greedy=greedy, seconds=seconds)
    else:
        title, subject = load_subject(agent)
        look = replace(look, title=title)
        if isinstance(subject, Replay):
            refuse("a replay is one game as it was", episodes=episodes, seed=seed, greedy=greedy)
            filmed, name = run_of(Path(agent)), Path(agent).stem
            pictures = excerpt(replay_pictures(subject, look), seconds)
        else:
            origin = find_agent(agent)
            filmed = run_of(origin)
            seeds = range(seed or 0, (seed or 0) + (episodes or 1))
            name = f"{origin.stem}-seed{seeds[0]}{'-greedy' * greedy}"
            pictures = games_pictures(subject, seeds, look, greedy=greedy, seconds=seconds)
    if out is None:
        folder = filmed.folder / "films" if filmed else Path()
        out = folder / (name + (".mp4" if can_write_mp4() else ".gif"))
    else:
        check_folder(out)
    check_target(out, overwrite)
    length = write(out, pictures, overwrite)
    click.echo(f"{out}: {clock(length)}, {os.path.getsize(out) / 1e6:.1f} MB")


def write(out: Path, pictures: Iterator[Picture], overwrite: bool) -> float:
    """Write the film, with a line of progress if somebody watches; return its seconds."""
    console = Console(stderr=True)
    made = not out.parent.exists()  # films/, then
    if made:
        with reporting(f"cannot make {out.parent}"):
            out.parent.mkdir()
    try:
        with console.status(f"recording {out.name}") if console.is_terminal else nullcontext() as status:
            return write_film(
                out, pictures if status is None else told(pictures, status, out.name), overwrite=overwrite
            )
    except BaseException:
        if made:
            with suppress(OSError):
                out.parent.rmdir()
        raise


def told(pictures: Iterator[Picture], status: Status, name: str) -> Iterator[Picture]:
    """Say how far the film has come while its pictures pass through."""
    frames = 0
    for number, picture in enumerate(pictures):
        if number % _UPDATE_EVERY == 0:
            status.update(f"recording {name}: {clock(frames / FRAMES_PER_SECOND)}")
        frames += picture.frames
        yield picture
