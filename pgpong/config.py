"""Every setting of a training, and the recipes that set them."""

import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import tomli_w

from pgpong.errors import SettingError


def _setting(default: Any, text: str, *, low: float = -math.inf, above: float = -math.inf) -> Any:
    """Describe one setting: its default, its help line, and where its range begins (`above` excluded)."""
    return field(default=default, metadata={"help": text, "low": low, "above": above})


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a value has a setting's type; an int serves where a float is asked for."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and [type(v) for v in value] == list(get_args(kind))
    return type(value) is kind or (kind is float and type(value) is int)


def _describe(kind: Any) -> str:
    """Name a setting's type for a person."""
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if isinstance(kind, UnionType):
        return " or ".join(_describe(one) for one in get_args(kind) if one is not NoneType)
    if get_origin(kind) is tuple:
        return "a pair of them"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[kind]


_MAY_BE_INFINITE = ("clip", "max_kl", "max_grad_norm")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training. Each is a flag of `pgpong train`; the defaults are the recipe `fast`.

    Raises:
        SettingError: a setting is out of its range, or two do not fit together.
    """

    recipe: str = _setting("fast", "the recipe the other settings start from")
    seed: int = _setting(0, "seed of weights, actions and games", low=0)

    # The game
    env: str = _setting("ALE/Pong-v5", "environment id")
    frameskip: int | tuple[int, int] | None = _setting(None, "frames a step [default: the id's own]")
    sticky: float | None = _setting(
        None, "chance that a frame repeats the action [default: the id's own]", low=0
    )
    num_envs: int = _setting(64, "games played at once", low=1)
    num_workers: int = _setting(0, "processes that play, two at least from 32 games on; 0: one a core", low=0)

    # What the agent sees and does
    current: bool = _setting(True, "the current picture beside the difference frame")
    stay: bool = _setting(True, "a third action, to stay")

    # The network
    policy: Literal["two-layer", "conv"] = _setting(
        "two-layer",
        "the network; conv: convolutions before the hidden units, for --backend torch, step size 5e-4",
    )
    hidden: int = _setting(200, "hidden units", low=1)
    fan_in: int = _setting(200, "W1 starts as N(0, 1/fan_in)", low=1)
    blur: float = _setting(1.0, "W1 starts blurred over so many pixels; 0: not", low=0)
    mirror: bool = _setting(True, "hidden units in pairs, each the other upside down")

    # A batch: what is played in so many steps of each game, or so many whole episodes
    batch_steps: int = _setting(64, "steps a game in a batch; 0: batches of episodes", low=0)
    batch_episodes: int = _setting(0, "episodes in a batch, equally many a game; 0: batches of steps", low=0)

    # What a step is worth
    gamma: float = _setting(0.99, "discount a step, 0 to 1", low=0)
    critic: bool = _setting(
        True, "a second network foretells returns; a step is worth its return minus that forecast"
    )
    gae_lambda: float = _setting(
        0.95, "λ of those advantages, 0 to 1: 1 trusts what was played, 0 the critic's next forecast", low=0
    )
    standardise: Literal["batch", "episode"] = _setting(
        "batch", "what steps are worth is standardised over this"
    )

    # The update
    passes: int = _setting(4, "passes over a batch", low=1)
    minibatches: int = _setting(4, "parts a batch is split into in each pass", low=1)
    reduction: Literal["mean", "sum"] = _setting(
        "mean", "the policy's gradients of a minibatch are averaged or summed"
    )
    clip: float = _setting(0.2, "bound on the probability ratio's distance from 1; inf: none", above=0)
    max_kl: float = _setting(
        0.05, "KL divergence that ends the policy's part of an update early, nats; inf: none", above=0
    )
    entropy: float = _setting(0.01, "weight of the entropy in the objective", low=0)
    max_grad_norm: float = _setting(
        0.5, "longer gradients of the policy are shortened to this; inf: never", above=0
    )

    # The optimiser
    optimizer: Literal["adam", "rmsprop"] = _setting("adam", "adam or rmsprop")
    learning_rate: float = _setting(2e-3, "step size", above=0)
    weight_decay: float = _setting(0.0, "W1 shrinks by this times the step size in each step", low=0)
    momentum: float = _setting(0.9, "decay of Adam's mean gradient, below 1", low=0)
    decay: float = _setting(0.999, "decay of the mean squared gradient, below 1", low=0)
    epsilon: float = _setting(1e-8, "added to the root mean square", above=0)

    # In the course of a training
    anneal_steps: int = _setting(
        2_500_000,
        "steps over which step size and entropy's weight fall, then twice as many, ...; 0: never",
        low=0,
    )
    anneal_to: float = _setting(0.03, "share of themselves that they fall to each time, 0 to 1", low=0)

    # How the best agent is found: 32 games after 1,000 are about 3% of the time, whatever the recipe
    evaluate_every: int = _setting(1000, "episodes from one evaluation to the next; 0: none", low=0)
    evaluation_episodes: int = _setting(32, "games of an evaluation, played by no training", low=1)

    # What is kept
    checkpoint_every: int = _setting(20, "updates from one checkpoint to the next", low=1)
    keep_every: int = _setting(500, "episodes from one agent that is kept for good to the next", low=1)

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if not _fits(value, setting.type):
                raise SettingError(f"{setting.name}: expected {_describe(setting.type)}, got {value!r}")
            low, above = float(setting.metadata["low"]), float(setting.metadata["above"])
            if isinstance(value, int | float) and not (value >= low and value > above):
                bound = f"more than {above:g}" if above > -math.inf else f"{low:g} or more"
                raise SettingError(f"{setting.name}: expected {bound}, got {value:g}")
            if value == math.inf and setting.name not in _MAY_BE_INFINITE:
                raise SettingError(f"{setting.name}: expected a finite number, got inf")
        for name, bits in (("seed", 63), ("hidden", 31)):
            if getattr(self, name) >= 2**bits:
                raise SettingError(f"{name}: expected less than 2^{bits}, got {getattr(self, name)}")
        for name in ("gamma", "gae_lambda", "anneal_to"):
            if not getattr(self, name) <= 1:
                raise SettingError(f"{name}: expected 0 to 1, got {getattr(self, name):g}")
        for name in ("momentum", "decay"):
            if not getattr(self, name) < 1:  # a mean that never moves
                raise SettingError(f"{name}: expected 0 to less than 1, got {getattr(self, name):g}")
        if bool(self.batch_steps) == bool(self.batch_episodes):
            raise SettingError("expected either batch_steps or batch_episodes above 0, and the other 0")
        if self.policy == "conv" and (self.mirror or self.blur or self.weight_decay):
            raise SettingError("policy: conv has no use for mirror, blur and weight_decay: false, 0 and 0")
        if self.mirror and self.hidden % 2:
            raise SettingError(f"mirror: expected an even number of hidden units, got {self.hidden}")
        if self.batch_episodes % self.num_envs:
            raise SettingError(
                f"batch_episodes: expected a multiple of num_envs, the {self.num_envs} games at once, "
                f"got {self.batch_episodes}"
            )

    @property
    def episodes_per_game(self) -> int:
        """Whole episodes each game plays for a batch; 0 where batches are counted in steps."""
        return self.batch_episodes // self.num_envs

    def at(self, step: int) -> "TrainConfig":
        """Return the settings in force after so many steps: step size and entropy's weight fall linearly.

        Once they are down they begin anew, each time from half the height and for twice as long: large steps
        find other ways to win, small ones refine the way that was found. Source: I. Loshchilov and F. Hutter,
        "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv:1608.03983 (with a cosine in place of
        the line, and from the same height each time).
        """
        if not self.anneal_steps:
            return self
        falls = (step // self.anneal_steps + 1).bit_length() - 1  # that are over
        begun, length = (2**falls - 1) * self.anneal_steps, 2**falls * self.anneal_steps
        share = (1 - (1 - self.anneal_to) * (step - begun) / length) / 2**falls
        return replace(self, learning_rate=share * self.learning_rate, entropy=share * self.entropy)

    def dump(self) -> str:
        """Write all settings as TOML; `load` reads them back."""
        return tomli_w.dumps({name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def load(cls, path: Path) -> "TrainConfig":
        """Read a file that `dump` wrote.

        Raises:
            SettingError: the file is missing, is not TOML, or holds an unknown setting or a wrong value.
        """
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:  # no text, no TOML, or made to be neither
            raise SettingError(f"cannot read settings from {path}: {error}") from error
        unknown = sorted(set(settings) - {setting.name for setting in fields(cls)})
        if unknown:
            raise SettingError(f"{path}: unknown setting {unknown[0]!r}")
        if isinstance(settings.get("frameskip"), list):
            settings["frameskip"] = tuple(settings["frameskip"])
        try:
            return cls(**settings)
        except (SettingError, TypeError) as error:
            raise SettingError(f"{path}: {error}") from error


# A recipe is what it sets otherwise than the defaults above.
RECIPES: dict[str, dict[str, Any]] = {
    # A mirrored network and a critic, several passes over each batch under a guard on the policy's change.
    "fast": {},
    # The 2016 algorithm: 10 episodes, one step along the summed gradient, RMSProp.
    "karpathy": {
        "num_envs": 10,
        "current": False,
        "stay": False,
        "fan_in": 6400,
        "blur": 0.0,
        "mirror": False,
        "batch_steps": 0,
        "batch_episodes": 10,
        "critic": False,
        "standardise": "episode",
        "passes": 1,
        "minibatches": 1,
        "reduction": "sum",
        "clip": math.inf,
        "max_kl": math.inf,
        "entropy": 0.0,
        "max_grad_norm": math.inf,
        "optimizer": "rmsprop",
        "learning_rate": 1e-4,
        "decay": 0.99,
        "epsilon": 1e-5,
        "anneal_steps": 0,
    },
}


# What a convolutional policy needs otherwise.
CONVOLUTIONAL: dict[str, dict[str, Any]] = {
    "fast": {"mirror": False, "blur": 0.0, "learning_rate": 5e-4},
    "karpathy": {},
}


def dashed(name: str) -> str:
    """Write a setting's name as a flag's."""
    return name.replace("_", "-")


def as_flag(name: str, value: Any) -> str:
    """Write a setting and its value as one argument of `pgpong train`.

    >>> as_flag("num_envs", 8), as_flag("mirror", False)
    ('--num-envs=8', '--no-mirror')
    """
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{dashed(name)}"
    return f"--{dashed(name)}={value}"


def from_recipe(recipe: str = "fast", **settings: Any) -> TrainConfig:
    """Take a recipe and change the settings given.

    >>> from_recipe("karpathy", seed=1).optimizer
    'rmsprop'

    Raises:
        SettingError: the recipe is unknown, or a setting is.
    """
    if recipe not in RECIPES:
        raise SettingError(f"unknown recipe {recipe!r}: use {' or '.join(RECIPES)}")
    known = {setting.name for setting in fields(TrainConfig)}
    for name in settings:
        if name not in known:
            raise SettingError(f"unknown setting {name!r}")
    other = CONVOLUTIONAL[recipe] if settings.get("policy") == "conv" else {}
    return replace(TrainConfig(), recipe=recipe, **{**RECIPES[recipe], **other, **settings})
