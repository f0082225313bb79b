"""What is known of the court beforehand: neighbours alike, and both halves."""

import numpy as np
import pytest

from pgpong.config import from_recipe
from pgpong.learning.ascent import ascend, make_optimizer
from pgpong.learning.court import blur, fold, learnt, pair
from pgpong.learning.policy import Policy
from pgpong.learning.policy_gradient import update
from tests.learning.test_policy_gradient import make_batch

PIXELS = 6400


def paired_policy(hidden=8, planes=1, dtype="float64", sign=-1, may_stay=False):
    rng = np.random.default_rng(0)
    policy = Policy.initialise(rng, hidden, planes * PIXELS, fan_in=40, dtype=dtype, may_stay=may_stay)
    pair(policy, sign)
    return policy


def upside_down(frames):
    return frames.reshape(len(frames), -1, 80, 80)[:, :, ::-1].reshape(frames.shape)


def random_frames(n=9, planes=1):
    return np.random.default_rng(1).integers(-1, 2, (n, planes * PIXELS)).astype(np.float64)


@pytest.mark.parametrize("planes", [1, 2])
def test_upside_down_the_paired_policy_says_the_opposite(planes):
    policy, x = paired_policy(planes=planes), random_frames(planes=planes)
    _, z = policy.forward(x)
    _, turned = policy.forward(upside_down(x))
    assert np.abs(z).min() > 0.01
    np.testing.assert_allclose(turned, -z, rtol=1e-10)


def test_upside_down_up_and_down_change_places_and_staying_is_as_likely():
    policy, x = paired_policy(may_stay=True), random_frames()
    P, turned = (np.exp(policy.log_probabilities(*policy.forward(f))) for f in (x, upside_down(x)))
    assert np.ptp(P, axis=0).min() > 0.01
    np.testing.assert_allclose(turned, P[:, [1, 0, 2]], atol=1e-10)


def test_upside_down_a_paired_critic_says_the_same():
    network, x = paired_policy(sign=1), random_frames()
    np.testing.assert_allclose(network.forward(upside_down(x))[1], network.forward(x)[1], rtol=1e-10)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_folded_gradient_is_the_slope_by_what_is_learnt(sign):
    """By numerical differentiation of Σ dz z + ds s; the second half of the units follows the first."""
    policy, x = paired_policy(sign=sign, may_stay=True), random_frames()
    dz, ds = np.random.default_rng(2).standard_normal((2, len(x)))
    h, _ = policy.forward(x)
    gradients = fold(policy.backward(x, h, dz, ds), sign)

    def objective():
        pair(policy, sign)
        h, z = policy.forward(x)
        return float(dz @ z + ds @ (h @ policy.parameters["W2_stay"]))

    rng, size = np.random.default_rng(3), 1e-6
    for name, W in learnt(policy, mirror=True).items():
        assert W.shape == gradients[name].shape
        assert np.shares_memory(W, policy.parameters[name])
        for _ in range(20):
            place = tuple(rng.integers(0, W.shape))
            W[place] += size
            above = objective()
            W[place] -= 2 * size
            slope = (above - objective()) / (2 * size)
            W[place] += size
            assert gradients[name][place] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_an_unmirrored_network_is_learnt_whole():
    policy = Policy.initialise(np.random.default_rng(0), 7, 24, fan_in=10)
    assert all(np.shares_memory(W, policy.parameters[n]) for n, W in learnt(policy, mirror=False).items())
    assert learnt(policy, mirror=False)["W1"].shape == (7, 24)


def test_updates_keep_pairs_paired_to_the_bit():
    config = from_recipe("fast", hidden=8, mirror=True)
    policy = paired_policy(dtype="float32", may_stay=True)
    before = policy.W1.copy()
    optimizer, rng = make_optimizer(policy, config), np.random.default_rng(3)
    for _ in range(3):
        update(policy, optimizer, make_batch(pixels=PIXELS, policy=policy), config, rng)
    assert not np.array_equal(policy.W1[:4], before[:4])
    after = policy.copy()
    pair(after, -1)
    assert all(np.array_equal(W, after.parameters[name]) for name, W in policy.parameters.items())


@pytest.mark.parametrize("mirror", [False, True])
def test_W1_shrinks_beside_its_step_and_W2_does_not(mirror):
    config = from_recipe("fast", hidden=8, mirror=mirror, weight_decay=0.5, learning_rate=0.01)
    policy = paired_policy()
    W1, W2 = policy.W1.copy(), policy.W2.copy()
    gradients = {name: np.ones_like(W) for name, W in learnt(policy, mirror).items()}
    ascend(policy, make_optimizer(policy, config), gradients, config, sign=-1)
    # The first step of Adam is as long as the learning rate.
    np.testing.assert_allclose(policy.W1[:4], W1[:4] * (1 - 0.01 * 0.5) + 0.01, atol=1e-8)
    np.testing.assert_allclose(policy.W2[:4], W2[:4] + 0.01, atol=1e-8)
    assert (policy.W2[4] == -policy.W2[0]) == mirror


def test_fold_runs_on_any_namespace_of_the_array_api_standard():
    xp = pytest.importorskip("array_api_strict")
    rng = np.random.default_rng(4)
    gradients = {"W1": rng.standard_normal((4, PIXELS)), "W2": rng.standard_normal(4)}
    gradients["W2_stay"] = rng.standard_normal(4)
    there = fold({name: xp.asarray(g) for name, g in gradients.items()}, -1, xp)
    for name, expected in fold(gradients, -1).items():
        np.testing.assert_array_equal(np.asarray(there[name]), expected)


def test_blurred_weights_keep_their_variance_and_are_like_their_neighbours():
    white = np.random.default_rng(5).standard_normal((30, 2 * PIXELS)).astype(np.float32)
    blurred = blur(white, 1.0)
    assert blurred.std() == pytest.approx(white.std(), rel=1e-3)
    pictures = blurred.reshape(60, 80, 80)
    # Two pixels d apart share exp(-d²/4σ²) of a Gaussian blur.
    down = np.mean(pictures[:, 10:70, 10:70] * pictures[:, 11:71, 10:70]) / pictures.var()
    right = np.mean(pictures[:, 10:70, 10:70] * pictures[:, 10:70, 12:72]) / pictures.var()
    assert down == pytest.approx(np.exp(-1 / 4), abs=0.03)
    assert right == pytest.approx(np.exp(-4 / 4), abs=0.03)
    # The two pictures of a unit stay apart.
    apart = np.mean(blurred[:, PIXELS - 80 : PIXELS] * blurred[:, PIXELS : PIXELS + 80])
    assert abs(apart) < 0.1 * blurred.var()
