"""The backends: each agrees with numpy, none is loaded unasked, and what is missing is named."""

import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from pgpong.agent import Agent
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import SettingError
from pgpong.fastest import find_fastest, installed, seconds_a_batch
from pgpong.learning.ascent import make_optimizer
from pgpong.learning.backend import BACKENDS, NUMPY, Backend, find_backend
from pgpong.learning.batch import Batch
from pgpong.learning.court import pair
from pgpong.learning.critic import Critic
from pgpong.learning.policy import Policy
from pgpong.learning.policy_gradient import update
from pgpong.pixels import PIXELS
from pgpong.state import new_state
from pgpong.storage.checkpoint import load_checkpoint, save_checkpoint
from pgpong.training import beside, train

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def strict():
    return Backend("array_api_strict", pytest.importorskip("array_api_strict"), "cpu")


def found(name, device):
    if name == "torch":
        pytest.importorskip("torch")
    try:
        return find_backend(name, device)
    except SettingError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["array_api_strict", "torch cpu", "torch cuda", "torch mps", "cupy cuda"])
def backend(request):
    return strict() if request.param == "array_api_strict" else found(*request.param.split())


def far_apart(actual, expected):
    """Return how far arrays by name are apart, relative to how long they are."""
    assert actual.keys() == expected.keys()
    return max(
        float(np.linalg.norm(actual[name] - W) / (np.linalg.norm(W) or 1)) for name, W in expected.items()
    )


class Case:
    """A random policy, critic, batch and recipe."""

    def __init__(self, seed, dtype):
        rng = np.random.default_rng(seed)
        self.n, half, pictures = rng.integers(2, 50), rng.integers(1, 8), rng.integers(1, 3)
        self.config = from_recipe(
            "fast",
            mirror=bool(rng.integers(2)),
            stay=bool(rng.integers(2)),
            critic=bool(rng.integers(2)),
            optimizer=str(rng.choice(["adam", "rmsprop"])),
            reduction=str(rng.choice(["mean", "sum"])),
            passes=int(rng.integers(1, 4)),
            minibatches=int(rng.integers(1, 4)),
            weight_decay=float(rng.choice([0.0, 0.1])),
            max_kl=float("inf"),
            epsilon=1e-3,  # Adam's first steps are the gradient's signs, and rounding decides some of them
        )
        self.policy = self.network(rng, 2 * half, pictures * PIXELS, dtype, -1, may_stay=self.config.stay)
        self.critic = self.network(rng, 2 * half, pictures * PIXELS, dtype, 1)
        frames = rng.choice([-1.0, 0.0, 1.0], (self.n, pictures * PIXELS), p=[0.01, 0.98, 0.01])
        ends = rng.random(self.n) < 0.2
        ends[-1] = True
        self.batch = Batch(
            csr_array(frames.astype(np.float32)),
            rng.integers(0, 2 + self.config.stay, self.n).astype(np.uint8),
            np.log(rng.uniform(0.2, 0.8, self.n)),
            np.where(ends, rng.choice([-1.0, 1.0], self.n), 0.0),
            ends,
            np.cumsum(ends) // 3,
        )

    def network(self, rng, hidden, pixels, dtype, sign, may_stay=False):
        network = Policy.initialise(rng, hidden, pixels, 100, dtype, may_stay=may_stay)
        if self.config.mirror:
            pair(network, sign)
        return network

    def layers(self, backend):
        """Return what forward and backward give there."""
        policy = self.policy.copy().to(backend)
        x = policy.see(self.batch.frames)
        h, z = policy.forward(x)
        log_p = policy.log_probabilities(h, z)
        dz = backend.asarray(np.linspace(-1, 1, self.n), like=z)
        ds = dz**2 if policy.may_stay else None
        results = {"h": h, "z": z, "log_p": log_p, **policy.backward(x, h, dz, ds)}
        return {name: backend.to_numpy(array) for name, array in results.items()}

    def updated(self, backend):
        """Return the weights after one whole update there, and what it says of itself."""
        policy, network = self.policy.copy().to(backend), self.critic.copy().to(backend)
        critic = Critic(network, make_optimizer(network, self.config)) if self.config.critic else None
        rng = np.random.default_rng(1)
        optimizer = make_optimizer(policy, self.config)
        stats = update(policy, optimizer, self.batch, self.config, rng, critic)
        weights = policy.parameters | {f"critic's {name}": W for name, W in network.parameters.items()}
        return {name: backend.to_numpy(W) for name, W in weights.items()}, stats


def test_an_update_in_float32_asks_for_no_float64(monkeypatch):
    """A device like mps has none."""
    backend = found("torch", "cpu")
    bring = type(backend)._bring

    def without_float64(self, array):
        assert array.dtype != np.float64
        return bring(self, array)

    monkeypatch.setattr(type(backend), "_bring", without_float64)
    for seed in range(10):
        Case(seed, "float32").updated(backend)


def test_a_policy_brought_to_another_backend_has_weights_of_its_own():
    there = Case(0, "float32").policy.to(found("torch", "cpu"))
    back = there.to(NUMPY)
    before = back.W1.copy()
    there.W1[...] += 1
    assert (before == back.W1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_backend_computes_what_numpy_computes(backend, dtype):
    if backend.device == "mps" and dtype == "float64":
        pytest.skip("mps has no float64")
    tolerance = TOLERANCE[dtype]
    for seed in range(100):
        case = Case(seed, dtype)
        assert far_apart(case.layers(backend), case.layers(NUMPY)) < tolerance, seed
        weights, stats = case.updated(backend)
        expected, expected_stats = case.updated(NUMPY)
        assert {W.dtype for W in weights.values()} == {np.dtype(dtype)}
        assert far_apart(weights, expected) < tolerance, seed
        figures, expected_figures = (
            {name: value for name, value in vars(s).items() if value is not None}
            for s in (stats, expected_stats)
        )
        assert figures == pytest.approx(expected_figures, rel=10 * tolerance, abs=10 * tolerance), seed


SMALL = from_recipe("fast", seed=3, num_envs=4, num_workers=1, hidden=16, batch_steps=32, evaluate_every=0)

# With Adam's usual epsilon rounding decides the signs of its first steps, and after fifty updates shows.
STEADY = replace(SMALL, epsilon=1e-3)


@pytest.fixture(scope="module")
def by_numpy():
    """A real training of fifty updates by numpy: its state, and what each update was given."""
    given = []

    def noting(policy, optimizer, batch, config, rng, *rest):
        given.append((batch, config, deepcopy(rng)))
        return update(policy, optimizer, batch, config, rng, *rest)

    state = new_state(STEADY, find_game(STEADY.env))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pgpong.training.update", noting)
        records = list(islice(train(STEADY, state), 50))
    assert sum(len(record.episodes) for record in records) > 0
    return state, given


def weights_of(state):
    return state.agent.pack()[1]


def test_fifty_updates_come_to_the_same_on_every_backend(backend, by_numpy):
    """Learnt from the same games: where a random number falls between two roundings, others are played."""
    expected, given = by_numpy
    state = new_state(STEADY, find_game(STEADY.env), backend)
    policy = state.agent.policy
    for batch, config, rng in given:
        log_p = policy.log_probabilities(*policy.forward(policy.see(batch.frames)))
        chosen = backend.to_numpy(log_p)[np.arange(len(batch)), batch.actions]
        # Each game's step that waited was chosen before the last update.
        apart = np.sort(abs(chosen - batch.logp))[: -STEADY.num_envs]
        assert apart.max() < 1e-4
        update(policy, state.optimizer, batch, config, deepcopy(rng), state.critic)
    assert far_apart(weights_of(state), weights_of(expected)) < 1e-4


def test_a_training_goes_on_on_another_backend(backend, by_numpy, tmp_path):
    state, _ = by_numpy
    save_checkpoint(tmp_path / "numpy.npz", state)
    there = load_checkpoint(tmp_path / "numpy.npz", STEADY, state.agent.game, backend)
    assert there.agent.policy.backend == there.critic.network.backend == backend
    save_checkpoint(tmp_path / "there.npz", there)
    assert (tmp_path / "there.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()
    next(train(STEADY, there))
    assert far_apart(weights_of(there), weights_of(state)) > 1e-4  # it learns


def test_an_agent_plays_the_same_on_every_backend(backend):
    agent = Agent(new_state(SMALL, find_game(SMALL.env)).agent.policy, find_game(SMALL.env))
    observations = np.random.default_rng(0).integers(-1, 2, (5, 2, 80, 80)).astype(np.int8)
    there = agent.to(backend)
    expected = agent.probabilities(observations)
    np.testing.assert_allclose(there.probabilities(observations), expected, rtol=1e-5)
    assert agent.to("cpu").policy is agent.policy
    assert there.to("cpu").policy.backend is NUMPY


def test_a_numpy_run_loads_no_gpu_library():
    code = """
import sys
from itertools import islice
from tests.learning.test_backend import SMALL
from pgpong import find_game, new_state, train
list(islice(train(SMALL, new_state(SMALL, find_game(SMALL.env))), 2))
print([m for m in ("torch", "cupy", "array_api_compat.torch") if m in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_a_missing_library_is_answered_with_the_command_that_installs_it(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"pgpong.learning.{library}_backend", raising=False)
    with pytest.raises(SettingError, match=rf"needs pip install 'pgpong\[{library}\]'$"):
        find_backend(library)


def test_an_unknown_backend_or_device_is_answered_with_what_there_is():
    with pytest.raises(SettingError, match="choose one of numpy, torch, cupy"):
        find_backend("jax")
    with pytest.raises(SettingError, match="numpy has no device 'cuda'"):
        find_backend("numpy", "cuda")
    pytest.importorskip("torch")
    with pytest.raises(SettingError, match=r"torch finds no device 'cuda:99' here, only .*cpu"):
        find_backend(None, "cuda:99")


def test_the_fastest_backend_is_chosen_and_the_measurement_told():
    pytest.importorskip("torch")
    told = []
    numpy, *others = installed("cpu")
    assert numpy is NUMPY
    for slow in (numpy, *others):
        seconds = {backend: 1.0 + (backend == slow) for backend in (numpy, *others)}
        assert find_fastest(lambda backend, s=seconds: s[backend], "cpu", told.append) != slow
        assert "1e+03 ms" in told[-1]
        assert "2e+03 ms" in told[-1]
    assert {backend.name for backend in installed()} <= set(BACKENDS)
    assert all(0 < seconds_a_batch(SMALL, backend) < 60 for backend in installed())


def test_the_critic_beside_the_policy_has_one_thread_too():
    """More would take cores from the games, and their number is in a sum's last bit."""
    backend = found("torch", "cpu")
    with threadpool_limits(1), beside(backend) as executor:
        assert executor.submit(backend.xp.get_num_threads).result() == 1


def test_a_backend_with_too_little_memory_is_not_the_fastest():
    def seconds(backend):
        if backend is full:
            raise MemoryError
        return 1.0

    full, *others = list(installed("cpu"))
    if not others:
        pytest.skip("one backend alone")
    assert find_fastest(seconds, "cpu", lambda line: None) != full
