"""Games in a window, drawn with pygame: an extra, and loaded only when a window opens.

    with Window() as window:
        window.draw(scene, "title", controls)
        keys = window.keys(1.0)

SDL, which is underneath, wants all calls to come from the main thread.
"""

import math
import os
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from pgpong.errors import SettingError
from pgpong.viewing.colours import CAME, GONE
from pgpong.viewing.playback import Scene
from pgpong.viewing.watching import (
    ARROW_DOWN,
    ARROW_UP,
    CLOSE,
    DIRECTIONS,
    ESCAPE,
    REDRAW,
    RELEASE,
    Controls,
)

if TYPE_CHECKING:
    import pygame

# The layout, in pixels of a window of this size; in any other it is scaled, and centred where there is room.
SIZE = (940, 490)
GAME = (20, 20, 640, 420)  # left, top, width, height: the Atari's pixels are about twice as wide as high
SEEN = (680, 128, 240, 240)
BAR = (680, 404, 240, 12)
LEFT, RIGHT = 680, 920  # the edges of what stands beside the game
HELP = (20, 458)
SMALL, LARGE = 22, 64  # heights of text

INK, FAINT, GROUND, BLACK = (235, 235, 235), (150, 150, 150), (24, 24, 24), (0, 0, 0)
SEEN_COLOURS = np.array([BLACK, CAME, GONE], np.uint8)  # of 0, 1 and -1, which indexes the last

Colour = tuple[int, int, int]
Place = tuple[int, int, int, int]


class Window:
    """A `Viewer` in a window that can be resized."""

    def __enter__(self) -> Self:
        """Open the window.

        Raises:
            SettingError: pygame is not installed, or there is no display.
        """
        _import_pygame()
        try:
            self._surface = _open()
        except BaseException:
            pygame.quit()
            raise
        self._canvas = _Canvas(self._surface)
        self._keyboard = _Keyboard()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pygame.quit()

    def draw(self, scene: Scene, title: str, controls: Controls) -> None:
        """Show a scene, under a title that says who plays."""
        self._keyboard.begin_step(scene.step)
        if self._surface.get_size() != self._canvas.size:
            self._canvas = _Canvas(self._surface)
        _draw(self._canvas, scene, controls)
        pygame.display.set_caption(title)
        pygame.display.flip()

    def keys(self, seconds: float) -> list[str]:
        """Return the keys pressed since the last call; wait for one, but at most `seconds`."""
        # Rounded up, for a timeout of 0 is to pygame one without end.
        waited = [pygame.event.wait(math.ceil(seconds * 1000))] if seconds > 0 else []
        keys = [self._keyboard.translate(event) for event in (*waited, *pygame.event.get())]
        return [key for key in keys if key]


class _Keyboard:
    """Makes keys of events; knows which direction keys are down."""

    def __init__(self) -> None:
        self._step = 0
        self._held: dict[int, tuple[str, int]] = {}  # key and step of the press; the latest press last
        self._early: list[pygame.event.Event] = []

    def begin_step(self, step: int) -> None:
        """Let the releases through that came in the very step of their press."""
        if step != self._step:
            self._step = step
            for event in self._early:
                pygame.event.post(event)
            self._early.clear()

    def translate(self, event: "pygame.event.Event") -> str:
        """Return the key, or nothing if the event is not one."""
        if event.type == pygame.KEYDOWN:
            return self._press(event)
        if event.type == pygame.KEYUP and event.key in self._held:
            return self._release(event)
        others = {pygame.QUIT: CLOSE, pygame.VIDEORESIZE: REDRAW, pygame.VIDEOEXPOSE: REDRAW}
        return others.get(event.type, "")

    def _press(self, event: "pygame.event.Event") -> str:
        name = pygame.key.name(event.key)
        key = name if name in (ARROW_UP, ARROW_DOWN, ESCAPE) else str(event.unicode)
        if key.lower() in DIRECTIONS:
            self._held.pop(event.key, None)
            self._held[event.key] = key, self._step
            self._early = [other for other in self._early if other.key != event.key]
        return key

    def _release(self, event: "pygame.event.Event") -> str:
        # A key that is but tapped may be up again before the game looks: it shall count for one step.
        if self._held[event.key][1] == self._step:
            self._early.append(event)
            return ""
        del self._held[event.key]
        # The other direction may have been pressed before this one was let go.
        return next((key for key, _ in reversed(self._held.values())), RELEASE)


class _Canvas:
    """Draws on a surface in units of the layout."""

    def __init__(self, surface: "pygame.Surface") -> None:
        self.surface = surface
        self.size = surface.get_size()
        width, height = self.size
        self.unit = min(width / SIZE[0], height / SIZE[1])  # pixels
        self.left = (width - self.unit * SIZE[0]) / 2
        self.top = (height - self.unit * SIZE[1]) / 2
        self.fonts = {
            size: pygame.font.Font(None, max(1, round(size * self.unit))) for size in (SMALL, LARGE)
        }

    def rect(self, place: Place) -> "pygame.Rect":
        """Return where a place is, in whole pixels."""
        left, top, width, height = (self.unit * length for length in place)
        return pygame.Rect(round(self.left + left), round(self.top + top), round(width), round(height))

    def fill(self, colour: Colour, place: Place) -> None:
        """Fill a place."""
        self.surface.fill(colour, self.rect(place))

    def image(self, pixels: npt.NDArray[np.uint8], place: Place) -> None:
        """Draw pixels (height, width, 3), each as a rectangle of one colour."""
        height, width, _ = pixels.shape
        image = pygame.image.frombuffer(pixels.tobytes(), (width, height), "RGB")
        rect = self.rect(place)
        self.surface.blit(pygame.transform.scale(image.convert(), rect.size), rect)

    def text(
        self, text: str, x: int, y: int, colour: Colour = INK, *, size: int = SMALL, leftwards: bool = False
    ) -> None:
        """Write from the left edge `x`, or up to the right edge `x`."""
        image = self.fonts[size].render(text, True, colour)
        self.surface.blit(image, self.rect((x, y, 0, 0)).move(-leftwards * image.get_width(), 0))


def _draw(canvas: _Canvas, scene: Scene, controls: Controls) -> None:
    canvas.surface.fill(GROUND)
    canvas.image(scene.screen, GAME)
    opponent, us = scene.score
    canvas.text("opponent", LEFT, 20, FAINT)
    canvas.text(str(opponent), LEFT, 40, size=LARGE)
    canvas.text("you" if controls.playing else "agent", RIGHT, 20, FAINT, leftwards=True)
    canvas.text(str(us), RIGHT, 40, size=LARGE, leftwards=True)
    if controls.sees:
        canvas.text("the network sees", LEFT, 106, FAINT)
        canvas.text("came", RIGHT - 50, 106, CAME, leftwards=True)
        canvas.text("gone", RIGHT, 106, GONE, leftwards=True)
        canvas.image(SEEN_COLOURS[scene.difference], SEEN)
    if scene.probability is not None:
        _draw_probabilities(canvas, scene.probability, scene.stay)
    canvas.text(f"step {scene.step:,}", LEFT, 426)
    canvas.text("paused" if controls.paused else f"{controls.speed:g}x speed", RIGHT, 426, leftwards=True)
    canvas.text(controls.help, *HELP, FAINT)
    canvas.text(_mode(scene, controls), RIGHT, HELP[1], leftwards=True)


def _draw_probabilities(canvas: _Canvas, up: float, stay: float | None) -> None:
    canvas.text("probability of up", LEFT, 382, FAINT)
    known = f"{up:.0%}" if stay is None else f"{up:.0%}, stay {stay:.0%}"
    canvas.text(known, RIGHT, 382, leftwards=True)
    left, top, width, height = BAR
    canvas.fill(BLACK, BAR)
    canvas.fill(FAINT, (left, top, round((up + (stay or 0.0)) * width), height))
    canvas.fill(INK, (left, top, round(up * width), height))
    canvas.fill(FAINT, (left + width // 2, top - 3, 1, height + 6))


def _mode(scene: Scene, controls: Controls) -> str:
    if scene.ended:
        return "game over"
    if controls.playing:
        return "you play"
    if scene.probability is None:
        return "replay"
    return "greedy" if controls.greedy else "sampled"


def _import_pygame() -> None:
    global pygame
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        missing = "a window needs pygame: pip install 'pgpong[window]', or use --in terminal"
        raise SettingError(missing) from error


def _open() -> "pygame.Surface":
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
        # Without a display SDL takes to drawing where nobody sees it; that is right only if it was told to.
        if driver == "offscreen" != os.environ.get("SDL_VIDEODRIVER"):
            raise pygame.error("there is no display")
        if driver == "x11":
            # Through OpenGL a picture drawn by the processor takes 5 ms to be shown where there is no GPU.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        surface = pygame.display.set_mode(SIZE, pygame.RESIZABLE)
    except pygame.error as error:
        raise SettingError(f"cannot open a window ({error}): use --in terminal") from error
    pygame.font.init()
    # The mouse alone would wake us a thousand times a second.
    pygame.event.set_blocked(None)
    pygame.event.set_allowed(
        [pygame.QUIT, pygame.KEYDOWN, pygame.KEYUP, pygame.VIDEORESIZE, pygame.VIDEOEXPOSE]
    )
    return surface
