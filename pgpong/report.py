"""A run on one page: HTML that is whole in one file, to be mailed, kept or opened without a network.

    html = write_report(read_run("my-run"))

Pictures and film are part of the page; it has no script and asks for nothing. Whatever comes out of the run's
files is untrusted text, which the template escapes.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import pgpong
from pgpong import plots
from pgpong.config import RECIPES, TrainConfig, from_recipe
from pgpong.envs.game import Game, find_game
from pgpong.errors import PgpongError
from pgpong.plots.subjects import AnyRun, take_run
from pgpong.report_pictures import PLATE, counted, draw_curve, draw_filters, draw_training, make_film, signed
from pgpong.state import SCORE_WINDOW
from pgpong.storage.history import History
from pgpong.viewing.progress import clock

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Result:
    """What came out of a run."""

    episodes: int
    steps: int
    frames: int
    seconds: float
    games: int  # in the mean: 100, or all if they are fewer
    mean: float
    won: int
    highest: float
    best: tuple[float, int] | None  # the best mean of 100 games, and the episode it was reached at


@dataclass(frozen=True)
class Setting:
    """A setting; `recipe` is the recipe's own value where it is another one."""

    name: str
    value: str
    help: str
    recipe: str = ""


@dataclass(frozen=True)
class Session:
    """One stretch of training, as run.json has it."""

    command: str
    start: str
    end: str
    ending: str
    updates: str
    commit: str


@dataclass(frozen=True)
class Provenance:
    """Where the figures come from, as far as run.json tells; machine and versions are the last session's."""

    repeat: str
    facts: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    sessions: list[Session]


def write_report(run: AnyRun) -> str:
    """Return the page about a run.

    What depends on files beside the logs, filters and film, is left out where those are missing or damaged,
    and the page says why.

    Raises:
        RunError: there is no such run, its logs are damaged, or it has no finished episode.
        SettingError: its config.toml cannot be read.
    """
    history = take_run(run, finished=True)
    result = result_of(history)
    environment = Environment(
        loader=FileSystemLoader(_DATA),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        name=history.name or history.run.folder.resolve().name,  # of a folder given as .
        sentence=sentence(result, history),
        tiles=tiles(result),
        curve=draw_curve(history),
        training=draw_training(history),
        film=_or_why("film", lambda: make_film(history.run)),
        filters=_or_why("picture of the filters", lambda: draw_filters(history.run)),
        may_stay=history.config.stay,
        recipe=recipe_in_words(history.config),
        settings=settings_of(history.config, history.game),
        provenance=provenance_of(history.provenance, int(history.updates["update"][-1])),
        version=pgpong.__version__,
        paper=plots.DARK["figure.facecolor"],
        plate=PLATE,
    )


def _or_why(what: str, make: Callable[[], Any]) -> Any:
    """Return what is made, or a sentence that says why it could not be."""
    try:
        return make()
    except PgpongError as error:
        return f"There is no {what}: {error}."


def result_of(history: History) -> Result:
    """Sum up what came out."""
    scores = history.episodes["score"]
    last = scores[-SCORE_WINDOW:]
    whole = history.mean_scores()[SCORE_WINDOW - 1 :]  # before that, fewer games are in the mean
    episodes, steps, frames = (int(history.updates[name][-1]) for name in ("episode", "step", "frame"))
    return Result(
        episodes=episodes,
        steps=steps,
        frames=frames,
        seconds=float(np.nan_to_num(history.updates["seconds"][-1])),
        games=len(last),
        mean=float(last.mean()),
        won=int((last > 0).sum()),
        highest=float(scores.max()),
        best=(
            (float(whole.max()), int(history.episodes["episode"][SCORE_WINDOW - 1 + whole.argmax()]))
            if len(whole)
            else None
        ),
    )


def sentence(result: Result, history: History) -> str:
    """Say in one sentence what came out."""
    config = history.config
    begin = (
        f"After {counted(result.episodes, 'episode')} in {clock(result.seconds)} of training "
        f"({counted(result.steps, 'step')}, {counted(result.frames, 'frame')}) on {history.game}, "
        f"recipe {config.recipe}, seed {config.seed}, the "
    )
    won = f"{result.won or 'none'} {'were' if result.won > 1 else 'was'} won"
    if result.best is None:
        if result.games == 1:
            return f"{begin}score of its only game is {signed(result.mean)}."
        return f"{begin}mean score of its {result.games} games is {signed(result.mean)}; of these {won}."
    best, episode = result.best
    return (
        f"{begin}mean score of the last {result.games} games is {signed(result.mean)}; the best mean was "
        f"{signed(best)}, at episode {episode:,}; of the last {result.games} games {won}."
    )


def tiles(result: Result) -> list[tuple[str, str]]:
    """Return the four figures that stand out, each with its name."""
    highest = ("highest score", f"{result.highest:+.0f}")
    return [
        (f"mean of the last {result.games}", signed(result.mean)),
        highest if result.best is None else ("best mean of 100", signed(result.best[0])),
        ("games won", f"{result.won} of {result.games}"),
        ("training time", clock(result.seconds)),
    ]


def settings_of(config: TrainConfig, game: Game) -> list[Setting]:
    """List all settings, and the recipe's own value beside each that differs."""
    own = find_game(config.env)
    recipe = from_recipe(config.recipe if config.recipe in RECIPES else "fast")
    recipe = replace(recipe, frameskip=own.frameskip, sticky=own.sticky)
    config = replace(config, frameskip=game.frameskip, sticky=game.sticky)
    settings = []
    for setting in fields(config):
        value, usual = (getattr(one, setting.name) for one in (config, recipe))
        text = str(setting.metadata["help"]).partition(" [")[0]
        settings.append(Setting(setting.name, str(value), text, "" if value == usual else str(usual)))
    return settings


def recipe_in_words(config: TrainConfig) -> str:
    """Say which recipe the settings are compared with."""
    if config.recipe in RECIPES:
        return config.recipe
    return f"fast, for this version knows no recipe {config.recipe}"


def provenance_of(provenance: dict[str, Any], updates: int) -> Provenance:
    """Read run.json, which may hold anything, as far as it makes sense.

    What it says on how to repeat the run is as old as the beginning or end of the last session: `updates` is
    how far the run has come.
    """
    listed = provenance.get("sessions")
    sessions = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    latest = sessions[-1] if sessions else {}
    return Provenance(
        repeat=re.sub(r"--updates=\d+$", f"--updates={updates}", _text(provenance.get("repeat"))),
        facts=[("seed", _text(provenance.get("seed"))), *_pairs(latest.get("machine"))],
        versions=_pairs(latest.get("versions")),
        sessions=[_session(one) for one in sessions],
    )


def _session(session: dict[str, Any]) -> Session:
    command = session.get("command")
    first, last = (session.get(key) for key in ("first_update", "last_update"))
    return Session(
        command=shlex.join(map(str, command)) if isinstance(command, list) else _text(command),
        start=_time(session.get("start")),
        end=_time(session.get("end")),
        ending=_text(session.get("ending", "not written down: it is training still, or was killed")),
        updates=f"from {_text(first)} on" if last is None else f"{_text(first)} to {_text(last)}",
        commit=_text(session.get("git")),
    )


def _pairs(value: Any) -> list[tuple[str, str]]:
    return [(str(key), _text(one)) for key, one in value.items()] if isinstance(value, dict) else []


def _text(value: Any) -> str:
    return "not written down" if value in (None, "") else str(value)


def _time(value: Any) -> str:
    return _text(value).replace("T", " ").replace("+00:00", " UTC")
