"""The pictures of a report: figures wide and narrow, light and dark, and the end of a game as a film.

They are data URIs, parts of the page that shows them.
"""

import tempfile
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image as Pillow
from PIL import ImageChops

from pgpong import plots
from pgpong.agent import Agent
from pgpong.errors import FileFormatError, RunError
from pgpong.plots.style import LIGHT, TITLE
from pgpong.state import SCORE_WINDOW
from pgpong.storage.history import History
from pgpong.storage.replay import SUFFIX, Replay
from pgpong.storage.run import Run
from pgpong.viewing.film import Look, can_write_mp4, game_pictures, write_film
from pgpong.viewing.playback import FRAMES_PER_SECOND, Playback, Scene, play_replay
from pgpong.viewing.progress import clock

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)

FILTERS = 40
PLATE = "#000000"  # what they lie on
FILM_SECONDS = 20  # the end of the game, for there stands the score


@dataclass(frozen=True)
class Shape:
    """How large a picture is: inches, letters in points, pixels an inch."""

    width: float
    height: float
    font: float
    resolution: int
    columns: int = 1


# On a phone 3.6 inches are shown on 320 pixels of CSS or so, and each of these has up to three of the screen.
_CURVE = {"wide": Shape(9.6, 4.8, 11, 150), "narrow": Shape(3.6, 3.8, 9.5, 240)}
_TRAINING = {"wide": Shape(9.6, 7.8, 10.5, 150, columns=3), "narrow": Shape(3.6, 19.7, 10, 240)}
_FILTERS = Shape(9.54, 0, 15, 140, columns=8)  # two pixels a weight; a unit with two pictures has two columns
_MARGINS = (0.75, 0.6, 0.25, 0.35)  # inches left, below, right, above; what is empty of them is cut off
_PAD = 0.04  # inches that are left


@dataclass(frozen=True)
class Image:
    """A picture as part of the page."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Figures:
    """A picture for wide screens and for phones; without dark ones, the same for both schemes."""

    alt: str
    wide: Image
    narrow: Image
    wide_dark: Image | None = None
    narrow_dark: Image | None = None


@dataclass(frozen=True)
class Film:
    """The end of a game, as a video or a GIF."""

    alt: str
    uri: str
    poster: Image
    moving: bool  # whether it is a GIF, which an <img> shows
    facts: list[tuple[str, str]]


def draw_curve(history: History) -> Figures:
    """Draw the learning curve."""
    means = history.mean_scores()
    first = min(SCORE_WINDOW, len(means))
    alt = (
        f"Learning curve over {counted(len(means), 'episode')}: a dot for the score of each, a line for "
        f"the mean of the last {SCORE_WINDOW}, which goes from {signed(means[first - 1])} at episode "
        f"{first:,} to {signed(means[-1])} at the end."
    )
    return _in_all_forms(alt, _CURVE, lambda ax, columns: plots.curve(history, ax=ax))


def draw_training(history: History) -> Figures:
    """Draw the training sheet.

    Raises:
        RunError: the updates lack one of its figures.
    """
    alt = (
        f"Nine small curves over {counted(history.updates.rows, 'update')}: mean score, entropy, what the "
        "critic foretells, KL divergence, share of clipped steps, passes over a batch, length of the "
        "gradient, length of the weights, speed."
    )
    return _in_all_forms(alt, _TRAINING, lambda ax, columns: plots.training(history, columns=columns, ax=ax))


def draw_filters(run: Run) -> tuple[Figures, str]:
    """Draw the filters of a run's best agent, or where it has none yet its latest; say which it is.

    Raises:
        RunError: there is none.
        FileFormatError: it is damaged.
        NonFiniteError: a weight of it is NaN or infinite.
    """
    path = run.agent
    if not path.is_file():
        raise RunError("the run's folder holds no agent")
    agent = Agent.load(path)
    number = min(FILTERS, agent.policy.hidden)
    columns = _FILTERS.columns // (2 if agent.sees_current else 1)
    alt = (
        f"The weights of {counted(number, 'hidden unit')} as grey pictures of 80 x 80 pixels, those first "
        "that matter most, each with its number, a sign for what it says, and how often it fires."
    )
    tile = (
        "tile is one unit's two pictures of the court, of what has moved on the left and of what is there "
        "on the right"
        if agent.sees_current
        else "square is one unit's picture of the court"
    )
    caption = (
        f"The weights of the hidden units that matter most in {_call(agent, path)}. Each {tile}, each weight "
        "times how much its pixel moves."
    )
    tiles = _draw_tiles(agent, number, columns)
    narrow = _in_half_the_columns(tiles, number, columns) if number >= columns else tiles
    return Figures(alt, _image(tiles), _image(narrow)), caption


def _draw_tiles(agent: Agent, number: int, columns: int) -> Pixels:
    """Draw the filters without any margin.

    They are on a black ground for both schemes: on it the arrows' colours are the easiest to read.
    """
    with _style({**plots.DARK, "figure.facecolor": PLATE}, _FILTERS):
        figure = Figure()
        ax = figure.add_axes((0, 0, 1, 1))
        plots.filters(agent, number=number, columns=columns, ax=ax)
        left, right = ax.get_xlim()
        bottom, top = ax.get_ylim()
        width = _FILTERS.width * min(number, columns) / columns
        figure.set_size_inches(width, width * (bottom - top) / (right - left))
        return _to_pixels(figure, _FILTERS.resolution)


def _in_half_the_columns(tiles: Pixels, number: int, columns: int) -> Pixels:
    """Cut each row in its middle and put the halves one below the other: the order stays."""
    rows = -(-number // columns)
    middle = tiles.shape[1] // 2
    halves = []
    for row in np.array_split(tiles, rows):
        halves += [row[:, :middle], row[:, -middle:]]
    if 0 < number % columns <= columns // 2:
        halves.pop()  # it is empty
    return np.concatenate(halves)


def _call(agent: Agent, path: Path) -> str:
    """Say which agent it is, and how far it had come."""
    facts = agent.provenance
    episode, games = facts.get("episode"), facts.get("evaluation_games")
    score = facts.get("evaluation_mean", facts.get("score_mean"))
    kind = "best" if path.stem == "best" else "latest"
    reached = f" of episode {episode:,}" if isinstance(episode, int) else ""
    mean = f", mean score {signed(score)}" if isinstance(score, int | float) else ""
    where = f" in {games} evaluation games" if mean and isinstance(games, int) else ""
    return f"the {kind} agent{reached}{mean}{where} ({path.name})"


def _in_all_forms(alt: str, shapes: dict[str, Shape], draw: Callable[[Axes, int], Figure]) -> Figures:
    """Draw a figure wide and narrow, light and dark."""
    images = {
        name + suffix: _image(_draw(draw, shape, colours))
        for name, shape in shapes.items()
        for suffix, colours in (("", LIGHT), ("_dark", plots.DARK))
    }
    return Figures(alt, **images)


def _draw(draw: Callable[[Axes, int], Figure], shape: Shape, colours: dict[str, Any]) -> Pixels:
    """Draw a figure in margins that are wide enough: to find the best ones takes as long as to draw."""
    left, below, right, above = _MARGINS
    across, down = shape.width - left - right, shape.height - below - above
    with _style(colours, shape):
        figure = Figure((shape.width, shape.height))
        place = (left / shape.width, below / shape.height, across / shape.width, down / shape.height)
        draw(figure.add_axes(place), shape.columns)
        return _without_margins(_to_pixels(figure, shape.resolution), round(_PAD * shape.resolution))


def _style(colours: dict[str, Any], shape: Shape) -> AbstractContextManager[None]:
    # Whatever stands in the user's matplotlibrc, nothing is moved once it is placed.
    style: Any = {**colours, "font.size": shape.font, "figure.autolayout": False}
    style["figure.constrained_layout.use"] = False
    return rc_context(style)


def _to_pixels(figure: Figure, resolution: int) -> Pixels:
    """Draw a figure (height, width, 3), without its title: the page has its own."""
    for text in figure.findobj(lambda artist: artist.get_gid() == TITLE):
        text.set_visible(False)
    figure.set_dpi(resolution)
    return plots.to_pixels(figure)


def _without_margins(pixels: Pixels, pad: int) -> Pixels:
    """Cut off what is empty, but for `pad` pixels."""
    picture = Pillow.fromarray(pixels)
    empty = Pillow.new("RGB", picture.size, tuple(pixels[0, 0].tolist()))
    left, top, right, bottom = ImageChops.difference(picture, empty).getbbox() or (0, 0, *picture.size)
    return pixels[max(top - pad, 0) : bottom + pad, max(left - pad, 0) : right + pad]


def _image(pixels: Pixels) -> Image:
    """Make a PNG of 256 colours: enough for lines and letters, and a third of the bytes."""
    picture = Pillow.fromarray(pixels).quantize(
        256, method=Pillow.Quantize.FASTOCTREE, dither=Pillow.Dither.NONE
    )
    # The palette is a rough one, but the ground must be the page's own.
    palette = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    palette[np.asarray(picture)[0, 0]] = pixels[0, 0]
    picture.putpalette(palette.tobytes())
    content = BytesIO()
    picture.save(content, "PNG")
    return Image(_uri("image/png", content.getvalue()), *picture.size)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def make_film(run: Run) -> Film:
    """Film the end of a run's best game, which is played back to see that it comes out as it was.

    Raises:
        RunError: there is no replay of it, or it comes out otherwise.
        FileFormatError: the replay is damaged.
    """
    path = run.folder / "replays" / f"best{SUFFIX}"
    if not path.is_file():
        raise RunError("the run's folder holds no replay of it")
    replay = Replay.load(path)
    scenes = last_scenes(replay)
    moving = not can_write_mp4()
    look = Look(overlay=False, scale=1 if moving else 2)
    uri, seconds = _film(scenes, look, moving)
    opponent, us = scenes[-1].score
    alt = (
        f"The last {seconds:.0f} seconds of the best game: the agent, the green paddle on the right, against "
        f"the built-in opponent; it ends {us} to {opponent}."
    )
    poster = _image(look.draw(scenes[len(scenes) // 2]))
    return Film(alt, uri, poster, moving, _facts(replay, scenes[-1]))


def _film(scenes: list[Scene], look: Look, moving: bool) -> tuple[str, float]:
    """Make a film of scenes; return it and its seconds."""
    suffix, kind = (".gif", "image/gif") if moving else (".mp4", "video/mp4")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"game{suffix}"
        seconds = write_film(path, game_pictures(scenes, look))
        return _uri(kind, path.read_bytes()), seconds


def _facts(replay: Replay, last: Scene) -> list[tuple[str, str]]:
    opponent, us = last.score
    episode = replay.provenance.get("episode")
    return [
        ("score", f"{replay.score:+d}"),
        ("points", f"{us} won, {opponent} lost"),
        ("episode", f"{episode:,}" if isinstance(episode, int) else "not written down"),
        ("length", f"{counted(len(replay.actions), 'step')}, {clock(last.frame / FRAMES_PER_SECOND)}"),
        ("seed", str(replay.seed)),
        ("environment", str(replay.game)),
    ]


def last_scenes(replay: Replay, seconds: float = FILM_SECONDS) -> list[Scene]:
    """Play a replay back to its end, and return its last `seconds`.

    Raises:
        RunError: it does not come out as it was played.
        FileFormatError: it holds no step.
    """
    scenes: deque[Scene] = deque()
    for scene in play_replay(Playback(replay.game), replay):
        scenes.append(scene)
        while scene.frame - scenes[0].frame > seconds * FRAMES_PER_SECOND:
            scenes.popleft()
    if len(scenes) < 2:
        raise FileFormatError("the replay of the best game holds no step")
    return list(scenes)


def counted(number: int, what: str) -> str:
    """Count something, with its plural.

    >>> counted(1, "step"), counted(8000, "step")
    ('1 step', '8,000 steps')
    """
    return f"{number:,} {what}{'s' * (number != 1)}"


def signed(value: float) -> str:
    """Write a mean score.

    >>> signed(-0.01), signed(10)
    ('+0.0', '+10.0')
    """
    return f"{value:+z.1f}"
