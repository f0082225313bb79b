"""The terminal viewer in a real pseudo-terminal: bytes in, screen out."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pyte
import pytest

from pgpong.envs.game import find_game
from pgpong.viewing import terminal as terminal_module
from pgpong.viewing.halfblocks import Depth, compose, encode
from pgpong.viewing.playback import Playback
from pgpong.viewing.terminal import HOLD, Hand, Lines, Terminal, decode, find_depth, open_terminal
from pgpong.viewing.watching import ARROW_DOWN, ARROW_UP, CLOSE, ESCAPE, RELEASE, Controls
from tests.conftest import TINY
from tests.runs import take_terminal

ALTERNATE, PICTURE = 1049 << 5, "▀"  # a private mode as pyte keeps it; what every picture has


class Emulator:
    """A pseudo-terminal with a screen of pyte's, and perhaps a program in it."""

    def __init__(self, columns=80, rows=24):
        self.outside, self.inside = pty.openpty()
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.bytes = b""
        self.resize(columns, rows)
        self.attributes = termios.tcgetattr(self.inside)

    def start(self, folder, *command, **environment):
        """Start `pgpong` with arguments, or another program, as a session of its own."""
        dropped = ("NO_COLOR", "COLUMNS", "LINES", "COLORTERM", "DISPLAY", "WAYLAND_DISPLAY")
        outer = {name: value for name, value in os.environ.items() if name not in dropped}
        self.process = subprocess.Popen(
            command if command[0].startswith("/") else [sys.executable, "-m", "pgpong", *map(str, command)],
            cwd=folder,
            env={**outer, "TERM": "xterm-256color", **environment},
            stdin=self.inside,
            stdout=self.inside,
            stderr=self.inside,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        return self

    def resize(self, columns, rows):
        fcntl.ioctl(self.inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def type(self, keys):
        os.write(self.outside, keys.encode())

    def read(self, seconds=0.05):
        """Take in what is written within so many seconds."""
        end = time.monotonic() + seconds
        while (wait := end - time.monotonic()) > 0:
            if select.select([self.outside], [], [], wait)[0]:
                data = os.read(self.outside, 65536)
                self.bytes += data
                self._stream.feed(data)
        return self

    def until(self, condition, seconds=30.0):
        """Read until text is on the screen, or a function of no arguments is true."""
        end = time.monotonic() + seconds
        while not (condition() if callable(condition) else condition in self.text):
            assert time.monotonic() < end, f"{condition}:\n{self.text}"
            self.read()
        return self

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    @property
    def said(self):
        """What was written after the viewer had left its screen."""
        return self.bytes.rpartition(b"\x1b[?1049l")[2].decode()

    def number(self, name):
        """Return the number after a name in the panel."""
        for line in self.screen.display:
            _, found, after = line.partition(name)
            if found:
                return float(after.split()[0].lstrip("x"))
        raise AssertionError(self.text)

    def end(self, status):
        """Wait for the program to end; assert its status, and that the terminal is as it was."""
        self.until(lambda: self.process.poll() is not None).read()
        assert self.process.returncode == status, self.text
        self.assert_in_order()
        assert b"Traceback" not in self.bytes
        return self

    def assert_in_order(self):
        assert termios.tcgetattr(self.inside) == self.attributes
        assert ALTERNATE not in self.screen.mode
        assert not self.screen.cursor.hidden

    def close(self):
        if hasattr(self, "process") and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.outside)
        os.close(self.inside)


@pytest.fixture
def emulator():
    """Make emulators that are closed in the end."""
    made = []

    def make(*size):
        made.append(Emulator(*size))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A folder with a small run."""
    folder = tmp_path_factory.mktemp("watched")
    command = [sys.executable, "-m", "pgpong", "train", "--run", "tiny", "--updates", "2", *TINY]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def watching(emulator, run_folder):
    """Start `pgpong watch` and wait for its picture."""

    def start(*arguments, size=(80, 24), **environment):
        return emulator(*size).start(run_folder, "watch", *arguments, **environment).until(PICTURE)

    return start


@pytest.fixture(scope="module")
def scenes():
    playback = Playback(find_game("ALE/Pong-v5"))
    return [playback.begin(0), *(playback.step(step % 3) for step in range(200))]


def test_every_key_does_what_the_help_says(watching):
    show = watching()
    assert ALTERNATE in show.screen.mode
    assert show.screen.cursor.hidden
    assert "pgpong" not in show.text  # the line on the choice is on the other screen
    show.until("tiny update 2 · episode 1, seed 0")
    show.until(lambda: show.number("step") > 3)

    show.type(" ")
    show.until("paused").read(0.2)
    step, picture = show.number("step"), show.screen.display
    show.read(0.4)
    assert show.screen.display == picture
    for i in (1, 2):
        show.type(".")
        show.until(lambda i=i: show.number("step") == step + i).read(0.2)
        assert show.number("step") == step + i
    show.type("+")
    show.until("x2 paused")
    show.type("--")
    show.until("x0.5 paused")
    show.type("g")
    show.until("  greedy")
    show.type("v")
    show.until(lambda: "the network sees" not in show.text)
    show.type("v")
    show.until("the network sees")
    show.type(" ")
    show.until(lambda: show.number("step") > step + 4)
    show.type("n")
    show.until("episode 2, seed 1")
    show.type("\x1b[A\x1bOB\x1b[15~x")  # keys that mean nothing here
    show.read(0.2)
    assert show.process.poll() is None
    show.type("q")
    show.end(0)
    assert "shown in the terminal, 256 colours: no display" in show.bytes.decode()


def test_the_screen_is_redrawn_when_it_changes_its_size(watching):
    show = watching()
    show.type(" ")
    show.until("paused")
    show.resize(120, 40)
    show.until(lambda: "q quit" in show.screen.display[39])
    show.resize(15, 5)
    show.until("too small:")
    show.until("15x5, needs")
    show.resize(80, 53)
    show.until(lambda: "q quit" in show.screen.display[52])
    assert PICTURE in show.text
    assert "too small" not in show.text
    show.type("\x1b")  # escape alone
    show.end(0)


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_leaves_the_terminal_as_it_was(watching, name, status):
    show = watching()
    if name == "SIGINT":
        show.type("\x03")
    else:
        show.process.send_signal(getattr(signal, name))
    show.end(status)


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(emulator, run_folder):
    show = emulator().start(run_folder, "/bin/bash", "--norc", "--noprofile", "-i", PS1="ready>")
    show.until("ready>")
    show.type(f"stty sane; {sys.executable} -m pgpong watch\n")
    show.until(PICTURE)
    show.type("\x1a")
    show.until("Stopped")
    assert ALTERNATE not in show.screen.mode
    assert not show.screen.cursor.hidden
    show.type("clear; stty -a | grep -o '[-]*icanon'; stty -a | grep -ow '[-]*echo'\n")
    show.until("icanon\necho\nready>")
    assert "-" not in show.text
    show.type("fg\n")
    show.until(PICTURE)
    assert ALTERNATE in show.screen.mode
    step = show.number("step")
    show.until(lambda: show.number("step") > step)
    show.type("q")
    show.until(lambda: ALTERNATE not in show.screen.mode)
    show.type("exit\n")
    show.until(lambda: show.process.poll() is not None)


def test_what_was_begun_in_the_background_takes_the_terminal_at_fg(emulator, run_folder):
    show = emulator().start(run_folder, "/bin/bash", "--norc", "--noprofile", "-i", PS1="ready>")
    show.until("ready>")
    show.type(f"set -b; {sys.executable} -m pgpong watch &\n")
    show.until("Stopped")  # where it would take the terminal
    assert ALTERNATE not in show.screen.mode
    show.type("fg\n")
    show.until(PICTURE)
    show.type("q")
    show.until(lambda: ALTERNATE not in show.screen.mode)
    show.type("exit\n")
    show.until(lambda: show.process.poll() is not None)
    assert b"Traceback" not in show.bytes


def test_ctrl_backslash_leaves_the_terminal_as_it_was(watching):
    show = watching()
    show.type("\x1c")
    show.end(131)


def test_without_colours_none_are_sent(watching):
    show = watching(NO_COLOR="1")
    show.type("q")
    show.end(0)
    assert b"38;5" not in show.bytes
    assert b"48;5" not in show.bytes
    assert b"no colours" in show.bytes


def test_full_colour_where_the_terminal_says_so(watching):
    show = watching(COLORTERM="truecolor")
    show.until(lambda: b"48;2;144;72;17" in show.bytes)
    show.type("q")
    show.end(0)
    assert b"in the terminal, 24-bit colour" in show.bytes


def test_a_dumb_terminal_gets_lines_without_any_control(emulator, run_folder):
    show = emulator().start(run_folder, "watch", "--episodes", "1", "--speed", "16", TERM="dumb")
    show.until("score 2:0")
    show.type("\x03")
    show.end(130)
    assert b"\x1b" not in show.bytes
    assert "shown as lines: the terminal (TERM=dumb)" in show.text
    assert "episode 1  step " in show.text


@pytest.fixture
def terminal(emulator):
    """A viewer in this process, on a pseudo-terminal that takes only what is read."""
    other = emulator()
    return other, Terminal(other.inside, Depth.FULL)


def test_a_slow_line_drops_pictures_and_shows_the_last(terminal, scenes, monkeypatch):
    other, viewer = terminal
    monkeypatch.setattr(terminal_module, "SHORTEST", 0.0)
    controls = Controls()
    with viewer:
        began = time.monotonic()
        for i, scene in enumerate(10 * scenes):  # nobody reads
            viewer.draw(scene, f"game {i}", controls)
            viewer.keys(0)
        assert time.monotonic() - began < 10
        last, title = scenes[50], "the last one"
        viewer.draw(last, title, controls)
        assert not select.select([], [viewer._handle], [], 0)[1]
        for _ in range(50):
            viewer.keys(0.01)
            other.read(0.01)
    other.read()
    expected = Emulator()
    expected._stream.feed(encode(compose(last, title, controls, (80, 24), Depth.FULL), None, Depth.FULL))
    assert other.screen.display == expected.screen.display
    assert len(other.bytes) < 100_000
    other.assert_in_order()
    expected.close()


def test_each_picture_is_one_write_in_brackets(terminal, scenes, monkeypatch):
    other, viewer = terminal
    written = []
    write = os.write
    with viewer:
        monkeypatch.setattr(os, "write", lambda handle, data: written.append(data) or write(handle, data))
        for scene in scenes[:20]:
            viewer.draw(scene, "title", Controls())
            viewer.keys(0.02)
            other.read(0.01)
        monkeypatch.undo()
    assert len(written) == 20
    for data in written:
        assert data.startswith(b"\x1b[?2026h")
        assert data.endswith(b"\x1b[?2026l")
        assert data.count(b"\x1b[?2026") == 2


def test_an_error_leaves_the_terminal_as_it_was(terminal, scenes):
    other, viewer = terminal

    def fail():
        with viewer:
            viewer.draw(scenes[0], "title", Controls())
            assert termios.tcgetattr(other.inside) != other.attributes
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    other.read()
    other.assert_in_order()


def test_a_terminal_that_goes_away_ends_the_show(terminal, scenes):
    other, viewer = terminal
    with viewer:
        os.close(other.outside)
        viewer.draw(scenes[0], "title", Controls())
        assert viewer.keys(5) == [CLOSE]
    other.outside = os.dup(other.inside)  # for whoever closes it


def test_keys_are_waited_for_but_not_for_ever(terminal):
    other, viewer = terminal
    with viewer:
        began = time.monotonic()
        assert viewer.keys(0.2) == []
        assert 0.2 <= time.monotonic() - began < 0.5
        other.type("a\x1b[A")
        assert viewer.keys(5) == ["a", ARROW_UP]
        began = time.monotonic()
        assert viewer.keys(5) == [RELEASE]  # nobody says so: a moment later
        assert 0.5 * HOLD < time.monotonic() - began < 1
        other.type("\x1b")
        assert viewer.keys(5) == [ESCAPE]
        other.type("\x1b")
        assert viewer.keys(0) == []
        other.type("[B")
        assert viewer.keys(5) == [ARROW_DOWN]


@pytest.mark.parametrize(
    ("typed", "keys", "rest"),
    [
        (b"qN ", ["q", "N", " "], b""),
        (b"\x1b[A\x1b[1;5B", [ARROW_UP, ARROW_DOWN], b""),
        (b"\x1bOA\x1bOB", [ARROW_UP, ARROW_DOWN], b""),
        (b"\x1b[1;1:1A\x1b[1;1:2A\x1b[1;1:3A", [ARROW_UP, ARROW_UP, RELEASE + ARROW_UP], b""),
        (b"\x1b[15~\x1b[<0;3;4M\x1bq\x1b[C", [], b""),
        (b"\x1b\x1b[A", [ESCAPE, ARROW_UP], b""),
        (b"p\x1b", ["p"], b"\x1b"),
        (b"\x1b[1;", [], b"\x1b[1;"),
        (b"\x1bO", [], b"\x1bO"),
        ("ż日q".encode(), ["q"], b""),
    ],
)
def test_what_terminals_send_is_understood(typed, keys, rest):
    assert decode(typed) == (keys, rest)


def test_a_key_moves_for_a_moment_and_as_long_as_it_repeats():
    hand = Hand()
    assert hand.feel([ARROW_UP], 0.0) == [ARROW_UP]
    assert hand.feel([], 0.9 * HOLD) == []
    assert hand.feel([ARROW_UP], 0.9 * HOLD) == [ARROW_UP]
    assert hand.feel([], 1.8 * HOLD) == []
    assert hand.feel([], 2.0 * HOLD) == [RELEASE]
    assert hand.feel(["q"], 9.0) == ["q"]


def test_a_reported_release_is_waited_for():
    hand = Hand()
    hand.feel([ARROW_UP], 0.0)
    assert hand.feel([RELEASE + ARROW_UP], 0.01) == [RELEASE]
    assert hand.feel([ARROW_UP], 1.0) == [ARROW_UP]
    assert hand.feel([ARROW_DOWN], 2.0) == [ARROW_DOWN]
    assert hand.feel([RELEASE + ARROW_UP], 3.0) == []  # down is still held
    assert hand.feel([RELEASE + ARROW_DOWN], 4.0) == [RELEASE]
    assert hand.feel(["w"], 5.0) == ["w"]  # of letters nothing is reported
    assert hand.feel([], 5.0 + HOLD) == [RELEASE]


def test_colours_are_found_out():
    assert find_depth({"TERM": "xterm", "COLORTERM": "24bit"}) == Depth.FULL
    assert find_depth({"TERM": "xterm-direct"}) == Depth.FULL
    assert find_depth({"TERM": "screen-256color"}) == Depth.MANY
    assert find_depth({"TERM": "linux"}) == Depth.SIXTEEN
    assert find_depth({"TERM": "xterm-kitty"}) == Depth.FULL
    assert find_depth({"TERM": "xterm-direct", "NO_COLOR": "1"}) == Depth.NONE
    assert find_depth({"TERM": "xterm-256color", "NO_COLOR": ""}) == Depth.MANY


def test_lines_are_for_what_is_no_terminal(capsys, scenes):
    viewer, how = open_terminal()
    assert isinstance(viewer, Lines)
    assert how == "as lines: the output is no terminal"
    with viewer:
        for title in ("one\x1b", "two"):
            for scene in scenes:
                viewer.draw(scene, title, Controls())
    lines = capsys.readouterr().out.splitlines()
    points = sum(scenes[-1].score)
    assert len(lines) == 2 * (1 + points)
    assert lines[0] == "one?"
    assert lines[1 + points] == "two"
    assert lines[-1].startswith("episode 2  step ")
