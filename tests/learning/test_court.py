"""What is known of the court beforehand: neighbours alike, and both halves."""

import numpy as np
import pytest

from pgpong.config import from_recipe
from pgpong.learning.court import blur, pair, symmetrise
from pgpong.learning.policy import Policy, probability_of_up
from pgpong.learning.policy_gradient import make_optimizer, update
from tests.learning.test_policy_gradient import make_batch

PIXELS = 6400


def paired_policy(hidden=8, planes=1, dtype="float64", sign=-1):
    policy = Policy.initialise(np.random.default_rng(0), hidden, planes * PIXELS, fan_in=40, dtype=dtype)
    pair(policy.W1, policy.W2, sign)
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
    np.testing.assert_allclose(probability_of_up(turned), 1 - probability_of_up(z), atol=1e-10)


def test_upside_down_a_paired_critic_says_the_same():
    network, x = paired_policy(sign=1), random_frames()
    np.testing.assert_allclose(network.forward(upside_down(x))[1], network.forward(x)[1], rtol=1e-10)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_symmetric_gradient_is_that_of_both_the_frames_and_their_mirror_images(sign):
    """The batch's own gradient is averaged with that of its mirror image, where a policy's up is down."""
    policy, x = paired_policy(sign=sign), random_frames()
    dz = np.random.default_rng(2).standard_normal(len(x))
    gradients = []
    for frames, toward in ((x, dz), (upside_down(x), sign * dz)):
        h, _ = policy.forward(frames)
        gradients.append(policy.backward(frames, h, toward))
    symmetric = symmetrise(gradients[0], sign)
    for name, gradient in symmetric.items():
        expected = (gradients[0][name] + gradients[1][name]) / 2
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


def test_updates_keep_pairs_paired_to_the_bit():
    config = from_recipe("fast", hidden=8, mirror=True)
    policy = paired_policy(dtype="float32")
    before = policy.W1.copy()
    optimizer, rng = make_optimizer(policy, config), np.random.default_rng(3)
    for _ in range(3):
        update(policy, optimizer, make_batch(pixels=PIXELS, policy=policy), config, rng)
    assert not np.array_equal(policy.W1, before)
    W1, W2 = policy.W1.copy(), policy.W2.copy()
    pair(W1, W2, -1)
    assert np.array_equal(policy.W1, W1)
    assert np.array_equal(policy.W2, W2)


def test_symmetrise_runs_on_any_namespace_of_the_array_api_standard():
    xp = pytest.importorskip("array_api_strict")
    rng = np.random.default_rng(4)
    gradients = {"W1": rng.standard_normal((4, PIXELS)), "W2": rng.standard_normal(4)}
    there = symmetrise({name: xp.asarray(g) for name, g in gradients.items()}, -1, xp)
    for name, expected in symmetrise(gradients, -1).items():
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
