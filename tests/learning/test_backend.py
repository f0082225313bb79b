"""The backends: each agrees with numpy, none is loaded unasked, and what is missing is named."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from pgpong.config import from_recipe
from pgpong.envs.preprocess import PIXELS
from pgpong.errors import SettingError
from pgpong.learning.backend import NUMPY, Backend, find_backend
from pgpong.learning.batch import Batch
from pgpong.learning.court import pair
from pgpong.learning.critic import Critic
from pgpong.learning.policy import Policy
from pgpong.learning.policy_gradient import make_optimizer, update

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
