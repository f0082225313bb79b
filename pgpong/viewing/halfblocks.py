"""Pictures in characters: each cell of a terminal shows two pixels, one above the other, as ▀ in two colours.

Pure functions on arrays, from a `Scene` to the bytes that bring a terminal from one picture to the next:

    shrink      a picture to as many pixels as there is room for; nothing that matters gets lost
    Canvas      cells: a character and two colours each
    compose     a scene, what the network says and sees, title and keys on a canvas
    encode      the cells that changed, as bytes
"""

import unicodedata
from enum import IntEnum
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pgpong.actions import DOWN, STAY, UP
from pgpong.viewing.colours import CAME, GONE
from pgpong.viewing.playback import Scene
from pgpong.viewing.watching import Controls

Pixels = npt.NDArray[np.uint32]  # 0xRRGGBB each

SMALLEST = (20, 8)  # columns and rows of a terminal in which the game can still be made out

# From the top of the score to a lower wall as thick as the upper one; there is nothing outside.
_SHOWN = slice(1, 204)
_BACKGROUND_ROW = 22  # of the screen, between score and wall, where nothing but the background ever is
_PROPORTIONS = 4 / 3 * 210 / (_SHOWN.stop - _SHOWN.start)  # an Atari filled a television with 210 rows
_PANEL = (20, 8)  # columns and rows, at least
_TEXT_ROWS = 7  # of the panel, above what the network sees
_GAP = 1

DEFAULT = -1  # the terminal's own colour
_DIM, _ACCENT, _GROUND = 0x8A8A8A, 0x5CBA5C, 0x262626
_CAME, _GONE = (int.from_bytes(bytes(colour)) for colour in (CAME, GONE))
_SEEN = np.array([_GROUND, _CAME, _GONE], np.uint32)  # of 0, 1 and -1, which indexes the last

_SPACE, _UPPER, _LOWER, _FULL = map(ord, " ▀▄█")
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MOVES = {DOWN: "down", UP: "up", STAY: "staying"}


class Depth(IntEnum):
    """How many colours a terminal has."""

    NONE = 0
    SIXTEEN = 16
    MANY = 256
    FULL = 1 << 24


class Box(NamedTuple):
    """A place on the canvas, in cells."""

    row: int
    column: int
    rows: int
    columns: int


class Layout(NamedTuple):
    """Where things go; a panel of no rows is left out."""

    game: Box
    text: Box
    seen: Box


class Canvas:
    """Cells of a terminal: character, foreground and background, each an integer."""

    def __init__(self, columns: int, rows: int, *, colours: bool = True) -> None:
        self.cells = np.full((3, rows, columns), DEFAULT, np.int32)
        self.cells[0] = _SPACE
        self._colours = colours

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        _, rows, columns = self.cells.shape
        return columns, rows

    def write(self, row: int, column: int, text: str, colour: int = DEFAULT) -> None:
        """Put text on one row, as much of it as fits."""
        text = _plain(text)[: max(self.cells.shape[2] - column, 0)]
        place = np.s_[row, column : column + len(text)]
        self.cells[0][place] = np.frombuffer(text.encode("utf-32-le"), np.int32)
        self.cells[1][place] = colour

    def paint(self, box: Box, pixels: Pixels, background: int) -> None:
        """Put pixels (2 * rows, columns) on; without colours, those of the background stay dark."""
        upper, lower = pixels[::2].astype(np.int32), pixels[1::2].astype(np.int32)
        place = np.s_[box.row : box.row + box.rows, box.column : box.column + box.columns]
        if not self._colours:
            shapes = np.array([_SPACE, _LOWER, _UPPER, _FULL], np.int32)
            self.cells[0][place] = shapes[2 * (upper != background) + (lower != background)]
            return
        flat = upper == lower  # a space needs but one colour, and leaves longer runs of the same
        self.cells[0][place] = np.where(flat, _SPACE, _UPPER)
        self.cells[1][place] = np.where(flat, DEFAULT, upper)
        self.cells[2][place] = lower


def _plain(text: str) -> str:
    r"""Replace what takes no cell or two, or would command the terminal: titles quote names of files.

    >>> _plain("run\x1b[2J 日")
    'run?[2J ?'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _takes_one_cell(c) else "?" for c in text)


def _takes_one_cell(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in "WF"
    return character.isprintable() and not wide and not unicodedata.combining(character)


def pack(screen: npt.NDArray[np.uint8]) -> Pixels:
    """Return colours (rows, columns, 3) as one number each, 0xRRGGBB."""
    red, green, blue = (screen[..., i].astype(np.uint32) for i in range(3))
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def shrink(pixels: Pixels, rows: int, columns: int, background: int) -> Pixels:
    """Scale a picture to (rows, columns); of the pixels that share a place, the one of most contrast stays.

    So a ball of 2x4 pixels is there at every size, in its own colour. Enlarged, pixels are repeated.
    """
    contrast = np.abs(_brightness(pixels) - _brightness(np.uint32(background))) >> 2  # 8 bits
    keys = contrast.astype(np.uint32) << 24 | pixels
    for axis, size in enumerate((rows, columns)):
        keys = np.maximum.reduceat(keys, np.arange(size) * keys.shape[axis] // size, axis)
    return np.asarray(keys & 0xFFFFFF, np.uint32)


def shrink_screen(screen: npt.NDArray[np.uint8], rows: int, columns: int) -> tuple[Pixels, int]:
    """Scale what matters of a screen (210, 160, 3) to (rows, columns); return it and its background."""
    pixels = pack(screen[_SHOWN])
    background = int(pixels[_BACKGROUND_ROW - _SHOWN.start, 0])
    small = shrink(pixels, rows, columns, background)
    # Digits would grow together: of the score, each place shows the pixel in its middle.
    middles = [
        (2 * np.arange(n) + 1) * size // (2 * n) for n, size in zip(small.shape, pixels.shape, strict=True)
    ]
    score = middles[0] < _BACKGROUND_ROW - _SHOWN.start
    small[score] = pixels[np.ix_(middles[0][score], middles[1])]
    return small, background


def _brightness(pixels: npt.NDArray[np.uint32] | np.uint32) -> npt.NDArray[np.int32]:
    return np.asarray((pixels >> 16) + (pixels >> 8 & 0xFF) + (pixels & 0xFF)).astype(np.int32)


@lru_cache(8)
def lay_out(columns: int, rows: int) -> Layout:
    """Find places for game and panel under a title and above a line of help.

    The panel stands beside the game or below it, where the game is larger; without one, if that made the
    game half as large as it could be.
    """
    height = rows - 2
    beside = _fit(columns - _PANEL[0] - _GAP, height)
    below = _fit(columns, height - _PANEL[1])
    alone = _fit(columns, height)
    nothing = Box(0, 0, 0, 0)
    best = max(beside, below, key=lambda size: size[0] * size[1])
    if 2 * best[0] * best[1] < alone[0] * alone[1]:
        return Layout(Box(1, (columns - alone[1]) // 2, *alone), nothing, nothing)
    game_rows, game_columns = best
    if best == beside:
        width = min(columns - game_columns - _GAP, max(_PANEL[0], (game_rows - _TEXT_ROWS) * 2))
        left = (columns - game_columns - _GAP - width) // 2
        column = left + game_columns + _GAP
        side = min(2 * (game_rows - _TEXT_ROWS), width) // 2 * 2
        return Layout(
            Box(1, left, *best),
            Box(1, column, min(_TEXT_ROWS, game_rows), width),
            Box(1 + _TEXT_ROWS, column, side // 2, side) if side > 0 else nothing,
        )
    left, row = (columns - game_columns) // 2, 1 + game_rows
    side = min(2 * (height - game_rows), columns - _PANEL[0] - _GAP) // 2 * 2
    return Layout(
        Box(1, left, *best),
        Box(row, 0, _TEXT_ROWS, _PANEL[0]),
        Box(row, _PANEL[0] + _GAP, side // 2, side) if side >= _PANEL[1] else nothing,
    )


def _fit(columns: int, rows: int) -> tuple[int, int]:
    """Return rows and columns of the largest picture of the game's proportions; a pixel is half a cell."""
    if columns <= 0 or rows <= 0:
        return 0, 0
    rows = min(rows, max(round(columns / _PROPORTIONS / 2), 1))
    return rows, min(columns, max(round(2 * rows * _PROPORTIONS), 1))


def compose(scene: Scene, title: str, controls: Controls, size: tuple[int, int], depth: Depth) -> Canvas:
    """Draw everything on a canvas of `size`, columns and rows."""
    columns, rows = size
    canvas = Canvas(columns, rows, colours=depth > 0)
    if columns < SMALLEST[0] or rows < SMALLEST[1]:
        _ask_for_room(canvas, size)
        return canvas
    layout = lay_out(columns, rows)
    canvas.write(0, 0, title)
    canvas.write(rows - 1, 0, controls.help, _DIM)
    box = layout.game
    canvas.paint(box, *shrink_screen(scene.screen, 2 * box.rows, box.columns))
    for i, (text, colour) in enumerate(_panel(scene, controls, layout.text.columns)[: layout.text.rows]):
        canvas.write(layout.text.row + i, layout.text.column, text, colour)
    box = layout.seen
    if controls.sees and box.rows:
        seen = shrink(_SEEN[scene.difference], 2 * box.rows, box.columns, _GROUND)
        canvas.paint(box, seen, _GROUND)
    return canvas


def _ask_for_room(canvas: Canvas, size: tuple[int, int]) -> None:
    lines = ("too small:", f"{size[0]}x{size[1]}, needs", f"{SMALLEST[0]}x{SMALLEST[1]}")
    for row, line in enumerate(lines[: size[1]]):
        canvas.write(row, 0, line)


def _panel(scene: Scene, controls: Controls, width: int) -> list[tuple[str, int]]:
    """Return the panel's lines and their colours."""
    p = scene.probability
    opponent, us = scene.score
    how = "greedy" if controls.greedy else "sampled"
    lines = [
        (f"score {opponent} : {us}", DEFAULT),
        (f"step  {scene.step}", DEFAULT),
        (f"speed x{controls.speed:g}{' paused' if controls.paused else ''}", DEFAULT),
    ]
    if controls.playing:
        lines += [(f"you   {_MOVES[controls.direction]}", _ACCENT), ("", DEFAULT)]
    elif p is None:
        lines += [("", DEFAULT), ("", DEFAULT)]
    else:
        lines += [(f"up    {p:.2f}  {how}", DEFAULT), (bar(p, width), _ACCENT)]
    stay = "" if scene.stay is None else f"stay  {scene.stay:.2f}"
    return [*lines, (stay, DEFAULT), ("the network sees" if controls.sees else "", _DIM)]


def bar(share: float, width: int) -> str:
    """Draw a share of 1 as a bar in eighths of a cell.

    >>> bar(0.5, 5)
    '██▌'
    """
    whole, eighths = divmod(round(share * width * 8), 8)
    return "█" * whole + _EIGHTHS[eighths].strip()


def encode(canvas: Canvas, shown: Canvas | None, depth: Depth) -> bytes:
    """Return what makes a terminal that shows `shown`, or None for anything, show `canvas`.

    Only cells that differ are sent; neighbours of one colour share its setting. The picture stands between
    the brackets of synchronized output, so that a terminal that knows them never shows half of it.
    """
    new = canvas.cells
    out = []
    if shown is None:
        shown = Canvas(*canvas.size)
        out.append("\x1b[m\x1b[2J")
    rows, columns = np.nonzero((new != shown.cells).any(axis=0))
    if not len(rows) and not out:
        return b""
    after = (-1, -1)
    colours: list[int | None] = [None, None]  # the pen's: unknown as yet
    for row, column, character, *wanted in zip(
        rows.tolist(), columns.tolist(), *new[:, rows, columns].tolist(), strict=True
    ):
        if (row, column) != after:
            near = row == after[0]
            out.append(f"\x1b[{column - after[1]}C" if near else f"\x1b[{row + 1};{column + 1}H")
        if depth:
            if character == _SPACE:
                wanted[0] = colours[0]  # it shows none
            if wanted != colours:
                out.append(_select(colours, wanted, depth))
                colours = wanted
        out.append(chr(character))
        after = (row, column + 1)
    return f"\x1b[?2026h{''.join(out)}\x1b[?2026l".encode()


def _select(old: list[int | None], new: list[int | None], depth: Depth) -> str:
    """Return the control sequence that changes foreground and background, where they change."""
    changes = [_colour(new[ground], ground, depth) for ground in (0, 1) if new[ground] != old[ground]]
    return f"\x1b[{';'.join(changes)}m"


@cache
def _colour(colour: int | None, ground: int, depth: Depth) -> str:
    """Return the parameters that set the foreground (0) or background (1)."""
    if colour is None or colour == DEFAULT:
        return f"{39 + 10 * ground}"
    if depth == Depth.FULL:
        return "{};2;{};{};{}".format(38 + 10 * ground, *colour.to_bytes(3))
    number = nearest(colour, depth)
    if depth == Depth.MANY:
        return f"{38 + 10 * ground};5;{number}"
    return f"{(30 if number < 8 else 82) + number + 10 * ground}"


def nearest(colour: int, depth: Depth) -> int:
    """Return the number of the colour that is nearest among a terminal's 256, or its 16."""
    palette = dict(_palette(depth))
    distances = {
        number: sum((a - b) ** 2 for a, b in zip(value, colour.to_bytes(3), strict=True))
        for number, value in palette.items()
    }
    return min(distances, key=lambda number: distances[number])


@cache
def _palette(depth: Depth) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Return numbers and colours: of 16 those of the VGA, of 256 the cube and the greys that all agree on."""
    if depth == Depth.SIXTEEN:
        normal = [tuple(170 * (n >> i & 1) for i in range(3)) for n in range(8)]
        normal[3] = (170, 85, 0)  # brown
        bright = [tuple(85 + 170 * (n >> i & 1) for i in range(3)) for n in range(8)]
        return tuple(enumerate(normal + bright))
    levels = (0, 95, 135, 175, 215, 255)
    cube = [(red, green, blue) for red in levels for green in levels for blue in levels]
    return tuple(enumerate([*cube, *((8 + 10 * i,) * 3 for i in range(24))], start=16))
