"""Figures of games: one moment, one rally, and where ball and paddles were in many rallies."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from pgpong.actions import DOWN, STAY, UP
from pgpong.agent import Agent
from pgpong.config import TrainConfig
from pgpong.errors import SettingError
from pgpong.learning.batch import Batch
from pgpong.learning.frames import sparse_frames
from pgpong.learning.returns import discounted_returns, standardise
from pgpong.pixels import PICTURE_SHAPE, PIXELS
from pgpong.plots import style
from pgpong.plots.first_layer import filter_pictures, seamed, to_grey
from pgpong.plots.neurons import pictures_of, play_rallies
from pgpong.plots.subjects import AnyAgent, call_agent, take_agent
from pgpong.viewing.overlay import difference
from pgpong.viewing.playback import Playback, Scene, agent_player, play, seen_by

COURT = slice(34, 194)  # rows of a screen between the walls
OPPONENT, PLAYER = slice(8, 10), slice(70, 72)  # columns of the paddles in an 80x80 picture

HARDEST = 10  # neurons of the figure of activations
MOMENTS = 8  # pictures of a rally's strip
_SCREEN_ASPECT = 0.5  # an Atari's pixels are about twice as wide as high


@dataclass(frozen=True)
class Rally:
    """One rally with what each of its steps was worth; the arrays are (steps,)."""

    scenes: list[Scene]  # one a step
    probability: npt.NDArray[np.float64]  # of up
    actions: npt.NDArray[np.int64]  # what was done
    returns: npt.NDArray[np.float64]  # discounted
    advantages: npt.NDArray[np.float64]  # the same, standardised over all steps of the game
    won: bool
    first_step: int  # of the game


def activations(agent: AnyAgent, *, step: int = 75, seed: int = 0, ax: Axes | None = None) -> Figure:
    """Draw one moment of the game of `seed`: screen, frame, the neurons that fire hardest, the probability.

    Over each of the ten filters, as `filters` draws them, lie the pixels of the frame; below stand h and what
    the neuron adds to the logit of up and, at ■, to that of staying.

    Raises:
        SettingError: the game has no such step.
    """
    agent = take_agent(agent)
    scene = _scene_at(agent, step, seed)
    h, z = agent.policy.forward(sparse_frames(seen_by(agent, scene)[None]))
    h = np.asarray(h[0], np.float64)
    hardest = np.argsort(-h, kind="stable")[: min(HARDEST, int(np.count_nonzero(h)))]
    figure, ax = style.canvas(ax, 11.5, 4.6)
    left, right = style.panels(ax, 1, 2, gap=(0.03, 0), widths=(1, 2.3))
    above, below = style.panels(left, 2, 1, gap=(0, 0.1))
    style.show_pixels(above, scene.screen[COURT], aspect=_SCREEN_ASPECT)
    above.set_title("screen", fontsize="small", loc="left")
    style.show_pixels(below, difference(scene, 1))
    below.set_title("difference frame: blue came, orange has gone", fontsize="small", loc="left")
    adds = h * np.asarray(agent.policy.W2, np.float64)
    adds_to_stay = h * np.asarray(agent.policy.parameters["W2_stay"]) if agent.policy.may_stay else None
    pictures = filter_pictures(agent, hardest, play_rallies(agent, seed=seed))
    (seen,) = pictures_of(seen_by(agent, scene).reshape(1, -1))
    rows, columns = (3, 4) if agent.sees_current else (2, 5)
    places = style.panels(right, rows, columns, gap=(0.02, 0.1))
    for place, i, picture in zip(places, hardest.tolist(), pictures, strict=False):
        _draw_match(place, picture, seen)
        arrow, colour = style.UP if adds[i] > 0 else style.DOWN
        stay = "" if adds_to_stay is None else f"  ■ {adds_to_stay[i]:+.2f}"
        style.below(place, f"{i}: h = {h[i]:.2f}\n{arrow} {adds[i]:+.2f}{stay}", colour)
    for place in places[len(hardest) :]:
        place.set_axis_off()
    logit, part = float(z[0]), float(adds[hardest].sum())
    sums = f"the {len(hardest)} neurons that fire hardest add {part:+.2f} to the logit {logit:+.2f}"
    stay = "" if scene.stay is None else f", of staying {scene.stay:.0%}"
    what = f"What fires at step {step}: probability of up {scene.probability:.0%}{stay}"
    style.title(ax, what, f"{call_agent(agent)} · seed {seed} · {sums}", above=12)
    return figure


def rally(
    agent: AnyAgent,
    *,
    number: int = 1,
    seed: int = 0,
    gamma: float = TrainConfig.gamma,
    ax: Axes | None = None,
) -> Figure:
    """Draw the rally `number`, from 1, of the game of `seed`: who gets the credit for the point?

    Above are moments of it; below, for each step, the probability of up with what was done, and the
    advantage: the discounted return, standardised over the steps of the game. An update makes the actions of
    steps above zero likelier and those below less likely.

    Raises:
        SettingError: the game has no such rally, or `gamma` is out of range.
    """
    agent = take_agent(agent)
    played = play_rally(agent, number, seed, gamma)
    n = len(played.scenes)
    figure, ax = style.canvas(ax, 12, 4.9)
    moments = np.unique(np.linspace(0, n - 1, MOMENTS).round().astype(int))
    ax.set_axis_off()
    strip = ax.inset_axes((0, 0.79, 1, 0.21))
    for place, k in zip(style.panels(strip, 1, len(moments), gap=(0.008, 0)), moments.tolist(), strict=True):
        style.show_pixels(place, played.scenes[k].screen[COURT], aspect=_SCREEN_ASPECT)
        arrow, colour = style.ACTIONS[played.actions[k]]
        did = f"{arrow} p(up) {played.probability[k]:.0%}"
        text = f"step {played.first_step + k}\n{did}\nreturn {played.returns[k]:+.2f}"
        style.below(place, text, colour)
    _draw_credit(ax, played, gamma)
    result = "won" if played.won else "lost"
    style.title(ax, f"Rally {number}: {result} after {n} steps", f"{call_agent(agent)} · seed {seed}")
    return figure


def trajectory(
    agent: AnyAgent, *, games: int = 16, steps: int = 1000, seed: int = 0, ax: Axes | None = None
) -> Figure:
    """Draw where the ball was, and the paddles, in rallies won and in rallies lost.

    `games` are played at once for `steps` each. The ball's map has a logarithmic scale, shared by both
    panels; beside it stands for each paddle how often each row was covered.

    Raises:
        SettingError: the numbers are out of range.
    """
    if games < 1 or steps < 1:
        raise SettingError(f"expected 1 game and 1 step or more, got {games} and {steps}")
    agent = take_agent(agent)
    maps = occupancy(play_rallies(agent, games, steps, seed))
    figure, ax = style.canvas(ax, 11, 5.2)
    brightest = max((float(_ball(share).max()) for share, _, _ in maps.values()), default=0.0) or 1.0
    norm = LogNorm(brightest / 300, brightest, clip=True)
    most = max(float(covered.max()) for share, _, _ in maps.values() for covered in _paddles(share)) or 1.0
    for place, won in zip(style.panels(ax, 1, 2, gap=(0.07, 0)), (True, False), strict=True):
        share, rallies, of_steps = maps[won]
        image = _draw_map(place, share, norm, most)
        what = f"rallies {'won' if won else 'lost'}: {rallies:,}, {of_steps:,} steps"
        place.set_title(what, fontsize="medium", loc="left")
    bar = ax.inset_axes((0.35, -0.04, 0.3, 0.02))
    shown = figure.colorbar(image, cax=bar, orientation="horizontal")
    shown.set_label("share of steps at which the ball covers the pixel", fontsize="small")
    bar.tick_params(labelsize="x-small")
    style.title(ax, "Where ball and paddles are", call_agent(agent), above=18)
    return figure


def play_rally(agent: Agent, number: int, seed: int, gamma: float) -> Rally:
    """Play the game of `seed`, actions sampled, and return its rally `number`, counted from 1.

    Raises:
        SettingError: the game has no such rally, or `gamma` is out of range.
    """
    if not 0 <= gamma <= 1:
        raise SettingError(f"gamma: expected 0 to 1, got {gamma:g}")
    rewards: list[int] = []
    scenes: list[Scene] = []
    before = 0  # rallies that have ended
    last: Scene | None = None
    for scene in _scenes(agent, seed):
        if last is not None:  # what came of the step before
            reward = (scene.score[1] - last.score[1]) - (scene.score[0] - last.score[0])
            rewards.append(reward)
            if before == number - 1:
                scenes.append(last)
            before += reward != 0
        last = scene
    if not 1 <= number <= before:
        raise SettingError(f"rally {number}: the game of seed {seed} has rallies 1 to {before}")
    r = np.array(rewards, np.float64)
    ends = r != 0
    ends[-1] = True
    returns = discounted_returns(r, ends, gamma)
    mine = np.flatnonzero(np.cumsum(ends) - ends == number - 1)
    return Rally(
        scenes=scenes,
        probability=np.array([s.probability for s in scenes], np.float64),
        actions=np.array([s.action for s in scenes]),
        returns=returns[mine],
        advantages=standardise(returns)[mine],
        won=bool(returns[mine[-1]] > 0),
        first_step=int(mine[0]),
    )


def occupancy(batch: Batch) -> dict[bool, tuple[npt.NDArray[np.float64], int, int]]:
    """Return, for rallies won (True) and lost, the share of steps (80, 80) at which each pixel is lit.

    With it come the number of rallies and of steps. Steps are whole rallies, one after the other.
    """
    totals = {won: np.zeros(PICTURE_SHAPE) for won in (True, False)}
    counts = {won: [0, 0] for won in (True, False)}
    begin = 0
    for end in (np.flatnonzero(batch.ends) + 1).tolist():
        if reward := batch.rewards[end - 1]:  # else the episode ended without a point
            frames = batch.frames[begin:end, :PIXELS].toarray().reshape(-1, *PICTURE_SHAPE).astype(np.int8)
            totals[reward > 0] += restore_pictures(frames).sum(axis=0)
            counts[reward > 0][0] += 1
            counts[reward > 0][1] += end - begin
        begin = end
    return {won: (totals[won] / max(1, steps), rallies, steps) for won, (rallies, steps) in counts.items()}


def restore_pictures(differences: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return the pictures (n, 80, 80) of 0 and 1 whose difference frames these are.

    The picture before the first one is the one that keeps all sums within 0 and 1: a pixel was lit if its sum
    falls below zero. One that never changes is taken to be dark.
    """
    sums = np.cumsum(differences, axis=0, dtype=np.int8)
    return np.asarray(sums - sums.min(axis=0, initial=0))


def _scenes(agent: Agent, seed: int) -> Iterator[Scene]:
    """Play the game of a seed as `pgpong watch` does."""
    return play(Playback(agent.game), seed, agent_player(agent, np.random.default_rng(seed)))


def _scene_at(agent: Agent, step: int, seed: int) -> Scene:
    last = -1
    for scene in _scenes(agent, seed):
        if scene.step == step and not scene.ended:
            return scene
        last = scene.step
    raise SettingError(f"step {step}: the game of seed {seed} has steps 0 to {last - 1}")


def _draw_match(ax: Axes, picture: npt.NDArray[np.float64], seen: npt.NDArray[np.float64]) -> None:
    """Draw a filter, and over it the pixels that the agent sees, in their two colours."""
    style.show_pixels(ax, to_grey(picture), cmap="gray", vmin=-1, vmax=1)
    seen = seamed(seen)
    over = np.zeros((*seen.shape, 4))  # red, green, blue, opacity
    for value, colour in ((1, style.SKY), (-1, style.ORANGE)):
        over[seen == value] = (*colour, 1)
    style.show_pixels(ax, over)


def _draw_credit(ax: Axes, played: Rally, gamma: float) -> None:
    steps = played.first_step + np.arange(len(played.scenes))
    chosen = style.tidy(ax.inset_axes((0, 0.33, 1, 0.25)))
    chosen.plot(steps, played.probability, color="0.5", linewidth=1)
    for action, did, mark in ((UP, "went up", "^"), (DOWN, "went down", "v"), (STAY, "stayed", "s")):
        which = played.actions == action
        if which.any() or action != STAY:
            _, colour = style.ACTIONS[action]
            chosen.plot(steps[which], played.probability[which], mark, ms=4, color=colour,
                        linestyle="", label=did)  # fmt: skip
    chosen.set(ylim=(-0.05, 1.05), ylabel="p(up)", xlim=(steps[0] - 1, steps[-1] + 1))
    chosen.legend(fontsize="x-small", ncols=3, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.95))
    chosen.tick_params(labelbottom=False)
    credit = style.tidy(ax.inset_axes((0, 0, 1, 0.24)))
    colours = [style.GREEN if a > 0 else style.VERMILION for a in played.advantages]
    credit.bar(steps, played.advantages, width=0.9, color=colours)
    credit.axhline(0, color="0.5", linewidth=0.8)
    credit.set(
        ylabel="advantage", xlabel=f"step of the game (discount {gamma:g} a step)", xlim=chosen.get_xlim()
    )
    verdict = "likelier" if played.advantages[-1] > 0 else "less likely"
    credit.annotate(f"the last actions are made {verdict}", (1, 1), (0, 2), xycoords="axes fraction",
                    textcoords="offset points", ha="right", fontsize="x-small", alpha=0.75)  # fmt: skip


def _paddles(share: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the % of steps at which the opponent's paddle and the agent's cover each row, (80,) each."""
    return 100 * share[:, OPPONENT].max(axis=1), 100 * share[:, PLAYER].max(axis=1)


def _ball(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Leave the paddles' columns out of a map."""
    ball = share.copy()
    ball[:, OPPONENT] = ball[:, PLAYER] = 0
    return ball


def _draw_map(ax: Axes, share: npt.NDArray[np.float64], norm: LogNorm, most: float) -> AxesImage:
    """Draw one map of the ball, and on its sides how often the paddles cover a row, up to `most` %."""
    ax.set_axis_off()
    court = ax.inset_axes((0.14, 0.12, 0.72, 0.88))
    image = court.imshow(_ball(share), cmap="cividis", norm=norm, interpolation="nearest", aspect="auto")
    court.set(xticks=[], yticks=[])
    rows = np.arange(PICTURE_SHAPE[0])
    opponent, player = _paddles(share)
    for covered, left, colour, who, limits in (
        (opponent, 0.0, style.ORANGE, "opponent", (most, 0)),
        (player, 0.88, style.SKY, "agent", (0, most)),
    ):
        beside = style.tidy(ax.inset_axes((left, 0.12, 0.12, 0.88)))
        beside.fill_betweenx(rows, covered, color=colour, step="mid", linewidth=0)
        beside.set(ylim=(rows[-1] + 0.5, -0.5), yticks=[], xlim=limits)
        beside.tick_params(labelsize="x-small")
        beside.set_xlabel(f"{who}\n% of steps", fontsize="x-small")
    return image
