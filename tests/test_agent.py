"""Agents: acting, saving and loading, travelling between processes, and files that are refused."""

import json

import cloudpickle
import numpy as np
import pytest

import pgpong
from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import DiskError, FileFormatError, NonFiniteError
from pgpong.learning.policy import Policy
from pgpong.storage.arrays import read_arrays, write_arrays


@pytest.fixture
def agent():
    policy = Policy.initialise(np.random.default_rng(0), 20, 6400, fan_in=40)
    return Agent(policy, find_game("Pong-v0"), {"episode": 12, "score_mean": -3.5})


def observations(n=50):
    rng = np.random.default_rng(1)
    return ((rng.random((n, 80, 80)) < 0.01) * rng.choice([-1, 1], (n, 80, 80))).astype(np.int8)


def test_greedy_takes_the_likelier_action_and_sampling_follows_the_probability(agent):
    seen = observations(1)
    p = agent.probability_of_up(seen)[0]
    assert agent.act(seen).tolist() == [int(p > 0.5)]
    many = np.repeat(seen, 20_000, axis=0)
    assert agent.act(many, np.random.default_rng(0)).mean() == pytest.approx(p, abs=0.02)


def test_one_observation_gives_one_action(agent):
    assert agent.act(observations(1)[0]).shape == ()
    with pytest.raises(ValueError, match=r"expected difference frames .* got \(80, 81\)"):
        agent.act(np.zeros((80, 81), np.int8))


def test_a_saved_agent_plays_the_same(agent, tmp_path):
    agent.save(tmp_path / "agent.npz")
    loaded = Agent.load(tmp_path / "agent.npz")
    assert (loaded.game, loaded.provenance) == (agent.game, agent.provenance)
    assert (loaded.probability_of_up(observations()) == agent.probability_of_up(observations())).all()


def test_an_agent_travels_between_processes(agent):
    copy = cloudpickle.loads(cloudpickle.dumps(agent))
    assert (copy.probability_of_up(observations()) == agent.probability_of_up(observations())).all()


def test_a_single_game_can_be_played_in_a_few_lines(agent):
    env = pgpong.make()
    observation, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        observation, *_ = env.step(agent.act(observation, rng))
    env.close()


def test_a_weight_that_is_no_number_is_neither_written_nor_read(agent, tmp_path):
    header, arrays = agent.pack()
    arrays["W1"] = arrays["W1"].copy()
    arrays["W1"][3, 7] = np.inf
    with pytest.raises(NonFiniteError, match="W1 holds NaN or infinity"):
        write_arrays(tmp_path / "agent.npz", header, arrays)
    assert list(tmp_path.iterdir()) == []
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(tmp_path / "agent.npz", header=text, **arrays)
    with pytest.raises(FileFormatError, match="W1 holds NaN or infinity"):
        Agent.load(tmp_path / "agent.npz")


def change(agent, tmp_path, header=(), **arrays):
    """Write the agent's file with parts of it exchanged."""
    old_header, old_arrays = agent.pack()
    write_arrays(tmp_path / "agent.npz", {**old_header, **dict(header)}, {**old_arrays, **arrays})
    return tmp_path / "agent.npz"


def test_files_made_for_something_else_are_refused_with_the_reason(agent, tmp_path):
    for header, message in (
        ({"format": "pgpong 99"}, "not a pgpong agent of a format"),
        ({"preprocessing": "84x84 grey"}, "made for '84x84 grey'"),
        ({"game": {"id": "x"}}, "damaged"),
        ({"game": None}, "damaged"),
    ):
        with pytest.raises(FileFormatError, match=message):
            Agent.load(change(agent, tmp_path, header))
    for arrays in (
        {"W1": np.zeros((20, 6399), np.float32)},
        {"W2": np.zeros(19, np.float32)},
        {"W1": np.zeros(3)},
    ):
        with pytest.raises(FileFormatError, match="do not fit together"):
            Agent.load(change(agent, tmp_path, **arrays))


def test_files_that_are_not_ours_are_refused(agent, tmp_path):
    agent.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "object.npz", header=np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "text.npz", header=np.frombuffer(b"not json", np.uint8))
    np.savez(tmp_path / "list.npz", header=np.frombuffer(b"[1]", np.uint8))
    foreign = [
        (tmp_path / name).read_bytes()
        for name in ("other.npz", "array.npy", "object.npz", "text.npz", "list.npz")
    ]
    cut = [whole[: len(whole) * tenth // 10] for tenth in range(10)]
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in [*foreign, *cut, bytes(flipped), b"GIF89a", b"\x80\x04K\x01."]:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(FileFormatError, match="damaged or was not written by pgpong"):
            read_arrays(tmp_path / "file")


def test_missing_files_and_folders_are_named(agent, tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        Agent.load(tmp_path / "none.npz")
    with pytest.raises(FileFormatError, match="cannot read"):
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
