"""Command-line options that several verbs share; one for each field of `TrainConfig`."""

import math
import types
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from pgpong.config import RECIPES, TrainConfig, dashed
from pgpong.errors import SettingError
from pgpong.fastest import find_fastest
from pgpong.learning.backend import BACKENDS, Backend, find_backend
from pgpong.stopping import StopConditions

F = TypeVar("F", bound=Callable[..., Any])

tensorboard_option = click.option(
    "--tensorboard",
    is_flag=True,
    help="write scalars, settings and filters for TensorBoard, into the run's folder",
)


def config_options(command: F) -> F:
    """Add a flag for every setting; those not given are None, and the recipe decides."""
    for setting in reversed(fields(TrainConfig)):
        name = dashed(setting.name)
        spelling = f"--{name}/--no-{name}" if setting.type is bool else f"--{name}"
        option = click.option(spelling, setting.name, type=_type(setting), default=None, help=_help(setting))
        command = option(command)
    return command


def backend_options(command: F) -> F:
    """Add the choice of where the network is computed."""
    command = click.option("--device", help="cpu, cuda, cuda:1, mps [the backend's best here]")(command)
    return click.option(
        "--backend",
        type=click.Choice([*BACKENDS, "auto"]),
        help="library that computes the network; auto: the fastest here [numpy; on a GPU or for conv torch]",
    )(command)


def take_backend(
    options: dict[str, Any],
    usual: str | None,
    seconds: Callable[[Backend], float],
    tell: Callable[[str], None],
) -> Backend:
    """Take the backend out of parsed options, which may name none: then it is the `usual` one.

    Where it is to be the fastest, it is that of the fewest `seconds`, and `tell` gets a line.

    Raises:
        SettingError: its library or device is not here.
    """
    name, device = options.pop("backend"), options.pop("device")
    return find_fastest(seconds, device, tell) if name == "auto" else find_backend(name or usual, device)


def usual_backend(config: TrainConfig) -> str | None:
    """Name the backend that a network needs where no other is asked for; None if any will do."""
    return "torch" if config.policy == "conv" else None


def stop_options(command: F) -> F:
    """Add the stop conditions."""
    for name, kind, text in reversed(
        (
            ("episodes", click.IntRange(min=1), "stop when the run has so many episodes"),
            ("updates", click.IntRange(min=1), "stop when the run has so many updates"),
            ("hours", click.FloatRange(min=0), "stop after so many hours"),
            ("minutes", click.FloatRange(min=0), "stop after so many minutes"),
            ("until", float, "stop when the mean of the last 100 episodes reaches this score"),
        )
    ):
        command = click.option(f"--{name}", type=kind, help=text)(command)
    return command


def take_stop_conditions(options: dict[str, Any]) -> StopConditions:
    """Take the stop conditions out of parsed options.

    Raises:
        SettingError: one is not finite.
    """
    hours, minutes = options.pop("hours"), options.pop("minutes")
    check_finite(hours=hours, minutes=minutes, until=options["until"])
    given = [m for m in (minutes, None if hours is None else 60 * hours) if m is not None]
    return StopConditions(
        episodes=options.pop("episodes"),
        updates=options.pop("updates"),
        minutes=min(given, default=None),
        until=options.pop("until"),
    )


def check_finite(**options: float | None) -> None:
    """Check that the numbers of options are some: click takes nan and inf.

    Raises:
        SettingError: one is not finite.
    """
    for name, value in options.items():
        if value is not None and not math.isfinite(value):
            raise SettingError(f"--{name}: expected a finite number, got {value}")


def refuse(why: str, **options: object) -> None:
    """Refuse options that mean nothing here, and say why.

    Raises:
        SettingError: one was given.
    """
    for name, value in options.items():
        if value is not None and value is not False:  # a seed may be 0
            raise SettingError(f"--{name}: {why}, leave it out")


def check_folder(out: Path) -> None:
    """Check, before the work, that the folder of a file to be written is there.

    Raises:
        SettingError: it is not.
    """
    if not out.parent.is_dir():
        raise SettingError(f"--out: there is no folder {out.parent}")


def _type(setting: Field[Any]) -> Any:
    """Choose the click type that parses one setting's values."""
    if get_origin(setting.type) is Literal:
        return click.Choice(get_args(setting.type))
    if isinstance(setting.type, types.UnionType):  # int | ... | None: the first is what a user can type
        return get_args(setting.type)[0]
    return setting.type


def _help(setting: Field[Any]) -> str:
    """Write a help line with the default, and each recipe's own where it differs."""
    text = str(setting.metadata["help"])
    if setting.default is None:
        return text
    values = {recipe: settings.get(setting.name, setting.default) for recipe, settings in RECIPES.items()}
    if len(set(values.values())) == 1:
        return f"{text} [{setting.default}]"
    return f"{text} [{', '.join(f'{recipe}: {value}' for recipe, value in values.items())}]"
