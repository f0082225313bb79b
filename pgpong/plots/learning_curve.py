"""Figures of how a run went: its learning curve, and the sheet one reads when it does not learn."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from pgpong.errors import RunError, SettingError
from pgpong.plots import style
from pgpong.plots.subjects import AnyRun, call_run, take_run
from pgpong.reference import curves_beside
from pgpong.state import SCORE_WINDOW
from pgpong.storage.history import History, running_mean

Floats = npt.NDArray[np.float64]

_EPISODE = "an episode"
_POINTS = 200  # of a band
_SMOOTH = 20  # updates in the running mean of the training sheet
_SECONDS = ("games_seconds", "network_seconds", "update_seconds")
_NEEDED = ("entropy", "kl", "clip_share", "passes", "grad_norm", "batch_steps", *_SECONDS)
_LOWEST, _HIGHEST = -21, 21
_UNKNOWN = "not written down by this run"


@dataclass(frozen=True)
class Axis:
    """What a curve is drawn against: a count of metrics.jsonl, and what one unit of the axis is of it."""

    count: str
    unit: float
    label: str


AXES = {
    "episodes": Axis("episode", 1, "episodes"),
    "steps": Axis("step", 1e6, "steps (millions)"),
    "frames": Axis("frame", 1e6, "frames (millions)"),
    "hours": Axis("seconds", 3600, "hours of training"),
    "updates": Axis("update", 1, "updates"),
}


@dataclass(frozen=True)
class Curve:
    """A running mean of the score against one of the `AXES`: x (n,), rising, and mean (n,)."""

    x: Floats
    mean: Floats


def curve(*runs: AnyRun, against: str = "episodes", reference: bool = True, ax: Axes | None = None) -> Figure:
    """Draw the score of each episode and the mean of the last 100, of one run or of several.

    One run has a mark with its 95% interval for each evaluation of the agent, filled for the best one.
    Several runs have their own thin means, and together a thick one with a band from the lowest to the
    highest, as far as all of them went. Where a run was resumed it has a mark. The reference runs of the same
    recipe and environment, if there are any, are a grey band behind: inside or above it a run is on track.

    Raises:
        SettingError: no run is given, or the axis is unknown.
        RunError: a run is missing, damaged or has no finished episode.
    """
    if not runs:
        raise SettingError("expected one run or more")
    axis = find_axis(against)
    histories = [take_run(run, finished=True) for run in runs]
    figure, ax = style.canvas(ax, 8, 4.5)
    style.tidy(ax)
    curves = [curve_of(history, axis) for history in histories]
    if reference:
        _draw_reference(ax, histories, axis, max(float(c.x[-1]) for c in curves))
    if len(histories) == 1:
        _draw_run(ax, histories[0], axis, curves[0])
    else:
        _draw_runs(ax, histories, curves)
    for history, line in zip(histories, curves, strict=True):
        _mark_resumes(ax, history, axis, line)
    ax.axhline(0, linewidth=1, linestyle=(0, (4, 3)), color="0.5", zorder=1.5)
    ax.annotate("as good as the built-in opponent", (1, 0), (0, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize="x-small", alpha=0.75)  # fmt: skip
    ax.set(
        xlabel=axis.label, ylabel="score (points won less lost)", ylim=(_LOWEST - 0.7, _HIGHEST + 0.7), xlim=0
    )
    ax.set_yticks(range(_LOWEST, _HIGHEST + 1, 7))
    _draw_legend(ax)
    style.title(ax, "Learning curve", _name(histories))
    return figure


def training(run: AnyRun, *, against: str = "updates", columns: int = 3, ax: Axes | None = None) -> Figure:
    """Draw what one reads when a run does not learn, on one sheet of nine panels.

    Score; entropy beside that of chance; what the critic foretells of the returns; KL divergence, share of
    clipped steps, passes done; gradient norm; the norms of both layers beside what they were at the start;
    speed. Thin is each update, thick the mean of the last 20; dotted are the bounds that the settings set.

    Raises:
        SettingError: the axis is unknown, or the panels do not fill so many columns.
        RunError: the run is missing, damaged or has no update.
    """
    axis = find_axis(against)
    if columns < 1 or len(_SHEET) % columns:
        raise SettingError(f"expected 1, 3 or 9 columns, got {columns}")
    history = take_run(run)
    for name in _NEEDED:
        if name not in history.updates:
            raise RunError(f"{history.run.metrics} is no whole log of a run: it has no {name!r}")
    rows = -(-len(_SHEET) // columns)
    figure, ax = style.canvas(ax, 3.2 * columns, 2.4 * rows + 0.6)
    x = history.updates[axis.count] / axis.unit
    places = style.panels(ax, rows, columns, gap=(0.24 / columns, 0.55 / (2 * rows)))
    for place, draw in zip(places, _SHEET, strict=True):
        draw(style.tidy(place), x, history)
        place.set_xlim(0)
        place.set_xlabel(axis.label, fontsize="x-small", labelpad=1)
    style.title(ax, "Training", f"{call_run(history)} · recipe {history.config.recipe}", above=16)
    return figure


def find_axis(against: str) -> Axis:
    """Look an axis up.

    Raises:
        SettingError: it is unknown.
    """
    if against not in AXES:
        raise SettingError(f"cannot draw against {against!r}: use {', '.join(AXES)}")
    return AXES[against]


def curve_of(history: History, axis: Axis) -> Curve:
    """Return the mean of the last 100 episodes after each episode."""
    return Curve(_place_of_episodes(history, axis), history.mean_scores())


def band(curves: list[Curve]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return x (n,) over the stretch that all curves share, and there their mean, lowest and highest value.

    Between its points a curve is a straight line.
    """
    first, last = max(c.x[0] for c in curves), min(c.x[-1] for c in curves)
    x = np.linspace(min(first, last), last, _POINTS)
    values = np.array([np.interp(x, c.x, c.mean) for c in curves])
    return x, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def _place_of_episodes(history: History, axis: Axis) -> Floats:
    count = history.episodes["episode"] if axis.count == "episode" else history.when(axis.count)
    return np.asarray(count / axis.unit, np.float64)


def _draw_run(ax: Axes, history: History, axis: Axis, line: Curve) -> None:
    scores = history.episodes["score"]
    # A picture of the points: thousands of them would make an SVG large.
    ax.plot(line.x, scores, ".", ms=3, alpha=0.25, mew=0, color=style.BLUE, rasterized=True, label=_EPISODE)
    ax.plot(line.x, line.mean, color=style.BLUE, linewidth=2, label=f"mean of the last {SCORE_WINDOW}")
    if history.evaluations.rows:
        _mark_evaluations(ax, history, axis)


def _mark_evaluations(ax: Axes, history: History, axis: Axis) -> None:
    evaluations = history.evaluations
    x, mean = evaluations[axis.count] / axis.unit, evaluations["mean"]
    reach = np.abs(np.array([evaluations["low"], evaluations["high"]], np.float64) - mean)
    ax.errorbar(x, mean, reach, fmt="s", ms=5, mfc="none", mew=1.2, elinewidth=1, capsize=2,
                color=style.GREEN, label="evaluation, 95% interval", zorder=2.5)  # fmt: skip
    best = int(mean.argmax())
    ax.plot(x[best], mean[best], "s", ms=5, color=style.GREEN, label="the best agent", zorder=2.6)


def _draw_runs(ax: Axes, histories: list[History], curves: list[Curve]) -> None:
    for k, (history, line) in enumerate(zip(histories, curves, strict=True)):
        colour, dashes = style.LINES[k % len(style.LINES)], ("-", "--", ":")[k // len(style.LINES) % 3]
        name = history.name.replace("$", r"\$")  # no formula
        label = f"seed {history.config.seed}: {name}"
        ax.plot(line.x, line.mean, dashes, color=colour, linewidth=1, label=label)
    x, mean, low, high = band(curves)
    ink = rcParams["text.color"]
    ax.fill_between(x, low, high, color=ink, alpha=0.1, linewidth=0, label="lowest to highest")
    ax.plot(x, mean, color=ink, linewidth=2.5, label=f"mean of {len(curves)} runs")


def _draw_reference(ax: Axes, histories: list[History], axis: Axis, end: float) -> None:
    """Draw the reference runs behind, if all runs are of one recipe and game that there are any of."""
    kinds = {(history.config.recipe, str(history.game)) for history in histories}
    if len(kinds) != 1:
        return
    beside, other_settings = curves_beside(histories[0].config, histories[0].game)
    found = [
        Curve(np.asarray(run[axis.count], np.float64) / axis.unit, np.asarray(run["score_mean"], np.float64))
        for run in beside
        if run["name"] not in [history.name for history in histories]
    ]
    if not found:
        return
    x, mean, low, high = band(found)
    label = "a reference run" if len(found) == 1 else f"{len(found)} reference runs, lowest to highest"
    if other_settings:
        label += f"\n(other settings: {', '.join(other_settings[:3])}{', ...' * (len(other_settings) > 3)})"
    ax.fill_between(x, low, high, color="0.5", alpha=0.25, label=label, zorder=0.5)
    ax.plot(x, mean, color="0.5", linewidth=1, zorder=0.6)
    ax.set_xlim(0, max(end, 1e-9) * 1.02)  # what the runs reached, however far the reference went


def _draw_legend(ax: Axes) -> None:
    for handle in ax.legend(fontsize="small", frameon=False, loc="best").legend_handles:
        if isinstance(handle, Line2D) and handle.get_label() == _EPISODE:
            handle.set(markersize=6, alpha=0.6)  # one alone would hardly be seen


def _mark_resumes(ax: Axes, history: History, axis: Axis, line: Curve) -> None:
    updates = history.updates
    for number, first in enumerate(history.resumed):
        row = min(int(np.searchsorted(updates["update"], first)), updates.rows - 1)
        x = float(updates[axis.count][row] / axis.unit)
        y = float(np.interp(x, line.x, line.mean))
        label = "resumed" if not number and "resumed" not in ax.get_legend_handles_labels()[1] else None
        ax.plot([x], [y], "d", ms=7, mfc="none", mew=1.3, color=style.VERMILION, label=label)


def _name(histories: list[History]) -> str:
    if len(histories) == 1:
        return call_run(histories[0])
    games = {history.game.id for history in histories}
    return f"{len(histories)} runs · {', '.join(sorted(games))}"


def _thin_and_thick(ax: Axes, x: Floats, y: Floats, colour: str, label: str | None = None) -> None:
    ax.plot(x, y, color=colour, alpha=0.3, linewidth=0.7)
    ax.plot(x, running_mean(y, _SMOOTH), color=colour, linewidth=1.6, label=label)


def _heading(ax: Axes, text: str) -> None:
    ax.set_title(text, fontsize="small", loc="left")


def _say(ax: Axes, text: str) -> None:
    """Say why a panel is empty."""
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", fontsize="small")


def _bound(ax: Axes, value: float, text: str) -> None:
    if math.isfinite(value):
        ax.axhline(value, linestyle=":", linewidth=1.2, color="0.5")
        ax.annotate(text, (1, value), (0, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                    ha="right", fontsize="x-small", alpha=0.75)  # fmt: skip


def _score(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, f"score, mean of the last {SCORE_WINDOW} episodes")
    ax.plot(x, history.updates["score_mean"], color=style.BLUE, linewidth=1.6)
    ax.axhline(0, linestyle=":", linewidth=1.2, color="0.5")
    ax.set_ylabel("points", fontsize="x-small")


def _entropy(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, "entropy of the policy")
    _thin_and_thick(ax, x, history.updates["entropy"], style.BLUE)
    chance, name = (math.log(3), "a throw of three") if history.config.stay else (math.log(2), "a coin toss")
    _bound(ax, chance, name)
    ax.set_ylim(0, 1.13 * chance)
    ax.set_ylabel("nats", fontsize="x-small")


def _critic(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, "what the critic foretells")
    ax.set_ylabel("share of the returns' variance", fontsize="x-small")
    explained = history.updates.get("explained")
    if not history.config.critic or explained is None:
        _say(ax, _UNKNOWN if history.config.critic else "no critic: steps are worth their returns")
        return
    known = np.isfinite(explained)  # returns that are all alike have no variance
    _thin_and_thick(ax, x[known], explained[known], style.BLUE)
    _bound(ax, 1, "all of it")
    ax.set_ylim(-0.5, 1.13)  # at first it may be far worse than a constant


def _kl(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, "how far an update moves the policy")
    _thin_and_thick(ax, x, history.updates["kl"], style.BLUE)
    _bound(ax, history.config.max_kl, "the update ends")
    ax.set_ylim(0, max(1e-3, ax.get_ylim()[1]))  # with one step an update, nothing but rounding is measured
    ax.set_ylabel("KL divergence, nats", fontsize="x-small")


def _clipped(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, "steps whose ratio is clipped")
    _thin_and_thick(ax, x, 100 * history.updates["clip_share"], style.BLUE)
    ax.set_ylim(0)
    ax.set_ylabel("% of steps", fontsize="x-small")


def _passes(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, "passes over a batch")
    _thin_and_thick(ax, x, history.updates["passes"], style.BLUE)
    _bound(ax, history.config.passes, "asked for")
    ax.set_ylim(0, history.config.passes * 1.15)
    ax.set_ylabel("passes", fontsize="x-small")


def _gradient(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, "length of the gradient")
    _thin_and_thick(ax, x, history.updates["grad_norm"], style.BLUE)
    _bound(ax, history.config.max_grad_norm, "is shortened")
    ax.set_yscale("log")
    ax.yaxis.set(
        major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter=NullFormatter()
    )
    ax.set_ylabel("norm", fontsize="x-small")


def _norms(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, "length of the weights, beside the first update")
    for name, colour in (("W1", style.BLUE), ("W2", style.VERMILION)):
        norm = history.updates.get(f"{name}_norm")
        if norm is None:  # an earlier version did not write them down
            _say(ax, _UNKNOWN)
            return
        known = np.flatnonzero(np.isfinite(norm))
        first = norm[known[0]] if len(known) else math.nan
        ax.plot(x, norm / first, color=colour, linewidth=1.6, label=f"{name}, from {first:.3g}")
    ax.set_ylabel("times", fontsize="x-small")
    ax.legend(fontsize="x-small", frameon=False)


def _speed(ax: Axes, x: Floats, history: History) -> None:
    _heading(ax, "speed")
    updates = history.updates
    seconds = sum(updates[name] for name in _SECONDS)  # without the evaluations
    _thin_and_thick(ax, x, updates["batch_steps"] / np.maximum(seconds, 1e-4), style.BLUE)  # they are rounded
    ax.set_ylim(0)
    ax.set_ylabel("steps/s", fontsize="x-small")


_SHEET = (_score, _entropy, _critic, _kl, _clipped, _passes, _gradient, _norms, _speed)
