"""Showing games at their own speed, on whatever can draw a scene and hear keys.

The terminal and the window are two `Viewer`s; pace, keys and episodes are the same for both, and here.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from pgpong.actions import DOWN, STAY, UP
from pgpong.viewing.playback import FRAMES_PER_SECOND, Scene

SPEEDS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # times the game's own
NORMAL = SPEEDS.index(1.0)
PATIENCE = 0.5  # seconds that a viewer waits for keys at most
LAG = 0.25  # seconds that the game may be late before it stops trying to catch up
END = 1.0  # seconds that the end of a game stays

# What the viewers call keys that are no characters.
ESCAPE, ARROW_UP, ARROW_DOWN, RELEASE, CLOSE, REDRAW = "escape", "up", "down", "release", "close", "redraw"

# The keys that move a playing person's paddle.
DIRECTIONS = {ARROW_UP: UP, "w": UP, "k": UP, ARROW_DOWN: DOWN, "s": DOWN, "j": DOWN}

HELP = "q quit  space pause  . step  + faster  - slower  n next  g greedy  v view"
HELP_PLAYING = "q quit  up/down or w/s move  space stop  p pause  + faster  - slower  v view"


@dataclass
class Controls:
    """What the keys have set. `playing` is whether a person plays: then the arrows move the paddle."""

    playing: bool = False
    greedy: bool = False
    sees: bool = True  # whether what the network sees is shown
    paused: bool = False
    speed_level: int = NORMAL
    direction: int = STAY
    single_step: bool = False
    next_episode: bool = False
    quits: bool = False

    @property
    def speed(self) -> float:
        """Times the game's own speed."""
        return SPEEDS[self.speed_level]

    @property
    def help(self) -> str:
        """The keys that there are."""
        return HELP_PLAYING if self.playing else HELP

    def press(self, key: str) -> None:
        """Take a key in; an unknown one does nothing."""
        actions = {**self._common, **(self._moves if self.playing else self._watching)}
        action = actions.get(key.lower() if len(key) == 1 else key)
        if action is not None:
            action()

    @property
    def _common(self) -> dict[str, Callable[[], None]]:
        return {
            "q": self._quit,
            ESCAPE: self._quit,
            CLOSE: self._quit,
            "\x03": self._quit,  # Ctrl-C, where the terminal does not make a signal of it
            "p": self._pause,
            ".": self._step,
            "+": lambda: self._change_speed(1),
            "=": lambda: self._change_speed(1),
            "-": lambda: self._change_speed(-1),
            "v": self._toggle_view,
        }

    @property
    def _watching(self) -> dict[str, Callable[[], None]]:
        return {" ": self._pause, "n": self._next, "g": self._toggle_greedy}

    @property
    def _moves(self) -> dict[str, Callable[[], None]]:
        stops = dict.fromkeys((" ", RELEASE), STAY)
        return {key: lambda d=d: self._move(d) for key, d in (DIRECTIONS | stops).items()}  # type: ignore[misc]

    def _quit(self) -> None:
        self.quits = True

    def _pause(self) -> None:
        self.paused = not self.paused

    def _step(self) -> None:
        self.paused = self.single_step = True

    def _change_speed(self, by: int) -> None:
        self.speed_level = min(max(self.speed_level + by, 0), len(SPEEDS) - 1)

    def _toggle_view(self) -> None:
        self.sees = not self.sees

    def _toggle_greedy(self) -> None:
        self.greedy = not self.greedy

    def _next(self) -> None:
        self.next_episode = True

    def _move(self, direction: int) -> None:
        self.direction = direction


class Viewer(Protocol):
    """Draws scenes and hears keys, between `__enter__` and `__exit__`, which leaves all as it was found."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def draw(self, scene: Scene, title: str, controls: Controls) -> None:
        """Show a scene, under a title that says who plays."""

    def keys(self, seconds: float) -> list[str]:
        """Return the keys pressed since the last call; wait for one, but at most `seconds`."""


def watch(viewer: Viewer, episodes: Iterable[tuple[str, Iterator[Scene]]], controls: Controls) -> None:
    """Show episodes, each a title and its scenes, until there are no more or the user quits."""
    with viewer:
        for title, scenes in episodes:
            controls.next_episode = False
            _show(viewer, title, scenes, controls)
            if controls.quits:
                return


def _show(viewer: Viewer, title: str, scenes: Iterator[Scene], controls: Controls) -> None:
    due = time.monotonic()
    frame = 0
    for scene in scenes:
        viewer.draw(scene, title, controls)
        seconds = (scene.frame - frame) / FRAMES_PER_SECOND + (END if scene.ended else 0)
        due = max(due + seconds / controls.speed, time.monotonic() - LAG)
        frame = scene.frame
        while (wait := due - time.monotonic()) > 0 or (controls.paused and not controls.single_step):
            paused = controls.paused
            keys = viewer.keys(PATIENCE if paused else min(wait, PATIENCE))
            for key in keys:
                controls.press(key)
            if controls.quits or controls.next_episode:
                return
            if keys:
                viewer.draw(scene, title, controls)
            if paused or controls.paused:
                due = time.monotonic()  # a pause is not caught up with
        controls.single_step = False
        for key in viewer.keys(0):
            controls.press(key)
        if controls.quits or controls.next_episode:
            return
