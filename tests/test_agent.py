"""Agents: acting, saving and loading, travelling between processes, and files that are refused."""

import pickle
import subprocess
import sys

import cloudpickle
import numpy as np
import pytest

from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import DiskError, FileFormatError, NonFiniteError
from pgpong.learning.court import is_paired, pair
from pgpong.learning.policy import Policy
from pgpong.storage.arrays import read_arrays, write_arrays
from tests.storage.forging import forge, header_text


@pytest.fixture
def agent():
    policy = Policy.initialise(np.random.default_rng(0), 20, 6400, fan_in=40)
    return Agent(policy, find_game("Pong-v0"), {"episode": 12, "score_mean": -3.5})


def observations(n=50):
    rng = np.random.default_rng(1)
    return ((rng.random((n, 80, 80)) < 0.01) * rng.choice([-1, 1], (n, 80, 80))).astype(np.int8)


def pairs(n=50):
    return np.stack([observations(n), abs(observations(n))[:, ::-1]], axis=1)


def resting_agent():
    """Make one that sees the current picture too, and may stay."""
    policy = Policy.initialise(np.random.default_rng(0), 20, 12800, fan_in=40, may_stay=True)
    return Agent(policy, find_game("Pong-v0"))


def test_greedy_takes_the_likeliest_action_and_sampling_follows_the_probabilities(agent):
    for player, seen in ((agent, observations(1)), (resting_agent(), pairs(1))):
        (p,) = player.probabilities(seen)
        assert p.sum() == pytest.approx(1)
        assert player.act(seen).tolist() == [p.argmax()]
        many = np.repeat(seen, 20_000, axis=0)
        drawn = np.bincount(player.act(many, np.random.default_rng(0)), minlength=len(p)) / 20_000
        assert drawn == pytest.approx(p, abs=0.02)


def test_one_observation_gives_one_action(agent):
    assert agent.act(observations(1)[0]).shape == ()
    assert resting_agent().act(pairs(1)[0]).shape == ()
    with pytest.raises(ValueError, match=r"expected shape \(80, 80\), .* got \(80, 81\)"):
        agent.act(np.zeros((80, 81), np.int8))
    with pytest.raises(ValueError, match=r"expected shape \(2, 80, 80\), .* got \(3, 80, 80\)"):
        resting_agent().act(np.zeros((3, 80, 80), np.int8))


def test_one_that_may_stay_comes_back_from_its_file(tmp_path):
    there = resting_agent()
    there.save(tmp_path / "agent.npz")
    meta, _ = there.pack()
    assert meta["preprocessing"] == "difference frames and pictures 80x80"
    assert meta["actions"] == "0 down, 1 up, 2 stay"
    assert meta["network"] == "two-layer ReLU 12800-20-2"
    for again in (Agent.load(tmp_path / "agent.npz"), there.copy()):
        assert (again.probabilities(pairs()) == there.probabilities(pairs())).all()
        assert again.policy.W1.flags.f_contiguous
        assert not np.shares_memory(again.policy.W1, there.policy.W1)


def test_a_saved_agent_plays_the_same(agent, tmp_path):
    agent.save(tmp_path / "agent.npz")
    loaded = Agent.load(tmp_path / "agent.npz")
    assert (loaded.game, loaded.provenance) == (agent.game, agent.provenance)
    assert (loaded.probabilities(observations()) == agent.probabilities(observations())).all()


def test_an_agent_travels_between_processes(agent):
    copy = cloudpickle.loads(cloudpickle.dumps(agent))
    assert (copy.probabilities(observations()) == agent.probabilities(observations())).all()


def test_half_precision_halves_the_file_and_plays_as_single(agent, tmp_path):
    agent.save(tmp_path / "whole.npz")
    agent.save(tmp_path / "half.npz", small=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("half.npz", "whole.npz")]
    assert sizes[0] < 0.55 * sizes[1]
    loaded = Agent.load(tmp_path / "half.npz")
    for name, W in loaded.policy.parameters.items():
        assert W.dtype == np.float32
        assert np.allclose(W, agent.policy.parameters[name], rtol=2**-10, atol=1e-7)


def test_of_mirrored_units_a_small_file_has_one_half(tmp_path):
    there = resting_agent()
    pair(there.policy, sign=-1)
    there.save(tmp_path / "whole.npz")
    there.save(tmp_path / "small.npz", small=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("small.npz", "whole.npz")]
    assert sizes[0] < 0.3 * sizes[1]
    assert read_arrays(tmp_path / "small.npz")[0]["network"] == "two-layer ReLU 12800-20-2, mirrored"
    loaded = Agent.load(tmp_path / "small.npz")
    for name, W in loaded.policy.parameters.items():
        assert W.dtype == np.float32
        assert np.allclose(W, there.policy.parameters[name], rtol=2**-10, atol=1e-7)
    assert loaded.policy.W1.flags.f_contiguous
    assert is_paired(loaded.policy, sign=-1)
    loaded.save(tmp_path / "again.npz", small=True)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "small.npz").read_bytes()
    loaded.policy.W1[13, 4040] += 0.5  # a pair no more
    loaded.save(tmp_path / "again.npz", small=True)
    assert (tmp_path / "again.npz").stat().st_size > 1.9 * sizes[0]
    assert np.allclose(Agent.load(tmp_path / "again.npz").policy.W1, loaded.policy.W1, rtol=2**-10)


def test_a_mirrored_file_that_does_not_fit_is_refused(tmp_path):
    there = resting_agent()
    pair(there.policy, sign=-1)
    there.save(tmp_path / "small.npz", small=True)
    meta, arrays = read_arrays(tmp_path / "small.npz")
    for change in ({"W1": arrays["W1"][:9]}, {"W2": arrays["W2"][:9]}, {"W2_stay": arrays["W2_stay"][:9]}):
        write_arrays(tmp_path / "forged.npz", meta, {**arrays, **change})
        with pytest.raises(FileFormatError, match=r"made for network|do not fit together"):
            Agent.load(tmp_path / "forged.npz")


WORKER = """
import pickle, sys
import numpy as np
agent, observations = pickle.load(sys.stdin.buffer)
actions = agent.act(observations, np.random.default_rng(3))
pickle.dump((agent.probabilities(observations), actions), sys.stdout.buffer)
"""


def test_an_agent_sent_to_another_process_plays_identically(agent):
    sent = cloudpickle.dumps((agent, observations()))
    answer = subprocess.run([sys.executable, "-c", WORKER], input=sent, capture_output=True, check=True)
    probabilities, actions = pickle.loads(answer.stdout)
    assert (probabilities == agent.probabilities(observations())).all()
    assert (actions == agent.act(observations(), np.random.default_rng(3))).all()


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_observations_may_be_numbers_of_any_kind(agent, dtype):
    seen = observations()
    assert (agent.probabilities(seen.astype(dtype)) == agent.probabilities(seen)).all()


def test_a_single_game_can_be_played_in_a_few_lines(agent):
    for player in (agent, resting_agent()):
        env = player.make()
        assert env.action_space.n == player.probabilities(np.zeros((1, *env.observation_space.shape))).size
        observation, _ = env.reset(seed=0)
        rng = np.random.default_rng(0)
        for _ in range(20):
            observation, *_, info = env.step(player.act(observation, rng))
        assert 40 <= info["episode_frame_number"] <= 80  # a Pong-v0's steps
        env.close()


def test_a_weight_that_is_no_number_is_neither_written_nor_read(agent, tmp_path):
    meta, arrays = agent.pack()
    arrays["W1"] = arrays["W1"].copy()
    arrays["W1"][3, 7] = np.inf
    with pytest.raises(NonFiniteError, match="W1 holds NaN or infinity"):
        write_arrays(tmp_path / "agent.npz", meta, arrays)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "agent.npz").write_bytes(forge(header_text(meta, arrays), arrays))
    with pytest.raises(FileFormatError, match="W1 holds NaN or infinity"):
        Agent.load(tmp_path / "agent.npz")


def test_the_metadata_says_what_a_player_must_know(agent):
    meta, arrays = agent.pack()
    assert meta == {
        "format": "pgpong model 1",
        "preprocessing": "difference frames 80x80",
        "actions": "0 down, 1 up",
        "network": "two-layer ReLU 6400-20-1",
        "env": "Pong-v0",
        "frameskip_low": 2,
        "frameskip_high": 5,
        "sticky": 0.25,
        "max_frames": 108_000,
        "provenance.episode": 12,
        "provenance.score_mean": -3.5,
    }
    assert list(arrays) == ["W1", "W2"]


@pytest.mark.parametrize(
    "game",
    [
        find_game("ALE/Pong-v5"),
        find_game("PongNoFrameskip-v4"),
        find_game("Pong-v0", frameskip=(3, 6), sticky=0.5),
        find_game("ALE/Pong-v5", frameskip=7, sticky=0),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_game_and_precision_come_back(game, dtype, tmp_path):
    policy = Policy.initialise(np.random.default_rng(0), 2, 6400, fan_in=40, dtype=dtype)
    Agent(policy, game).save(tmp_path / "agent.npz")
    loaded = Agent.load(tmp_path / "agent.npz")
    assert loaded.game == game
    assert loaded.policy.W1.dtype == loaded.policy.W2.dtype == dtype
    assert loaded.policy.W1.flags.f_contiguous


def change(agent, tmp_path, meta=(), **arrays):
    """Write the agent's file with parts of it exchanged."""
    old_meta, old_arrays = agent.pack()
    write_arrays(tmp_path / "agent.npz", {**old_meta, **dict(meta)}, {**old_arrays, **arrays})
    return tmp_path / "agent.npz"


def test_of_a_checkpoint_the_agent_alone_is_loaded(agent, tmp_path):
    training = {"training.update": 7, "training.rng": 1 << 127}
    path = change(agent, tmp_path, training, **{"m.W1": np.ones((20, 6400)), "scores": np.arange(3)})
    loaded = Agent.load(path)
    assert loaded.pack()[0] == agent.pack()[0]
    assert (loaded.policy.W1 == agent.policy.W1).all()
    assert list(loaded.pack()[1]) == ["W1", "W2"]


def test_a_model_that_holds_more_than_a_model_is_refused(agent, tmp_path):
    for meta, arrays, unknown in (
        ({"hook": 1}, {}, "hook"),
        ({"training.rng": 1}, {}, "training.rng"),
        ({"training.update": 1, "hook": 1}, {}, "hook"),
        ({}, {"W3": np.zeros(1)}, "W3"),
        ({"W1": 1}, {}, "W1"),
    ):
        with pytest.raises(FileFormatError, match=f"holds {unknown}, which no agent"):
            Agent.load(change(agent, tmp_path, meta, **arrays))


def test_files_made_for_something_else_are_refused_with_the_reason(agent, tmp_path):
    for meta, message in (
        ({"format": "pgpong model 99"}, "not a pgpong agent of a format"),
        (
            {"preprocessing": "84x84 grey"},
            "made for preprocessing '84x84 grey', not for 'difference frames 80x80'",
        ),
        ({"actions": "0 up, 1 down"}, "made for actions '0 up, 1 down', not for '0 down, 1 up'"),
        ({"network": "three layers"}, "made for network 'three layers', not for 'two-layer ReLU 6400-20-1'"),
        ({"env": "ALE/Breakout-v5"}, "unknown environment 'ALE/Breakout-v5'"),
        ({"env": None}, "not whole"),
        ({"sticky": 1}, "not whole"),
        ({"sticky": 1.5}, "expected a sticky probability"),
        ({"frameskip_low": 0}, "expected a frameskip of 1 or more, got 0"),
        ({"frameskip_high": 2}, "expected a range of frameskips, .* got 2 to 2"),
        ({"frameskip_high": 1 << 40}, "expected a frameskip of 108000 or less"),
        ({"max_frames": 1000}, "episodes end after 1000 frames, in Pong-v0 after 108000"),
    ):
        with pytest.raises(FileFormatError, match=message):
            Agent.load(change(agent, tmp_path, meta))
    for arrays in (
        {"W1": np.zeros((20, 6399), np.float32)},
        {"W1": np.zeros((19, 6400), np.float32)},
        {"W1": np.zeros((20, 6400, 1), np.float32)},
        {"W1": np.zeros(3)},
        {"W1": agent.policy.W1.astype(float)},
        {"W1": agent.policy.W1.astype(int), "W2": agent.policy.W2.astype(int)},
    ):
        with pytest.raises(FileFormatError, match="do not fit together"):
            Agent.load(change(agent, tmp_path, **arrays))


def test_missing_files_and_folders_are_named(agent, tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        Agent.load(tmp_path / "none.npz")
    with pytest.raises(FileFormatError, match=r"cannot read .*: Is a directory"):
        Agent.load(tmp_path)
    with pytest.raises(DiskError, match="cannot write"):
        agent.save(tmp_path / "no" / "folder" / "agent.npz")


def test_a_failed_write_leaves_the_old_file(agent, tmp_path, monkeypatch):
    agent.save(tmp_path / "agent.npz")
    before = (tmp_path / "agent.npz").read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DiskError, match="No space left on device"):
        agent.save(tmp_path / "agent.npz")
    assert (tmp_path / "agent.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["agent.npz"]
