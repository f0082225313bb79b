"""The display of a running training: a live panel on a terminal, plain lines anywhere else."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from pgpong.state import Progress
from pgpong.stopping import Moment, StopConditions
from pgpong.training import Record

PLAIN_INTERVAL = 5.0  # seconds from one plain line to the next, at least
REFRESHES = 2.0  # of the live panel, a second
SPEED_WINDOW = 10  # updates that the shown speed is averaged over


@dataclass(frozen=True)
class Subject:
    """What a display shows: a training that goes on meanwhile."""

    title: str
    progress: Progress
    history: list[Moment]  # the learning curve of the run so far; the live panel continues it
    stop: StopConditions
    saved_at: Callable[[], float]  # monotonic time of the last save


class Display(Protocol):
    """What the training loop's driver needs of a display."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, record: Record) -> None:
        """Take one update in."""


def make_display(console: Console, subject: Subject) -> Display:
    """Make a live panel if `console` is a terminal that can redraw, else plain lines."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LivePanel(console, subject)
    return PlainLines(console, subject)


class PlainLines:
    """A line per update, or per some seconds where updates are faster."""

    def __init__(self, console: Console, subject: Subject) -> None:
        self.console = console
        self.title = subject.title
        self.progress = subject.progress
        self._last: Record | None = None
        self._printed_at = -PLAIN_INTERVAL

    def __enter__(self) -> Self:
        self._print(self.title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last is not None:
            self._print(self._line(self._last))

    def show(self, record: Record) -> None:
        """Print a line, unless one was printed a moment ago."""
        self._last = record
        if time.monotonic() - self._printed_at >= PLAIN_INTERVAL:
            self._print(self._line(record))
            self._printed_at = time.monotonic()
            self._last = None

    def _line(self, record: Record) -> str:
        p = self.progress
        return (
            f"update {p.update}  episode {p.episode}  steps {p.step}  score {score_text(p)}  "
            f"entropy {record.stats.entropy:.3f}  gradient {record.stats.grad_norm:.3g}  "
            f"{record.steps / record.seconds:,.0f} steps/s  {clock(p.seconds)}"
        )

    def _print(self, line: str) -> None:
        # No wrapping: a line of a log is a line, however wide the console believes itself to be.
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class LivePanel:
    """A panel that is redrawn in place."""

    def __init__(self, console: Console, subject: Subject) -> None:
        self.console = console
        self.subject = subject
        self.progress = subject.progress
        self.history = subject.history
        self._started = time.monotonic()
        self._recent: deque[Record] = deque(maxlen=SPEED_WINDOW)
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=REFRESHES)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, record: Record) -> None:
        """Take the record in; the panel is redrawn by its own clock."""
        self._recent.append(record)
        p = self.progress
        if p.score_mean is not None:
            self.history.append(Moment(p.seconds, p.update, p.episode, p.score_mean))

    def render(self) -> RenderableType:
        """Draw the panel for the console's present width."""
        # At the right edge the ^C that a terminal echoes would wrap and push the panel down.
        width = max(14, self.console.width - len("^C") - 1)
        inside = width - 4
        lines = [*self._counts(), *self._scores(inside), *self._update(), *self._when()]
        title = Text(self.subject.title, overflow="ellipsis")
        return Panel(Group(*lines), title=title, title_align="left", border_style="blue", width=width)

    def _counts(self) -> list[Text]:
        p = self.progress
        return [
            Text.assemble(
                ("episode ", "dim"), (f"{p.episode}", "bold"), ("  update ", "dim"), f"{p.update}",
                ("  steps ", "dim"), f"{p.step:,}", ("  frames ", "dim"), f"{p.frame:,}",
                ("  trained ", "dim"), clock(p.seconds),
            )
        ]  # fmt: skip

    def _scores(self, width: int) -> list[Text]:
        p = self.progress
        if not self.history:
            waiting = "waiting for the first game to end" if self._recent else "starting the games"
            return [Text(waiting, style="dim")]
        last = " ".join(f"{score:+d}" for score in list(p.scores)[-7:])
        curve = [moment.score_mean for moment in self.history]
        return [
            Text.assemble(
                ("score ", "dim"), (score_text(p), "bold green"),
                (f" mean of the last {len(p.scores)}   last games ", "dim"), last,
            ),
            Text(sparkline(curve, width, ascii_only=self.console.options.ascii_only), "cyan", no_wrap=True),
            Text(f"from {curve[0]:.1f} to {curve[-1]:.1f}, highest {max(curve):.1f}", style="dim"),
        ]  # fmt: skip

    def _update(self) -> list[Text]:
        if not self._recent:
            return []
        stats = self._recent[-1].stats
        seconds = sum(r.seconds for r in self._recent)
        share = {
            part: sum(getattr(r, f"{part}_seconds") for r in self._recent) / seconds
            for part in ("games", "network", "update")
        }
        parts = "  ".join(f"{part} {value:.0%}" for part, value in share.items())
        return [
            Text.assemble(
                ("entropy ", "dim"), f"{stats.entropy:.3f}", ("  gradient ", "dim"), f"{stats.grad_norm:.3g}",
                ("  KL ", "dim"), f"{stats.kl:.4f}", ("  clipped ", "dim"), f"{stats.clip_share:.1%}",
            ),
            Text.assemble(
                ("speed ", "dim"), f"{sum(r.steps for r in self._recent) / seconds:,.0f} steps/s",
                ("  time goes to ", "dim"), parts,
            ),
        ]  # fmt: skip

    def _when(self) -> list[Text]:
        now = time.monotonic()
        left = self.subject.stop.remaining(self.history, now - self._started)
        return [
            Text.assemble(
                ("left ", "dim"), "-" if left is None else f"about {clock(left)}",
                ("  checkpoint ", "dim"), f"{clock(now - self.subject.saved_at())} ago",
                ("  Ctrl-C saves and stops", "dim"),
            )
        ]  # fmt: skip


def score_text(progress: Progress) -> str:
    """Write the running mean, or a dash before the first game has ended."""
    return "-" if progress.score_mean is None else f"{progress.score_mean:+.1f}"


def clock(seconds: float) -> str:
    """Write a duration.

    >>> clock(75), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def sparkline(values: list[float], width: int, *, ascii_only: bool = False) -> str:
    """Draw values as one row of bars, at most `width` of them, each the mean of its share of the values.

    >>> sparkline([0, 1, 2, 3], 4)
    '▁▃▆█'
    >>> sparkline([0, 0, 4, 4], 2, ascii_only=True)
    '_#'
    """
    bars = "_.:-=+*#" if ascii_only else "▁▂▃▄▅▆▇█"
    if not values:
        return ""
    n = min(width, len(values))
    shares = [values[i * len(values) // n : (i + 1) * len(values) // n] for i in range(n)]
    means = [sum(share) / len(share) for share in shares]
    low, high = min(means), max(means)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(bars[round((mean - low) * scale)] for mean in means)
