"""Out of memory: work is cut into pieces and comes to the same; what fits in no way is said in one line."""

import subprocess
import sys
from itertools import islice

import numpy as np
import pytest

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import SettingError
from pgpong.learning.backend import NUMPY
from pgpong.learning.pieces import Pieces
from pgpong.state import new_state
from pgpong.training import train
from tests.learning.test_backend import SMALL, TOLERANCE, Case, far_apart, found

# An update whose minibatch needs 52 MB for the hidden units alone, and some times that on the way back;
# then the same one with 130 MB to be had, in which the gradients' 10 MB each have room in any case.
SHORT_OF_MEMORY = """
import resource, sys
import numpy as np
from pgpong import find_game, from_recipe, new_state
from pgpong.fastest import random_batch
from pgpong.learning.policy_gradient import update
from pgpong.learning.backend import find_backend
from threadpoolctl import threadpool_limits

threadpool_limits(1)  # each thread takes memory of its own
settings = dict(num_envs=32, batch_steps=2048, hidden=200, passes=1, minibatches=1)
config = from_recipe("fast", **settings)
batch = random_batch(config, np.random.default_rng(0))
weights, pieces = [], []
for room in (None, 130_000_000):
    state = new_state(config, find_game(config.env), find_backend(sys.argv[1]))
    if room:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
    learner = state.agent.policy, state.optimizer, batch, config, np.random.default_rng(1), state.critic
    update(*learner)
    pieces.append(state.pieces)
    weights.append(state.agent.pack()[1]["W1"])
print(*pieces, np.linalg.norm(weights[1] - weights[0]) / np.linalg.norm(weights[0]))
"""


class Scarce:
    """Work that runs out of memory where it is given more than `most` rows."""

    def __init__(self, most):
        self.most = most
        self.done = []

    def __call__(self, rows):
        if len(rows) > self.most:
            raise MemoryError
        self.done.append(rows)
        return rows.sum()


@pytest.mark.parametrize(("most", "pieces"), [(10, 1), (5, 2), (3, 4), (1, 16)])
def test_what_is_too_much_at_once_is_done_in_pieces(most, pieces):
    work, these = Scarce(most), Pieces(NUMPY)
    assert these.do(work, np.add, np.arange(10)) == 45
    assert these.count == pieces
    work.done.clear()
    assert these.do(work, np.add, np.arange(10)) == 45  # it has learnt how small they must be
    assert sorted(np.concatenate(work.done)) == list(range(10))


def test_what_fits_in_no_way_is_named():
    message = "numpy on cpu has too little memory: try fewer --hidden units"
    with pytest.raises(SettingError, match=message), NUMPY.naming_memory():
        Pieces(NUMPY).do(Scarce(0), np.add, np.arange(10))


@pytest.mark.parametrize("name", ["numpy", "torch cpu"])
def test_a_network_that_fits_in_no_memory_is_named(name):
    backend = NUMPY if name == "numpy" else found(*name.split())
    config = from_recipe(hidden=20_000_000)  # terabytes
    with pytest.raises(SettingError, match=f"{backend} has too little memory: try fewer --hidden units"):
        new_state(config, find_game(config.env), backend)


@pytest.mark.parametrize(
    "words", ["DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", "std::bad_alloc"]
)
def test_torch_says_it_in_other_words(words):
    """Those that it used in processes short of memory: of its tensors, and within its sparse products."""
    backend = found("torch", "cpu")

    def work(rows):
        if len(rows) > 2:
            raise RuntimeError(words)
        return rows.sum()

    assert Pieces(backend).do(work, np.add, np.arange(10)) == 45


def test_other_errors_are_not_taken_for_it():
    def broken(rows):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"), NUMPY.naming_memory():
        Pieces(NUMPY).do(broken, np.add, np.arange(10))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_update_in_pieces_is_the_update(monkeypatch, dtype):
    cases = [Case(seed, dtype) for seed in range(10)]
    whole = [case.updated(NUMPY) for case in cases]
    monkeypatch.setattr(Pieces, "_cut", lambda self, rows: np.array_split(rows, min(3, len(rows))))
    for case, (weights, stats) in zip(cases, whole, strict=True):
        cut, its_stats = case.updated(NUMPY)
        assert far_apart(cut, weights) < TOLERANCE[dtype]
        assert its_stats.kl == pytest.approx(stats.kl, rel=1e-3, abs=1e-6)
        assert its_stats.entropy == pytest.approx(stats.entropy, rel=1e-5)


def test_a_training_says_once_that_it_works_in_pieces():
    state, told = new_state(SMALL, find_game(SMALL.env)), []
    state.critic.network.pieces.count = 4  # as where memory held no more
    list(islice(train(SMALL, state, tell=told.append), 3))
    assert told == ["numpy on cpu has too little memory: minibatches are taken in 4 pieces now"]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_process_that_is_really_short_of_memory_makes_the_same_update(library):
    pytest.importorskip(library)
    command = [sys.executable, "-c", SHORT_OF_MEMORY, library]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    pieces, short, apart = answer.stdout.split()
    assert pieces == "1"
    assert int(short) > 1
    assert float(apart) < 1e-5
