"""What is drawn beside and over a game: pure functions from a `Scene` to pictures in red, green and blue.

An Atari's pixels are about twice as wide as high. At scale n each becomes 2n x n pixels, so that the screen
of 160x210 has 320n x 210n: the proportions look right, every pixel is as large as every other, and both sizes
are even, as H.264 wants them. Lengths and places below are those at scale 2.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pgpong.viewing.colours import CAME, GONE
from pgpong.viewing.playback import FRAMES_PER_SECOND, Scene

RGB = npt.NDArray[np.uint8]  # (height, width, 3)
Colour = tuple[int, int, int]

BACKGROUND: Colour = (24, 24, 28)
COURT: Colour = (44, 44, 50)
WHITE: Colour = (236, 236, 236)
GREY: Colour = (160, 160, 168)

ACTIONS = ("down", "up", "stay")
MARGIN = 16
PANEL_WIDTH = 352
CARD_LINES = 44  # from one line of a title card to the next
CAPTION_HEIGHT = 32  # as high as the lower wall, which it covers
_TONES = 6  # of a letter's edge: few, so that a film of letters keeps within a GIF's 256 colours


def screen(scene: Scene, scale: int) -> RGB:
    """Enlarge the game's screen to (210 scale, 320 scale, 3)."""
    return scene.screen.repeat(2 * scale, axis=1).repeat(scale, axis=0)  # in this order it is twice as fast


def with_panel(scene: Scene, title: str, detail: str, scale: int) -> RGB:
    """Draw the screen and, on its right, who plays, the score and what the network sees and says.

    The picture is (210 scale, 496 scale, 3).
    """
    beside = panel(scene, title, detail, scale)
    width = 320 * scale
    drawing = np.empty((210 * scale, width + beside.shape[1], 3), np.uint8)
    rows = drawing.reshape(210, scale, -1, 3)  # a screen's row is so many rows of the picture
    rows[:, :, :width] = scene.screen.repeat(2 * scale, axis=1)[:, None]
    drawing[:, width:] = beside
    return drawing


def with_caption(scene: Scene, text: str, scale: int) -> RGB:
    """Enlarge the screen, as `screen` does, and write a line over the lower wall, where no ball comes."""
    drawing = screen(scene, scale)
    strip = drawing[-_measure(CAPTION_HEIGHT, scale) :]
    strip[...] = BACKGROUND
    _write(strip, text, MARGIN, 7, 16, scale, WHITE)
    return drawing


def title_card(width: int, scale: int, *lines: str) -> RGB:
    """Write lines, the first one large, in the middle of an empty picture (210 scale, width, 3)."""
    card = np.full((210 * scale, width, 3), BACKGROUND, np.uint8)
    top = 210 - CARD_LINES * len(lines) // 2
    for n, line in enumerate(lines):
        size, colour = (28, WHITE) if n == 0 else (20, GREY)
        place = (width * 2 // scale - _width(line, size)) // 2
        _write(card, line, max(place, MARGIN), top + CARD_LINES * n, size, scale, colour)
    return card


def panel(scene: Scene, title: str, detail: str, scale: int) -> RGB:
    """Draw the panel alone: (210 scale, 176 scale, 3)."""
    drawing = _empty_panel(title, detail, scale).copy()
    opponent, us = scene.score
    _write_changing(drawing, f"{opponent} : {us}", None, 72, 32, scale, WHITE)
    sees = difference(scene, scale)
    top, left = _measure(148, scale), _measure(MARGIN, scale)
    drawing[top : top + len(sees), left : left + sees.shape[1]] = sees
    p = scene.probability
    known = f"{p:.0%}" if p is not None else "" if scene.ended else "unknown"
    if scene.stay is not None:
        known += f", stay {scene.stay:.0%}"
    _write_changing(drawing, known, -MARGIN, 344, 14, scale, WHITE)
    if p is not None:
        _bar(drawing, p, scene.stay or 0.0, scale)
    seconds = scene.frame // FRAMES_PER_SECOND
    clock = f"step {scene.step:,}  ·  {seconds // 60}:{seconds % 60:02}"
    _write_changing(drawing, clock, MARGIN, 392, 14, scale, GREY)
    _write_changing(drawing, _says(scene), -MARGIN, 392, 14, scale, WHITE)
    return drawing


def difference(scene: Scene, scale: int) -> RGB:
    """Draw what the network sees, in the screen's proportions at half its size: (80 scale, 160 scale, 3)."""
    colours = np.array((COURT, CAME, GONE), np.uint8)  # of 0, 1 and, from the end, -1
    return colours[scene.difference].repeat(2 * scale, axis=1).repeat(scale, axis=0)


def _says(scene: Scene) -> str:
    if scene.ended:
        opponent, us = scene.score
        return "won" if us > opponent else "lost" if us < opponent else "draw"
    return "" if scene.action is None else ACTIONS[scene.action]


def _bar(drawing: RGB, up: float, stay: float, scale: int) -> None:
    """Draw a bar of what is likely: up, then to stay; what is left is down. A mark stands in its middle."""
    top, bottom = _measure(366, scale), _measure(380, scale)
    left, right = _measure(MARGIN, scale), _measure(PANEL_WIDTH - MARGIN, scale)
    middle = (left + right) // 2
    drawing[top:bottom, left:right] = COURT
    ends = [left + round(share * (right - left)) for share in (up, up + stay)]
    drawing[top:bottom, left : ends[0]] = CAME
    drawing[top:bottom, ends[0] : ends[1]] = GREY
    drawing[top - _measure(4, scale) : bottom + _measure(4, scale), middle : middle + max(1, scale)] = WHITE


@lru_cache(maxsize=8)
def _empty_panel(title: str, detail: str, scale: int) -> RGB:
    """Draw what stays the same from scene to scene."""
    drawing = np.full((210 * scale, _measure(PANEL_WIDTH, scale), 3), BACKGROUND, np.uint8)
    _write(drawing, title, MARGIN, 16, 18, scale, WHITE)
    _write(drawing, detail, MARGIN, 42, 14, scale, GREY)
    _write(drawing, "opponent", MARGIN, 84, 14, scale, GREY)
    _write(drawing, "player", -MARGIN, 84, 14, scale, GREY)
    _write(drawing, "difference frame", MARGIN, 124, 14, scale, GREY)
    _write(drawing, "probability of up", MARGIN, 344, 14, scale, GREY)
    for place, colour, text in ((MARGIN, CAME, "came"), (MARGIN + 120, GONE, "gone")):
        top, left, side = _measure(318, scale), _measure(place, scale), _measure(10, scale)
        drawing[top : top + side, left : left + side] = colour
        _write(drawing, text, place + 18, 315, 14, scale, GREY)
    return drawing


def _measure(length: int, scale: int) -> int:
    """Return a length at scale 2 as it is at `scale`."""
    return length * scale // 2


def _write(
    drawing: RGB, text: str, left: int | None, top: int, size: int, scale: int, colour: Colour
) -> None:
    """Write a line: `left` is where it begins, or below zero where it ends, or None in the middle."""
    room = drawing.shape[1] - 2 * _measure(MARGIN, scale)
    _place(drawing, _line(text, _measure(size, scale), colour, room), left, top, scale)


def _write_changing(
    drawing: RGB, text: str, left: int | None, top: int, size: int, scale: int, colour: Colour
) -> None:
    """Write a short line, as `_write` does, that is another one in every scene."""
    letters = [_letter(letter, _measure(size, scale), colour) for letter in text]
    if letters:
        _place(drawing, np.concatenate(letters, axis=1), left, top, scale)


def _place(drawing: RGB, letters: RGB, left: int | None, top: int, scale: int) -> None:
    height, width, _ = letters.shape
    if left is None:
        x = (drawing.shape[1] - width) // 2
    else:
        x = max(0, _measure(left, scale) + (drawing.shape[1] - width if left < 0 else 0))
    y = _measure(top, scale)
    place = drawing[y : y + height, x : x + width]
    place[...] = letters[: place.shape[0], : place.shape[1]]


@lru_cache(maxsize=8)  # the captions of a film; see `_letter` for why no more
def _line(text: str, size: int, colour: Colour, room: int) -> RGB:
    """Draw a line (height, width, 3) on the background, cut short with dots where it is wider than `room`."""
    if _width(text, size) > room:
        while text and _width(f"{text}…", size) > room:
            text = text[:-1]
        text = f"{text}…"
    return _draw(text, size, colour)


@lru_cache(maxsize=256)
def _letter(letter: str, size: int, colour: Colour) -> RGB:
    """Draw one letter (height, width, 3).

    Letters are kept, not lines: there are few, so that all are soon drawn. Lines, kept one by one between
    the pictures of a film, would cut the memory into pieces too small for the next picture.
    """
    return _draw(letter, size, colour)


def _draw(text: str, size: int, colour: Colour) -> RGB:
    font = _font(size)
    area = Image.new("L", (max(1, _width(text, size)), sum(font.getmetrics())))
    ImageDraw.Draw(area).text((0, 0), text, fill=255, font=font)
    letters: RGB = _shades(colour)[np.asarray(area)]
    return letters


@lru_cache(maxsize=8)
def _shades(colour: Colour) -> RGB:
    """Return the colours (256, 3) that 0 to 255 of `colour` make on the background."""
    share = np.rint(np.linspace(0, _TONES, 256)[:, None]) / _TONES
    shades: RGB = np.rint(BACKGROUND + share * np.subtract(colour, BACKGROUND)).astype(np.uint8)
    return shades


def _width(text: str, size: int) -> int:
    return round(_font(size).getlength(text))


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this build of Pillow has no FreeType: pip install --force-reinstall pillow")
    return font
