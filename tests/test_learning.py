"""The whole loop learns: rollout, critic and update, with the settings of `fast`, solve a small game."""

from itertools import islice

import pytest

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.state import new_state
from pgpong.training import train
from tests.small_game import RALLIES, SmallGames


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_a_small_game_is_solved(seed, monkeypatch):
    """In 32,000 steps: nine balls of ten are met in the last hundred episodes, where at first three are."""
    sizes = {"num_envs": 16, "batch_steps": 32, "hidden": 32, "fan_in": 10, "learning_rate": 1e-2}
    config = from_recipe("fast", seed=seed, evaluate_every=0, **sizes)
    games = SmallGames(config.num_envs, seed, stay=config.stay, current=config.current)
    monkeypatch.setattr("pgpong.training.make_groups", lambda config: [games])
    state = new_state(config, find_game(config.env))
    for _ in islice(train(config, state), 64):
        pass
    assert state.progress.score_mean > 0.8 * RALLIES
