"""The network and its gradient: worked by hand, by finite differences, by autograd, by another namespace."""

import math
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array

from pgpong.learning.backend import Backend
from pgpong.learning.policy import (
    Policy,
    entropy,
    log_probabilities,
    log_probability,
    one_hot,
    sample,
)
from pgpong.learning.policy_gradient import by_logits


def random_policy(hidden=7, pixels=24, dtype="float64", seed=0, may_stay=False):
    rng = np.random.default_rng(seed)
    return Policy.initialise(rng, hidden, pixels, fan_in=5, dtype=dtype, may_stay=may_stay)


def random_frames(n=11, pixels=24, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(-1, 2, (n, pixels)).astype(np.float64)


def test_forward_by_hand():
    policy = Policy(np.array([[1.0, -2.0, 0.0], [0.5, 0.5, 0.5]]), np.array([3.0, -1.0]))
    h, z = policy.forward(np.array([[1.0, 1.0, 0.0], [0.0, -1.0, 1.0]]))
    # Row 1: h = max(0, (1 - 2, 0.5 + 0.5)) = (0, 1), z = -1. Row 2: h = max(0, (2, 0)) = (2, 0), z = 6.
    assert h.tolist() == [[0.0, 1.0], [2.0, 0.0]]
    assert z.tolist() == [-1.0, 6.0]


def test_what_it_does_by_hand():
    weights = np.array([[1.0, -2.0, 0.0], [0.5, 0.5, 0.5]]), np.array([3.0, -1.0])
    policy = Policy(*weights, W2_stay=np.array([0.5, 2.0]))
    h, z = policy.forward(np.array([[1.0, 1.0, 0.0], [0.0, -1.0, 1.0]]))
    # As above: h = (0, 1), z = -1 and h = (2, 0), z = 6. So s = 2 and 1.
    for i, powers in enumerate(([0.5, -0.5, 2.0], [-3.0, 3.0, 1.0])):
        expected = np.exp(powers) / np.exp(powers).sum()
        np.testing.assert_allclose(np.exp(policy.log_probabilities(h, z)[i]), expected, rtol=1e-12)
    moving = Policy(*weights)
    p = 1 / (1 + math.exp(1))
    np.testing.assert_allclose(np.exp(moving.log_probabilities(h, z)[0]), [1 - p, p], rtol=1e-12)


@pytest.mark.parametrize("may_stay", [False, True])
def test_sparse_frames_give_what_dense_ones_give(may_stay):
    policy, x = random_policy(may_stay=may_stay), random_frames()
    sparse = csr_array(x)
    (h, z), (hs, zs) = policy.forward(x), policy.forward(sparse)
    np.testing.assert_allclose(zs, z, rtol=1e-12)
    dz, ds = np.linspace(-1, 1, len(z)), np.linspace(2, 1, len(z)) if may_stay else None
    gradients = policy.backward(x, h, dz, ds)
    assert gradients.keys() == policy.parameters.keys()
    for name, gradient in gradients.items():
        there = policy.backward(sparse, hs, dz, ds)[name]
        np.testing.assert_allclose(there, gradient, rtol=1e-12, atol=1e-15)


def objective(policy, x, actions, weight):
    log_p = policy.log_probabilities(*policy.forward(x))
    return float(np.sum(weight * log_probability(log_p, actions)))


def gradient_of_objective(policy, x, actions, weight):
    h, z = policy.forward(x)
    log_p = policy.log_probabilities(h, z)
    return policy.backward(x, h, *by_logits(weight[:, None] * (one_hot(actions, log_p) - np.exp(log_p))))


@pytest.mark.parametrize("may_stay", [False, True])
def test_gradient_equals_finite_differences(may_stay):
    policy, x = random_policy(may_stay=may_stay), random_frames()
    rng = np.random.default_rng(2)
    actions, weight = rng.integers(0, 2 + may_stay, len(x)), rng.standard_normal(len(x))
    gradients = gradient_of_objective(policy, x, actions, weight)
    step = 1e-6
    for name, array in policy.parameters.items():
        numeric = np.empty_like(array)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = objective(policy, x, actions, weight)
            array[index] = kept - step
            below = objective(policy, x, actions, weight)
            array[index] = kept
            numeric[index] = (above - below) / (2 * step)
        error = np.linalg.norm(gradients[name] - numeric) / np.linalg.norm(numeric)
        assert error < 1e-6, name


@pytest.mark.parametrize("may_stay", [False, True])
def test_gradient_equals_autograd(may_stay):
    torch = pytest.importorskip("torch")
    policy, x = random_policy(20, 6400, may_stay=may_stay), random_frames(n=40, pixels=6400)
    rng = np.random.default_rng(3)
    actions, weight = rng.integers(0, 2 + may_stay, len(x)), rng.standard_normal(len(x))
    there = {
        name: torch.tensor(np.ascontiguousarray(W), requires_grad=True)
        for name, W in policy.parameters.items()
    }
    h = torch.relu(torch.tensor(x) @ there["W1"].T)
    z = h @ there["W2"]
    logits = [-z / 2, z / 2, h @ there["W2_stay"]] if may_stay else [torch.zeros_like(z), z]
    losses = torch.nn.functional.cross_entropy(
        torch.stack(logits, 1), torch.tensor(actions), reduction="none"
    )
    (-losses * torch.tensor(weight)).sum().backward()
    gradients = gradient_of_objective(policy, csr_array(x), actions, weight)
    for name, W in there.items():
        error = np.linalg.norm(gradients[name] - W.grad.numpy()) / np.linalg.norm(W.grad.numpy())
        assert error < 1e-6, name


@pytest.mark.parametrize("may_stay", [False, True])
def test_runs_on_any_namespace_of_the_array_api_standard(may_stay):
    xp = pytest.importorskip("array_api_strict")
    reference, x = random_policy(may_stay=may_stay), random_frames()
    there = {name: xp.asarray(W.copy()) for name, W in reference.parameters.items()}
    policy = Policy(**there, backend=Backend("array_api_strict", xp, "cpu"))
    h, z = policy.forward(xp.asarray(x))
    h0, z0 = reference.forward(x)
    np.testing.assert_allclose(np.asarray(z), z0, rtol=1e-12)
    log_p, expected_log_p = policy.log_probabilities(h, z), reference.log_probabilities(h0, z0)
    np.testing.assert_allclose(np.asarray(log_p), expected_log_p, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(entropy(log_p, xp)), entropy(expected_log_p), rtol=1e-12)
    actions = np.arange(len(x)) % log_p.shape[1]
    picked = log_probability(log_p, xp.asarray(actions), xp)
    np.testing.assert_allclose(np.asarray(picked), log_probability(expected_log_p, actions), rtol=1e-12)
    gradients = policy.backward(xp.asarray(x), h, *by_logits(log_p))
    for name, expected in reference.backward(x, h0, *by_logits(expected_log_p)).items():
        np.testing.assert_allclose(np.asarray(gradients[name]), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_logit_overflows(dtype):
    z = np.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_p = log_probabilities(z)
        assert log_p[:, 1].tolist() == pytest.approx([-1e4, -100, -math.log(2), 0, 0])
        assert log_p[:, 0].tolist() == pytest.approx([0, 0, -math.log(2), -100, -1e4])
        assert entropy(log_p).tolist() == pytest.approx([0, 0, math.log(2), 0, 0], abs=1e-3)
        for s in (-z, z):
            both = log_probabilities(z, s)
            np.testing.assert_allclose(np.exp(both).sum(axis=1), 1, rtol=1e-5)
            assert np.isfinite(entropy(both)).all()


@pytest.mark.parametrize("may_stay", [False, True])
def test_probabilities_and_entropy_by_their_definitions(may_stay):
    z = np.linspace(-6, 6, 25)
    s = np.cos(z) if may_stay else None
    if may_stay:
        total = np.exp(z / 2) + np.exp(-z / 2) + np.exp(s)
        P = np.stack([np.exp(-z / 2), np.exp(z / 2), np.exp(s)], axis=1) / total[:, None]
    else:
        P = np.stack([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))], axis=1)
    log_p = log_probabilities(z, s)
    np.testing.assert_allclose(np.exp(log_p), P, rtol=1e-13)
    actions = np.arange(25) % P.shape[1]
    np.testing.assert_allclose(log_probability(log_p, actions), np.log(P[np.arange(25), actions]), rtol=1e-12)
    np.testing.assert_allclose(entropy(log_p), -(P * np.log(P)).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("P", [[0.3, 0.7], [0.2, 0.5, 0.3]])
def test_actions_are_drawn_as_often_as_they_are_likely(P):
    n = 40_000
    drawn = sample(np.tile(P, (n, 1)), np.random.default_rng(0))
    # Within five standard errors, which are at most 0.0025.
    np.testing.assert_allclose(np.bincount(drawn, minlength=len(P)) / n, P, atol=0.0125)


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
