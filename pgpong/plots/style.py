"""What all figures share: a canvas, panels, titles and colours. No pyplot, no backend, no display.

Colours of text, axes and background are matplotlib's own parameters, so that a figure follows the style in
force: `with matplotlib.rc_context(style.DARK): ...` makes a dark one.
"""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pgpong.errors import SettingError
from pgpong.storage.files import write_atomically
from pgpong.viewing.colours import CAME, GONE

Pixels = npt.NDArray[Any]

# The palette of M. Okabe and K. Ito, "Color Universal Design", which colour-blind readers too tell apart.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE = (tuple(part / 255 for part in colour) for colour in (CAME, GONE))
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

# What says up or down: an arrow beside the colour, so that nobody has to tell them by the colour alone. These
# are darker than sky and orange, to be read as text on white as well as on black.
UP, DOWN = ("▲", "#1F83B4"), ("▼", "#B86500")
ACTIONS = (DOWN, UP, ("■", "#707070"))  # by their numbers; the last is to stay

TITLE = "title"  # the id of both lines of a figure's title

FORMATS = (".png", ".svg", ".pdf")
_PLAIN_WIDTH = 0.775  # share of a figure that its only axes take before there is a layout
_MARGIN = 0.1  # inches
RESOLUTION = 150  # pixels an inch, in PNG

LIGHT: dict[str, Any] = {}
_PAPER, _INK = "#16181d", "#e6e6e6"
DARK: dict[str, Any] = {
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), _PAPER),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
}


class Picture(Figure):
    """A figure that a notebook shows by itself, whatever its backend."""

    def _repr_png_(self) -> bytes:
        return to_bytes(self, ".png")


def canvas(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """Return what to draw on: `ax` and its figure, or the axes that fill a new figure, in inches."""
    if ax is None:
        layout = ConstrainedLayoutEngine(w_pad=_MARGIN, h_pad=_MARGIN)
        figure: Figure = Picture(figsize=(width, height), layout=layout)
        return figure, figure.add_subplot()
    return ax.figure.get_figure(root=True), ax


def tidy(ax: Axes) -> Axes:
    """Leave of an axes' frame what carries a scale, and lay a faint grid under it."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.2, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize="small")
    return ax


def panels(
    ax: Axes,
    rows: int,
    columns: int,
    *,
    gap: tuple[float, float] = (0.08, 0.12),
    widths: Sequence[float] = (),
) -> list[Axes]:
    """Divide `ax` into a grid of axes, row by row; `gap` is their distance, across and down, as a share.

    `widths` are those of the columns, in proportion.
    """
    ax.set_axis_off()
    share = np.array(widths or [1.0] * columns)
    across = share / share.sum() * (1 - gap[0] * (columns - 1))
    left = np.concatenate([[0.0], np.cumsum(across + gap[0])])
    high = (1 - gap[1] * (rows - 1)) / rows
    return [
        ax.inset_axes((left[c], 1 - (r + 1) * high - r * gap[1], across[c], high))
        for r in range(rows)
        for c in range(columns)
    ]


def title(ax: Axes, what: str, where: str, *, above: float = 0) -> None:
    """Write what is shown, and under it, smaller, where it comes from; `above` leaves so many points free.

    Both are broken into lines where they are wider than the axes.
    """
    # Inches, as they will be about: the layout gives an axes more than the margins of a plain one leave.
    share = min(1.0, ax.get_position().width / _PLAIN_WIDTH)
    width = share * ax.figure.bbox.width / ax.figure.dpi
    what, where = (
        textwrap.fill(text, max(10, round(width * letters))) for text, letters in ((what, 8.5), (where, 14))
    )
    lines = where.count("\n") + 1
    large: dict[str, Any] = {"fontweight": "bold", "fontsize": "large", "pad": above + 12 + 12 * lines}
    small: dict[str, Any] = {"fontsize": "small", "alpha": 0.75, "textcoords": "offset points"}
    own: dict[str, Any] = {"gid": TITLE, "parse_math": False}  # a run's name may hold dollar signs
    ax.set_title(what, loc="left", **large, **own)
    ax.annotate(where, (0, 1), (0, 8 + above), xycoords="axes fraction", **small, **own)


def below(ax: Axes, text: str, colour: Any) -> None:
    """Write small lines under an axes."""
    where: dict[str, Any] = {"ha": "center", "va": "top", "transform": ax.transAxes}
    ax.text(0.5, -0.05, text, fontsize="x-small", color=colour, **where)


def show_pixels(ax: Axes, pixels: Pixels, **how: Any) -> Axes:
    """Show an array as a picture, its pixels sharp, without a frame."""
    ax.imshow(pixels, interpolation="nearest", **how)
    ax.set_axis_off()
    return ax


def mosaic(
    tiles: Pixels, columns: int, gap: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], list[tuple[int, int]]]:
    """Lay pictures (n, height, width) in rows of `columns`; return one of them all, and where each begins.

    `gap` is their distance in pixels, across and down, filled with NaN; the places are (left, top).
    """
    n, height, width = tiles.shape
    across, down = width + gap[0], height + gap[1]
    whole = np.full((-(-n // columns) * down - gap[1], columns * across - gap[0]), np.nan, np.float32)
    places = [(k % columns * across, k // columns * down) for k in range(n)]
    for tile, (left, top) in zip(tiles, places, strict=True):
        whole[top : top + height, left : left + width] = tile
    return whole, places


def to_bytes(figure: Figure, suffix: str, resolution: int = RESOLUTION) -> bytes:
    """Return the contents of a .png, .svg or .pdf file; the same figure gives the same bytes."""
    content = io.BytesIO()
    fixed = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    with matplotlib.rc_context({"svg.hashsalt": "pgpong"}):
        figure.savefig(content, format=suffix[1:], dpi=resolution, metadata=fixed)
    return content.getvalue()


def to_pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """Return a figure as a picture (height, width, 3), both even, as H.264 wants them."""
    drawing = FigureCanvasAgg(figure)
    drawing.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(drawing.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[: len(pixels) // 2 * 2, : pixels.shape[1] // 2 * 2])


def check_format(path: Path) -> None:
    """Check that a figure can be written at `path`.

    Raises:
        SettingError: its name has another ending than a picture's.
    """
    if path.suffix.lower() not in FORMATS:
        raise SettingError(f"expected the name of a {', '.join(FORMATS)} file, got {str(path)!r}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all; what stood there is replaced.

    Raises:
        SettingError: the name has another ending than a picture's.
        DiskError: the system refused to write.
    """
    check_format(path)
    write_atomically(path, [to_bytes(figure, path.suffix.lower())])
