"""How a training chooses its best agent: by evaluations at fixed points, on the real game in small."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from pgpong import training
from pgpong.agent import Agent
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.evaluation import Evaluation, validate
from pgpong.recorder import Recorder
from pgpong.rollout import FIRST_VALIDATION_SEED
from pgpong.state import Progress, new_state
from pgpong.storage.checkpoint import load_newest
from pgpong.storage.lines import read_lines
from pgpong.storage.run import Run
from pgpong.training import Candidate, evaluation_is_due, train
from tests.runs import fingerprint

# Episodes of 40 steps or so, for a step is 100 frames.
CONFIG = from_recipe(
    "fast", frameskip=100, num_envs=2, batch_steps=30, hidden=4,
    checkpoint_every=3, evaluate_every=4, evaluation_episodes=2,
)  # fmt: skip
GAME = find_game(CONFIG.env, CONFIG.frameskip)
UPDATES = 16


def make_run(folder, name="run", config=CONFIG):
    return Run.create(folder / "runs" / name, config, {})


def go_on(run, config=CONFIG, updates=UPDATES, should_stop=lambda: False):
    """Train a run on up to an update or until it is stopped; return the records and what was told."""
    told = []
    state = (
        load_newest(run.checkpoints, config, GAME, told.append)
        if run.checkpoints
        else new_state(config, GAME)
    )
    with Recorder(run, state, [], tell=told.append) as recorder:
        records = []
        for record in itertools.islice(train(config, state, should_stop), updates - state.progress.update):
            recorder.write(record)
            records.append(record)
    return records, told


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was not interrupted, and its records."""
    run = make_run(tmp_path_factory.mktemp("whole"))
    return run, go_on(run)[0]


def test_evaluations_come_after_fixed_numbers_of_episodes(whole):
    run, _ = whole
    updates = read_lines(run.metrics)
    passed = [line["episode"] // CONFIG.evaluate_every for line in updates]
    # That of the last update would have been made before the next batch.
    due = [
        line["update"]
        for line, now, before in zip(updates, passed, [0, *passed], strict=False)
        if now > before
    ]
    lines = read_lines(run.evaluations)
    assert [line["update"] for line in lines] == [update for update in due if update < UPDATES]
    assert len(lines) >= 3
    for line in lines:
        update = updates[line["update"] - 1]
        for name in ("episode", "step", "frame", "seconds"):
            assert line[name] == update[name]
        assert (line["mean"], line["games"]) == (np.mean(line["scores"]), 2)
        assert line["first_seed"] == FIRST_VALIDATION_SEED


def test_the_best_agent_is_the_one_that_was_evaluated_best(whole):
    run, _ = whole
    best = max(read_lines(run.evaluations), key=lambda line: line["mean"])
    agent = Agent.load(run.best)
    assert agent.provenance["update"] == best["update"]
    for name in ("mean", "low", "high", "games", "won", "first_seed"):
        assert agent.provenance[f"evaluation_{name}"] == best[name]
    assert validate(agent, 2).scores == best["scores"]  # with its weights of then


def test_the_time_of_evaluations_counts(whole):
    run, records = whole
    evaluations = sum(record.candidate.seconds for record in records if record.candidate)
    assert evaluations > 0
    everything = evaluations + sum(record.seconds for record in records)
    assert read_lines(run.metrics)[-1]["seconds"] == pytest.approx(everything, abs=0.001)


def test_a_training_is_the_same_with_evaluations_and_without(whole, tmp_path):
    never = replace(CONFIG, evaluate_every=0)
    other = make_run(tmp_path, config=never)
    go_on(other, never)
    assert not read_lines(other.evaluations)
    with_them, without = fingerprint(whole[0].folder), fingerprint(other.folder)
    assert with_them["agents"][f"update-{UPDATES:06d}"] == without["agents"][f"update-{UPDATES:06d}"]
    assert (with_them["episodes"], with_them["metrics"]) == (without["episodes"], without["metrics"])


def test_a_run_stopped_anywhere_chooses_as_one_that_was_not(whole, tmp_path, monkeypatch):
    """Stopped at random steps, some of them of evaluations, and gone on with."""
    cut_short = []

    def noting(*arguments):
        result = validate(*arguments)
        cut_short.append(result is None)
        return result

    monkeypatch.setattr(training, "validate", noting)
    rng = random.Random(0)
    run = make_run(tmp_path)
    while not run.checkpoints or int(run.latest.stem.removeprefix("update-")) < UPDATES:
        left = itertools.count(rng.randint(1, 150), -1)
        go_on(run, should_stop=lambda left=left: next(left) < 0)
    assert sum(cut_short) >= 2
    assert fingerprint(run.folder) == fingerprint(whole[0].folder)


@pytest.mark.parametrize("back", range(4))
def test_evaluations_after_the_checkpoint_are_made_again_and_not_twice(whole, tmp_path, back):
    """As a crash leaves a run: some updates further than the checkpoint that it goes on from."""
    run = make_run(tmp_path)
    first = read_lines(whole[0].evaluations)[0]["update"]
    go_on(run, updates=first - 1 + back)
    newest, checkpoint = run.latest, run.latest.read_bytes()
    go_on(run, updates=first + 4)
    for path in run.checkpoints:
        path.unlink()
    newest.write_bytes(checkpoint)
    with run.evaluations.open("a") as log:
        log.write('{"update": 99, "epis')
    _, told = go_on(run)
    assert told[0] == f"{run.evaluations}: the last line was cut short; it is taken off"
    assert fingerprint(run.folder) == fingerprint(whole[0].folder)


def candidate(update, scores):
    """An agent of that update, whose W2 is the update's number, and its scores."""
    agent = new_state(CONFIG, GAME).agent
    agent.policy.W2[:] = update
    result = Evaluation(str(GAME), False, FIRST_VALIDATION_SEED, scores, [900] * len(scores))
    return Candidate(agent, Progress(update=update, episode=10 * update), result, 1.0)


def test_the_first_of_the_best_stays(tmp_path):
    run, told = make_run(tmp_path), []
    state = new_state(CONFIG, GAME)
    with Recorder(run, state, [], tell=told.append) as recorder:
        for update, scores in ((2, [-6, -4]), (4, [-3, -3]), (5, [0, -6]), (6, [-9, 21])):
            recorder.consider(candidate(update, scores))
            recorder.consider(candidate(update, [21, 21]))  # a second one of the same update does not count
        state.progress.update = 7
    with Recorder(run, state, []) as recorder:  # a later session knows it too
        recorder.consider(candidate(8, [6, 5]))
    agent = Agent.load(run.best)
    assert (agent.provenance["update"], agent.provenance["evaluation_mean"]) == (6, 6.0)
    assert (agent.policy.W2 == 6).all()
    assert [line["mean"] for line in read_lines(run.evaluations)] == [-5, -3, -3, 6, 5.5]
    assert told[1:3] == [
        f"evaluation at episode 40: mean score -3.0 in 2 games on {GAME}, the best so far",
        f"evaluation at episode 50: mean score -3.0 in 2 games on {GAME}",
    ]


def test_a_damaged_best_agent_is_told_and_replaced(tmp_path):
    run, told = make_run(tmp_path), []
    run.best.write_bytes(b"damaged")
    with Recorder(run, new_state(CONFIG, GAME), [], tell=told.append) as recorder:
        recorder.consider(candidate(1, [-21]))
    assert "best.npz is damaged" in told[0]
    assert Agent.load(run.best).provenance["update"] == 1


@pytest.mark.parametrize(
    ("every", "episode", "evaluated", "due"),
    [
        (10, 9, 0, False),
        (10, 10, 0, True),
        (10, 31, 0, True),
        (10, 19, 11, False),
        (10, 20, 19, True),
        (0, 99, 0, False),
    ],
)
def test_when_an_evaluation_is_due(every, episode, evaluated, due):
    config = replace(CONFIG, evaluate_every=every)
    assert evaluation_is_due(config, Progress(episode=episode, evaluated=evaluated)) is due


@pytest.mark.parametrize(
    "condition",
    [("episodes", 1), ("updates", 2), ("minutes", 0.01), ("hours", 0.0001), ("until", -21)],
    ids=lambda condition: condition[0],
)
def test_a_training_that_ends_as_it_was_told_to_has_its_agent_evaluated(cli, folder, condition):
    name, value = condition
    options = ("--frameskip", 100, "--num-envs", 8, "--hidden", 4, "--evaluation-episodes", 2)
    status, out, _ = cli("train", "--run", "a", f"--{name}={value}", *options)
    run = Run(folder / "runs" / "a")
    (line,) = read_lines(run.evaluations)
    last = read_lines(run.metrics)[-1]
    assert (status, line["update"]) == (0, last["update"])
    assert Agent.load(run.best).provenance["update"] == last["update"]
    assert f"its agent: that of episode {last['episode']}, the best of 1 evaluated, mean score" in out
    assert f"mean score {line['mean']:+.1f} in 2 games" in out
    assert cli("resume", "a", f"--updates={last['update']}")[0] == 0  # it has been evaluated already
    assert len(read_lines(run.evaluations)) == 1
    assert f"{line['mean']:+.1f}" in cli("runs")[1].splitlines()[-1].split()[-1]


@pytest.mark.parametrize(("config", "evaluated"), [(CONFIG, 1), (replace(CONFIG, evaluate_every=0), 0)])
def test_the_agent_of_the_end_is_saved_before_it_is_evaluated_once(tmp_path, config, evaluated):
    run, state = make_run(tmp_path, config=config), new_state(config, GAME)
    with Recorder(run, state, []) as recorder:
        state.progress.update = 5
        recorder.conclude(lambda: True)  # Ctrl-C in its first game
        assert read_lines(run.evaluations) == []
        assert run.checkpoint(5).is_file() == bool(evaluated)
        for _ in range(2):
            recorder.conclude()
            assert [line["update"] for line in read_lines(run.evaluations)] == [5] * evaluated
    assert run.agent == (run.best if evaluated else run.latest)
