"""What a training is between two updates: all that it takes to go on from there."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pgpong.agent import Agent
from pgpong.config import TrainConfig
from pgpong.envs.game import Game
from pgpong.envs.preprocess import PIXELS
from pgpong.learning.optimizers import Optimizer
from pgpong.learning.policy import Policy
from pgpong.learning.policy_gradient import make_optimizer

SCORE_WINDOW = 100  # episodes in the running mean


@dataclass
class Progress:
    """How far a training has come. Steps and frames are those of its batches; seconds are spent training."""

    update: int = 0
    episode: int = 0
    step: int = 0
    frame: int = 0
    seconds: float = 0.0
    scores: deque[int] = field(default_factory=lambda: deque(maxlen=SCORE_WINDOW))

    @property
    def score_mean(self) -> float | None:
        """Mean score of the last 100 episodes, of fewer where there are fewer; None before the first."""
        return sum(self.scores) / len(self.scores) if self.scores else None


@dataclass
class TrainingState:
    """The agent that learns, its optimiser, the one random generator, and how far they have come."""

    agent: Agent
    optimizer: Optimizer
    rng: np.random.Generator
    progress: Progress = field(default_factory=Progress)
    # The generator's state after the last update: a checkpoint made while games are played holds this one.
    rng_state: Any = None

    def __post_init__(self) -> None:
        self.mark_boundary()

    def mark_boundary(self) -> None:
        """Take the random generator's state down: here one update ends and the next begins."""
        self.rng_state = self.rng.bit_generator.state


def new_state(config: TrainConfig, game: Game) -> TrainingState:
    """Begin a training: weights drawn, running means at zero, nothing played."""
    rng = np.random.default_rng(config.seed)
    policy = Policy.initialise(rng, config.hidden, PIXELS, config.fan_in)
    return TrainingState(Agent(policy, game), make_optimizer(policy, config), rng)
