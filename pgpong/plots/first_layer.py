"""Figures of W1: the pictures that the hidden units look for, many at once, one alone, and over a run.

White is positive and black is negative, with grey at zero, as in the post of 2016: a neuron fires where a
difference frame is light where its picture is light and dark where it is dark.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgpong.actions import DOWN, STAY, UP
from pgpong.agent import Agent
from pgpong.errors import SettingError
from pgpong.learning.batch import Batch
from pgpong.pixels import PIXELS
from pgpong.plots import style
from pgpong.plots.neurons import (
    Neurons,
    check_neuron,
    look_at_neurons,
    pictures_of,
    play_rallies,
)
from pgpong.plots.subjects import AnyAgent, AnyRun, call_agent, take_agent, take_agents

SCALES = ("effect", "weights")
_UNITS = {"effect": "weight × root mean square of the pixel", "weights": "weight"}
_TITLES = {"effect": "W1, each weight times how much its pixel moves", "weights": "W1"}
_PLAYED = ("importance", "firing")  # orders that need to see which neurons fire
_BRIGHTEST = 98  # percentile of the absolute values that is white or black: a few do not dim the rest
_GRID, _ROWS = 40, 8  # neurons shown unless another number is asked for
_COLUMNS = 8  # pictures in a row, agents of a run that are shown side by side
_INCH = 70  # pixels of a mosaic
_SEAM = 2  # columns between the inputs of one tile
_GAP = 4  # pixels of a mosaic between two tiles
_LABEL = 14  # pixels of a mosaic between two rows, for what stands below a tile
_HEAD = 0.8  # inches, for the title


def filters(
    agent: AnyAgent,
    *,
    number: int | None = None,
    order: str = "importance",
    scale: str = "effect",
    columns: int | None = None,
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """Draw the rows of W1 of the `number` neurons, 40, that come first in an order (`neurons.ORDERS`).

    Below each stand its number, the sign of the action whose logit it raises most, ▲ up, ▼ down or ■ stay,
    and the share of steps at which it fires, on rallies played for the purpose from `seed`. Each picture has
    a grey scale of its own, symmetric about zero. With `scale="effect"` each weight is multiplied by the root
    mean square of its pixel on those rallies: what is seldom lit fades. An agent with several inputs has them
    side by side. In a row are as many tiles as `columns` says, or eight pictures.

    Raises:
        SettingError: there are no so many neurons, no such order or scale.
        NonFiniteError: a weight is NaN or infinite.
    """
    agent = take_agent(agent)
    hidden = len(agent.policy.W2)
    number = _how_many(number, hidden, _GRID)
    _check_scale(scale)
    batch = play_rallies(agent, seed=seed) if order in _PLAYED or scale == "effect" else None
    neurons = look_at_neurons(agent, batch)
    chosen = neurons.order(order)[:number]
    pictures = filter_pictures(agent, chosen, batch if scale == "effect" else None)
    tiles = np.array([to_grey(picture) for picture in pictures])
    columns = _how_many_columns(agent, columns, number)
    figure, ax = _canvas_of_tiles(ax, tiles, columns, _LABEL)
    _draw_tiles(ax, tiles, columns, _LABEL, [_label(neurons, i) for i in chosen.tolist()])
    many = f"all {hidden}" if number == hidden else f"{number} of {hidden}"
    where = f"{call_agent(agent)} · {_order_in_words(order, neurons)}"
    style.title(ax, f"{_TITLES[scale]}: {many} hidden units", where)
    return figure


def neuron(
    agent: AnyAgent, number: int, *, scale: str = "effect", seed: int = 0, ax: Axes | None = None
) -> Figure:
    """Draw one hidden unit large: its weights, the mean frame that makes it fire, its statistics.

    Raises:
        SettingError: there is no such neuron or scale.
        NonFiniteError: a weight is NaN or infinite.
    """
    agent = take_agent(agent)
    check_neuron(number, len(agent.policy.W2))
    _check_scale(scale)
    batch = play_rallies(agent, seed=seed)
    neurons = look_at_neurons(agent, batch)
    figure, ax = style.canvas(ax, 11, 3.7 if agent.sees_current else 4.6)  # wide pictures, or high ones
    left, middle, right = style.panels(ax, 1, 3, gap=(0.07, 0), widths=(3, 3, 2.6))
    (weights,) = filter_pictures(agent, np.array([number]), batch if scale == "effect" else None)
    _draw_scaled(left, weights, _UNITS[scale], f"row {number} of W1")
    h = agent.policy.forward(batch.frames)[0][:, number]
    (fires,) = np.nonzero(h > 0)
    mean = batch.frames[fires].mean(axis=0) if len(fires) else np.zeros(batch.frames.shape[1])
    (seen,) = pictures_of(np.asarray(mean).reshape(1, -1))
    _draw_scaled(middle, seen, "mean pixel", "mean of what it sees when it fires")
    _draw_statistics(right, neurons, number, h)
    says = {UP: "up", DOWN: "down", STAY: "stay", None: "nothing"}[neurons.action(number)]
    style.title(ax, f"Hidden unit {number} says {says}", call_agent(agent), above=14)
    return figure


def filter_pictures(
    agent: Agent, chosen: npt.NDArray[np.int64], batch: Batch | None
) -> npt.NDArray[np.float64]:
    """Return the rows of W1 of the `chosen` neurons as pictures (n, 80, k · 80).

    With a batch, each weight is multiplied by the root mean square of its pixel there.
    """
    W1 = np.asarray(agent.policy.W1[chosen], np.float64)
    if batch is not None:
        W1 *= np.sqrt(np.asarray(batch.frames.power(2).mean(axis=0)).reshape(-1))
    return pictures_of(W1)


def evolution(
    agents: AnyRun | Sequence[Agent],
    *,
    number: int | None = None,
    scale: str = "effect",
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """Draw the same hidden units, 8, as a run learned: a row a neuron, a column an agent, the earliest first.

    Given are agents, or a run: of those that it has kept and the latest, eight at most. The neurons are those
    that matter most in the last one. A row has one grey scale, so that it brightens as the weights grow.

    Raises:
        SettingError: there is no agent, they differ in size, or have no so many neurons.
        RunError: there is no such run, or it has kept no agent.
        NonFiniteError: a weight is NaN or infinite.
    """
    agents = take_agents(agents, _COLUMNS)
    chosen, tiles, neurons = _tiles_over_time(agents, number, _ROWS, scale, seed)
    flat = tiles.reshape(-1, *tiles.shape[2:])
    figure, ax = _canvas_of_tiles(ax, flat, len(agents), _GAP, above=0.35)
    places = _draw_tiles(ax, flat, len(agents), _GAP, [("", None)] * len(flat))
    height, width = flat.shape[1:]
    for (left, _), agent in zip(places, agents, strict=False):
        ax.text(left + width / 2, -4, _age(agent), ha="center", va="bottom", fontsize="x-small")
    for (_, top), i in zip(places[:: len(agents)], chosen.tolist(), strict=True):
        arrow, colour = _says(neurons, i)
        ax.text(
            -4, top + height / 2, f"{i} {arrow}", ha="right", va="center", fontsize="x-small", color=colour
        )
    style.title(ax, f"{_TITLES[scale]}, as the run learned", call_agent(agents[-1]), above=24)
    return figure


def evolution_frames(
    agents: AnyRun | Sequence[Agent],
    *,
    number: int | None = None,
    scale: str = "effect",
    seed: int = 0,
    columns: int | None = None,
) -> Iterator[Figure]:
    """Draw the same, 40 neurons, as figures to be shown one after the other, one an agent, all of one size.

    Raises:
        SettingError: there is no agent, they differ in size, or have no so many neurons.
        RunError: there is no such run, or it has kept no agent.
        NonFiniteError: a weight is NaN or infinite.
    """
    agents = take_agents(agents)
    chosen, tiles, _ = _tiles_over_time(agents, number, _GRID, scale, seed)
    columns = _how_many_columns(agents[0], columns, len(chosen))

    def draw(k: int, agent: Agent) -> Figure:
        neurons = look_at_neurons(agent, None)
        figure, ax = _canvas_of_tiles(None, tiles[:, k], columns, _LABEL)
        _draw_tiles(ax, tiles[:, k], columns, _LABEL, [_label(neurons, i) for i in chosen.tolist()])
        style.title(ax, _TITLES[scale], f"{call_agent(agent)} · mean score {_score(agent)}")
        return figure

    return (draw(k, agent) for k, agent in enumerate(agents))


def _tiles_over_time(
    agents: list[Agent], number: int | None, usual: int, scale: str, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], Neurons]:
    """Return which neurons, their grey pictures (neurons, agents, 80, k · 80), and the last's facts."""
    if not agents:
        raise SettingError("expected one agent or more")
    if len({agent.policy.W1.shape for agent in agents}) > 1:
        raise SettingError("expected agents of one run, got networks of different sizes")
    _check_scale(scale)
    number = _how_many(number, len(agents[-1].policy.W2), usual)
    batch = play_rallies(agents[-1], seed=seed)
    neurons = look_at_neurons(agents[-1], batch)
    chosen = neurons.order()[:number]
    weigh = batch if scale == "effect" else None
    tiles = np.stack([filter_pictures(agent, chosen, weigh) for agent in agents], axis=1)
    return chosen, np.array([to_grey(row) for row in tiles]), neurons


def _how_many(number: int | None, hidden: int, usual: int) -> int:
    """Return how many neurons to show: `number`, or the usual number, or all if there are fewer."""
    if number is None:
        return min(usual, hidden)
    if not 1 <= number <= hidden:
        raise SettingError(f"expected 1 to {hidden} neurons, for so many the agent has, got {number}")
    return number


def _how_many_columns(agent: Agent, columns: int | None, number: int) -> int:
    """Return how many tiles to put into a row: so many or, if that is not said, eight pictures."""
    return max(1, min(number, columns or _COLUMNS * PIXELS // agent.policy.pixels))


def _check_scale(scale: str) -> None:
    if scale not in SCALES:
        raise SettingError(f"unknown scale {scale!r}: use {', '.join(SCALES)}")


def to_grey(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale pictures to -1, black, to 1, white, with 0 kept, and put a seam between several inputs."""
    limit = float(np.percentile(np.abs(values), _BRIGHTEST)) or float(np.abs(values).max(initial=0.0)) or 1.0
    return seamed(np.clip(values / limit, -1, 1))


def seamed(pictures: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Put columns of NaN between the k inputs of pictures (..., 80, k · 80)."""
    height, width = pictures.shape[-2:]
    return np.insert(pictures, np.repeat(np.arange(height, width, height), _SEAM), np.nan, axis=-1)


def _canvas_of_tiles(
    ax: Axes | None, tiles: npt.NDArray[np.float64], columns: int, gap: int, above: float = 0.0
) -> tuple[Figure, Axes]:
    """Make a canvas for tiles (n, height, width) in rows of `columns`."""
    n, height, width = tiles.shape
    across, down = columns * (width + _GAP), -(-n // columns) * (height + gap)
    return style.canvas(ax, max(4.5, across / _INCH + 0.2), down / _INCH + _HEAD + above)


def _draw_tiles(
    ax: Axes, tiles: npt.NDArray[np.float64], columns: int, gap: int, labels: list[tuple[str, object]]
) -> list[tuple[int, int]]:
    """Draw pictures of -1 to 1 in rows, a label in its colour under each; return where they are."""
    whole, places = style.mosaic(tiles, columns, (_GAP, gap))
    style.show_pixels(ax, whole, cmap="gray", vmin=-1, vmax=1)
    ax.set_anchor("NW")  # right under the title, whatever room is left below
    _, height, width = tiles.shape
    for (left, top), (label, colour) in zip(places, labels, strict=True):
        coloured: dict[str, Any] = {} if colour is None else {"color": colour}
        ax.text(
            left + width / 2, top + height + 1, label, ha="center", va="top", fontsize="x-small", **coloured
        )
    ax.set_ylim(whole.shape[0] - 0.5 + (gap if gap == _LABEL else 0), -0.5)
    return places


def _draw_scaled(ax: Axes, picture: npt.NDArray[np.float64], unit: str, heading: str) -> None:
    limit = float(np.percentile(np.abs(picture), 99.8)) or 1.0
    ax.set_axis_off()
    above, bar = ax.inset_axes((0, 0.24, 1, 0.76)), ax.inset_axes((0.1, 0.11, 0.8, 0.03))
    image = above.imshow(picture, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
    above.set_anchor("S")  # right above the bar, whatever room is left
    height, width = picture.shape
    if width > height:
        above.axvline(height - 0.5, color="white", linewidth=1.5)
        above.set_xticks([height / 2, 3 * height / 2], ["what moved", "what is there"])
    above.set_title(heading, fontsize="small")
    above.set_ylabel("pixels", fontsize="small")
    above.tick_params(labelsize="x-small")
    ax.figure.colorbar(image, cax=bar, orientation="horizontal", extend="both")
    bar.set_xlabel(unit, fontsize="small")
    bar.tick_params(labelsize="x-small")


def _draw_statistics(ax: Axes, neurons: Neurons, number: int, h: npt.NDArray[np.floating[Any]]) -> None:
    rank = int(np.flatnonzero(neurons.order() == number)[0]) + 1
    stay = neurons.says_stay
    lines = (
        f"W2          {neurons.says[number]:+.3f}",
        *([] if stay is None else [f"W2_stay     {stay[number]:+.3f}"]),
        f"|row of W1| {neurons.norm[number]:.2f}",
        f"fires       {neurons.firing[number]:.1%} of {neurons.steps:,} steps",
        f"mean h      {neurons.strength[number]:.2f} when it fires",
        f"importance  {neurons.importance[number]:.4f}",
        f"rank        {rank} of {len(neurons.says)}",
    )
    ax.set_axis_off()
    ax.text(0, 1, "\n".join(lines), va="top", fontsize="small", family="monospace", linespacing=1.5)
    below = style.tidy(ax.inset_axes((0, 0.11, 1, 0.45)))
    below.hist(h[h > 0], bins=30, color=style.BLUE)
    below.set_xlabel("h when it fires", fontsize="small")
    below.set_ylabel("steps", fontsize="small")


def _says(neurons: Neurons, i: int) -> tuple[str, object]:
    """Return the sign and the colour of the action that a neuron makes likeliest."""
    action = neurons.action(i)
    return ("–", None) if action is None else style.ACTIONS[action]


def _label(neurons: Neurons, i: int) -> tuple[str, object]:
    arrow, colour = _says(neurons, i)
    fires = "" if np.isnan(neurons.firing[i]) else f"  {neurons.firing[i]:.0%}"
    return f"{i} {arrow}{fires}", colour


def _order_in_words(order: str, neurons: Neurons) -> str:
    weight = "|W2|" if neurons.says_stay is None else "|W2, W2_stay|"
    by = {
        "importance": f"largest {weight} times share of steps at which it fires first",
        "weight": f"largest {weight} first",
        "firing": "those that fire most often first",
        "norm": "longest rows of W1 first",
        "number": "by number",
    }[order]
    return by + (f", over {neurons.steps:,} steps" if neurons.steps else "")


def _age(agent: Agent) -> str:
    episode = agent.provenance.get("episode")
    return f"episode {episode:,}\n{_score(agent)}" if isinstance(episode, int) else "?"


def _score(agent: Agent) -> str:
    score = agent.provenance.get("score_mean")
    return f"{score:+.1f}" if isinstance(score, int | float) else "–"
