"""The update: the 2016 algorithm written out slowly, the surrogate by autograd, the guards, a toy."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_array

from pgpong.config import from_recipe
from pgpong.errors import NonFiniteError
from pgpong.learning.ascent import make_optimizer
from pgpong.learning.batch import Batch
from pgpong.learning.optimizers import RMSProp
from pgpong.learning.policy import Policy, log_probabilities, log_probability, sample
from pgpong.learning.policy_gradient import by_logits, norm_of, surrogate, update


def make_batch(n=60, pixels=24, seed=0, policy=None):
    """Make a batch of rallies of five steps, three rallies an episode; without a policy, of coin flips."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, (n, pixels)).astype(np.float64)
    log_p = np.full((n, 2), -math.log(2)) if policy is None else log_p_of(policy, x)
    actions = rng.integers(0, log_p.shape[1], n)
    ends = np.arange(n) % 5 == 4
    rewards = np.where(ends, rng.choice([-1.0, 1.0], n), 0.0)
    return Batch(csr_array(x), actions, log_probability(log_p, actions), rewards, ends, np.arange(n) // 15)


def log_p_of(policy, x):
    return policy.log_probabilities(*policy.forward(x))


def make_policy(dtype="float64", hidden=7, pixels=24, may_stay=False):
    rng = np.random.default_rng(5)
    return Policy.initialise(rng, hidden, pixels, fan_in=10, dtype=dtype, may_stay=may_stay)


def the_2016_update(W1, W2, cache, episodes, gamma=0.99, decay=0.99, rate=1e-4, epsilon=1e-5):
    """One update of the 2016 algorithm, frame by frame, as its formulas say; returns new weights.

    An episode is a list of (frame, whether the action was up, reward), a tuple a step.
    """
    grad = {"W1": np.zeros_like(W1), "W2": np.zeros_like(W2)}
    for steps in episodes:
        R, running = {}, 0.0
        for t in reversed(range(len(steps))):
            if steps[t][2] != 0:
                running = 0.0  # a point was scored: a new sum begins
            running = steps[t][2] + gamma * running
            R[t] = running
        mean = sum(R.values()) / len(R)
        deviation = math.sqrt(sum((r - mean) ** 2 for r in R.values()) / len(R))
        for t, (x, up, _) in enumerate(steps):
            h = np.array([max(0.0, float(W1[i] @ x)) for i in range(len(W2))])
            p = 1 / (1 + math.exp(-float(W2 @ h)))
            y = 1.0 if up else 0.0
            dlogp = (y - p) * (R[t] - mean) / deviation
            grad["W2"] += dlogp * h
            for i in range(len(W2)):
                if h[i] > 0:
                    grad["W1"][i] += dlogp * W2[i] * x
    new = {}
    for name, W in (("W1", W1), ("W2", W2)):
        cache[name] = decay * cache[name] + (1 - decay) * grad[name] ** 2
        new[name] = W + rate * grad[name] / (np.sqrt(cache[name]) + epsilon)
    return new


def test_karpathy_recipe_equals_the_2016_formulas_over_three_updates():
    policy = make_policy()
    config = from_recipe("karpathy")
    optimizer = make_optimizer(policy, config)
    assert isinstance(optimizer, RMSProp)
    expected = {name: W.copy() for name, W in policy.parameters.items()}
    cache = {name: np.zeros_like(W) for name, W in expected.items()}
    for seed in range(3):
        batch = make_batch(seed=seed, policy=policy)
        steps = list(zip(batch.frames.toarray(), batch.actions == 1, batch.rewards, strict=True))
        episodes = [steps[start : start + 15] for start in range(0, len(steps), 15)]
        expected = the_2016_update(expected["W1"], expected["W2"], cache, episodes)
        update(policy, optimizer, batch, config, np.random.default_rng(seed))
        for name, W in expected.items():
            np.testing.assert_allclose(policy.parameters[name], W, rtol=1e-9, atol=1e-12)


def logits(n, may_stay, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, n)
    return z, rng.normal(0, 2, n) if may_stay else None


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("may_stay", [False, True])
def test_surrogate_derivative_equals_autograd(reduction, may_stay):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    n = 200
    z, s = logits(n, may_stay)
    A, actions = rng.standard_normal(n), rng.integers(0, 2 + may_stay, n)
    old = log_probability(log_probabilities(z + rng.normal(0, 0.3, n), s), actions)
    config = from_recipe("fast", mirror=False, reduction=reduction, entropy=0.05, clip=0.2)
    dl, (entropy, kl, clipped) = surrogate(log_probabilities(z, s), actions, old, A, config)

    parts = [torch.tensor(part, requires_grad=True) for part in (z, s) if part is not None]
    powers = torch.stack([-parts[0] / 2, parts[0] / 2, *parts[1:]], 1)
    policy = torch.distributions.Categorical(logits=powers)
    ratio = torch.exp(policy.log_prob(torch.tensor(actions)) - torch.tensor(old))
    a = torch.tensor(A)
    each = torch.minimum(ratio * a, torch.clamp(ratio, 0.8, 1.2) * a) + 0.05 * policy.entropy()
    getattr(each, reduction)().backward()
    for derivative, part in zip(by_logits(dl), parts, strict=False):
        np.testing.assert_allclose(derivative, part.grad.numpy(), rtol=1e-9, atol=1e-14)
    assert entropy == pytest.approx(policy.entropy().mean().item())
    assert kl == pytest.approx((ratio - 1 - torch.log(ratio)).mean().item())
    assert 0 < clipped < 1


@pytest.mark.parametrize("may_stay", [False, True])
def test_surrogate_derivative_equals_finite_differences(may_stay):
    rng = np.random.default_rng(1)
    n, step = 200, 1e-6
    z, s = logits(n, may_stay)
    A, actions = rng.standard_normal(n), rng.integers(0, 2 + may_stay, n)
    old = log_probability(log_probabilities(z + rng.normal(0, 0.3, n), s), actions)

    def objective(z, s):
        powers = [np.exp(-z / 2), np.exp(z / 2), *([] if s is None else [np.exp(s)])]
        P = np.stack(powers, axis=1) / sum(powers)[:, None]
        ratio = P[np.arange(n), actions] / np.exp(old)
        entropy = -(P * np.log(P)).sum(axis=1)
        return np.minimum(ratio * A, np.clip(ratio, 0.8, 1.2) * A) + 0.05 * entropy

    config = from_recipe("fast", mirror=False, reduction="sum", entropy=0.05, clip=0.2)
    dl, (_, _, clipped) = surrogate(log_probabilities(z, s), actions, old, A, config)
    dz, ds = by_logits(dl)
    slope = (objective(z + step, s) - objective(z - step, s)) / (2 * step)
    np.testing.assert_allclose(dz, slope, rtol=1e-6, atol=1e-8)
    if may_stay:
        slope = (objective(z, s + step) - objective(z, s - step)) / (2 * step)
        np.testing.assert_allclose(ds, slope, rtol=1e-6, atol=1e-8)
    else:
        assert ds is None
    assert 0 < clipped < 1


def test_without_a_clip_and_at_ratio_one_the_derivative_is_advantage_times_error():
    z, A, actions = np.array([0.3, -2.0]), np.array([1.5, -0.7]), np.array([1, 0])
    log_p = log_probabilities(z)
    dl, _ = surrogate(log_p, actions, log_probability(log_p, actions), A, from_recipe("karpathy"))
    np.testing.assert_allclose(by_logits(dl)[0], A * (actions - 1 / (1 + np.exp(-z))), rtol=1e-14)


@pytest.mark.parametrize("may_stay", [False, True])
def test_an_action_that_paid_becomes_likelier_and_one_that_cost_less_likely(may_stay):
    policy = make_policy(may_stay=may_stay)
    batch = make_batch(policy=policy)
    before = log_probability(log_p_of(policy, batch.frames), batch.actions)
    config = from_recipe("fast", mirror=False, passes=1, minibatches=1, entropy=0.0)
    update(policy, make_optimizer(policy, config), batch, config, np.random.default_rng(0))
    change = log_probability(log_p_of(policy, batch.frames), batch.actions) - before
    paid = np.repeat(batch.rewards[batch.ends], 5) > 0
    assert change[paid].mean() > 0 > change[~paid].mean()


def test_passes_stop_where_the_policy_has_moved_too_far():
    config = from_recipe(
        "fast",
        mirror=False,
        learning_rate=0.05,
        passes=10,
        max_kl=0.01,
        clip=math.inf,
        max_grad_norm=math.inf,
    )
    policy = make_policy()
    optimizer = make_optimizer(policy, config)
    stats = update(policy, optimizer, make_batch(policy=policy), config, np.random.default_rng(0))
    assert stats.kl > 0.01
    assert stats.passes < 10
    # Where it was met too far away no step was taken.
    assert optimizer.state["steps"]["W1"] == round(stats.passes * config.minibatches)


def test_a_long_gradient_is_shortened():
    config = from_recipe(
        "fast", mirror=False, passes=1, minibatches=1, optimizer="rmsprop", max_grad_norm=1e-3, decay=0.0
    )
    policy = make_policy()
    optimizer = make_optimizer(policy, config)
    stats = update(policy, optimizer, make_batch(policy=policy), config, np.random.default_rng(0))
    assert stats.grad_norm > 1e-3
    # With decay 0 the mean square is the square of the gradient that was used.
    squares = sum(float(m.sum()) for m in optimizer.state["mean_square"].values())
    assert math.sqrt(squares) == pytest.approx(1e-3)


def test_the_norms_are_those_of_the_weights_that_the_update_left():
    config = from_recipe("fast", mirror=False, passes=1)
    policy = make_policy()
    before = np.linalg.norm(policy.W1)
    stats = update(
        policy, make_optimizer(policy, config), make_batch(policy=policy), config, np.random.default_rng(0)
    )
    assert stats.W1_norm == pytest.approx(np.linalg.norm(policy.W1))
    assert stats.W2_norm == pytest.approx(np.linalg.norm(policy.W2))
    assert abs(stats.W1_norm - before) > 1e-3


def test_equal_returns_move_nothing():
    policy = make_policy()
    before = policy.W1.copy()
    batch = make_batch(policy=policy)
    batch.rewards[:] = 0.0
    config = from_recipe("fast", mirror=False, entropy=0.0)
    update(policy, make_optimizer(policy, config), batch, config, np.random.default_rng(0))
    assert (before == policy.W1).all()


@pytest.mark.parametrize("recipe", ["fast", "karpathy"])
def test_a_non_finite_logit_is_refused_and_changes_nothing(recipe):
    policy = make_policy()
    batch = make_batch(policy=policy)
    policy.W2[0] = np.nan
    before = policy.W1.copy()
    config = from_recipe(recipe)
    with pytest.raises(NonFiniteError, match="a logit is not finite"):
        update(policy, make_optimizer(policy, config), batch, config, np.random.default_rng(0))
    assert (before == policy.W1).all()


def test_the_same_generator_gives_the_same_update_bit_for_bit():
    def weights():
        policy, config = make_policy("float32"), from_recipe("fast", mirror=False)
        update(
            policy,
            make_optimizer(policy, config),
            make_batch(policy=policy),
            config,
            np.random.default_rng(3),
        )
        return policy.W1.tobytes() + policy.W2.tobytes()

    assert weights() == weights()


def test_norm_is_the_length_of_all_arrays_together():
    assert norm_of({"a": np.array([[3.0]]), "b": np.array([0.0, 4.0])}) == 5.0


@pytest.mark.parametrize("may_stay", [False, True])
@pytest.mark.parametrize("recipe", ["fast", "karpathy"])
def test_a_toy_is_solved(recipe, may_stay):
    """A point for one action where its pixel is lit, else a point lost."""
    rng = np.random.default_rng(0)
    config = from_recipe(recipe, mirror=False, learning_rate=1e-2)
    policy = make_policy("float32", hidden=32, pixels=16, may_stay=may_stay)
    optimizer = make_optimizer(policy, config)
    n, number = 100, 2 + may_stay
    for _ in range(40):
        lit = rng.integers(0, number, n)
        x = np.eye(16, dtype=np.float32)[lit]
        log_p = log_p_of(policy, csr_array(x))
        actions = sample(np.exp(log_p), rng)
        rewards = np.where(actions == lit, 1.0, -1.0)
        logp = log_probability(log_p, actions)
        batch = Batch(csr_array(x), actions, logp, rewards, np.ones(n, bool), np.zeros(n, np.int64))
        update(policy, optimizer, batch, config, rng)
    P = np.exp(log_p_of(policy, np.eye(16, dtype=np.float32)[:number]))
    assert np.diag(P).min() > 0.9
