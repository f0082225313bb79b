"""The score-function estimator against the derivative it estimates; an update against its purpose."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from pgpong import plots
from pgpong.config import from_recipe
from pgpong.errors import SettingError
from pgpong.plots.estimator import effect_of_update, pay_on_the_right, score_function_gradient
from tests.plots.made import make_agent


def expectation(mean, deviation):
    """E[f] of `pay_on_the_right` under a round Gaussian, in closed form: a half-plane."""
    normal = np.array([1, 0.6]) / math.hypot(1, 0.6)
    return 2 * norm.cdf((mean @ normal - 0.4 / math.hypot(1, 0.6)) / deviation) - 1


def test_the_estimate_is_the_derivative_of_the_expectation():
    mean, deviation, h = np.array([0.3, -0.2]), 0.8, 1e-5
    x = np.random.default_rng(0).normal(mean, deviation, (400_000, 2))
    _, estimate = score_function_gradient(x, pay_on_the_right(x), mean, deviation)
    steps = h * np.eye(2)
    exact = [(expectation(mean + s, deviation) - expectation(mean - s, deviation)) / (2 * h) for s in steps]
    assert estimate == pytest.approx(exact, abs=0.01)


def test_the_arrows_are_the_derivative_of_log_p():
    mean, deviation, h = np.array([0.3, -0.2]), 0.8, 1e-6
    x = np.random.default_rng(1).normal(size=(5, 2))
    scores, _ = score_function_gradient(x, np.ones(5), mean, deviation)
    for axis in range(2):
        step = h * np.eye(2)[axis]
        p, q = (norm.logpdf(x, m, deviation).sum(axis=1) for m in (mean + step, mean - step))
        assert scores[:, axis] == pytest.approx((p - q) / (2 * h), rel=1e-5)


def test_the_figure_steps_towards_where_it_pays():
    figure = plots.score_function(samples=200)
    third = figure.axes[0].child_axes[2]
    (arrow,) = (c for c in third.collections if hasattr(c, "U"))
    assert arrow.U[0] > 0
    assert arrow.V[0] > 0
    with pytest.raises(SettingError, match="expected 1 sample or more, got 0"):
        plots.score_function(samples=0)


def test_an_update_makes_what_paid_likelier_and_leaves_the_agent_as_it_was():
    agent = make_agent()
    weights = {name: array.copy() for name, array in agent.policy.parameters.items()}
    batch = plots.play_rallies(agent, 4, 300)
    A, before, after = effect_of_update(agent, batch, from_recipe("fast", entropy=0.0), seed=0)
    likelier = after - before
    assert likelier[A > 0].mean() > 0 > likelier[A < 0].mean()
    for name, array in agent.policy.parameters.items():
        np.testing.assert_array_equal(array, weights[name])
    figure = plots.update_effect(agent, batch, from_recipe("fast"))
    assert "One update on" in figure.axes[0].get_title(loc="left")
