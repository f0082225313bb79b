"""Settings: ranges, recipes, and the file they are kept in."""

import math

import pytest

from pgpong.config import RECIPES, TrainConfig, from_recipe
from pgpong.errors import SettingError


def test_karpathy_is_the_2016_algorithm():
    config = from_recipe("karpathy")
    assert (config.batch_episodes, config.batch_steps, config.standardise, config.reduction) == (
        10,
        0,
        "episode",
        "sum",
    )
    assert (config.gamma, config.optimizer, config.decay, config.epsilon, config.learning_rate) == (
        0.99, "rmsprop", 0.99, 1e-5, 1e-4,
    )  # fmt: skip
    assert (config.hidden, config.fan_in, config.passes, config.minibatches, config.entropy) == (
        200,
        6400,
        1,
        1,
        0,
    )
    assert config.clip == config.max_kl == config.max_grad_norm == math.inf


def test_step_size_and_entropy_fall_linearly_again_from_half_the_height_and_for_twice_as_long():
    config = from_recipe(learning_rate=0.01, entropy=0.1, anneal_steps=100, anneal_to=0.2)
    # 100 steps down, then 200, then 400, ...
    for step, share in {
        0: 1,
        50: 0.6,
        99: 0.208,
        100: 0.5,
        200: 0.3,
        299: 0.102,
        300: 0.25,
        500: 0.15,
    }.items():
        there = config.at(step)
        assert there.learning_rate == pytest.approx(0.01 * share), step
        assert there.entropy == pytest.approx(0.1 * share), step
    for_ever = from_recipe(anneal_steps=0)
    assert for_ever.at(10**9) == for_ever


@pytest.mark.parametrize("recipe", RECIPES)
def test_settings_survive_their_file(recipe, tmp_path):
    config = from_recipe(recipe, frameskip=(2, 5), sticky=0.1, seed=7)
    (tmp_path / "config.toml").write_text(config.dump())
    assert TrainConfig.load(tmp_path / "config.toml") == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 0}, "hidden: expected 1 or more, got 0"),
        ({"learning_rate": -1.0}, "learning_rate: expected more than 0, got -1"),
        ({"learning_rate": math.nan}, "learning_rate: expected more than 0, got nan"),
        ({"gamma": 1.5}, "gamma: expected 0 to 1, got 1.5"),
        ({"num_envs": 0}, "num_envs: expected 1 or more"),
        ({"optimizer": "sgd"}, "optimizer: expected adam or rmsprop, got 'sgd'"),
        ({"batch_steps": 0}, "either batch_steps or batch_episodes"),
        ({"batch_steps": 0, "batch_episodes": 5}, "multiple of num_envs, the"),
        ({"hidden": 7, "mirror": True}, "mirror: expected an even number of hidden units, got 7"),
        ({"mirror": 1}, "mirror: expected true or false, got 1"),
        ({"anneal_to": 1.5}, "anneal_to: expected 0 to 1, got 1.5"),
        ({"momentum": 1}, "momentum: expected 0 to less than 1, got 1"),
        ({"decay": 1.0}, "decay: expected 0 to less than 1, got 1"),
        ({"sticky": math.nan}, "sticky: expected 0 or more, got nan"),
        ({"frameskip": "4"}, "frameskip: expected a whole number or a pair of them, got '4'"),
        ({"no_such": 1}, "unknown setting 'no_such'"),
        ({"recipe": "slow"}, "unknown recipe 'slow': use fast or karpathy"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(SettingError) as error:
        from_recipe(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe = ", "cannot read settings"),
        ("no_such = 1", "unknown setting 'no_such'"),
        ("hidden = 0", "hidden: expected 1 or more"),
        ("hidden = 'many'", "config.toml"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path, text, message):
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(SettingError, match=message):
        TrainConfig.load(tmp_path / "config.toml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingError, match="cannot read settings from"):
        TrainConfig.load(tmp_path / "config.toml")
