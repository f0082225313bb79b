"""The reference runs: the curves that ship, and comparing with made-up ones by hand."""

import json
import math
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from pgpong.agent import Agent
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.evaluation import Evaluation, evaluate
from pgpong.reference import FILE, Reference, curve_to_ship, find_reference, reference_curves
from pgpong.state import new_state
from pgpong.storage.history import read_run
from pgpong.storage.lines import read_lines
from pgpong.storage.run import SHIPPED, Run
from pgpong.training import train

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs" / "reference"
GAME = find_game("ALE/Pong-v5")


def curve(steps, scores):
    return np.array(steps, float), np.array(scores, float)


# One rises 10 points in 1,000 steps; one waits until 2,000; one never wins.
QUICK = curve([100, 3100], [-20, 10])
SLOW = curve([0, 2000, 4000], [-20, -20, 0])
NEVER = curve([0, 4000], [-20, -16])
MADE = Reference("fast", (QUICK, SLOW, NEVER))


def test_the_curves_that_ship_are_those_of_the_reference_runs():
    shipped = json.loads(FILE.read_text())
    for one in shipped:
        history = read_run(RUNS / one["name"])
        assert one == json.loads(json.dumps(curve_to_ship(history))), "python benchmarks/reference_curves.py"
        rows = np.searchsorted(history.updates["update"], one["update"])
        np.testing.assert_allclose(one["score_mean"], history.updates["score_mean"][rows], atol=0.005)
        assert one["step"] == history.updates["step"][rows].tolist()
        assert one["episode"][-1] == history.episodes.rows
        assert find_reference(history.config, history.game).other_settings == ()


@pytest.mark.parametrize("name", ["fast-seed1", "karpathy-seed1", "karpathy-v0-seed1"])
def test_the_reference_runs_are_of_the_code_as_it_is(name):
    """The first updates come out as they were written down; on other processors, up to the last digits."""
    run = Run(RUNS / name)
    config = run.config
    state = new_state(config, find_game(config.env, config.frameskip, config.sticky))
    for record, line in zip(islice(train(config, state), 3), read_lines(run.metrics)[:3], strict=True):
        assert (state.progress.step, state.progress.frame) == (line["step"], line["frame"])
        for field in ("entropy", "kl", "grad_norm", "W1_norm", "W2_norm"):
            assert getattr(record.stats, field) == pytest.approx(line[field], rel=1e-3, abs=1e-8), field


def test_the_score_of_the_agent_that_ships_is_that_of_its_games():
    stored = json.loads((ROOT / "docs" / "pretrained.json").read_text())
    card, readme = ((ROOT / name).read_text() for name in ("docs/pretrained.md", "README.md"))
    for way in ("sampled", "greedy"):
        games = stored[way]
        result = Evaluation(**{field.name: games[field.name] for field in fields(Evaluation)})
        assert {**result.as_dict(), "interval": list(result.interval)} == games
        assert (len(result.scores), result.first_seed, result.game) == (100, 0, str(GAME))
        score = "mean score {:+.2f} (95% interval {:+.2f} to {:+.2f})".format(result.mean, *result.interval)
        assert f"{score} over 100 games; {result.won} won" in card
        assert f"{score}  {result.won} of 100 won" in readme
    again = evaluate(Agent.load(SHIPPED), 2, greedy=True)
    assert (again.scores, again.steps) == (stored["greedy"]["scores"][:2], stored["greedy"]["steps"][:2])


@pytest.mark.parametrize(
    ("recipe", "env"), [("fast", "ALE/Pong-v5"), ("karpathy", "ALE/Pong-v5"), ("karpathy", "Pong-v0")]
)
def test_each_recipe_has_its_reference_on_its_own_games_only(recipe, env):
    found = reference_curves(recipe, str(find_game(env)))
    assert found
    assert {one["recipe"] for one in found} == {recipe}
    assert len({one["name"] for one in found}) == len(found)
    for game in (find_game("PongNoFrameskip-v4"), find_game(env, 3), find_game(env, sticky=0.0)):
        reference = find_reference(from_recipe(recipe), game)
        assert reference.curves == ()
        assert reference.standing(10**6, 0.0) is None


def test_settings_that_matter_are_named_and_others_are_not():
    settings = reference_curves("fast", str(GAME))[0]["settings"]
    same = from_recipe("fast", **settings, seed=5, num_workers=1, evaluate_every=0, keep_every=7)
    assert find_reference(same, GAME).other_settings == ()
    changed = {**settings, "hidden": settings["hidden"] + 2, "gamma": 0.9}
    assert find_reference(from_recipe("fast", **changed), GAME).other_settings == ("hidden", "gamma")


def test_runs_of_the_very_settings_are_preferred(monkeypatch):
    one = {"recipe": "fast", "game": str(GAME), "step": [1, 2]}
    curves = [
        {**one, "settings": {"hidden": 50}, "score_mean": [-5.0, -5.0]},
        {**one, "settings": {}, "score_mean": [-4.0, -4.0]},
    ]
    monkeypatch.setattr("pgpong.reference._all", lambda: curves)
    for hidden, score in ((50, -5.0), (200, -4.0)):
        reference = find_reference(from_recipe("fast", hidden=hidden), GAME)
        assert [scores[0] for _, scores in reference.curves] == [score]
        assert reference.other_settings == ()
    neither = find_reference(from_recipe("fast", hidden=60), GAME)
    assert len(neither.curves) == 2
    assert neither.other_settings == ("hidden",)


def test_scores_are_known_where_all_runs_were():
    assert (MADE.begin, MADE.end) == (100, 3100)
    scores = MADE.scores_at([99, 100, 2000, 3100, 3101])
    expected = [[-20, -1, 10], [-20, -20, -9], [-19.9, -18, -16.9]]
    np.testing.assert_allclose(scores[:, 1:-1], expected)
    assert np.isnan(scores[:, [0, -1]]).all()


@pytest.mark.parametrize(
    ("step", "score", "low", "high", "lead", "word"),
    [
        (2000, -10.0, -20, -1, 0, "on track"),
        (2000, -0.5, -20, -1, 0, "on track"),  # above the highest by less than chance
        (2000, 1.5, -20, -1, 2.5, "ahead by 2.5"),
        (3100, -18.0, -16.9, 10, -1.1, "behind by 1.1"),
        (3100, -17.5, -16.9, 10, 0, "on track"),
    ],
)
def test_a_standing_by_hand(step, score, low, high, lead, word):
    standing = MADE.standing(step, score)
    assert (standing.low, standing.high) == pytest.approx((low, high))
    assert standing.lead == pytest.approx(lead)
    assert standing.word == word
    assert not standing.past


def test_before_the_reference_there_is_nothing_and_after_it_its_end():
    assert MADE.standing(99, -20.0) is None
    after = MADE.standing(50_000, 12.0)
    assert after.past
    assert (after.low, after.high) == pytest.approx((-16.9, 10))


def test_the_steps_to_a_target_by_hand():
    quick = Reference("fast", (QUICK,))
    # At -10 it was at step 1,100, at 0 at 2,100; where the run to compare stands plays no part.
    assert [quick.steps_to(0, step, -10) for step in (0, 1100, 9000)] == pytest.approx([1000] * 3)
    assert quick.steps_to(10, 0, 0) == pytest.approx(1000)
    assert quick.steps_to(0, 500, -21) == pytest.approx(2000)  # lower than it ever was: from its beginning
    slow = Reference("fast", (SLOW,))
    # It stood at -20 until step 2,000: the run to compare is taken to stand where it does.
    assert [slow.steps_to(0, step, -20) for step in (0, 500, 2000, 9000)] == pytest.approx(
        [4000, 3500, 2000, 2000]
    )


def test_the_steps_are_the_median_and_infinite_where_half_of_the_runs_never_came():
    assert MADE.steps_to(0, 0, -10) == pytest.approx(1000)  # 1,000, 1,000 and never
    assert MADE.reaching(0) == 2
    assert math.isinf(Reference("fast", (QUICK, NEVER)).steps_to(0, 0, -10))
    assert math.isinf(MADE.steps_to(5, 0, -10))
    assert MADE.reaching(11) == 0


def test_a_curve_that_falls_back_is_counted_from_its_last_low_before_the_target():
    wavy = Reference("fast", (curve([0, 100, 200, 300, 400], [-20, -10, -20, 0, -20]),))
    # -15 was at 50, 150 and 225; 0 first at 300; what comes after that is no way to it.
    for step, steps in ((0, 250), (100, 200), (240, 75), (400, 75)):
        assert wavy.steps_to(0, step, -15) == pytest.approx(steps)
