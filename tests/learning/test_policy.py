"""The network and its gradient: worked by hand, by finite differences, by autograd, by another namespace."""

import math
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array

from pgpong.learning.policy import Policy, entropy, log_probability, probability_of_up


def random_policy(hidden=7, pixels=24, dtype="float64", seed=0):
    return Policy.initialise(np.random.default_rng(seed), hidden, pixels, fan_in=5, dtype=dtype)


def random_frames(n=11, pixels=24, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(-1, 2, (n, pixels)).astype(np.float64)


def test_forward_by_hand():
    policy = Policy(np.array([[1.0, -2.0, 0.0], [0.5, 0.5, 0.5]]), np.array([3.0, -1.0]))
    h, z = policy.forward(np.array([[1.0, 1.0, 0.0], [0.0, -1.0, 1.0]]))
    # Row 1: h = max(0, (1 - 2, 0.5 + 0.5)) = (0, 1), z = -1. Row 2: h = max(0, (2, 0)) = (2, 0), z = 6.
    assert h.tolist() == [[0.0, 1.0], [2.0, 0.0]]
    assert z.tolist() == [-1.0, 6.0]


def test_sparse_frames_give_what_dense_ones_give():
    policy, x = random_policy(), random_frames()
    sparse = csr_array(x)
    (h, z), (hs, zs) = policy.forward(x), policy.forward(sparse)
    np.testing.assert_allclose(zs, z, rtol=1e-12)
    dz = np.linspace(-1, 1, len(z))
    for name, gradient in policy.backward(x, h, dz).items():
        np.testing.assert_allclose(policy.backward(sparse, hs, dz)[name], gradient, rtol=1e-12, atol=1e-15)


def objective(policy, x, up, weight):
    _, z = policy.forward(x)
    return float(np.sum(weight * log_probability(z, up)))


def test_gradient_equals_finite_differences():
    policy, x = random_policy(), random_frames()
    rng = np.random.default_rng(2)
    up, weight = rng.random(len(x)) < 0.5, rng.standard_normal(len(x))
    h, z = policy.forward(x)
    gradients = policy.backward(x, h, weight * (up - probability_of_up(z)))
    step = 1e-6
    for name, array in policy.parameters.items():
        numeric = np.empty_like(array)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = objective(policy, x, up, weight)
            array[index] = kept - step
            below = objective(policy, x, up, weight)
            array[index] = kept
            numeric[index] = (above - below) / (2 * step)
        error = np.linalg.norm(gradients[name] - numeric) / np.linalg.norm(numeric)
        assert error < 1e-6, name


def test_gradient_equals_autograd():
    torch = pytest.importorskip("torch")
    policy, x = random_policy(hidden=20, pixels=6400), random_frames(n=40, pixels=6400)
    rng = np.random.default_rng(3)
    up, weight = rng.random(len(x)) < 0.5, rng.standard_normal(len(x))
    W1, W2 = (torch.tensor(np.ascontiguousarray(W), requires_grad=True) for W in (policy.W1, policy.W2))
    z = torch.relu(torch.tensor(x) @ W1.T) @ W2
    likelihood = -torch.nn.functional.binary_cross_entropy_with_logits(
        z, torch.tensor(up.astype(float)), torch.tensor(weight), reduction="sum"
    )
    likelihood.backward()
    h, z = policy.forward(csr_array(x))
    gradients = policy.backward(csr_array(x), h, weight * (up - probability_of_up(z)))
    for name, expected in (("W1", W1.grad), ("W2", W2.grad)):
        error = np.linalg.norm(gradients[name] - expected.numpy()) / np.linalg.norm(expected.numpy())
        assert error < 1e-6, name


def test_runs_on_any_namespace_of_the_array_api_standard():
    xp = pytest.importorskip("array_api_strict")
    reference, x = random_policy(), random_frames()
    policy = Policy(xp.asarray(reference.W1.copy()), xp.asarray(reference.W2.copy()), xp)
    h, z = policy.forward(xp.asarray(x))
    h0, z0 = reference.forward(x)
    np.testing.assert_allclose(np.asarray(z), z0, rtol=1e-12)
    gradients = policy.backward(xp.asarray(x), h, probability_of_up(z, xp))
    for name, expected in reference.backward(x, h0, probability_of_up(z0)).items():
        np.testing.assert_allclose(np.asarray(gradients[name]), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.asarray(entropy(z, xp)), entropy(z0), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_logit_overflows(dtype):
    z = np.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probability_of_up(z).tolist() == pytest.approx([0, 0, 0.5, 1, 1])
        assert log_probability(z, np.ones(5, bool)).tolist() == pytest.approx(
            [-1e4, -100, -math.log(2), 0, 0]
        )
        assert log_probability(z, np.zeros(5, bool)).tolist() == pytest.approx(
            [0, 0, -math.log(2), -100, -1e4]
        )
        assert entropy(z).tolist() == pytest.approx([0, 0, math.log(2), 0, 0], abs=1e-3)


def test_probability_and_entropy_by_their_definitions():
    z = np.linspace(-6, 6, 25)
    p = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(probability_of_up(z), p, rtol=1e-13)
    np.testing.assert_allclose(log_probability(z, z > 0), np.log(np.where(z > 0, p, 1 - p)), rtol=1e-12)
    np.testing.assert_allclose(entropy(z), -p * np.log(p) - (1 - p) * np.log(1 - p), rtol=1e-12)


@pytest.mark.parametrize("fan_in", [6400, 40])
def test_weights_start_with_the_variances_named(fan_in):
    policy = Policy.initialise(np.random.default_rng(0), 200, 6400, fan_in)
    assert policy.W1.shape == (200, 6400)
    assert policy.W2.shape == (200,)
    assert policy.W1.dtype == policy.W2.dtype == np.float32
    # 1.28 million draws: the sample variance is within 1% of the true one at 8 standard errors.
    assert policy.W1.var() == pytest.approx(1 / fan_in, rel=0.01)
    assert policy.W2.var() == pytest.approx(1 / 200, rel=0.5)
    assert abs(policy.W1.mean()) < 5 / np.sqrt(fan_in * policy.W1.size)
    assert policy.W1.flags.f_contiguous
