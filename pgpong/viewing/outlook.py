"""How a training stands beside the reference runs of its recipe, and when it may reach its next target."""

from dataclasses import dataclass

from pgpong.reference import Reference, Standing
from pgpong.state import Progress

TARGETS = (0, 15, 18)  # mean scores: as good as the built-in opponent, clearly better, nearly perfect
EARLIEST = 20  # episodes; before that a mean score says little


@dataclass(frozen=True)
class Forecast:
    """How many steps it takes to a mean score, if all goes on as in the reference runs.

    Infinite if half of them or more never came to it.
    """

    target: float
    steps: float


@dataclass(frozen=True)
class Outlook:
    """A training that goes on meanwhile, beside its reference runs; `until` is the user's own target."""

    progress: Progress
    reference: Reference
    until: float | None = None

    def standing(self) -> Standing | None:
        """Compare the mean score with the reference at the same step; None where there is nothing to say."""
        score = self.progress.score_mean
        if score is None or self.progress.episode < EARLIEST:
            return None
        return self.reference.standing(self.progress.step, score)

    def forecast(self) -> Forecast | None:
        """Look ahead to the next target; None where there is none, or the reference cannot tell.

        It cannot after its end, nor where its settings are others: those learn at another pace.
        """
        standing = self.standing()
        if standing is None or standing.past or self.reference.other_settings:
            return None
        targets = TARGETS if self.until is None else (self.until,)
        ahead = [target for target in targets if target > standing.score]
        if not ahead:
            return None
        return Forecast(ahead[0], self.reference.steps_to(ahead[0], self.progress.step, standing.score))
