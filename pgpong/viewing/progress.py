"""The display of a running training: a live panel on a terminal, plain lines anywhere else."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from pgpong.reference import Reference
from pgpong.state import Progress
from pgpong.stopping import Moment, StopConditions
from pgpong.training import Record
from pgpong.viewing.outlook import Forecast, Outlook

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
    reference: Reference = field(default=Reference("none"))

    @property
    def outlook(self) -> Outlook:
        """The training beside its reference runs."""
        return Outlook(self.progress, self.reference, self.stop.until)


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
        self.subject = subject
        self.progress = subject.progress
        self.outlook = subject.outlook
        self._recent: deque[Record] = deque(maxlen=SPEED_WINDOW)
        self._last: Record | None = None
        self._printed_at = -PLAIN_INTERVAL

    def __enter__(self) -> Self:
        title, reference = self.subject.title, self.subject.reference
        if reference.curves:
            title += f"; compared with {reference} at the same step{other_settings(reference)}"
        self._print(title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last is not None:
            self._print(self._line(self._last))

    def show(self, record: Record) -> None:
        """Print a line, unless one was printed a moment ago."""
        self._last = record
        self._recent.append(record)
        if time.monotonic() - self._printed_at >= PLAIN_INTERVAL:
            self._print(self._line(record))
            self._printed_at = time.monotonic()
            self._last = None

    def _line(self, record: Record) -> str:
        p = self.progress
        return (
            f"update {p.update}  episode {p.episode}  steps {p.step}  score {score_text(p)}{self._beside()}  "
            f"entropy {record.stats.entropy:.3f}  gradient {record.stats.grad_norm:.3g}  "
            f"{record.steps / record.seconds:,.0f} steps/s  {clock(p.seconds)}"
        )

    def _beside(self) -> str:
        standing, forecast = self.outlook.standing(), self.outlook.forecast()
        if standing is None or standing.past:
            return ""
        seconds = seconds_to(forecast, self._recent)
        if forecast is None or seconds is None:
            return f" ({standing.word})"
        return f" ({standing.word}, {forecast.target:g} in about {clock(seconds)})"

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
        self.outlook = subject.outlook
        self._started = time.monotonic()
        self._recent: deque[Record] = deque(maxlen=SPEED_WINDOW)
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=REFRESHES)

    def __enter__(self) -> Self:
        self._live.start()
        self.console.show_cursor(True)  # else a second Ctrl-C, which ends all at once, would leave none
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
            self.history.append(Moment(p.seconds, p.update, p.episode, p.step, p.score_mean))

    def render(self) -> RenderableType:
        """Draw the panel for the console's present width."""
        # At the right edge the ^C that a terminal echoes would wrap and push the panel down.
        width = max(14, self.console.width - len("^C") - 1)
        inside = width - 4
        lines = [*self._counts(), *self._scores(inside), *self._beside(), *self._update(), *self._when()]
        title = Text(self.subject.title, overflow="crop" if self.console.options.ascii_only else "ellipsis")
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
        return [
            Text.assemble(
                ("score ", "dim"), (score_text(p), "bold green"),
                (f" mean of the last {len(p.scores)}   last games ", "dim"), last,
            ),
            *self._curves(width),
        ]  # fmt: skip

    def _curves(self, width: int) -> list[Text]:
        """Draw the learning curve, under it the reference's mean at the same steps, and say what they are."""
        moments = list(self.history)  # it may grow meanwhile: Live draws in a thread of its own
        curve = [moment.score_mean for moment in moments]
        rows = [curve]
        about = f"from {curve[0]:.1f} to {curve[-1]:.1f}, highest {max(curve):.1f}"
        if self.outlook.standing() is not None:
            scores = self.subject.reference.scores_at([moment.step for moment in moments])
            rows.append(scores.mean(axis=0).tolist())
            about += "; second row: the reference's mean"
        drawn = sparklines(rows, width, ascii_only=self.console.options.ascii_only)
        styles = ("cyan", "dim")
        return [
            *(Text(row, style, no_wrap=True) for row, style in zip(drawn, styles, strict=False)),
            Text(about, style="dim"),
        ]

    def _beside(self) -> list[Text]:
        """Say how the run stands beside the reference, and when it may reach the next target."""
        reference, standing = self.subject.reference, self.outlook.standing()
        if standing is None:
            return []
        had = f"{standing.low:+.1f}"
        if len(reference.curves) > 1:
            had += f" to {standing.high:+.1f}"
        if standing.past:
            past = f"past the end of {reference}: {had} at step {reference.end:,.0f}"
            return [Text(past + other_settings(reference), "dim")]
        style = "yellow" if standing.lead < 0 else "green"
        where = f": {reference} had {had} at this step{other_settings(reference)}"
        lines = [Text.assemble((standing.word, style), (where, "dim"))]
        forecast = self.outlook.forecast()
        seconds = seconds_to(forecast, self._recent)
        if forecast is not None and seconds is not None:
            expected = f"score {forecast.target:g} expected in about {clock(seconds)}"
            steps = f" (reference: {forecast.steps:,.0f} steps from here)"
            lines.append(Text.assemble(expected, (steps, "dim")))
        elif forecast is not None and math.isinf(forecast.steps):
            reaching, runs = reference.reaching(forecast.target), len(reference.curves)
            came = f"came to it in {reaching} of {runs} runs" if reaching else "never came to it"
            lines.append(
                Text.assemble(f"score {forecast.target:g}", (f" not foreseen: the reference {came}", "dim"))
            )
        return lines

    def _update(self) -> list[Text]:
        if not self._recent:
            return []
        recent = list(self._recent)
        stats = recent[-1].stats
        seconds = sum(r.seconds for r in recent)
        share = {
            part: sum(getattr(r, f"{part}_seconds") for r in recent) / seconds
            for part in ("games", "network", "update")
        }
        parts = "  ".join(f"{part} {value:.0%}" for part, value in share.items())
        return [
            Text.assemble(
                ("entropy ", "dim"), f"{stats.entropy:.3f}", ("  gradient ", "dim"), f"{stats.grad_norm:.3g}",
                ("  KL ", "dim"), f"{stats.kl:.4f}", ("  clipped ", "dim"), f"{stats.clip_share:.1%}",
            ),
            Text.assemble(
                ("speed ", "dim"), f"{speed(recent):,.0f} steps/s",
                ("  time goes to ", "dim"), parts,
            ),
        ]  # fmt: skip

    def _when(self) -> list[Text]:
        now = time.monotonic()
        left = self._left(now - self._started)
        return [
            Text.assemble(
                ("left ", "dim"), "-" if left is None else f"about {clock(left)}",
                ("  checkpoint ", "dim"), f"{clock(now - self.subject.saved_at())} ago",
                ("  Ctrl-C saves and stops", "dim"),
            )
        ]  # fmt: skip

    def _left(self, seconds: float) -> float | None:
        """Estimate the seconds left, `seconds` after the start of this command."""
        stop, history = self.subject.stop, self.history
        expected = seconds_to(self.outlook.forecast(), self._recent)
        if stop.until is None or expected is None:
            return stop.remaining(history, seconds)
        # The reference knows how the curve bends; a straight line through the last moments does not.
        others = replace(stop, until=None).remaining(history, seconds)
        return expected if others is None else min(expected, others)


def speed(records: Iterable[Record]) -> float:
    """Return steps a second, over all records."""
    records = list(records)
    return sum(record.steps for record in records) / sum(record.seconds for record in records)


def seconds_to(forecast: Forecast | None, recent: Sequence[Record]) -> float | None:
    """Return how long a forecast's steps take at the recent speed; None if nobody can tell."""
    if forecast is None or math.isinf(forecast.steps) or not recent:
        return None
    return forecast.steps / speed(recent)


def other_settings(reference: Reference) -> str:
    """Say in which settings a run differs from its reference; nothing if in none."""
    return f"; other settings: {', '.join(reference.other_settings)}" if reference.other_settings else ""


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


def sparklines(rows: Sequence[Sequence[float]], width: int, *, ascii_only: bool = False) -> list[str]:
    """Draw rows of equally many values as rows of bars on one scale.

    A row has at most `width` bars, each the mean of its share of the values; a space where one is NaN.

    >>> sparklines([[0, 1, 2, 3]], 4)
    ['▁▃▆█']
    >>> sparklines([[0, 0, 4, 4], [2, 2, math.nan, 4]], 2, ascii_only=True)
    ['_#', '= ']
    """
    bars = "_.:-=+*#" if ascii_only else "▁▂▃▄▅▆▇█"
    means = [_shares(row, width) for row in rows]
    known = [mean for row in means for mean in row if not math.isnan(mean)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return [
        "".join(" " if math.isnan(mean) else bars[round((mean - low) * scale)] for mean in row)
        for row in means
    ]


def _shares(values: Sequence[float], width: int) -> list[float]:
    n = min(width, len(values))
    shares = [values[i * len(values) // n : (i + 1) * len(values) // n] for i in range(n)]
    return [sum(share) / len(share) for share in shares]
