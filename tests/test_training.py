"""The loop, its records, the run folder and resuming, on the real game in small."""

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import pgpong
from pgpong.agent import Agent
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import DiskError, FileFormatError, NonFiniteError, RunError
from pgpong.learning.policy import Policy
from pgpong.recorder import Recorder
from pgpong.state import new_state
from pgpong.storage.checkpoint import load_checkpoint, save_checkpoint
from pgpong.storage.lines import read_lines
from pgpong.storage.run import SHIPPED, Run, find_agent, find_run, list_runs
from pgpong.training import make_groups, split, train

GAME = find_game("ALE/Pong-v5")
SMALL = from_recipe("fast", num_envs=2, batch_steps=60, hidden=8, checkpoint_every=2, keep_every=1)


def run_updates(config, updates, state=None):
    state = state or new_state(config, GAME)
    return state, list(itertools.islice(train(config, state), updates))


def weights(state):
    return b"".join(np.asarray(W).tobytes() for W in state.agent.policy.parameters.values())


def test_records_and_progress_agree():
    state, records = run_updates(SMALL, 3)
    progress = state.progress
    assert progress.update == 3
    assert progress.step == sum(record.steps for record in records) >= 3 * 120
    assert progress.frame == 4 * progress.step
    assert progress.seconds == pytest.approx(sum(record.seconds for record in records))
    assert progress.score_mean is None


def test_the_same_seed_gives_the_same_run_whatever_the_workers():
    one, _ = run_updates(replace(SMALL, num_workers=1), 3)
    other, _ = run_updates(replace(SMALL, num_workers=3), 3)
    assert weights(one) == weights(other)
    assert weights(one) != weights(run_updates(replace(SMALL, seed=1), 3)[0])


def test_a_training_that_was_stopped_in_a_batch_goes_on_in_the_same_process(monkeypatch):
    """What the batch that is cut short draws from the generator is taken back; so is what it plays."""
    straight, _ = run_updates(SMALL, 4)
    state, _ = run_updates(SMALL, 2)
    asked = itertools.count()
    assert list(train(SMALL, state, lambda: next(asked) == 7)) == []
    assert state.rng.bit_generator.state != state.rng_state
    run_updates(SMALL, 2, state)
    assert weights(state) == weights(straight)


def test_many_games_are_played_in_two_groups(monkeypatch):
    monkeypatch.setattr("pgpong.training.SMALLEST_GROUP", 2)
    sizes = []
    for num_envs in (1, 3, 5):
        sizes.append([])
        for env in make_groups(replace(SMALL, num_envs=num_envs)):
            sizes[-1].append(env.num_envs)
            env.close()
    assert sizes == [[1], [3], [2, 3]]


@pytest.mark.parametrize(
    ("games", "processes", "groups"),
    [
        (31, 3, [(31, 3)]),
        (32, 2, [(16, 1), (16, 1)]),
        (65, 3, [(32, 1), (33, 2)]),
        (64, 1, [(32, 1), (32, 1)]),
    ],
)
def test_the_groups_share_the_processes(games, processes, groups):
    assert split(replace(SMALL, num_envs=games, num_workers=processes)) == groups


def test_two_groups_are_repeatable_too(monkeypatch):
    monkeypatch.setattr("pgpong.training.SMALLEST_GROUP", 1)
    one, (record, _) = run_updates(SMALL, 2)
    other, _ = run_updates(replace(SMALL, num_workers=3), 2)
    assert weights(one) == weights(other)
    assert record.steps >= 120


def test_a_whole_episode_is_scored_right():
    config = from_recipe("karpathy", num_envs=2, batch_episodes=2, hidden=4)
    state, (record,) = run_updates(config, 1)
    assert [-21 <= e.score <= 21 and e.score != 0 for e in record.episodes] == [True] * 2
    assert list(state.progress.scores) == [e.score for e in record.episodes]
    assert sum(e.steps for e in record.episodes) == record.steps


def test_a_nan_ends_the_training_by_name():
    state = new_state(SMALL, GAME)
    records = train(SMALL, state)
    next(records)
    state.agent.policy.W2[0] = np.nan
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteError):
        next(records)


def test_a_checkpoint_brings_everything_back(tmp_path):
    state, _ = run_updates(SMALL, 2)
    state.progress.scores.extend([-21, -19])
    save_checkpoint(tmp_path / "a.npz", state)
    loaded = load_checkpoint(tmp_path / "a.npz", SMALL, GAME)
    assert weights(loaded) == weights(state)
    assert loaded.progress == state.progress
    assert loaded.rng.bit_generator.state == state.rng.bit_generator.state
    for mean, arrays in state.optimizer.state.items():
        for name, array in arrays.items():
            assert (loaded.optimizer.state[mean][name] == array).all()
            assert array.any()
    assert loaded.rng_state == state.rng_state
    assert {name: a.tobytes() for name, a in loaded.games.items()} == {
        name: a.tobytes() for name, a in state.games.items()
    }
    # The optimiser goes on with the loaded policy's arrays: the next updates are equal, bit for bit.
    run_updates(SMALL, 1, loaded)
    run_updates(SMALL, 1, state)
    assert weights(loaded) == weights(state)


def in_float64(policy):
    return {name: W.astype(np.float64) for name, W in policy.parameters.items()}


def test_a_checkpoint_of_other_settings_is_refused_with_the_reason(tmp_path):
    state, _ = run_updates(SMALL, 1)
    save_checkpoint(tmp_path / "a.npz", state)
    with pytest.raises(FileFormatError, match=r"8 hidden units, the run's config.toml says 10"):
        load_checkpoint(tmp_path / "a.npz", replace(SMALL, hidden=10), GAME)
    with pytest.raises(
        FileFormatError, match=r"trained on ALE/Pong-v5 \(frameskip 4, sticky 0.25\), .* says Pong-v0"
    ):
        load_checkpoint(tmp_path / "a.npz", SMALL, find_game("Pong-v0"))
    double = replace(state, agent=Agent(Policy(**in_float64(state.agent.policy)), GAME))
    save_checkpoint(tmp_path / "double.npz", double)
    with pytest.raises(FileFormatError, match="weights of float64, a training computes in float32"):
        load_checkpoint(tmp_path / "double.npz", SMALL, GAME)
    with pytest.raises(FileFormatError, match="holds an agent but no training of these settings"):
        load_checkpoint(tmp_path / "a.npz", replace(SMALL, optimizer="rmsprop"), GAME)
    state.agent.save(tmp_path / "agent.npz")
    with pytest.raises(FileFormatError, match="holds an agent but no training"):
        load_checkpoint(tmp_path / "agent.npz", SMALL, GAME)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Run.create(tmp_path / "runs" / "r", SMALL, {"seed": 0})


def test_a_recorder_writes_lines_checkpoints_and_kept_agents(run):
    config = from_recipe("karpathy", num_envs=1, batch_episodes=1, hidden=4, checkpoint_every=2, keep_every=2)
    state = new_state(config, GAME)
    with Recorder(run, state, ["pgpong", "train"]) as recorder:
        for record in itertools.islice(train(config, state), 3):
            recorder.write(record)
        recorder.ending = "enough"
    metrics, episodes = read_lines(run.metrics), read_lines(run.episodes)
    assert [line["update"] for line in metrics] == [1, 2, 3]
    assert [(line["episode"], line["update"]) for line in episodes] == [(1, 1), (2, 2), (3, 3)]
    assert metrics[-1]["score_mean"] == pytest.approx(np.mean([line["score"] for line in episodes]))
    assert metrics[-1]["step"] == sum(line["steps"] for line in episodes)
    assert load_checkpoint(run.latest, config, GAME).progress.update == 3
    assert pgpong.Agent.load(run.kept(2)).provenance["episode"] == 2
    assert not run.best.exists()  # for want of an evaluation
    (session,) = run.read_provenance()["sessions"]
    assert (session["ending"], session["last_update"], session["command"]) == (
        "enough",
        3,
        ["pgpong", "train"],
    )


def test_an_exception_leaves_the_last_good_checkpoint(run):
    state = new_state(SMALL, GAME)
    recorder = Recorder(run, state, [])
    recorder.__enter__()
    state.progress.update = 7
    recorder.__exit__(NonFiniteError, NonFiniteError("for example"), None)
    assert load_checkpoint(run.latest, SMALL, GAME).progress.update == 0


def test_lines_after_the_checkpoint_are_dropped_before_going_on(run):
    state, _ = run_updates(SMALL, 1)
    text = (
        "".join(json.dumps({"update": n, "score_mean": None}) + "\n" for n in (1, 2, 3)) + '{"update": 4, "ha'
    )
    run.metrics.write_text(text)
    with Recorder(run, state, []):
        pass
    assert [line["update"] for line in read_lines(run.metrics)] == [1]


def test_a_damaged_line_in_the_middle_is_named(run):
    run.metrics.write_text('{"update": 1}\nnonsense\n{"update": 3}\n')
    with pytest.raises(RunError, match="line 2 is damaged"):
        read_lines(run.metrics)


def test_runs_and_agents_are_found_by_their_names(run):
    assert find_run("r").folder.samefile(run.folder)
    assert find_run(str(run.folder)).folder.samefile(run.folder)
    assert find_run(None).folder.samefile(run.folder)
    assert [r.name for r in list_runs()] == ["r"]
    with pytest.raises(RunError, match="holds no agent; the one that ships is called pretrained"):
        find_agent("r@best")
    agent = new_state(SMALL, GAME).agent
    for path in (run.latest, run.kept(500)):
        agent.save(path)
    assert find_agent("r").samefile(run.latest)
    agent.save(run.best)
    for reference, path in (
        ("r", run.best),
        ("", run.best),
        ("r@latest", run.latest),
        ("r@500", run.kept(500)),
    ):
        assert find_agent(reference).samefile(path)
    assert find_agent(str(run.latest)).samefile(run.latest)
    agent.save(run.kept(1000))
    with pytest.raises(RunError, match="has no agent @7; it has: 500, 1000, best, latest"):
        find_agent("r@7")
    elsewhere = run.folder.parent / "me@home"
    elsewhere.mkdir()
    moved = Run(shutil.copytree(run.folder, elsewhere / "r"))
    for reference, path in (("", moved.best), ("@500", moved.kept(500))):
        assert find_agent(f"{moved.folder}{reference}").samefile(path)
    assert find_agent("pretrained") == SHIPPED
    for wrong in ("nobody", "r@first"):
        with pytest.raises(RunError):
            find_agent(wrong)


def test_where_there_is_no_run_the_agent_that_ships_plays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_agent("") == SHIPPED
    agent = pgpong.Agent.load(SHIPPED)
    assert agent.game == GAME
    assert agent.provenance["run"] == "fast-seed5"
    assert SHIPPED.stat().st_size < 3_000_000
    result = pgpong.evaluate(agent, 8, seed=1000)
    assert result.mean > 12  # 19.1 over a hundred games; a wrong screen, action or weight gives -20


def test_a_run_that_exists_is_never_overwritten(run):
    with pytest.raises(RunError, match="choose another --run, or go on with it: pgpong resume"):
        Run.create(run.folder, SMALL, {})


def test_of_two_that_make_a_run_at_once_one_does(tmp_path, monkeypatch):
    """The second looks before the first has written its settings, and comes to write after or meanwhile."""
    folder = tmp_path / "runs" / "r"
    first = replace(SMALL, seed=1)

    def sync_and_let_another_in(path):
        monkeypatch.undo()
        Run.create(folder, first, {})

    monkeypatch.setattr("pgpong.storage.run.sync_folder", sync_and_let_another_in)
    with pytest.raises(RunError, match="r exists: choose another --run"):
        Run.create(folder, SMALL, {})
    assert Run(folder).config == first

    def write_while_another_comes(path, chunks):
        monkeypatch.undo()
        Run.create(path.parent, SMALL, {})

    monkeypatch.setattr("pgpong.storage.run.write_atomically", write_while_another_comes)
    with pytest.raises(RunError, match="in use by"):
        Run.create(tmp_path / "runs" / "s", first, {})


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(DiskError, match="cannot make"):
        Run.create(tmp_path / "runs" / "r", SMALL, {})
