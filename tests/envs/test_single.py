"""A single game: Gymnasium's own checks, seeding, ends, and the registered id."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import pgpong
from pgpong.envs.game import Game, find_game
from pgpong.envs.preprocess import picture
from pgpong.envs.wrappers import make_single
from pgpong.errors import SettingError


# It would rather look at the bare emulator than at wrappers, and says so whatever the wrappers do.
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version.*:UserWarning")
@pytest.mark.parametrize("more", [False, True])
def test_passes_check_env(more):
    env = pgpong.make(stay=more, current=more, render_mode="rgb_array")
    check_env(env, skip_render_check=True)
    env.close()


def test_gymnasium_makes_it_by_id_with_settings():
    env = gymnasium.make("pgpong/Pong-v5", sticky=0.0, frameskip=2)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (80, 80)
    assert not observation.any()
    *_, info = env.step(1)
    assert info["episode_frame_number"] == 2
    env.close()


def test_gymnasium_makes_the_vector_environment_by_id():
    envs = gymnasium.make_vec("pgpong/Pong-v5", num_envs=2, vectorization_mode="vector_entry_point")
    assert envs.reset(seed=0)[0].shape == (2, 80, 80)
    envs.close()


def test_differences_add_up_to_the_picture_on_the_screen():
    env = pgpong.make()
    env.reset(seed=5)
    start = picture(env.unwrapped.ale.getScreenGrayscale()).astype(int)
    rng = np.random.default_rng(1)
    for _ in range(200):
        start += env.step(rng.integers(2))[0]
    assert (start == picture(env.unwrapped.ale.getScreenGrayscale())).all()
    env.close()


def test_the_current_picture_comes_beside_the_same_difference_frames():
    env, other = pgpong.make(current=True), pgpong.make()
    for seed in (5, 6):
        seen, difference = env.reset(seed=seed)[0], other.reset(seed=seed)[0]
        for action in np.random.default_rng(1).integers(0, 2, 100).tolist():
            assert (seen[0] == difference).all()
            assert (seen[1] == picture(env.unwrapped.ale.getScreenGrayscale())).all()
            seen, difference = env.step(action)[0], other.step(action)[0]
    for game in (env, other):
        game.close()


def test_action_one_moves_the_paddle_up_and_zero_down_and_two_leaves_it():
    def rows_of_the_right_paddle(action):
        env = pgpong.make(sticky=0.0, stay=True)
        env.reset(seed=0)
        for _ in range(40):
            env.step(action)
        rows = np.flatnonzero(picture(env.unwrapped.ale.getScreenGrayscale())[:, 70:72].any(axis=1))
        env.close()
        return rows.mean()

    assert rows_of_the_right_paddle(1) < 20 < rows_of_the_right_paddle(2) < 60 < rows_of_the_right_paddle(0)


@pytest.mark.parametrize(
    ("env_id", "shown"),
    [
        ("ALE/Pong-v5", "ALE/Pong-v5 (frameskip 4, sticky 0.25)"),
        ("PongNoFrameskip-v4", "PongNoFrameskip-v4 (frameskip 1, sticky 0)"),
        ("Pong-v0", "Pong-v0 (frameskip 2-4, sticky 0.25)"),
    ],
)
def test_each_id_plays_and_names_its_settings(env_id, shown):
    game = find_game(env_id)
    assert str(game) == shown
    env = make_single(game)
    env.reset(seed=0)
    frames = [0]
    for _ in range(60):
        frames.append(env.step(0)[4]["episode_frame_number"])
    low, high = (game.frameskip, game.frameskip + 1) if isinstance(game.frameskip, int) else game.frameskip
    assert set(np.diff(frames)) == set(range(low, high))
    env.close()


def test_random_frameskip_repeats_with_the_seed():
    def frames(seed):
        env = pgpong.make("Pong-v0")
        env.reset(seed=seed)
        numbers = [env.step(1)[4]["episode_frame_number"] for _ in range(50)]
        env.close()
        return numbers

    assert frames(7) == frames(7) != frames(8)


@pytest.mark.parametrize("action", [-1, 2, 0.5, "up"])
def test_an_action_that_there_is_not_is_refused(action):
    env = pgpong.make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected an action of Discrete\(2\), got"):
        env.step(action)
    env.close()


def test_a_truncated_game_ends_after_its_frames():
    env = make_single(Game("ALE/Pong-v5", frameskip=4, sticky=0.25, max_frames=400))
    env.reset(seed=0)
    for _ in range(99):
        assert env.step(0)[2:4] == (False, False)
    assert env.step(0)[2:4] == (False, True)
    env.close()


@pytest.mark.parametrize("env_id", ["ALE/Breakout-v5", "CartPole-v1", "NoSuchGame-v0", ""])
def test_an_id_that_is_not_pong_is_named_with_those_that_are(env_id):
    with pytest.raises(SettingError, match=r"use a Pong id, ALE/Pong-v5"):
        pgpong.make(env_id)


@pytest.mark.parametrize(
    "settings",
    [
        {"sticky": 1.0},
        {"sticky": -0.1},
        *({"frameskip": skip} for skip in (0, (0, 2), (3, 3), (5, 2), 200_000, (2, 200_000))),
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(SettingError, match="expected a"):
        pgpong.make(**settings)


def test_a_range_of_one_frameskip_is_that_frameskip():
    assert pgpong.find_game("ALE/Pong-v5", frameskip=(2, 3)) == pgpong.find_game("ALE/Pong-v5", frameskip=2)
