"""The critic: its step against numerical differentiation, what it comes to, what it is to an update."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.sparse import csr_array

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import NonFiniteError
from pgpong.learning.ascent import make_optimizer
from pgpong.learning.court import pair
from pgpong.learning.critic import Critic
from pgpong.learning.policy import Policy
from pgpong.learning.policy_gradient import (
    advantages,
    explained_variance,
    update,
    worth,
)
from pgpong.learning.returns import discounted_returns, generalised_advantages
from pgpong.state import new_state
from tests.learning.test_policy_gradient import make_batch, make_policy

CONFIG = from_recipe("fast", critic=True, mirror=False, blur=0.0)


class Ascent:
    """An optimiser that takes the gradient as it is."""

    def __init__(self):
        self.state = {}

    def step(self, parameters, gradients, learning_rate):
        for name, g in gradients.items():
            parameters[name] += learning_rate * g


def make_critic(config=CONFIG):
    network = make_policy(hidden=20)  # with fewer there are frames at which none fires
    return Critic(network, make_optimizer(network, config))


def returns_of(batch, config=CONFIG):
    return discounted_returns(batch.rewards, batch.ends, config.gamma)


def test_a_step_is_down_the_slope_of_the_squared_error():
    batch = make_batch()
    critic = Critic(make_policy(), Ascent())
    returns = returns_of(batch)
    before = {name: W.copy() for name, W in critic.network.parameters.items()}
    every = [np.arange(len(batch))]
    critic.learn(batch.frames, returns, every, from_recipe("fast", learning_rate=1.0, mirror=False))
    steps = {name: W - before[name] for name, W in critic.network.parameters.items()}

    def loss():
        return np.mean((returns - critic.values(batch.frames)) ** 2) / 2

    rng = np.random.default_rng(0)
    for name, W in critic.network.parameters.items():
        W[...] = before[name]
    for name, W in critic.network.parameters.items():
        for _ in range(20):
            place = tuple(rng.integers(0, W.shape))
            size = 1e-6
            W[place] += size
            above = loss()
            W[place] -= 2 * size
            slope = (above - loss()) / (2 * size)
            W[place] += size
            assert steps[name][place] == pytest.approx(-slope, rel=1e-4, abs=1e-9)


def test_it_comes_to_foretell_the_returns_of_a_batch():
    batch = make_batch()
    critic = make_critic()
    for _ in range(500):
        critic.learn(batch.frames, returns_of(batch), [np.arange(len(batch))], CONFIG)
    assert explained_variance(returns_of(batch), critic.values(batch.frames)) > 0.95


def test_explained_variance_by_hand():
    returns = np.array([1.0, -1, 1, -1])
    assert explained_variance(returns, returns + 3) == 1  # a constant error costs nothing
    assert explained_variance(returns, np.zeros(4)) == 0
    assert explained_variance(returns, returns / 2) == 0.75
    assert explained_variance(returns, -returns) == -3
    assert explained_variance(np.ones(4), returns) is None


def test_an_update_measures_advantages_from_what_the_critic_said_before():
    batch, policy, critic = make_batch(), make_policy(), make_critic()
    values = critic.values(batch.frames)
    config = from_recipe(
        "fast", critic=True, mirror=False, passes=1, minibatches=1, entropy=0.0, max_kl=np.inf
    )
    raw = generalised_advantages(batch.rewards, batch.ends, values, config.gamma, config.gae_lambda)
    A = (raw - raw.mean()) / raw.std()
    np.testing.assert_allclose(advantages(batch, config, worth(batch, config, values)), A, rtol=1e-9)
    expected = make_policy()
    h, z = expected.forward(batch.frames)
    p = 1 / (1 + np.exp(-z))
    ratio = np.where(batch.actions, p, 1 - p) / 0.5  # as likely it was when it was played
    dz = np.where(np.where(A > 0, ratio > 1.2, ratio < 0.8), 0.0, ratio * A * (batch.actions - p))
    gradients = expected.backward(batch.frames, h, dz / len(dz))
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    shorter = min(1, config.max_grad_norm / norm)
    make_optimizer(expected, config).step(
        expected.parameters, {name: g * shorter for name, g in gradients.items()}, config.learning_rate
    )
    stats = update(policy, make_optimizer(policy, config), batch, config, np.random.default_rng(0), critic)
    for name, W in expected.parameters.items():
        np.testing.assert_allclose(policy.parameters[name], W, rtol=1e-7, atol=1e-10)
    assert stats.explained == pytest.approx(explained_variance(raw + values, values))
    assert not np.array_equal(critic.values(batch.frames), values)  # it has learnt


def cut(batch):
    """Cut the batch after the third step of its last rally."""
    return batch[np.arange(len(batch) - 2)]


def test_what_is_not_known_yet_is_worth_what_the_critic_says():
    batch, config = cut(make_batch()), from_recipe("fast", gamma=0.5, gae_lambda=0.5)
    assert np.flatnonzero(batch.waits).tolist() == [len(batch) - 1]
    values = np.linspace(-1, 1, len(batch))
    *_, before_last, last, waiting = worth(batch, config, values)
    a, b, c = values[-3:]
    # By equation 16: δ = r + γ V' - V, with nothing won yet, and δ + γλ δ' of the step before.
    assert waiting == 0
    assert last == pytest.approx(0.5 * c - b)
    assert before_last == pytest.approx((0.5 * b - a) + 0.25 * (0.5 * c - b))
    whole = make_batch()
    same = worth(whole, config, np.append(values, [0, 0]))[: len(batch) - 3]
    np.testing.assert_allclose(worth(batch, config, values)[: len(batch) - 3], same)


def test_a_step_that_waits_is_not_learnt_from():
    def weights(change):
        batch = cut(make_batch())
        if change:  # what it did, and how likely that was, is nothing to the update
            batch.actions[-1] = 1 - batch.actions[-1]
            batch.logp[-1] = -5.0
        policy, critic = make_policy(), make_critic()
        update(policy, make_optimizer(policy, CONFIG), batch, CONFIG, np.random.default_rng(0), critic)
        return policy.W1.tobytes() + critic.network.W1.tobytes()

    assert weights(change=False) == weights(change=True)


def test_a_mirrored_critic_stays_mirrored():
    config = from_recipe("fast", hidden=8, mirror=True, critic=True)
    state = new_state(config, find_game(config.env))
    batch = make_batch(pixels=12800, policy=state.agent.policy)
    update(state.agent.policy, state.optimizer, batch, config, state.rng, state.critic)
    network = state.critic.network
    after = Policy(network.W1.copy(), network.W2.copy())
    pair(after, 1)
    assert np.array_equal(network.W1, after.W1)
    assert np.array_equal(network.W2, after.W2)


def test_beside_the_policy_it_learns_the_same():
    def weights(beside):
        policy, critic = make_policy(), make_critic()
        optimizer, rng = make_optimizer(policy, CONFIG), np.random.default_rng(0)
        for _ in range(3):
            update(policy, optimizer, make_batch(policy=policy), CONFIG, rng, critic, beside)
        return policy.W1.tobytes() + critic.network.W1.tobytes()

    with ThreadPoolExecutor(1) as pool:
        assert weights(pool) == weights(None)


def test_what_goes_wrong_beside_the_policy_is_told():
    batch, critic = make_batch(), make_critic()
    critic.network.parameters["W1"] = critic.network.W1[:, :5]
    policy = make_policy()
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="dimension"):
        update(policy, make_optimizer(policy, CONFIG), batch, CONFIG, np.random.default_rng(0), critic, pool)


def test_a_critic_out_of_bounds_is_found():
    batch, policy, critic = make_batch(), make_policy(), make_critic()
    critic.optimizer.state["mean_square"]["W1"][3, 0] = np.nan
    with pytest.raises(NonFiniteError, match="of W1"):
        update(policy, make_optimizer(policy, CONFIG), batch, CONFIG, np.random.default_rng(0), critic)


def test_values_of_sparse_and_dense_frames_are_the_same():
    critic = make_critic()
    x = np.random.default_rng(1).integers(-1, 2, (5, 24)).astype(np.float64)
    np.testing.assert_allclose(critic.values(csr_array(x)), critic.values(x), rtol=1e-12)
