"""pgpong watch: see an agent, a run that trains, or a replay play."""

import os
import sys
from importlib.util import find_spec

import click

from pgpong.agent import Agent
from pgpong.commands.options import refuse
from pgpong.evaluation import check_seeds
from pgpong.rollout import FIRST_VALIDATION_SEED
from pgpong.storage.run import find_run
from pgpong.viewing.sources import (
    Episodes,
    agent_episodes,
    followed_episodes,
    load_subject,
    replayed_episode,
    seeds_from,
)
from pgpong.viewing.terminal import open_terminal
from pgpong.viewing.watching import SPEEDS, Controls, Viewer, watch

WINDOW, TERMINAL = "window", "terminal"

viewer_option = click.option(
    "--in", "where", type=click.Choice([WINDOW, TERMINAL]), help="where to show it [a window if possible]"
)


KEYS = """\b
space  pause or go on    n  next episode
.      a single step     g  greedy or sampled
+ -    faster, slower    v  show or hide what the network sees
q      quit
"""


@click.command("watch", epilog=KEYS)
@click.argument("agent", default="")
@viewer_option
@click.option("--seed", type=click.IntRange(0, FIRST_VALIDATION_SEED - 1), help="of the first game [0]")
@click.option("--greedy", is_flag=True, help="take the likeliest action instead of sampling")
@click.option("--episodes", type=click.IntRange(min=1), help="games to play [until q]")
@click.option("--follow", is_flag=True, help="take up each new checkpoint of a run that trains")
@click.option(
    "--speed", type=click.Choice([f"{s:g}" for s in SPEEDS]), default="1", help="times the game's own"
)
def command(
    agent: str,
    where: str | None,
    seed: int | None,
    greedy: bool,
    episodes: int | None,
    follow: bool,
    speed: str,
) -> None:
    """Watch AGENT play, in a window or in this terminal.

    AGENT is a file, a run (its best), RUN@latest, RUN@best, RUN@500 (episode 500's), pretrained, or a
    replay's file; without it, the newest run, and where there is none, pretrained. The games have the seeds
    SEED, SEED + 1, ..., none of which any training uses.
    """
    controls = Controls(greedy=greedy, speed_level=SPEEDS.index(float(speed)))
    check_seeds(seed or 0, episodes or 1)
    seeds = seeds_from(seed or 0, episodes)
    shown: Episodes
    if follow:
        shown = followed_episodes(find_run(agent or None), controls, seeds)
    else:
        name, subject = load_subject(agent)
        if isinstance(subject, Agent):
            shown = agent_episodes(subject, name, controls, seeds)
        else:
            refuse("a replay is one game as it was", seed=seed, greedy=greedy, episodes=episodes)
            shown = replayed_episode(subject, name)
    watch(choose_viewer(where), shown, controls)


def choose_viewer(where: str | None) -> Viewer:
    """Open what was asked for, or else a window if there can be one; say in a line which and why.

    Raises:
        SettingError: a window was asked for, and there can be none.
    """
    no_window = None if where == WINDOW else "asked for" if where == TERMINAL else why_no_window()
    if no_window is None:
        from pgpong.viewing.window import Window

        why = "asked for" if where else "there is a display, and pygame"
        click.echo(f"shown in a window: {why}", err=True)
        return Window()
    viewer, how = open_terminal()
    click.echo(f"shown {how}: {no_window}", err=True)
    return viewer


def why_no_window() -> str | None:
    """Return why there can be no window here; None if there can."""
    if "SSH_CONNECTION" in os.environ:  # a display may be named, and be slow, or gone
        return "over SSH (--in window tries one all the same)"
    if sys.platform not in ("darwin", "win32") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "no display (DISPLAY is not set)"
    return None if find_spec("pygame") else "no pygame (for a window: pip install 'pgpong[window]')"
