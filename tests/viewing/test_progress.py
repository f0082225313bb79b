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
from math import nan

import numpy as np
import pytest
from rich.console import Console

from pgpong.learning.policy_gradient import UpdateStats
from pgpong.reference import Reference
from pgpong.rollout import Episode
from pgpong.state import Progress
from pgpong.stopping import Moment, StopConditions
from pgpong.training import Record
from pgpong.viewing.progress import LivePanel, PlainLines, Subject, clock, make_display, sparklines
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
    text = drawn(console(), history=[Moment(10.0, 1, 1, 1000, -21.0)])
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


def test_sparklines_and_clock():
    assert sparklines([[]], 5) == [""]
    assert sparklines([[3.0, 3.0]], 5) == ["▁▁"]
    assert sparklines([[float(i) for i in range(800)]], 8) == ["▁▂▃▄▅▆▇█"]
    # One scale for both; nothing where the second is not known.
    assert sparklines([[0, 0, 0, 0], [nan, 7, 7, 7]], 4) == ["▁▁▁▁", " ███"]
    assert sparklines([[0, 0, 0, 0], [nan, 7, 7, 7]], 2) == ["▁▁", " █"]
    assert (clock(59.9), clock(3600)) == ("0:59", "1:00:00")


# Runs that rose evenly from -20 to 10 and to 0 in 30,000 steps.
REFERENCE = Reference(
    "fast", tuple((np.array([0.0, 30_000.0]), np.array([-20.0, top])) for top in (10.0, 0.0))
)


def beside(score, *, step=15_000, episode=25, stop=None, reference=REFERENCE, width=80):
    """What panel and plain lines say of a run at 1,000 steps/s that has come to a mean score."""
    stop = stop or StopConditions()
    progress = Progress(update=15, episode=episode, step=step, seconds=15.0)
    progress.scores.extend([score] * episode)
    history = [Moment(s, s, s, 1000 * s, -20.0) for s in range(1, 15)]
    shown_on, plain = (
        Console(file=io.StringIO(), width=width, force_terminal=f, color_system=None) for f in (True, False)
    )
    subject = Subject("t", progress, history, stop, time.monotonic, reference)
    panel = LivePanel(shown_on, subject)
    panel.show(RECORD)
    shown_on.print(panel.render())
    with PlainLines(plain, subject) as lines:
        lines.show(RECORD)
    return shown_on.file.getvalue(), plain.file.getvalue()


def test_the_panel_says_how_a_run_stands_and_when_it_may_reach_its_next_target():
    panel, plain = beside(-8)
    # At -8 the two were at steps 12,000 and 18,000, at 0 at 20,000 and 30,000: 8,000 and 12,000 steps.
    assert "on track: 2 reference runs of fast had -10.0 to -5.0 at this step" in panel
    assert "score 0 expected in about 0:10 (reference: 10,000 steps from here)" in panel
    assert plain.startswith("t; compared with 2 reference runs of fast at the same step\n")
    assert "score -8.0 (on track, 0 in about 0:10)  entropy" in plain


@pytest.mark.parametrize(
    ("score", "words", "target", "short"),
    [
        (-13, "behind by 3.0: ", "score 0 expected in about 0:16", "(behind by 3.0, 0 in about 0:16)"),
        (-2, "ahead by 3.0: ", "score 0 expected in about 0:02", "(ahead by 3.0, 0 in about 0:02)"),
        (3, "ahead by 8.0: ", "score 15 not foreseen: the reference never came to it", "(ahead by 8.0)  "),
        (16, "ahead by 21.0: ", "score 18 not foreseen: the reference never came to it", "(ahead by 21.0)  "),
        (19, "ahead by 24.0: ", None, "(ahead by 24.0)  "),
    ],
)
def test_ahead_and_behind_by_how_much(score, words, target, short):
    panel, plain = beside(score)
    assert words in panel
    assert short in plain
    if target is None:
        assert "expected" not in panel
        assert "foreseen" not in panel
    else:
        assert target in panel


def test_the_users_own_target_comes_first_and_the_time_left_is_that_of_the_reference():
    panel, plain = beside(-8, stop=StopConditions(until=-5, minutes=60))
    # -5 was at 15,000 and 22,500: 3,000 and 4,500 steps.
    assert "score -5 expected in about 0:03 (reference: 3,750 steps from here)" in panel
    assert "left about 0:03" in panel
    assert "(on track, -5 in about 0:03)" in plain
    panel, _ = beside(-8, stop=StopConditions(until=5, minutes=60))
    assert "score 5 not foreseen: the reference came to it in 1 of 2 runs" in panel


@pytest.mark.parametrize(
    "run",
    [
        {"episode": 19},  # too early
        {"reference": Reference("fast")},  # none for this recipe and game
        {"reference": Reference("fast", tuple((x + 20_000, y) for x, y in REFERENCE.curves))},  # begins later
    ],
)
def test_where_nothing_can_be_said_nothing_is(run):
    panel, plain = beside(-8, **run)
    for word in ("reference", "on track", "expected", "second row"):
        assert word not in panel
    assert "score -8.0  entropy" in plain


def test_after_the_reference_its_end_is_said_and_nothing_foreseen():
    panel, plain = beside(-8, step=30_001)
    assert "past the end of 2 reference runs of fast: +0.0 to +10.0 at step 30,000" in panel
    assert "expected" not in panel
    assert "score -8.0  entropy" in plain


def test_a_reference_of_other_settings_is_called_so_and_foresees_nothing():
    panel, plain = beside(-8, reference=Reference("fast", REFERENCE.curves, ("hidden", "gamma")), width=120)
    assert (
        "on track: 2 reference runs of fast had -10.0 to -5.0 at this step; other settings: hidden, gamma"
        in panel
    )
    assert "expected" not in panel
    assert "at the same step; other settings: hidden, gamma\n" in plain
    assert "score -8.0 (on track)  entropy" in plain


def test_one_reference_run_has_one_score():
    panel, _ = beside(-8, reference=Reference("karpathy", REFERENCE.curves[:1]))
    assert "behind by 3.0: 1 reference run of karpathy had -5.0 at this step" in panel


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_the_reference_keeps_to_a_narrow_window_and_its_row_stands_below_the_runs_own(width):
    lines = beside(-8, width=width)[0].splitlines()
    assert max(map(len, lines)) == width - 3
    own, reference = [line[2:-2].rstrip() for line in lines if "▁" in line]
    assert len(own) == len(reference) == min(15, width - 7)
    assert set(own[:-1]) == {"▁"}  # it stays at -20, the lowest of both, until the last update
    assert list(reference) == sorted(reference)  # the mean of the two rises
    assert reference[-1] == "█"


class Terminal:
    """A training in a pseudo-terminal of its own."""

    def __init__(self, folder, columns=100, program=("-m", "pgpong"), **environment):
        self.fd, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        outer = {
            name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")
        }
        self.process = subprocess.Popen(
            [sys.executable, *program, "train", "--run", "t", *TINY],
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
    assert "other settings: num_envs, hidden, batch_steps\r\n" in terminal.seen
    assert terminal.end() == 130
    assert "\x1b" not in terminal.seen


# pgpong itself, with made-up reference runs of the settings of `TINY`, and compared from the first game on.
WITH_REFERENCE = """
import sys, pgpong.reference, pgpong.viewing.outlook
from pgpong.__main__ import main
settings = {"num_envs": 2, "batch_steps": 60, "hidden": 8}
run = {"recipe": "fast", "game": "ALE/Pong-v5 (frameskip 4, sticky 0.25)", "settings": settings}
tops = (15, 21)
pgpong.reference._all = lambda: [{**run, "step": [0, 10**6], "score_mean": [-21, top]} for top in tops]
pgpong.viewing.outlook.EARLIEST = 1
sys.exit(main(sys.argv[1:]))
"""


def test_in_a_terminal_a_training_is_seen_beside_its_reference(tmp_path):
    terminal = Terminal(tmp_path, program=("-c", WITH_REFERENCE))
    terminal.read_until("reference's mean")
    terminal.read_until("score 0 expected in about")
    assert terminal.end() == 130
    assert re.search(
        r"on track: 2 reference runs of fast had -2\d\.\d to -2\d\.\d at this step", terminal.text
    )


def test_a_dumb_terminal_is_told_the_same_in_its_lines(tmp_path):
    terminal = Terminal(tmp_path, program=("-c", WITH_REFERENCE), TERM="dumb")
    terminal.read_until("; compared with 2 reference runs of fast at the same step\r\n")
    terminal.read_until("(on track, 0 in about")
    assert terminal.end() == 130


def test_a_terminal_without_unicode_is_sent_none(tmp_path):
    terminal = Terminal(tmp_path, columns=40, PYTHONIOENCODING="ascii")
    terminal.read_until("saves and stops")
    assert terminal.end() == 130
    assert terminal.seen.isascii()
    assert "Traceback" not in terminal.seen


def test_a_narrow_terminal_is_kept_to(tmp_path):
    terminal = Terminal(tmp_path, columns=36)
    terminal.read_until("saves and stops")
    assert terminal.end() == 130
    panel = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in terminal.seen.splitlines() if "│" in line
    ]
    assert panel
    assert max(len(line.strip("\r")) for line in panel) <= 36
