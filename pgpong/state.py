"""What a training is between two updates: all that it takes to go on from there."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pgpong.agent import Agent
from pgpong.config import TrainConfig
from pgpong.envs.game import Game
from pgpong.envs.preprocess import observation_shape
from pgpong.errors import SettingError
from pgpong.learning.ascent import make_optimizer
from pgpong.learning.backend import NUMPY, Backend
from pgpong.learning.court import blur, pair
from pgpong.learning.critic import Critic
from pgpong.learning.optimizers import Optimizer
from pgpong.learning.policy import Policy
from pgpong.rollout import Columns

SCORE_WINDOW = 100  # episodes in the running mean


@dataclass
class Progress:
    """How far a training has come.

    Steps and frames are those of its batches; seconds are spent training, with the evaluations that it waited
    for.
    """

    update: int = 0
    episode: int = 0
    step: int = 0
    frame: int = 0
    seconds: float = 0.0
    evaluated: int = 0  # episodes at the last evaluation
    scores: deque[int] = field(default_factory=lambda: deque(maxlen=SCORE_WINDOW))

    @property
    def score_mean(self) -> float | None:
        """Mean score of the last 100 episodes, of fewer where there are fewer; None before the first."""
        return sum(self.scores) / len(self.scores) if self.scores else None


@dataclass
class TrainingState:
    """The agent that learns, its optimiser and critic, the one random generator, and how far they have come.

    `rng_state` and `games` are as they were after the last update, whatever has been played since then:
    what a checkpoint holds is that boundary between two updates.
    """

    agent: Agent
    optimizer: Optimizer
    rng: np.random.Generator
    critic: Critic | None = None
    progress: Progress = field(default_factory=Progress)
    rng_state: dict[str, Any] = field(init=False)
    games: Columns = field(default_factory=dict)  # of the rollout; none before it has begun

    def __post_init__(self) -> None:
        self.mark_boundary(self.games)

    @property
    def pieces(self) -> int:
        """How many a minibatch is cut into, for memory to suffice."""
        networks = [self.agent.policy] + ([self.critic.network] if self.critic else [])
        return max(network.pieces.count for network in networks)

    def mark_boundary(self, games: Columns) -> None:
        """Take down how generator and games stand: here one update ends and the next begins."""
        self.rng_state = dict(self.rng.bit_generator.state)
        self.games = games


def new_state(config: TrainConfig, game: Game, backend: Backend = NUMPY) -> TrainingState:
    """Begin a training: weights drawn, the same on any backend, running means at zero, nothing played.

    Raises:
        SettingError: the policy is not one for this backend, or is too large for its memory.
    """
    rng = np.random.default_rng(config.seed)
    with backend.naming_memory():
        policy = _draw(config, rng, backend, sign=-1, may_stay=config.stay)
        critic = None
        if config.critic:
            network = _draw(config, rng, backend, sign=1)
            critic = Critic(network, make_optimizer(network, config))
        return TrainingState(Agent(policy, game), make_optimizer(policy, config), rng, critic)


def _draw(
    config: TrainConfig, rng: np.random.Generator, backend: Backend, *, sign: int, may_stay: bool = False
) -> Policy:
    """Draw a network's weights; of a mirrored one, a frame upside down has `sign` times the output."""
    pixels = math.prod(observation_shape(config.current))
    if config.policy == "conv":
        if backend.name != "torch":
            raise SettingError("--policy conv needs --backend torch")
        from pgpong.learning.conv import ConvPolicy  # loads torch

        return ConvPolicy.draw(rng, config.hidden, pixels, backend, may_stay=may_stay)
    network = Policy.initialise(rng, config.hidden, pixels, config.fan_in, may_stay=may_stay)
    if config.blur:
        network.W1[:] = blur(network.W1, config.blur)
    if config.mirror:
        pair(network, sign)
    return network.to(backend)
