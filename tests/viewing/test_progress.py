"""The display of a training: drawn for consoles of all kinds, and seen in a real pseudo-terminal."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest
from rich.console import Console

from pgpong.learning.policy_gradient import UpdateStats
from pgpong.rollout import Episode
from pgpong.state import Progress
from pgpong.stopping import Moment, StopConditions
from pgpong.training import Record
from pgpong.viewing.progress import LivePanel, PlainLines, Subject, clock, make_display, sparkline
from tests.conftest import TINY
from tests.runs import take_terminal

RECORD = Record(
    UpdateStats(
        entropy=0.5, kl=0.01, clip_share=0.03, grad_norm=1.25, passes=4.0, W1_norm=200.0, W2_norm=1.0
    ),
    [Episode(-20, 900, 3600, 7, 0, b"")],
    steps=1000,
    games_seconds=0.6,
    network_seconds=0.1,
    update_seconds=0.3,
)


def console(**settings):
    return Console(file=io.StringIO(), **{"width": 100, "force_terminal": True, **settings})


def panel(shown_on, history=()):
    progress = Progress(update=7, episode=3, step=12345, frame=49380, seconds=75.0)
    progress.scores.extend([-20, -19, -21])
    stop = StopConditions(updates=100)
    display = LivePanel(shown_on, Subject("pgpong r", progress, list(history), stop, time.monotonic))
    display.show(RECORD)
    return display


def drawn(shown_on, **settings):
    shown_on.print(panel(shown_on, **settings).render())
    return shown_on.file.getvalue()


def test_the_panel_shows_what_was_promised():
    text = drawn(console(), history=[Moment(10.0, 1, 1, -21.0)])
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for expected in (
        "pgpong r", "episode 3", "update 7", "steps 12,345", "frames 49,380", "trained 1:15",
        "score -20.0 mean of the last 3", "last games -20 -19 -21", "from -21.0 to -20.0, highest -20.0",
        "entropy 0.500", "gradient 1.25", "KL 0.0100", "clipped 3.0%",
        "speed 1,000 steps/s", "games 60%  network 10%  update 30%",
        "left about", "checkpoint 0:00 ago", "Ctrl-C saves and stops",
    ):  # fmt: skip
        assert expected in text, expected


def test_before_the_first_game_has_ended_the_panel_says_so():
    shown_on = console()
    display = LivePanel(shown_on, Subject("t", Progress(), [], StopConditions(), time.monotonic))
    shown_on.print(display.render())
    assert "starting the games" in shown_on.file.getvalue()
    display.show(RECORD)
    shown_on.print(display.render())
    assert "waiting for the first game to end" in shown_on.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_window_is_kept_to(width):
    lines = re.sub(r"\x1b\[[0-9;]*m", "", drawn(console(width=width))).splitlines()
    assert max(map(len, lines)) == width - 3  # the echo of Ctrl-C has room beside it


def test_without_colour_there_is_none_and_without_unicode_plain_characters():
    assert "\x1b[" not in drawn(console(no_color=True, color_system=None))
    plain = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=80, force_terminal=True)
    plain.print(panel(plain).render())
    plain.file.flush()
    plain.file.buffer.getvalue().decode("ascii")


def test_a_terminal_that_can_redraw_gets_the_panel_and_everything_else_lines():
    subject = Subject("t", Progress(), [], StopConditions(), time.monotonic)
    assert isinstance(make_display(console(), subject), LivePanel)
    assert isinstance(make_display(console(force_terminal=False), subject), PlainLines)
    dumb = console(_environ={"TERM": "dumb"})
    assert isinstance(make_display(dumb, subject), PlainLines)


def test_plain_lines_come_every_few_seconds_and_the_last_one_always():
    shown_on = console(force_terminal=False, width=30)
    progress = Progress()
    subject = Subject("title", progress, [], StopConditions(), time.monotonic)
    with PlainLines(shown_on, subject) as display:
        for progress.update in range(1, 6):
            display.show(RECORD)
    lines = shown_on.file.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["title", "update 1", "update 5"]


def test_sparkline_and_clock():
    assert sparkline([], 5) == ""
    assert sparkline([3.0, 3.0], 5) == "▁▁"
    assert sparkline([float(i) for i in range(800)], 8) == "▁▂▃▄▅▆▇█"
    assert (clock(59.9), clock(3600)) == ("0:59", "1:00:00")


class Terminal:
    """A training in a pseudo-terminal of its own."""

    def __init__(self, folder, columns=100, **environment):
        self.fd, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        outer = {
            name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pgpong", "train", "--run", "t", *TINY],
            cwd=folder,
            env={**outer, "TERM": "xterm-256color", **environment},
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(inside)
        self.seen = ""

    def read_until(self, text, seconds=60.0):
        """Read until `text` has come, or the program has ended if `text` is None."""
        end = time.monotonic() + seconds
        while text is None or text not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:  # the other side is closed
                    assert text is None, self.seen
                    break

    @property
    def text(self):
        """What was seen, without the terminal's control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)

    def end(self):
        """Type Ctrl-C; return the exit status."""
        os.write(self.fd, b"\x03")
        self.read_until(None)
        os.close(self.fd)
        return self.process.wait(60)


def test_in_a_terminal_the_panel_is_live_and_ctrl_c_leaves_the_terminal_in_order(tmp_path):
    terminal = Terminal(tmp_path)
    terminal.read_until("update 1")
    terminal.read_until("Ctrl-C saves and stops")
    assert terminal.end() == 130
    assert "go on with: pgpong resume t" in terminal.seen
    assert "Traceback" not in terminal.seen
    assert "\x1b[34m" in terminal.seen  # a blue frame
    # The cursor that was hidden is shown again, and nothing hides it after.
    assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")


def test_no_color_is_respected_in_a_terminal(tmp_path):
    terminal = Terminal(tmp_path, NO_COLOR="1")
    terminal.read_until("Ctrl-C saves and stops")
    assert terminal.end() == 130
    colours = [
        code for code in re.findall(r"\x1b\[([0-9;]*)m", terminal.seen) if re.search(r"\b[349]\d", code)
    ]
    assert colours == []


def test_a_dumb_terminal_gets_lines_without_any_control(tmp_path):
    terminal = Terminal(tmp_path, TERM="dumb")
    terminal.read_until("update 1")
    assert terminal.end() == 130
    assert "\x1b" not in terminal.seen


def test_a_narrow_terminal_is_kept_to(tmp_path):
    terminal = Terminal(tmp_path, columns=36)
    terminal.read_until("saves and stops")
    assert terminal.end() == 130
    panel = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in terminal.seen.splitlines() if "│" in line
    ]
    assert panel
    assert max(len(line.strip("\r")) for line in panel) <= 36
