"""Games in a terminal: pictures where it can show them, a line for each point where it cannot.

The terminal is left as it was found, whatever ends the show: its end, an error, Ctrl-C, a signal, Ctrl-Z.
"""

import errno
import math
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self, TextIO

from pgpong.viewing.halfblocks import Canvas, Depth, compose, encode
from pgpong.viewing.playback import Scene
from pgpong.viewing.watching import ARROW_DOWN, ARROW_UP, CLOSE, DIRECTIONS, ESCAPE, RELEASE, Controls, Viewer

try:
    import termios
    import tty
except ImportError:  # Windows: lines it is
    POSIX = False
else:
    POSIX = True

HOLD = 0.1  # seconds that a key moves the paddle: longer than from one repeat of a held key to the next
SHORTEST = 1 / 75  # seconds from picture to picture: faster games leave some out

_LOOK = 0.1  # seconds between two looks at size and signals while waiting for keys
_ALONE = 0.05  # seconds after which an escape is the key itself, not the beginning of a sequence
_PATIENCE = 1.0  # seconds that a terminal which takes nothing may delay the end

_ENTER = b"\x1b[?1049h\x1b[?25l"  # alternate screen, no cursor
_LEAVE = b"\x1b[?2026l\x1b[m\x1b[?25h\x1b[?1049l"
# Terminals that know kitty's keyboard protocol report when an arrow is let go; others ignore the request.
_ASK_RELEASES, _ASK_NO_RELEASES = b"\x1b[>2u", b"\x1b[<u"

_ARROWS = {b"A": ARROW_UP, b"B": ARROW_DOWN}
_KEY = re.compile(
    rb"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"  # CSI; arrows in normal mode
    rb"|\x1bO(?P<application>[@-~])"  # SS3; arrows in application mode
    rb"|\x1b[^\x1bO[]"  # Alt and a key
    rb"|(?P<escape>\x1b)(?=\x1b)"
    rb"|(?P<character>[^\x1b])",
    re.DOTALL,
)


# Terminals with 24-bit colours, by what they call themselves in TERM.
_ALL_COLOURS = ("kitty", "ghostty", "alacritty", "foot", "wezterm")


def open_terminal() -> tuple[Viewer, str]:
    """Return a viewer for stdout, and a word on what it shows and why."""
    term = os.environ.get("TERM", "")
    if not sys.stdout.isatty():
        return Lines(sys.stdout), "as lines: the output is no terminal"
    if not POSIX or term in ("", "dumb", "unknown"):
        return Lines(sys.stdout), f"as lines: the terminal (TERM={term}) cannot show pictures"
    if "utf" not in sys.stdout.encoding.lower():
        return Lines(sys.stdout), f"as lines: the terminal's encoding is {sys.stdout.encoding}, not UTF-8"
    depth = find_depth(os.environ)
    colours = {Depth.NONE: "no colours", Depth.FULL: "24-bit colour"}.get(depth, f"{depth} colours")
    try:
        return Terminal(sys.stdout.fileno(), depth), f"in the terminal, {colours}"
    except OSError as error:  # in some containers terminals have no name
        return Lines(sys.stdout), f"as lines: the terminal cannot be opened ({error.strerror})"


def find_depth(environ: Mapping[str, str]) -> Depth:
    """Find out how many colours the terminal has.

    >>> find_depth({"TERM": "xterm-256color"}).name
    'MANY'
    """
    term = environ.get("TERM", "")
    if environ.get("NO_COLOR"):
        return Depth.NONE
    if environ.get("COLORTERM") in ("truecolor", "24bit") or term.endswith("-direct"):
        return Depth.FULL
    if any(name in term for name in _ALL_COLOURS):  # over SSH COLORTERM is not passed on
        return Depth.FULL
    return Depth.MANY if "256" in term else Depth.SIXTEEN


class Lines:
    """A line for each game and each point, for whatever cannot show pictures; there are no keys."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._title = ""
        self._episode = 0
        self._told: tuple[tuple[int, int], bool] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def draw(self, scene: Scene, title: str, controls: Controls) -> None:
        """Write a line if the score or the game is another than that of the line before."""
        if title != self._title:
            self._title = title
            self._episode += 1
            self._told = ((0, 0), False)
            self._say("".join(c if c.isprintable() else "?" for c in title))
        if (scene.score, scene.ended) != self._told:
            self._told = (scene.score, scene.ended)
            opponent, us = scene.score
            end = "  end" if scene.ended else ""
            self._say(f"episode {self._episode}  step {scene.step}  score {opponent}:{us}{end}")

    def keys(self, seconds: float) -> list[str]:
        """Wait."""
        time.sleep(seconds)
        return []

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class Terminal:
    """Pictures in half blocks, on the terminal that `handle` is open on.

    The bytes of a picture are offered in one write that never blocks. While the terminal has not taken all
    of them, no further picture is made; then comes the one that is due.
    """

    def __init__(self, handle: int, depth: Depth) -> None:
        self._handle = _open_again(handle)
        self._depth = depth
        self._latest: tuple[Scene, str, Controls] | None = None
        self._due = False  # whether the latest picture is still to be shown
        self._shown: Canvas | None = None  # None: nobody knows what is on the screen
        self._shown_at = -SHORTEST
        self._rest = b""  # what the terminal has not taken yet
        self._typed = b""  # the beginning of an escape sequence
        self._typed_at = 0.0
        self._asked_releases = False
        self._hand = Hand()
        self._stops = self._continues = False

    def __enter__(self) -> Self:
        self._found = termios.tcgetattr(self._handle)
        self._handlers = {number: signal.signal(number, hear) for number, hear in self._signals().items()}
        try:
            self._take()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        numbers = {signal.SIGINT, *self._handlers}
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # a second Ctrl-C waits until all is in order
        try:
            with suppress(OSError, termios.error):  # the terminal may be gone
                self._give_back()
            os.close(self._handle)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

    def draw(self, scene: Scene, title: str, controls: Controls) -> None:
        """Show a scene, at once or as soon as the terminal can take it."""
        self._latest = scene, title, controls
        self._due = True
        if controls.playing and not self._asked_releases:
            self._asked_releases = True
            self._rest += _ASK_RELEASES
        with suppress(OSError):  # a terminal that is gone is noticed at the keys
            self._show()

    def keys(self, seconds: float) -> list[str]:
        """Return the keys pressed since the last call; wait for one, but at most `seconds`."""
        try:
            return self._hear(seconds)
        except (OSError, termios.error):
            return [CLOSE]

    def _hear(self, seconds: float) -> list[str]:
        end = time.monotonic() + seconds
        while True:
            self._obey_signals()
            if self._size() != self._shown_size():
                self._due = self._latest is not None
            self._show()
            now = time.monotonic()
            keys = self._hand.feel(self._read(), now)
            if keys or now >= end:
                return keys
            wait = min(end - now, self._hand.until - now, _ALONE if self._typed else _LOOK)
            if self._due and not self._rest:
                wait = min(wait, max(self._shown_at + SHORTEST - now, 0))
            select.select([self._handle], [self._handle] if self._rest else [], [], max(wait, 0))

    def _show(self) -> None:
        """Send what is left of the last picture, then the latest, if it is due."""
        self._flush()
        now = time.monotonic()
        if self._rest or not self._due or self._latest is None or now < self._shown_at + SHORTEST:
            return
        size = self._size()
        canvas = compose(*self._latest, size, self._depth)
        self._rest = encode(canvas, self._shown if self._shown_size() == size else None, self._depth)
        self._shown, self._shown_at, self._due = canvas, now, False
        self._flush()

    def _flush(self) -> None:
        if self._rest:
            with suppress(BlockingIOError):
                self._rest = self._rest[os.write(self._handle, self._rest) :]

    def _size(self) -> tuple[int, int]:
        """Return columns and rows; a terminal that does not tell (0x0) has 80x24."""
        columns, rows = os.get_terminal_size(self._handle)
        return columns or 80, rows or 24

    def _shown_size(self) -> tuple[int, int] | None:
        return None if self._shown is None else self._shown.size

    def _read(self) -> list[str]:
        """Return what was typed since, as keys."""
        now = time.monotonic()
        try:
            typed = os.read(self._handle, 4096)
        except BlockingIOError:  # nothing was
            if not self._typed or now < self._typed_at + _ALONE:
                return []
            keys = [ESCAPE] if self._typed == b"\x1b" else []
            self._typed = b""
            return keys
        self._typed_at = now
        keys, self._typed = decode(self._typed + typed)
        return keys if typed else [CLOSE]

    def _obey_signals(self) -> None:
        if self._stops:
            self._stops = False
            self._give_back()
            handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTSTP)  # here we stand still until SIGCONT
            signal.signal(signal.SIGTSTP, handler)
            self._continues = True
        if self._continues:
            self._continues = False
            self._take()

    def _take(self) -> None:
        """Make the terminal ours."""
        self._typed = b""
        while True:
            try:
                tty.setcbreak(self._handle, termios.TCSANOW)
                break
            except termios.error as error:
                # In the background this call stands still; woken in the foreground, it is to be made again.
                if error.args[0] != errno.EINTR:
                    raise
        self._asked_releases = False
        self._shown = None
        self._rest = _ENTER
        self._flush()

    def _give_back(self) -> None:
        """Leave the terminal as it was found. The rest of a picture is not sent: the next escape ends it."""
        self._rest = (_ASK_NO_RELEASES if self._asked_releases else b"") + _LEAVE
        end = time.monotonic() + _PATIENCE
        try:
            self._flush()
            while self._rest and (wait := end - time.monotonic()) > 0:
                select.select([], [self._handle], [], wait)
                self._flush()
        finally:
            termios.tcflush(self._handle, termios.TCIFLUSH)  # what was typed was not for the shell
            termios.tcsetattr(self._handle, termios.TCSANOW, self._found)

    def _signals(self) -> dict[int, Callable[[int, FrameType | None], None]]:
        """Name the signals that are heard. Those that do not end all wait for the next look at the keys."""

        def end(number: int, frame: FrameType | None) -> None:
            raise SystemExit(128 + number)

        def stop(number: int, frame: FrameType | None) -> None:
            self._stops = True

        def go_on(number: int, frame: FrameType | None) -> None:
            self._continues = True

        return {
            signal.SIGTERM: end,
            signal.SIGHUP: end,
            signal.SIGQUIT: end,
            signal.SIGTSTP: stop,
            signal.SIGCONT: go_on,
        }


def _open_again(handle: int) -> int:
    """Open the terminal anew: the shell shares the other description, and must not find it non-blocking."""
    how = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
    try:
        return os.open(os.ttyname(handle), how)
    except OSError:  # after su the name is still another user's
        return os.open("/dev/tty", how)


class Hand:
    """Makes of key presses what a hand holds down, where the terminal does not say when it lets go.

    A key that moves the paddle moves it for `HOLD` seconds, and on while the keyboard repeats it. Once the
    terminal has reported a release, arrows are held until theirs.
    """

    def __init__(self) -> None:
        self._held: str | None = None
        self._reported = False
        self.until = math.inf

    def feel(self, keys: Sequence[str], now: float) -> list[str]:
        """Return the keys that were pressed, and RELEASE where the one that moves is let go."""
        felt = []
        for key in keys:
            if key.startswith(RELEASE):
                self._reported = True
                if key == RELEASE + (self._held or ""):
                    felt.append(self._let_go())
                continue
            felt.append(key)
            if key.lower() in DIRECTIONS:
                self._held = key
                self.until = math.inf if self._reported and key in _ARROWS.values() else now + HOLD
        if now >= self.until:
            felt.append(self._let_go())
        return felt

    def _let_go(self) -> str:
        self._held, self.until = None, math.inf
        return RELEASE


def decode(typed: bytes) -> tuple[list[str], bytes]:
    r"""Return the keys in what a terminal sent, and the escape sequence that has only begun.

    An arrow's release is RELEASE with the arrow's name after it.

    >>> decode(b"q\x1b[A\x1bOB\x1b[1;1:3A\x1b[")
    (['q', 'up', 'down', 'releaseup'], b'\x1b[')
    """
    keys: list[str] = []
    while match := _KEY.match(typed):
        typed = typed[match.end() :]
        if match["character"]:
            keys += match["character"].decode("ascii", "ignore")
        elif match["escape"]:
            keys.append(ESCAPE)
        elif arrow := _ARROWS.get(match["final"] or match["application"]):
            keys.append(RELEASE + arrow if (match["parameters"] or b"").endswith(b":3") else arrow)
    return keys, typed
