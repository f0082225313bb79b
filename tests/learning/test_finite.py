"""A NaN or an infinity is named in the update in which it turns up, wherever that is."""

import numpy as np
import pytest

from pgpong.config import from_recipe
from pgpong.errors import NonFiniteError
from pgpong.learning.ascent import make_optimizer
from pgpong.learning.batch import Batch
from pgpong.learning.finite import require_finite
from pgpong.learning.frames import sparse_frames
from pgpong.learning.policy import Policy
from pgpong.learning.policy_gradient import update

CONFIG = from_recipe("fast", hidden=5, mirror=False)


@pytest.fixture
def parts():
    """A policy, its optimiser with a step behind it, and a batch of two rallies."""
    rng = np.random.default_rng(0)
    policy = Policy.initialise(rng, 5, 64, fan_in=5)
    n = 20
    frames = sparse_frames(rng.integers(-1, 2, (n, 8, 8)).astype(np.int8))
    rewards, ends = np.zeros(n), np.zeros(n, np.bool_)
    rewards[[9, 19]], ends[[9, 19]] = (1, -1), True
    batch = Batch(frames, rng.random(n) < 0.5, np.full(n, np.log(0.5)), rewards, ends, np.zeros(n, np.int64))
    optimizer = make_optimizer(policy, CONFIG)
    update(policy, optimizer, batch, CONFIG, rng)
    return policy, optimizer, batch


def poison_reward(policy, optimizer, batch, value):
    batch.rewards[9] = value


def poison_observation(policy, optimizer, batch, value):
    batch.frames.data[3] = value


def poison_weight(policy, optimizer, batch, value):
    policy.W2[2] = value


def poison_mean(policy, optimizer, batch, value):
    optimizer.state["mean"]["W1"][1, 1] = value


def poison_mean_square(policy, optimizer, batch, value):
    optimizer.state["mean_square"]["W1"][1, 1] = value


def poison_log_probability(policy, optimizer, batch, value):
    batch.logp[:] = value


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("poison", "named"),
    [
        (poison_reward, "a reward is not finite"),
        (poison_observation, "an observation is not finite"),
        (poison_weight, "a logit is not finite"),
        (poison_mean, "weights of W1|mean of W1"),
        (poison_mean_square, "weights of W1|mean_square of W1"),
    ],
)
def test_what_is_not_finite_is_named_in_the_same_update(parts, poison, named, value):
    poison(*parts, value)
    policy, optimizer, batch = parts
    with pytest.raises(NonFiniteError, match=named):
        update(policy, optimizer, batch, CONFIG, np.random.default_rng(1))


def test_a_gradient_that_is_not_finite_is_named_before_it_is_taken(parts):
    policy, optimizer, batch = parts
    poison_log_probability(policy, optimizer, batch, np.nan)
    before = policy.W1.copy()
    with pytest.raises(NonFiniteError, match="the gradient is not finite: try a smaller --learning-rate"):
        update(policy, optimizer, batch, CONFIG, np.random.default_rng(1))
    assert np.array_equal(policy.W1, before)


def test_finite_numbers_pass():
    require_finite("a number", np.array([0.0, -1e308, 5e-324]))
    require_finite("nothing", np.array([]))
    require_finite("a float", 3.5)
