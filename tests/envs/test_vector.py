"""Many games at once equal as many single ones, bit for bit, whole episodes long."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pgpong
from pgpong.actions import IDLE
from pgpong.envs.game import Game
from pgpong.envs.vector import PongVectorEnv
from pgpong.envs.wrappers import make_single
from pgpong.errors import RunError, SettingError


def assert_equal_over_steps(envs, singles, seed, steps, rng, actions=2):
    """Step both with the same actions; return the episodes that ended."""
    observations, _ = envs.reset(seed=seed)
    for i, env in enumerate(singles):
        assert (env.reset(seed=seed + i)[0] == observations[i]).all()
    ended = np.zeros(len(singles), bool)
    episodes = 0
    for _ in range(steps):
        chosen = rng.integers(0, actions, len(singles))
        observations, *results = envs.step(chosen)
        for i, env in enumerate(singles):
            expected = (env.reset()[0], 0.0, False, False) if ended[i] else env.step(chosen[i])[:4]
            assert (expected[0] == observations[i]).all()
            assert expected[1:] == tuple(column[i] for column in results[:3])
            ended[i] = expected[2] or expected[3]
            episodes += ended[i]
    return episodes


@pytest.mark.parametrize(("env_id", "steps"), [("ALE/Pong-v5", 2600), ("PongNoFrameskip-v4", 5500)])
def test_equals_single_games_over_whole_episodes(env_id, steps):
    n = 3
    envs, singles = pgpong.make_vec(n, env_id), [pgpong.make(env_id) for _ in range(n)]
    assert assert_equal_over_steps(envs, singles, 0, steps, np.random.default_rng(0)) >= n
    for env in [envs, *singles]:
        env.close()


def test_equals_single_games_that_are_truncated():
    game = Game("ALE/Pong-v5", frameskip=4, sticky=0.25, max_frames=302)
    envs, singles = PongVectorEnv(game, 2), [make_single(game) for _ in range(2)]
    assert assert_equal_over_steps(envs, singles, 1, 250, np.random.default_rng(0)) >= 4
    for env in [envs, *singles]:
        env.close()


def test_equals_single_games_that_show_the_current_picture_and_may_stay():
    n, kind = 2, {"stay": True, "current": True}
    envs, singles = pgpong.make_vec(n, **kind), [pgpong.make(**kind) for _ in range(n)]
    assert_equal_over_steps(envs, singles, 7, 300, np.random.default_rng(0), actions=3)
    for env in [envs, *singles]:
        env.close()


def test_equals_single_games_with_random_frameskip():
    n = 2
    envs, singles = pgpong.make_vec(n, "Pong-v0"), [pgpong.make("Pong-v0") for _ in range(n)]
    assert assert_equal_over_steps(envs, singles, 4, 300, np.random.default_rng(0)) == 0
    for env in [envs, *singles]:
        env.close()


def play(num_workers, steps=300, n=6):
    envs = pgpong.make_vec(n, num_workers=num_workers)
    observations, _ = envs.reset(seed=11)
    rng = np.random.default_rng(3)
    seen = [observations.copy()]
    for _ in range(steps):
        seen.append(envs.step(rng.integers(0, 2, n))[0].copy())
    envs.close()
    return np.array(seen)


def test_the_number_of_workers_changes_nothing():
    one = play(num_workers=1)
    assert one.any()
    assert (one == play(num_workers=3)).all()


@pytest.mark.parametrize("current", [False, True])
def test_a_partial_reset_touches_only_its_games(current):
    envs = pgpong.make_vec(3, current=current)
    envs.reset(seed=0)
    for _ in range(60):
        before = envs.step(np.array([0, 1, 0]))[0]
    assert before[0].any()
    mask = np.array([False, True, False])
    after, _ = envs.reset(seed=[None, 21, None], options={"reset_mask": mask})
    assert (after[0] == before[0]).all()
    assert (after[2] == before[2]).all()
    single = pgpong.make(current=current)
    assert (after[1] == single.reset(seed=21)[0]).all()
    for _ in range(60):
        assert (envs.step(np.array([1, 1, 1]))[0][1] == single.step(1)[0]).all()
    envs.close()
    single.close()


def test_a_game_that_idles_goes_on_from_where_it_stood():
    envs = pgpong.make_vec(2)
    envs.reset(seed=0)
    single = pgpong.make()
    single.reset(seed=1)
    for k in range(120):
        if k % 3:
            observations, *_, info = envs.step(np.array([k % 2, IDLE]))
            assert not observations[1].any()  # nothing has moved
        else:
            observations, *_, info = envs.step(np.array([k % 2, 1]))
            # Its picture is compared with the one before, and that was the same while it idled.
            assert (observations[1] == single.step(1)[0]).all()
    assert info["episode_frame_number"].tolist() == [120 * 4, 40 * 4]
    envs.close()
    single.close()


def test_a_game_that_idles_after_its_end_stays_there():
    envs = pgpong.make_vec(1)
    envs.reset(seed=0)
    ended = False
    while not ended:
        _, _, (ended,), _, info = envs.step(np.array([0]))
    for _ in range(3):
        observations, rewards, terminated, _, again = envs.step(np.array([IDLE]))
        assert terminated.all()
        assert not observations.any()
        assert not rewards.any()
        assert again["episode_frame_number"] == info["episode_frame_number"]
    _, _, (ended,), _, again = envs.step(np.array([0]))
    assert not ended
    assert again["episode_frame_number"] == 0
    envs.close()


@pytest.mark.parametrize("more", [False, True])
def test_spaces_hold_what_comes_out(more):
    envs = pgpong.make_vec(2, stay=more, current=more)
    assert envs.action_space.nvec.tolist() == ([3, 3] if more else [2, 2])
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert observations[0] in envs.single_observation_space
    assert envs.step(envs.action_space.sample())[0] in envs.observation_space
    envs.close()


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1, "ALE/Tennis-v5")])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(SettingError):
        pgpong.make_vec(*arguments)


def test_workers_below_zero_are_refused():
    with pytest.raises(SettingError, match="workers"):
        pgpong.make_vec(1, num_workers=-1)


def test_wrong_seeds_and_actions_are_refused_and_the_games_go_on():
    envs, undisturbed = pgpong.make_vec(2), pgpong.make_vec(2)
    for env in (envs, undisturbed):
        env.reset(seed=3)
    for seed, message in (([1, 2, 3], "2 seeds"), (-1, "got -1"), ([4, -2], "seeds of 0 or more")):
        with pytest.raises(ValueError, match=message):
            envs.reset(seed=seed)
    for actions in ([0, 2], [-2, 0], [0], [0, 1, 1], [[0, 1]]):
        with pytest.raises(ValueError, match="expected 2 actions below 2, one a game, got"):
            envs.step(np.array(actions))
    for _ in range(100):
        (shown, *_), (expected, *_) = (env.step(np.array([0, 1])) for env in (envs, undisturbed))
        np.testing.assert_array_equal(shown, expected)
    for env in (envs, undisturbed):
        env.close()


@pytest.mark.parametrize("seed", [0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 2**40 + 3])
def test_any_seed_gives_the_game_that_a_single_one_has_with_it(seed):
    """Also those whose word for the emulator is negative, and after other play."""
    envs, single = pgpong.make_vec(1), pgpong.make()
    rng = np.random.default_rng(0)
    envs.reset(seed=5)
    for _ in range(30):
        envs.step(rng.integers(0, 2, 1))
    assert assert_equal_over_steps(envs, [single], seed, 300, rng) == 0
    envs.close()
    single.close()


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "Pong-v0"])
def test_a_game_is_had_back_from_its_seed_and_its_actions(env_id):
    n = 3
    envs, others = pgpong.make_vec(n, env_id), pgpong.make_vec(n, env_id, num_workers=1)
    rng = np.random.default_rng(2)
    observations, _ = envs.reset(seed=[7, 8, 9])
    actions = rng.integers(0, 2, (400, n))
    scores = np.zeros(n)
    for row in actions:
        observations, rewards, *_, info = envs.step(row)
        scores += rewards
    histories = [(7 + g, actions[:, g].astype(np.uint8)) for g in range(n)]
    others.replay_async(histories)
    again, sums, terminated, truncated, info_again = others.step_wait()
    assert (again == observations).all()
    assert again.any()
    assert (sums == scores).all()
    assert not (terminated | truncated).any()
    assert (info_again["episode_frame_number"] == info["episode_frame_number"]).all()
    for row in rng.integers(0, 2, (100, n)):
        assert (envs.step(row)[0] == others.step(row)[0]).all()
    envs.close()
    others.close()


def test_histories_of_different_lengths_are_played_again():
    envs, single = pgpong.make_vec(3), pgpong.make()
    actions = np.random.default_rng(2).integers(0, 2, 50).astype(np.uint8)
    histories = [(4, actions[:n]) for n in (0, 1, 50)]
    envs.replay_async(histories)
    observations = envs.step_wait()[0]
    for (seed, history), seen in zip(histories, observations, strict=True):
        expected, _ = single.reset(seed=seed)
        for action in history:
            expected = single.step(action)[0]
        assert (seen == expected).all()
    envs.close()
    single.close()


def test_a_game_that_ended_is_had_back_and_begins_anew_at_the_next_step():
    game = Game("ALE/Pong-v5", frameskip=4, sticky=0.25, max_frames=302)
    envs, others = PongVectorEnv(game, 1), PongVectorEnv(game, 1)
    envs.reset(seed=3)
    actions = []
    ended = False
    while not ended:
        actions.append(len(actions) % 3 % 2)
        observations, _, terminated, truncated, _ = envs.step(np.array(actions[-1:]))
        ended = (terminated | truncated).any()
    others.replay_async([(3, np.array(actions, np.uint8))])
    again, *_, truncated, _ = others.step_wait()
    assert truncated.all()
    assert (again == observations).all()
    for env in (envs, others):
        env.step_async(np.array([0]), seed=[11])
        assert not env.step_wait()[0].any()
    for _ in range(40):
        assert (envs.step(np.array([1]))[0] == others.step(np.array([1]))[0]).all()
    envs.close()
    others.close()


def test_a_worker_that_is_killed_is_named_and_leaves_no_process():
    envs = pgpong.make_vec(2, num_workers=2)
    envs.reset(seed=0)
    envs._workers[0]._process.kill()
    envs._workers[0]._process.wait()
    with pytest.raises(RunError, match="a process that plays games has ended"):
        envs.step(np.zeros(2, np.int64))
    envs.close()
    assert all(worker._process.poll() is not None for worker in envs._workers)


def test_workers_end_with_their_owner_however_it_ends(tmp_path):
    script = """
import os, sys, numpy as np, pgpong
envs = pgpong.make_vec(2, num_workers=2)
envs.reset(seed=0)
print(*[worker._process.pid for worker in envs._workers], flush=True)
envs.step_async(np.zeros(2, np.int64))
os.kill(os.getpid(), 9)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pids = [int(pid) for pid in run.stdout.split()]
    assert len(pids) == 2
    assert run.stderr == ""
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie whose new parent has not looked yet is no process any more.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
