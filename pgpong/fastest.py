"""Which backend is the fastest on this machine: found out by trying them on batches like the training's."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from pgpong.actions import number_of_actions
from pgpong.config import TrainConfig
from pgpong.envs.game import find_game
from pgpong.envs.preprocess import observation_shape
from pgpong.errors import SettingError
from pgpong.learning.backend import BACKENDS, NUMPY, Backend, find_backend
from pgpong.learning.batch import Batch
from pgpong.learning.frames import Frames
from pgpong.learning.policy import Policy
from pgpong.learning.policy_gradient import update
from pgpong.pixels import PIXELS
from pgpong.state import new_state
from pgpong.training import beside, split

PATIENCE = 0.5  # seconds that a backend is tried for, after a first time that warms it up
NONZERO = 28  # pixels of a picture, on average
EPISODE, RALLY = 1000, 50  # steps, about, while all is lost


def find_fastest(
    seconds: Callable[[Backend], float], device: str | None, tell: Callable[[str], None]
) -> Backend:
    """Measure `seconds` of all backends that are here, on `device` if one is given, and return the fastest.

    `tell` gets a line that says what was found.

    Raises:
        SettingError: none is here that has such a device.
    """
    candidates = list(installed(device))
    if len(candidates) == 1:
        tell(f"backend {candidates[0]}: there is no other here")
        return candidates[0]
    measured = {}
    for backend in candidates:
        try:
            with backend.naming_memory():
                measured[backend] = seconds(backend)
        except SettingError:  # not a network for this one, or too little memory
            continue
    if not measured:
        raise SettingError(f"no backend here serves{f' with the device {device!r}' if device else ''}")
    fastest = min(measured, key=lambda backend: measured[backend])
    each = ", ".join(f"{backend} {1000 * value:.3g} ms" for backend, value in measured.items())
    tell(f"backend {fastest}: the fastest here ({each})")
    return fastest


def installed(device: str | None = None) -> Iterator[Backend]:
    """Yield the backends that can be had here, each on its best device or on the given one."""
    for name in BACKENDS:
        if name == NUMPY.name or find_spec(name):
            try:
                yield find_backend(name, device)
            except SettingError:  # no such device, or half of what it needs
                continue


def seconds_a_batch(config: TrainConfig, backend: Backend) -> float:
    """Measure how long the networks take over a batch: to choose its actions, and to learn from it."""
    config = replace(config, max_kl=math.inf)  # learnt from again and again, no batch keeps within a bound
    state = new_state(config, find_game(config.env, config.frameskip, config.sticky), backend)
    policy, rng = state.agent.policy, np.random.default_rng(0)
    batch = random_batch(config, rng)
    games, _ = split(config)[0]
    with threadpool_limits(1), beside(backend) as executor:  # as in a training
        acting = seconds_a_step(policy, games, backend) * len(batch) / games
        learners = policy, state.optimizer, batch, config, rng, state.critic, executor
        learning = seconds_of(lambda: update(*learners))
    return acting + learning


def seconds_a_step(policy: Policy, games: int, backend: Backend) -> float:
    """Measure how long a policy takes to choose an action for each of some games."""
    there = policy.to(backend)
    frames = random_frames(games, policy.pixels, np.random.default_rng(0))
    return seconds_of(lambda: backend.to_numpy(there.log_probabilities(*there.forward(there.see(frames)))))


def seconds_of(work: Callable[[], object]) -> float:
    """Measure the shortest of some calls."""
    work()
    shortest, began = math.inf, time.perf_counter()
    while (start := time.perf_counter()) - began < PATIENCE:
        work()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def random_batch(config: TrainConfig, rng: np.random.Generator) -> Batch:
    """Make up a batch of the size of the training's, as sparse as its frames are."""
    n = config.num_envs * (config.batch_steps or config.episodes_per_game * EPISODE)
    frames = random_frames(n, math.prod(observation_shape(config.current)), rng)
    kinds = number_of_actions(config.stay)
    actions = rng.integers(0, kinds, n).astype(np.uint8)
    ends = np.arange(n) % RALLY == RALLY - 1
    rewards = np.where(ends, rng.choice([-1.0, 1.0], n), 0.0)
    return Batch(frames, actions, np.full(n, -math.log(kinds)), rewards, ends, np.arange(n) // EPISODE)


def random_frames(n: int, pixels: int, rng: np.random.Generator) -> Frames:
    """Make up frames (n, pixels) with as many pixels that are not zero as there are on average."""
    nonzero = NONZERO * pixels // PIXELS
    places = np.sort(rng.integers(0, pixels, (n, nonzero)), axis=1)
    values = rng.choice(np.array([-1, 1], np.float32), places.size)
    return csr_array((values, places.reshape(-1), np.arange(n + 1) * nonzero), shape=(n, pixels))
