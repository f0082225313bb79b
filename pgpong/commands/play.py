"""pgpong play: you against the built-in opponent."""

import os
import secrets
import shlex
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path

import click

from pgpong.agent import Agent
from pgpong.commands.watch import choose_viewer, viewer_option
from pgpong.config import TrainConfig
from pgpong.envs.game import Game, find_game
from pgpong.errors import DiskError, PgpongError, SettingError
from pgpong.rollout import FIRST_VALIDATION_SEED
from pgpong.storage.files import reporting
from pgpong.storage.replay import SUFFIX
from pgpong.storage.run import find_agent, list_runs
from pgpong.viewing.playback import Playback, play
from pgpong.viewing.sources import call, choosing_player, persons_episode
from pgpong.viewing.watching import Controls, watch

PLAYS = Path("plays")

KEYS = """\b
up, w    move up        p    pause or go on
down, s  move down      .    a single step
space    stop           + -  faster, slower
q        quit           v    show or hide what a network sees
"""


@click.command("play", epilog=KEYS)
@viewer_option
@click.option("--seed", type=click.IntRange(0, FIRST_VALIDATION_SEED - 1), help="of the game [a random one]")
@click.option("--env", default=TrainConfig.env, show_default=True, help="Pong id of ale-py's")
@click.option("--against", help="AGENT to compare with on the same seed [the newest run's best]")
@click.option("--out", type=click.Path(path_type=Path), help=f"where the game is kept [{PLAYS}/DATE{SUFFIX}]")
def command(where: str | None, seed: int | None, env: str, against: str | None, out: Path | None) -> None:
    """Play Pong yourself: you are on the right, the game's own opponent is on the left.

    Up and down arrows, or w and s, move the paddle. In a window it moves while you hold the key. Most
    terminals do not say when a key is let go: there a press moves the paddle for a tenth of a second, and on
    while the keyboard repeats the key; so tap for small moves, tap fast or hold for long ones. Where the
    terminal does say it (kitty, foot, ghostty, ...), arrows work as in a window. '-' slows the game down.

    The game is kept as a replay, also when you quit early, and your score is set beside the agent's.
    """
    game = find_game(env)
    path = choose_path(out)
    rival = find_rival(against, game)
    seed = secrets.randbelow(FIRST_VALIDATION_SEED) if seed is None else seed
    controls = Controls(playing=True)
    playback = Playback(game)
    playback.begin(seed)
    try:
        watch(choose_viewer(where), persons_episode(playback, controls, seed), controls)
    finally:
        keep(playback, path)
    if rival is not None:
        compare(*rival, playback)


def choose_path(out: Path | None) -> Path:
    """Choose where the replay goes, and see before the game whether it can.

    Raises:
        SettingError: there is a file already.
        DiskError: the folder cannot be written.
    """
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    names = (PLAYS / f"{stamp}{f'-{n}' if n else ''}{SUFFIX}" for n in count())
    path = out or next(name for name in names if not name.exists())
    if os.path.lexists(path):
        raise SettingError(f"--out: {path} exists, and a game is not written over another")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise DiskError(f"cannot write {path}: {there} is no folder that can be written to")
    return path


def find_rival(reference: str | None, game: Game) -> tuple[str, Agent] | None:
    """Load the agent to compare with; without a reference the newest run's, if there is one for this game.

    Raises:
        RunError: there is no such agent.
        FileFormatError: it is damaged.
        SettingError: it plays another game.
    """
    if reference is None:
        try:
            return find_rival("", game) if list_runs() else None
        except PgpongError as error:
            click.echo(f"no agent to compare with: {error}", err=True)
            return None
    path = find_agent(reference)
    agent = Agent.load(path)
    if agent.game != game:
        raise SettingError(f"{path} plays {agent.game}, not {game}")
    return call(path), agent


def keep(playback: Playback, path: Path) -> None:
    """Write the game as far as it was played, and say so."""
    replay = playback.replay()
    if not len(replay.actions):
        return
    with reporting(f"cannot make {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace(replay, provenance={"player": "a person"}).save(path)
    steps = f"{len(replay.actions):,} steps"
    click.echo(f"you        {replay.score:+d} in {steps} on {playback.game}, seed {replay.seed}")
    click.echo(f"kept       {path}: pgpong watch {shlex.quote(str(path))} plays it back")


def compare(name: str, agent: Agent, playback: Playback) -> None:
    """Play the same seed with an agent, unseen, and print its score."""
    click.echo("the agent  ", nl=False)  # the rest takes it a few seconds
    seed = playback.seed
    *_, last = play(playback, seed, choosing_player(agent, Controls(), seed))
    opponent, us = last.score
    click.echo(f"{us - opponent:+d} in {last.step:,} steps on the same seed ({name})")
