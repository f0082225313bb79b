"""Returns and standardising, by hand and against the definition."""

import numpy as np
import pytest

from pgpong.learning.returns import discounted_returns, generalised_advantages, standardise


def test_returns_by_hand():
    rewards = np.array([0, 0, 1, 0, -1, 0.0])
    ends = np.array([0, 0, 1, 0, 1, 1], bool)  # the last rally ended without a point
    expected = [0.81, 0.9, 1, -0.9, -1, 0]
    np.testing.assert_allclose(discounted_returns(rewards, ends, 0.9), expected, rtol=1e-15)


def test_returns_are_the_discounted_sum_to_the_end_of_the_rally():
    rng = np.random.default_rng(0)
    n, gamma = 300, 0.97
    ends = rng.random(n) < 0.05
    ends[-1] = True
    rewards = rng.standard_normal(n)
    following = np.flatnonzero(ends)
    expected = [
        sum(gamma ** (k - t) * rewards[k] for k in range(t, following[following >= t][0] + 1))
        for t in range(n)
    ]
    np.testing.assert_allclose(discounted_returns(rewards, ends, gamma), expected, rtol=1e-12)


def test_advantages_by_hand():
    rewards, ends = np.array([0, 1, 0, -1.0]), np.array([0, 1, 0, 1], bool)
    values = np.array([0.5, 0.25, -0.5, -1])
    # δ: 0 + 0.8·0.25 - 0.5, 1 - 0.25, 0 - 0.8·1 + 0.5, -1 + 1; each adds 0.8·0.5 times the next of its rally
    expected = [-0.3 + 0.4 * 0.75, 0.75, -0.3 + 0.4 * 0, 0]
    advantages = generalised_advantages(rewards, ends, values, gamma=0.8, lam=0.5)
    np.testing.assert_allclose(advantages, expected, rtol=1e-12, atol=1e-15)


def rallies(n=300):
    rng = np.random.default_rng(6)
    ends = rng.random(n) < 0.05
    ends[-1] = True
    return np.where(ends, rng.choice([-1.0, 1.0], n), 0.0), ends, rng.standard_normal(n)


def test_advantages_mix_forecasts_of_every_length():
    """As GAE is defined: λ weighs k-step forecasts γ^k V_{t+k} + rewards until then, (1 - λ) λ^(k-1) each."""
    rewards, ends, values = rallies()
    gamma, lam = 0.97, 0.9
    last = np.flatnonzero(ends)
    for t in range(0, len(rewards), 7):
        end = last[last >= t][0]
        mixed, weight = 0.0, 1.0
        for k in range(1, end - t + 1):
            forecast = sum(gamma**i * rewards[t + i] for i in range(k)) + gamma**k * values[t + k]
            mixed += (1 - lam) * lam ** (k - 1) * forecast
            weight -= (1 - lam) * lam ** (k - 1)
        mixed += weight * sum(gamma ** (i - t) * rewards[i] for i in range(t, end + 1))
        got = generalised_advantages(rewards, ends, values, gamma, lam)[t]
        assert got == pytest.approx(mixed - values[t], rel=1e-9)


def test_with_lambda_one_advantages_are_returns_less_values():
    rewards, ends, values = rallies()
    advantages = generalised_advantages(rewards, ends, values, 0.99, 1.0)
    np.testing.assert_allclose(advantages, discounted_returns(rewards, ends, 0.99) - values, atol=1e-12)


def test_an_empty_batch_has_no_returns():
    assert discounted_returns(np.zeros(0), np.zeros(0, bool), 0.9).shape == (0,)


def test_standardised_values_have_mean_zero_and_deviation_one():
    values = np.random.default_rng(1).normal(5, 3, 1000)
    result = standardise(values)
    assert result.mean() == pytest.approx(0, abs=1e-14)
    assert result.std() == pytest.approx(1)
    np.testing.assert_allclose(result, (values - values.mean()) / values.std())


def test_each_group_is_standardised_by_itself():
    values, groups = np.array([1.0, 100.0, 3.0, 300.0, 500.0]), np.array([40, 7, 40, 7, 7])
    result = standardise(values, groups)
    assert result[[0, 2]].tolist() == [-1, 1]
    np.testing.assert_allclose(result[[1, 3, 4]], np.array([-1, 0, 1]) * np.sqrt(1.5))


@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 1e9])
@pytest.mark.parametrize("n", [1, 3, 1000])
def test_equal_returns_are_harmless(value, n):
    assert standardise(np.full(n, value)).tolist() == [0.0] * n
