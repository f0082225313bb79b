"""The convolutional policy: its gradient, its place in an update, its files."""

import numpy as np
import pytest

from pgpong.agent import Agent
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError, SettingError
from pgpong.fastest import random_batch
from pgpong.learning.backend import NUMPY, find_backend
from pgpong.learning.policy_gradient import update
from pgpong.pixels import PIXELS
from pgpong.state import new_state
from pgpong.storage.arrays import write_arrays
from pgpong.storage.checkpoint import load_checkpoint, save_checkpoint
from pgpong.training import train

torch = pytest.importorskip("torch")

SMALL = from_recipe(
    "fast", policy="conv", num_envs=2, num_workers=1, batch_steps=16, hidden=8, evaluate_every=0
)
TORCH = find_backend("torch", "cpu")
GAME = find_game(SMALL.env)


def random_frames(n=6, pictures=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice(np.float32([-1, 0, 1]), (n, pictures * PIXELS), p=[0.02, 0.96, 0.02])


def conv_policy(may_stay=True, pictures=2, seed=1):
    from pgpong.learning.conv import ConvPolicy

    rng = np.random.default_rng(seed)
    policy = ConvPolicy.draw(rng, 8, pictures * PIXELS, TORCH, may_stay=may_stay)
    for name in ("b1", "b_conv", "b_dense"):
        policy.parameters[name][:] = 0.1
    return policy


def in_float64(policy):
    weights = {name: W.double() for name, W in policy.parameters.items()}
    return type(policy)(**weights, backend=policy.backend)


def convolve(pictures, W, b, stride):
    """A convolution and a ReLU, pixel by pixel, as the words say."""
    n, _, height, width = pictures.shape
    size = W.shape[-1]
    out = np.zeros((n, len(W), (height - size) // stride + 1, (width - size) // stride + 1))
    for y in range(out.shape[2]):
        for x in range(out.shape[3]):
            patch = pictures[:, :, y * stride : y * stride + size, x * stride : x * stride + size]
            out[:, :, y, x] = np.tensordot(patch, W, ((1, 2, 3), (1, 2, 3))) + b
    return np.maximum(out, 0)


@pytest.mark.parametrize("pictures", [1, 2])
def test_forward_is_two_convolutions_and_two_layers(pictures):
    policy, x = conv_policy(pictures=pictures), random_frames(pictures=pictures)
    W = {name: TORCH.to_numpy(weights).astype(np.float64) for name, weights in policy.parameters.items()}
    layer = convolve(x.reshape(-1, pictures, 80, 80).astype(np.float64), W["W1"], W["b1"], 4)
    layer = convolve(layer, W["conv"], W["b_conv"], 2)
    h = np.maximum(layer.reshape(len(x), -1) @ W["dense"].T + W["b_dense"], 0)
    found, z = policy.forward(torch.tensor(x))
    np.testing.assert_allclose(TORCH.to_numpy(found), h, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(TORCH.to_numpy(z), h @ W["W2"], rtol=1e-4, atol=1e-5)
    assert (h > 0).any()


def test_its_gradient_is_that_of_finite_differences():
    policy, x = in_float64(conv_policy()), torch.tensor(random_frames()).double()
    rng = np.random.default_rng(2)
    dz, ds = (torch.tensor(rng.standard_normal(len(x))) for _ in range(2))

    def objective():
        h, z = policy.forward(x)
        return float(dz @ z + ds @ (h @ policy.parameters["W2_stay"]))

    h, _ = policy.forward(x)
    gradient = policy.backward(x, h, dz, ds)
    assert gradient.keys() == policy.parameters.keys()
    for name, W in policy.parameters.items():
        for _ in range(5):
            place = tuple(rng.integers(0, side) for side in W.shape)
            W[place] += 1e-6
            above = objective()
            W[place] -= 2e-6
            below = objective()
            W[place] += 1e-6
            slope = float(gradient[name][place])
            assert (above - below) / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-6), name


def test_the_same_rollouts_updates_and_checkpoints_serve_it(tmp_path):
    state = new_state(SMALL, GAME, TORCH)
    before = {name: W.copy() for name, W in state.agent.pack()[1].items()}
    records = train(SMALL, state)
    for _ in range(2):
        next(records)
    records.close()
    after = state.agent.pack()[1]
    assert all((before[name] != W).any() for name, W in after.items())
    save_checkpoint(tmp_path / "a.npz", state)
    loaded = load_checkpoint(tmp_path / "a.npz", SMALL, GAME, TORCH)
    assert all((loaded.agent.pack()[1][name] == W).all() for name, W in after.items())
    agent = Agent.load(tmp_path / "a.npz")
    agent.save(tmp_path / "small.npz", small=True)
    small = Agent.load(tmp_path / "small.npz")
    seen = random_frames().astype(np.int8).reshape(-1, 2, 80, 80)
    np.testing.assert_allclose(small.probabilities(seen), agent.probabilities(seen), atol=1e-2)
    assert agent.act(seen).shape == (6,)


def test_it_learns_from_a_batch():
    """Of actions that are rewarded more than others the probability rises."""
    config = from_recipe("fast", policy="conv", critic=False, num_envs=2, batch_steps=64, hidden=32, passes=8)
    state = new_state(config, GAME, TORCH)
    policy, batch = state.agent.policy, random_batch(config, np.random.default_rng(0))
    batch.ends[:] = True  # each step has a reward of its own
    batch.rewards[:] = np.where(batch.actions == 1, 1.0, -1.0)

    def up():
        log_p = policy.log_probabilities(*policy.forward(policy.see(batch.frames)))
        return float(log_p[:, 1].exp().mean())

    first = up()
    update(policy, state.optimizer, batch, config, np.random.default_rng(1))
    assert up() > first + 0.02


def test_a_file_that_calls_it_mirrored_is_refused(tmp_path):
    meta, arrays = new_state(SMALL, GAME, TORCH).agent.pack()
    meta["network"] = f"convolutional ReLU 12800-{2 * SMALL.hidden}-2, mirrored"
    write_arrays(tmp_path / "a.npz", meta, arrays)
    with pytest.raises(FileFormatError, match="was made for network"):
        Agent.load(tmp_path / "a.npz")


def test_without_torch_it_is_refused_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(SettingError, match="--policy conv needs --backend torch"):
        new_state(SMALL, GAME)
    agent = new_state(SMALL, GAME, TORCH).agent
    with pytest.raises(SettingError, match="for the backend torch, not numpy on cpu"):
        agent.to(NUMPY)
    assert agent.to("cpu").policy.backend == TORCH
    agent.save(tmp_path / "a.npz")
    monkeypatch.setattr(
        "pgpong.learning.backend.import_module", lambda name: (_ for _ in ()).throw(ImportError())
    )
    with pytest.raises(SettingError, match=r"needs pip install 'pgpong\[torch\]'"):
        Agent.load(tmp_path / "a.npz")
    with pytest.raises(SettingError, match="no use for mirror"):
        from_recipe("fast", policy="conv", mirror=True)
