"""Evaluation: against single games played one by one, and its statistics against scipy's."""

import numpy as np
import pytest
from scipy import stats

import pgpong
from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import SettingError
from pgpong.evaluation import GAMES_AT_ONCE, Evaluation, evaluate, mean_interval, validate
from pgpong.learning.policy import Policy
from pgpong.rollout import FIRST_TRAINING_SEED, FIRST_VALIDATION_SEED


@pytest.fixture
def agent():
    return Agent(Policy.initialise(np.random.default_rng(3), 12, 6400, fan_in=40), find_game("ALE/Pong-v5"))


def test_greedy_games_equal_single_ones_played_one_by_one(agent):
    result = evaluate(agent, episodes=3, seed=5, greedy=True)
    env = pgpong.make()
    for i in range(3):
        observation, _ = env.reset(seed=5 + i)
        score, steps, ended = 0, 0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
            score, steps, ended = score + reward, steps + 1, terminated or truncated
        assert (result.scores[i], result.steps[i]) == (score, steps)
    env.close()


def test_the_same_call_plays_the_same_games(agent):
    assert evaluate(agent, 2, seed=1) == evaluate(agent, 2, seed=1, num_workers=1)


def test_more_games_than_are_played_at_once(agent, monkeypatch):
    monkeypatch.setattr("pgpong.evaluation.GAMES_AT_ONCE", 2)
    result = evaluate(agent, 3, seed=5, greedy=True)
    monkeypatch.undo()
    assert GAMES_AT_ONCE > 3
    assert result == evaluate(agent, 3, seed=5, greedy=True)


def test_interval_is_students():
    scores = [-21, -18, -20, -21, -15, -19]
    low, high = stats.t.interval(0.95, len(scores) - 1, np.mean(scores), stats.sem(scores))
    assert mean_interval(scores) == pytest.approx((max(-21, low), high))
    assert mean_interval([3]) is None
    assert mean_interval([-21] * 5) == (-21, -21)


def test_derived_figures():
    result = Evaluation("g", False, 0, [5, -3, 1], [100, 200, 300])
    assert (result.mean, result.won) == (1, 2)
    assert result.as_dict()["episodes"] == 3


def test_games_that_choose_an_agent_are_neither_published_nor_trained_on(agent):
    result = validate(agent, 2)
    assert FIRST_VALIDATION_SEED <= result.first_seed < result.first_seed + 2 <= FIRST_TRAINING_SEED
    assert (len(result.scores), result.greedy) == (2, False)
    assert validate(agent, 2, num_workers=1) == result


def test_games_that_choose_an_agent_are_stopped_at_once(agent):
    asked = []

    def fifth_time():
        asked.append(len(asked))
        return len(asked) == 5

    assert validate(agent, 2, should_stop=fifth_time) is None
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("episodes", "seed"), [(0, 0), (1, -1), (1, FIRST_VALIDATION_SEED), (2, FIRST_VALIDATION_SEED - 1)]
)
def test_seeds_of_trainings_are_refused(agent, episodes, seed):
    with pytest.raises(SettingError, match="expected"):
        evaluate(agent, episodes, seed)
