"""Many games at once equal as many single ones, bit for bit, whole episodes long."""

import numpy as np
import pytest

import pgpong
from pgpong.envs.game import Game, find_game
from pgpong.envs.vector import PongVectorEnv, make_screens_vec
from pgpong.envs.wrappers import make_single
from pgpong.errors import SettingError


def assert_equal_over_steps(envs, singles, seed, steps, rng):
    """Step both with the same actions; return the episodes that ended."""
    observations, _ = envs.reset(seed=seed)
    for i, env in enumerate(singles):
        assert (env.reset(seed=seed + i)[0] == observations[i]).all()
    ended = np.zeros(len(singles), bool)
    episodes = 0
    for _ in range(steps):
        actions = rng.integers(0, 2, len(singles))
        observations, *results = envs.step(actions)
        for i, env in enumerate(singles):
            expected = (env.reset()[0], 0.0, False, False) if ended[i] else env.step(actions[i])[:4]
            assert (expected[0] == observations[i]).all()
            assert expected[1:] == tuple(column[i] for column in results[:3])
            ended[i] = expected[2] or expected[3]
            episodes += ended[i]
    return episodes


@pytest.mark.parametrize(("env_id", "steps"), [("ALE/Pong-v5", 2600), ("PongNoFrameskip-v4", 5500)])
def test_equals_single_games_over_whole_episodes(env_id, steps):
    n = 3
    envs, singles = pgpong.make_vec(n, env_id), [pgpong.make(env_id) for _ in range(n)]
    # Seeds 0, 2 and 3 have no twin of their own in the vector environment.
    assert assert_equal_over_steps(envs, singles, 0, steps, np.random.default_rng(0)) >= n
    for env in [envs, *singles]:
        env.close()


def test_equals_single_games_that_are_truncated():
    game = Game("ALE/Pong-v5", frameskip=4, sticky=0.25, max_frames=302)
    envs, singles = PongVectorEnv(make_screens_vec(game, 2)), [make_single(game) for _ in range(2)]
    assert assert_equal_over_steps(envs, singles, 1, 250, np.random.default_rng(0)) >= 4
    for env in [envs, *singles]:
        env.close()


def test_equals_single_games_with_random_frameskip():
    n = 2
    envs, singles = pgpong.make_vec(n, "Pong-v0"), [pgpong.make("Pong-v0") for _ in range(n)]
    assert assert_equal_over_steps(envs, singles, 4, 300, np.random.default_rng(0)) == 0
    for env in [envs, *singles]:
        env.close()


def play(num_threads, steps=300, n=6):
    envs = pgpong.make_vec(n, num_threads=num_threads)
    observations, _ = envs.reset(seed=11)
    rng = np.random.default_rng(3)
    seen = [observations.copy()]
    for _ in range(steps):
        seen.append(envs.step(rng.integers(0, 2, n))[0].copy())
    envs.close()
    return np.array(seen)


def test_the_number_of_threads_changes_nothing():
    one = play(num_threads=1)
    assert one.any()
    assert (one == play(num_threads=3)).all()


def test_a_partial_reset_touches_only_its_games():
    envs = pgpong.make_vec(3)
    envs.reset(seed=0)
    for _ in range(60):
        before = envs.step(np.array([0, 1, 0]))[0]
    assert before[0].any()
    mask = np.array([False, True, False])
    after, _ = envs.reset(seed=[None, 21, None], options={"reset_mask": mask})
    assert (after[0] == before[0]).all()
    assert (after[2] == before[2]).all()
    assert not after[1].any()
    single = pgpong.make()
    single.reset(seed=21)
    for _ in range(60):
        assert (envs.step(np.array([1, 1, 1]))[0][1] == single.step(1)[0]).all()
    envs.close()
    single.close()


def test_spaces_hold_what_comes_out():
    envs = pgpong.make_vec(2)
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert observations[0] in envs.single_observation_space
    assert envs.step(envs.action_space.sample())[0] in envs.observation_space
    envs.close()


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1, "ALE/Tennis-v5")])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(SettingError):
        pgpong.make_vec(*arguments)


def test_threads_below_zero_and_a_wrong_number_of_seeds_are_refused():
    with pytest.raises(SettingError, match="threads"):
        pgpong.make_vec(1, num_threads=-1)
    envs = pgpong.make_vec(2)
    with pytest.raises(ValueError, match="2 seeds"):
        envs.reset(seed=[1, 2, 3])
    envs.close()


def test_the_screens_are_those_of_the_game_named():
    assert make_screens_vec(find_game("ALE/Pong-v5"), 1).reset(seed=1)[0].shape == (1, 1, 210, 160)
