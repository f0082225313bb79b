"""Figures that explain policy gradients: the score-function estimator, and what one update does to a policy.

    ∇ E[f(x)] = E[f(x) ∇ log p(x)]

Source: A. Karpathy, "Deep Reinforcement Learning: Pong from Pixels" (2016), "Deriving Policy Gradients";
R. J. Williams, "Simple statistical gradient-following algorithms" (1992).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgpong.actions import DOWN, STAY, UP
from pgpong.agent import Agent
from pgpong.config import TrainConfig
from pgpong.errors import SettingError
from pgpong.learning.ascent import make_optimizer
from pgpong.learning.batch import Batch
from pgpong.learning.policy import Policy, log_probability
from pgpong.learning.policy_gradient import advantages, update, worth
from pgpong.plots import style
from pgpong.plots.subjects import AnyAgent, call_agent, take_agent

Floats = npt.NDArray[np.float64]

_EDGE = 3.5  # of the plane that the samples lie in
_ARROW = 0.35  # length of an arrow in the figure, as a share of the gradient's own


def pay_on_the_right(x: Floats) -> Floats:
    """Return f(x) (n,) for points (n, 2): 1 in the right half of a diagonal, -1 elsewhere."""
    return np.where(x[:, 0] + 0.6 * x[:, 1] > 0.4, 1.0, -1.0)


def score_function_gradient(x: Floats, f: Floats, mean: Floats, deviation: float) -> tuple[Floats, Floats]:
    """Return ∇ log p(x) (n, 2) by the mean of a round Gaussian, and the estimate (2,) of ∇ E[f].

        ∇ log p(x) = (x - μ) / σ²        ∇ E[f] ≈ 1/n Σ f(x) (x - μ) / σ²

    >>> x, f = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([1.0, -1.0])
    >>> score_function_gradient(x, f, np.zeros(2), 1.0)[1]
    array([1., 0.])
    """
    scores = (x - mean) / deviation**2
    return scores, (f[:, None] * scores).mean(axis=0)


def score_function(
    f: Callable[[Floats], Floats] = pay_on_the_right,
    *,
    samples: int = 60,
    step: float = 0.8,
    deviation: float = 1.0,
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """Draw the score-function estimator at work on a round Gaussian in the plane, in three panels.

    Samples, and for each the direction that would make it likelier; the same arrows times what the samples
    were paid, `f`: towards those with +, away from those with -; the distribution before and after a step
    along their mean.

    Raises:
        SettingError: no sample is asked for.
    """
    if samples < 1:
        raise SettingError(f"expected 1 sample or more, got {samples}")
    mean = np.zeros(2)
    x = np.random.default_rng(seed).normal(mean, deviation, (samples, 2))
    paid = f(x)
    scores, gradient = score_function_gradient(x, paid, mean, deviation)
    figure, ax = style.canvas(ax, 11, 4.3)
    first, second, third = style.panels(ax, 1, 3, gap=(0.03, 0))
    colours = np.where(paid > 0, style.GREEN, style.VERMILION).tolist()
    for place, arrows, heading in (
        (first, scores, "1. samples, and what makes each likelier: ∇ log p(x)"),
        (second, paid[:, None] * scores, "2. times what each was paid: f(x) ∇ log p(x)"),
    ):
        _draw_plane(place, f, heading)
        _draw_gaussian(place, mean, deviation, "-")
        shown = _ARROW * arrows
        place.quiver(*x.T, *shown.T, color=colours, angles="xy", scale_units="xy", scale=1, width=0.005)
        for sign, marker, colour in ((1, "P", style.GREEN), (-1, "X", style.VERMILION)):
            place.plot(*x[np.sign(paid) == sign].T, marker, ms=5, color=colour, mew=0)
    _draw_plane(third, f, "3. a step along their mean")
    _draw_gaussian(third, mean, deviation, ":")
    _draw_gaussian(third, mean + step * gradient, deviation, "-")
    third.quiver(
        *mean, *(step * gradient), angles="xy", scale_units="xy", scale=1, width=0.012, color=style.BLUE
    )
    style.title(
        ax,
        "The score-function estimator",
        "green + were paid, red × paid; the shaded side pays; dotted: before the step",
        above=14,
    )
    return figure


def update_effect(
    agent: AnyAgent, batch: Batch, config: TrainConfig, *, seed: int = 0, ax: Axes | None = None
) -> Figure:
    """Draw what one update from `batch` does: how much likelier each step's action became, by its advantage.

    The update is that of `config`, from a fresh optimiser, on a copy of the policy: the agent stays as it is.
    The frames are those of the batch, so what is seen is how the network moved where it has just learned.

    Raises:
        NonFiniteError: the numbers went out of bounds.
    """
    agent = take_agent(agent)
    A, before, after = effect_of_update(agent, batch, config, seed)
    change = 100 * (after - before)
    figure, ax = style.canvas(ax, 8, 4.4)
    style.tidy(ax)
    for action, name, mark in ((UP, "up", "^"), (DOWN, "down", "v"), (STAY, "to stay", "s")):
        which = batch.actions == action
        if which.any() or action != STAY:
            _, colour = style.ACTIONS[action]
            points: dict[str, Any] = {"ms": 4, "alpha": 0.4, "mew": 0, "color": colour, "rasterized": True}
            ax.plot(A[which], change[which], mark, label=f"the action was {name}", **points)
    edges = np.quantile(A, np.linspace(0, 1, 13))
    bins = np.clip(np.searchsorted(edges, A, side="right") - 1, 0, 11)
    used = np.unique(bins)
    middle = [[float(v[bins == k].mean()) for k in used] for v in (A, change)]
    ax.plot(*middle, "o-", color=style.BLUE, label="mean of a twelfth of the steps")
    ax.axhline(0, color="0.5", linewidth=0.8)
    ax.axvline(0, color="0.5", linewidth=0.8)
    ax.set_xlabel("advantage of the step (standardised return)")
    ax.set_ylabel("change of the action's probability, points of %")
    ax.legend(fontsize="small", frameon=False)
    style.title(ax, f"One update on {len(batch):,} steps: what paid becomes likelier", call_agent(agent))
    return figure


def effect_of_update(
    agent: Agent, batch: Batch, config: TrainConfig, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Return advantages, and the actions' probabilities before and after one update of a copy, (n,) each."""
    config = replace(config, mirror=False)  # the agent may be of any recipe
    policy = agent.policy.copy()
    before = _probability_of_actions(policy, batch)
    update(policy, make_optimizer(policy, config), batch, config, np.random.default_rng(seed))
    A = advantages(batch, config, worth(batch, config))
    return A, before, _probability_of_actions(policy, batch)


def _probability_of_actions(policy: Policy, batch: Batch) -> Floats:
    log_p = policy.log_probabilities(*policy.forward(batch.frames))
    P: Floats = np.exp(log_probability(np.asarray(log_p, np.float64), batch.actions))
    return P


def _draw_plane(ax: Axes, f: Callable[[Floats], Floats], heading: str) -> None:
    ticks = np.linspace(-_EDGE, _EDGE, 141)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    pays = (f(points) > 0).reshape(len(ticks), -1)
    ax.contourf(ticks, ticks, pays, levels=[0.5, 1.5], colors=[style.GREEN], alpha=0.12)
    ax.set(xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE), aspect="equal", xticks=[], yticks=[])
    ax.set_title(heading, fontsize="small", loc="left")


def _draw_gaussian(ax: Axes, mean: Floats, deviation: float, dashes: str) -> None:
    angle = np.linspace(0, 2 * np.pi, 100)
    for ring in (1, 2):
        x, y = mean[:, None] + ring * deviation * np.array([np.cos(angle), np.sin(angle)])
        ax.plot(x, y, dashes, color=style.BLUE, linewidth=1.2)
