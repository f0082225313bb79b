"""When a training ends: the conditions a user may set, and the signals that may come."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Self

from pgpong.state import SCORE_WINDOW, Progress


@dataclass(frozen=True)
class StopConditions:
    """The first one reached ends the training; None is no condition.

    Episodes and updates are counted over the whole run, minutes from the start of this command; `until` is
    a mean score over the last 100 episodes.
    """

    episodes: int | None = None
    updates: int | None = None
    minutes: float | None = None
    until: float | None = None

    def reached(self, progress: Progress, seconds: float) -> str | None:
        """Say which condition is met, `seconds` after the start of this command; None if none is."""
        if self.episodes is not None and progress.episode >= self.episodes:
            return f"episode {progress.episode} reached"
        if self.updates is not None and progress.update >= self.updates:
            return f"update {progress.update} reached"
        if self.minutes is not None and seconds >= 60 * self.minutes:
            return f"{self.minutes:g} minutes over"
        if self.until is not None and len(progress.scores) == SCORE_WINDOW:
            mean = progress.score_mean
            if mean is not None and mean >= self.until:
                return f"mean score {mean:.1f} reached"
        return None

    def remaining(self, history: Sequence["Moment"], seconds: float) -> float | None:
        """Estimate the seconds left, from the second half of the moments so far; None if nobody can tell."""
        if len(history) < 2:
            return None
        last, before = history[-1], history[len(history) // 2 - 1]
        elapsed = max(last.seconds - before.seconds, 1e-9)
        estimates = []
        if self.minutes is not None:
            estimates.append(60 * self.minutes - seconds)
        for target, now, then in (
            (self.episodes, last.episode, before.episode),
            (self.updates, last.update, before.update),
            (self.until, last.score_mean, before.score_mean),
        ):
            if target is not None and now > then:
                estimates.append((target - now) * elapsed / (now - then))
        return max(0.0, min(estimates)) if estimates else None


@dataclass(frozen=True)
class Moment:
    """A point of the learning curve."""

    seconds: float
    update: int
    episode: int
    step: int
    score_mean: float


class Signals:
    """Notes the first signal to end instead of dying of it; the second one ends the process at once."""

    # SIGHUP says that the terminal is gone, as when a connection drops; Windows has none.
    CAUGHT = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> Self:
        # One that is ignored, as in a job that a script began with &, is not meant for us.
        heard = [number for number in self.CAUGHT if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Tell whether a signal has come."""
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        for heard in self._before:
            signal.signal(heard, signal.SIG_DFL)
