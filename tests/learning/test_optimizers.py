"""The optimisers: one step by hand, many against torch, and a toy that they must solve."""

import numpy as np
import pytest

from pgpong.learning.optimizers import Adam, RMSProp


def test_two_rmsprop_steps_by_hand():
    parameters = {"w": np.array([1.0])}
    optimizer = RMSProp(parameters, decay=0.5, epsilon=1.0)
    optimizer.step(parameters, {"w": np.array([2.0])}, learning_rate=0.1)
    # m = 0.5 · 4 = 2, w = 1 + 0.1 · 2 / (√2 + 1)
    assert parameters["w"][0] == pytest.approx(1 + 0.2 / (2**0.5 + 1), rel=1e-15)
    optimizer.step(parameters, {"w": np.array([-4.0])}, learning_rate=0.1)
    # m = 0.5 · 2 + 0.5 · 16 = 9
    assert parameters["w"][0] == pytest.approx(1 + 0.2 / (2**0.5 + 1) - 0.4 / 4, rel=1e-15)


def test_the_first_adam_step_is_the_learning_rate_long():
    parameters = {"w": np.array([0.0, 0.0])}
    Adam(parameters, 0.9, 0.999, 1e-12).step(parameters, {"w": np.array([3.0, -0.001])}, learning_rate=0.01)
    np.testing.assert_allclose(parameters["w"], [0.01, -0.01], rtol=1e-6)


@pytest.mark.parametrize("name", ["Adam", "RMSprop"])
def test_follows_torch_for_fifty_steps(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = rng.standard_normal((4, 3))
    theirs = torch.tensor(start.copy(), requires_grad=True)
    ours = {"w": start.copy()}
    if name == "Adam":
        reference = torch.optim.Adam([theirs], lr=0.01, betas=(0.8, 0.95), eps=1e-3, maximize=True)
        optimizer = Adam(ours, 0.8, 0.95, 1e-3)
    else:
        reference = torch.optim.RMSprop([theirs], lr=0.01, alpha=0.9, eps=1e-3, maximize=True)
        optimizer = RMSProp(ours, 0.9, 1e-3)
    for _ in range(50):
        gradient = rng.standard_normal((4, 3))
        theirs.grad = torch.tensor(gradient)
        reference.step()
        optimizer.step(ours, {"w": gradient}, 0.01)
    np.testing.assert_allclose(ours["w"], theirs.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("make", [lambda p: RMSProp(p, 0.9, 1e-8), lambda p: Adam(p, 0.9, 0.99, 1e-8)])
def test_climbs_to_the_top_of_a_hill(make):
    parameters, top = {"w": np.zeros(3)}, np.array([1.0, -2.0, 0.5])
    optimizer = make(parameters)
    for _ in range(3000):
        optimizer.step(parameters, {"w": -2 * (parameters["w"] - top) * np.array([1, 10, 100])}, 0.002)
    np.testing.assert_allclose(parameters["w"], top, atol=0.01)


def test_arrays_are_changed_in_place_and_keep_type_and_layout():
    W = np.asfortranarray(np.ones((3, 4), np.float32))
    parameters = {"W": W}
    for optimizer in (RMSProp(parameters, 0.9, 1e-5), Adam(parameters, 0.9, 0.999, 1e-8)):
        optimizer.step(parameters, {"W": np.ones((3, 4), np.float32)}, 0.1)
    assert parameters["W"] is W
    assert W.dtype == np.float32
    assert W.flags.f_contiguous
    assert (W != 1).all()
