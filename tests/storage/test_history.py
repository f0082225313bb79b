"""read_run: a run's logs as arrays, and what it makes of logs that are cut short or no run's."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import pgpong
from pgpong.config import from_recipe
from pgpong.errors import RunError, SettingError
from pgpong.storage.history import read_run, running_mean
from pgpong.storage.run import Run

REFERENCE = Path(__file__).parents[2] / "runs" / "reference"

UPDATE = {"update": 1, "episode": 1, "step": 500, "frame": 2000, "seconds": 1.5, "score_mean": -21.0}
EPISODE = {"episode": 1, "update": 1, "score": -21, "steps": 450, "frames": 1800, "seed": 2**31}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def dump(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def run(folder):
    """A run of one update and one episode, its logs written by hand."""
    run = Run.create(folder / "runs" / "made", from_recipe("fast"), {})
    run.metrics.write_text(dump(UPDATE))
    run.episodes.write_text(dump(EPISODE))
    return run


def test_the_columns_are_those_of_the_files(tiny_run):
    history = pgpong.read_run("tiny")
    for table, path in ((history.updates, "metrics.jsonl"), (history.episodes, "episodes.jsonl")):
        records = lines(tiny_run / path)
        assert table.rows == len(records)
        for name in table:
            values = [np.nan if record[name] is None else record[name] for record in records]
            np.testing.assert_array_equal(table[name], values)
    assert history.updates["update"].dtype == np.int64
    assert history.updates["entropy"].dtype == np.float64
    assert (history.name, history.game.id, history.config.num_envs) == ("tiny", "ALE/Pong-v5", 2)


def test_evaluations_are_read_without_their_single_scores(run):
    assert read_run(run).evaluations.rows == 0
    counts = {name: UPDATE[name] for name in ("update", "episode", "step", "frame", "seconds")}
    figures = {"mean": -21.0, "low": None, "high": None, "games": 1}
    run.evaluations.write_text(dump({**counts, **figures, "scores": [-21]}))
    evaluations = read_run(run).evaluations
    assert set(evaluations) == {*counts, *figures}
    assert (evaluations["episode"].tolist(), evaluations["mean"].tolist()) == ([1], [-21])
    assert np.isnan([evaluations["low"], evaluations["high"]]).all()


def test_a_run_is_found_by_folder_by_name_and_without_either(run):
    for named in ("made", run.folder, str(run.folder), run, None):
        assert read_run(named).run.folder.resolve() == run.folder


def test_tables_become_frames(run):
    history = read_run(run)
    frame = history.episodes.to_pandas()
    assert frame.to_dict("records") == [EPISODE]
    assert list(history.updates.to_pandas().columns) == list(history.updates)


def test_without_pandas_the_arrays_are_there_and_frames_say_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    history = read_run(run)
    assert history.episodes["score"].tolist() == [-21]
    with pytest.raises(SettingError, match="pip install pandas"):
        history.episodes.to_pandas()


def test_the_running_mean_is_the_one_that_the_training_wrote_down():
    history = read_run(REFERENCE / "fast-seed2")
    after = history.updates["episode"]
    mean = history.mean_scores()[after[after > 0] - 1]
    np.testing.assert_allclose(mean, history.updates["score_mean"][after > 0], rtol=1e-12)


def test_running_mean_against_slices():
    values = np.random.default_rng(0).integers(-21, 22, 300)
    expected = [values[max(0, i - 99) : i + 1].mean() for i in range(300)]
    np.testing.assert_allclose(running_mean(values, 100), expected)
    assert len(running_mean(values[:0], 100)) == 0


def test_when_tells_how_far_the_update_of_an_episode_came():
    history = read_run(REFERENCE / "fast-seed1")
    updates = {line["update"]: line for line in lines(REFERENCE / "fast-seed1" / "metrics.jsonl")}
    for count in ("step", "frame", "seconds"):
        expected = [updates[update][count] for update in history.episodes["update"].tolist()]
        np.testing.assert_array_equal(history.when(count), expected)


def test_a_run_that_was_resumed_knows_where(run):
    sessions = [{"first_update": 1}, {"first_update": 119}, {"first_update": None}, "nonsense"]
    run.write_provenance({"sessions": sessions})
    assert read_run(run).resumed == [119]
    run.write_provenance({"sessions": 3})
    assert read_run(run).resumed == []


def test_a_last_line_that_is_cut_short_is_left_out(run):
    whole = run.metrics.read_bytes() + dump({**UPDATE, "update": 2}).encode()
    for end in range(len(run.metrics.read_bytes()), len(whole)):
        run.metrics.write_bytes(whole[:end])
        assert read_run(run).updates["update"].tolist() == [1]


def test_episodes_of_an_update_that_is_not_written_yet_are_left_out(run):
    run.episodes.write_text(dump(EPISODE, {**EPISODE, "episode": 2, "update": 2}))
    assert read_run(run).episodes["episode"].tolist() == [1]


def test_a_run_without_logs_is_empty(run):
    run.metrics.unlink()
    run.episodes.unlink()
    history = read_run(run)
    assert (history.updates.rows, history.episodes.rows, history.mean_scores().shape) == (0, 0, (0,))


def test_lines_of_an_earlier_version_lack_a_column_that_later_ones_have(run):
    run.metrics.write_text(dump(UPDATE, {**UPDATE, "update": 2, "W1_norm": 3.5}))
    np.testing.assert_array_equal(read_run(run).updates["W1_norm"], [np.nan, 3.5])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1, 2]\n", "line 2 is damaged"),
        ("{\n", "line 2 is damaged"),
        (dump({"loss": 0.5}), "line 2 is no line of a run's log: it has no 'update'"),
        (dump({**UPDATE, "update": 2, "entropy": "high"}), "line 2: 'entropy' is no number but 'high'"),
        (dump({**UPDATE, "update": 2, "kl": True}), "line 2: 'kl' is no number"),
        (dump({**UPDATE, "update": 2.5}), "line 2 does not follow the line before: update 2.5"),
        (dump({**UPDATE, "update": 0}), "line 2 does not follow the line before: update 0"),
        (dump({**UPDATE, "update": 2, "step": 499}), "line 2 does not follow the line before: step 499"),
        (dump({**UPDATE, "update": None}), "line 2 does not follow the line before: update None"),
    ],
)
def test_a_foreign_line_is_named(run, line, message):
    run.metrics.write_text(dump(UPDATE) + line + dump({**UPDATE, "update": 3}))
    with pytest.raises(RunError, match="metrics.jsonl: " + message.replace("[", r"\[")):
        read_run(run)


def test_numbers_beyond_64_bits_are_read_as_well_as_they_can_be(run):
    run.metrics.write_text(dump({**UPDATE, "batch_steps": 10**30}))
    assert read_run(run).updates["batch_steps"].tolist() == [1e30]


def test_a_run_may_be_moved(run, folder):
    shutil.move(run.folder, folder / "elsewhere")
    assert read_run(folder / "elsewhere").episodes["score"].tolist() == [-21]
