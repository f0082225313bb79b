"""Replays: of trainings, evaluations and single games, played back on the real emulator bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

import pgpong
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError, RunError
from pgpong.state import new_state
from pgpong.storage.arrays import read_arrays, write_arrays
from pgpong.storage.lines import read_lines
from pgpong.storage.replay import Replay, Shelf
from pgpong.viewing.playback import Playback, agent_player, play, play_replay
from tests.conftest import NO_EVALUATION

GAME = find_game("ALE/Pong-v5")


@pytest.fixture(scope="module")
def agent():
    return new_state(from_recipe("fast", hidden=8), GAME).agent


def played_back(replay):
    """The scenes of a replay; play_replay sees to it that score and last screen are those of the file."""
    return list(play_replay(Playback(replay.game), replay))


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "Pong-v0"])
def test_a_game_plays_back_scene_by_scene(agent, tmp_path, env_id):
    playback = Playback(find_game(env_id))
    scenes = list(play(playback, 3, agent_player(agent, np.random.default_rng(0))))
    playback.replay().save(tmp_path / "a.replay")
    assert (tmp_path / "a.replay").stat().st_size < 2000
    replay = Replay.load(tmp_path / "a.replay")
    again = played_back(replay)
    assert len(again) == len(scenes) == len(replay.actions) + 1
    for one, other in zip(scenes, again, strict=True):
        assert (one.screen == other.screen).all()
        assert (one.difference == other.difference).all()
        assert (one.action, one.score, one.frame, one.ended) == (
            other.action, other.score, other.frame, other.ended,
        )  # fmt: skip
    assert scenes[-1].ended
    opponent, us = scenes[-1].score
    assert max(opponent, us) == 21
    assert replay.score == us - opponent


def test_scenes_equal_a_single_game(agent):
    env = pgpong.make(render_mode="rgb_array")
    observation, _ = env.reset(seed=5)
    scenes = play(Playback(GAME), 5, lambda scene: (int(scene.difference.sum() > 0), 0.5, None))
    for _, scene in zip(range(200), scenes, strict=False):
        assert (scene.difference == observation).all()
        assert (scene.screen == env.render()).all()
        observation, *_ = env.step(scene.action)
    env.close()


def test_episodes_of_a_training_are_kept_and_play_back(cli, folder):
    options = ("--recipe", "karpathy", "--num-envs", "2", "--batch-episodes", "2", "--hidden", "4")
    options += NO_EVALUATION
    assert cli("train", "--run", "a", "--updates", "3", *options)[0] == 0
    episodes = {line["episode"]: line for line in read_lines(folder / "runs/a/episodes.jsonl")}
    scores = [line["score"] for line in episodes.values()]
    kept = {
        name: Replay.load(folder / f"runs/a/replays/{name}.replay") for name in ("best", "worst", "latest")
    }
    assert kept["best"].score == max(scores)
    assert kept["worst"].score == min(scores)
    assert kept["latest"].provenance["episode"] == len(scores) == 6
    # A folder may be called what no file may hold.
    (folder / "runs/a").rename(folder / "runs/a\n")
    assert cli("resume", "a\n", "--updates", "4")[0] == 0
    (folder / "runs/a\n").rename(folder / "runs/a")
    assert Replay.load(folder / "runs/a/replays/latest.replay").provenance["run"] == "a?"
    for replay in kept.values():
        line = episodes[replay.provenance["episode"]]
        assert (replay.seed, replay.score, len(replay.actions)) == (
            line["seed"],
            line["score"],
            line["steps"],
        )
        assert played_back(replay)[-1].frame == line["frames"]
    # A later session counts what is there.
    assert cli("resume", "a", "--updates", "5")[0] == 0
    scores = [line["score"] for line in read_lines(folder / "runs/a/episodes.jsonl")]
    assert Replay.load(folder / "runs/a/replays/best.replay").score == max(scores)
    assert Replay.load(folder / "runs/a/replays/worst.replay").score == min(scores)


def test_games_of_an_evaluation_are_kept_and_play_back(cli, tiny_run, folder):
    assert cli("evaluate", "tiny", "--episodes", "3", "--seed", "4")[0] == 0
    assert cli("evaluate", "tiny", "--episodes", "2", "--replays", folder / "elsewhere")[0] == 0
    for where in (tiny_run / "replays", folder / "elsewhere"):
        for name in ("best", "worst", "latest"):
            replay = Replay.load(where / f"evaluation-{name}.replay")
            assert played_back(replay)[-1].ended
    latest = Replay.load(tiny_run / "replays/evaluation-latest.replay")
    assert latest.seed == 6
    assert (latest.provenance["run"], latest.provenance["actions"]) == ("tiny", "greedy")


def test_a_replay_that_does_not_come_out_as_it_was_names_the_versions(agent):
    playback = Playback(GAME)
    scenes = play(playback, 3, agent_player(agent))
    for _ in range(50):
        next(scenes)
    replay = playback.replay()
    assert len(played_back(replay)) == len(replay.actions) + 1 == 50
    for wrong in ({"screen": replay.screen ^ 1}, {"score": 3}):
        with pytest.raises(RunError, match=r"made with ale-py 0\.1, played back with 0\.12"):
            played_back(replace(replay, ale_py="0.1", **wrong))


@pytest.mark.parametrize(
    ("meta", "arrays"),
    [
        ({"format": "pgpong replay 99"}, {}),
        ({"seed": "3"}, {}),
        ({"seed": -1}, {}),
        ({"more": 1}, {}),
        ({"env": "ALE/Breakout-v5"}, {}),
        ({"sticky": 2.0}, {}),
        ({}, {"actions": np.array([0b11000000], np.uint8)}),  # an action 3
        ({"steps": 5}, {}),
        ({"steps": -1}, {}),
        ({}, {"actions": np.zeros((2, 2), np.uint8)}),
        ({}, {"actions": np.zeros(2, np.int64)}),
        ({}, {"more": np.zeros(2, np.uint8)}),
    ],
)
def test_what_is_no_replay_is_refused(tmp_path, meta, arrays):
    path = tmp_path / "a.replay"
    Replay(GAME, 1, np.zeros(3, np.uint8), 0, 7).save(path)
    old_meta, old_arrays = read_arrays(path)
    write_arrays(path, {**old_meta, **meta}, {**old_arrays, **arrays})
    with pytest.raises(FileFormatError, match=r"a\.replay"):
        Replay.load(path)


@pytest.mark.parametrize("steps", range(6))
def test_actions_come_back_whatever_their_number(tmp_path, steps):
    actions = np.array([2, 0, 1, 1, 2, 0][:steps], np.uint8)
    Replay(GAME, 1, actions, 0, 7).save(tmp_path / "a.replay")
    assert Replay.load(tmp_path / "a.replay").actions.tolist() == actions.tolist()


def test_an_agent_is_no_replay_and_a_replay_no_agent(agent, tmp_path):
    agent.save(tmp_path / "a.npz")
    with pytest.raises(FileFormatError, match="is not a replay"):
        Replay.load(tmp_path / "a.npz")
    Replay(GAME, 1, np.zeros(3, np.uint8), 0, 7).save(tmp_path / "a.replay")
    with pytest.raises(FileFormatError, match="is not a pgpong agent"):
        pgpong.Agent.load(tmp_path / "a.replay")


def test_a_shelf_keeps_the_best_the_worst_and_the_latest(tmp_path):
    def episode(score, seed):
        return Replay(GAME, seed, np.zeros(1, np.uint8), score, 0)

    shelf = Shelf(tmp_path / "replays")
    for seed, score in enumerate((-5, 3, 3, -9, 0)):
        shelf.consider(episode(score, seed))
    assert not (tmp_path / "replays").exists()
    shelf.save()

    def seeds():
        return {path.stem: Replay.load(path).seed for path in (tmp_path / "replays").iterdir()}

    assert seeds() == {"best": 1, "worst": 3, "latest": 4}
    again = Shelf(tmp_path / "replays", go_on=True)
    for seed, score in ((5, 2), (6, -10)):
        again.consider(episode(score, seed))
    again.save()
    assert seeds() == {"best": 1, "worst": 6, "latest": 6}
