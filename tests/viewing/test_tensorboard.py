"""pgpong train --tensorboard: event files read back with TensorBoard's own reader, beside the run's logs."""

import gc
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, fields

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from pgpong import plots
from pgpong.__main__ import main
from pgpong.agent import Agent
from pgpong.config import TrainConfig, from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import NonFiniteError
from pgpong.learning.policy_gradient import UpdateStats
from pgpong.recorder import Recorder
from pgpong.state import new_state
from pgpong.storage.lines import read_lines
from pgpong.storage.run import Run
from pgpong.training import train
from pgpong.viewing import tensorboard
from pgpong.viewing.guarded import Guarded
from pgpong.viewing.tensorboard import TensorBoard
from tests.conftest import TINY
from tests.runs import fingerprint, start

BLOCKED = "import sys; sys.modules['tensorboardX'] = None; from pgpong.__main__ import main; sys.exit(main())"
NEEDS = "pgpong: --tensorboard needs tensorboardX: pip install 'pgpong[tensorboard]'\n"
TOLD = "no more comes of it, the training is not affected"
LONG_BATCHES = ("--batch-steps", "700")  # so that games end soon
CONFIG = from_recipe("fast", num_envs=1, batch_steps=20, hidden=2, checkpoint_every=2)


def read(folder):
    """What TensorBoard would show of a run."""
    everything = {"scalars": 0, "images": 0, "tensors": 0}
    reader = EventAccumulator(str(folder / "tensorboard"), size_guidance=everything)
    return reader.Reload()


def steps_of(folder):
    return [event.step for event in read(folder).Scalars("update/kl")]


def expected(folder):
    """The scalars that a run's own logs ask for, but for the speed: tag -> [(step, value)]."""
    run, scalars = Run(folder), {}
    evaluated = {line["update"]: line["mean"] for line in read_lines(run.evaluations)}
    for line in read_lines(run.metrics):
        ended = [e["score"] for e in read_lines(run.episodes) if e["update"] == line["update"]]
        values = {
            "score/mean": line["score_mean"],
            "score/episode": np.mean(ended) if ended else None,
            "score/evaluation": evaluated.get(line["update"] - 1),  # before the update's batch
            **{f"update/{field.name}": line[field.name] for field in fields(UpdateStats)},
        }
        for tag, value in values.items():
            if value is not None:
                scalars.setdefault(tag, []).append((line["step"], float(np.float32(value))))
    return scalars


def check_scalars(folder):
    """Assert that TensorBoard shows each update of a run once, with the values of its metrics."""
    reader = read(folder)
    found = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    speeds = found.pop("speed/steps_per_second")
    assert found == expected(folder)
    lines = read_lines(Run(folder).metrics)
    for (step, speed), line in zip(speeds, lines, strict=True):
        seconds = sum(line[f"{part}_seconds"] for part in ("games", "network", "update"))
        assert (step, speed) == (line["step"], pytest.approx(line["batch_steps"] / seconds, rel=0.02))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three updates, gone on with to the fifth, with a picture whenever one may be; its folder."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(tensorboard, "PICTURE_SHARE", float("inf"))
        assert main(["train", "--run", "tiny", "--tensorboard", "--updates", "3", *TINY, *LONG_BATCHES]) == 0
        assert main(["resume", "tiny", "--tensorboard", "--updates", "5"]) == 0
    return folder / "runs" / "tiny"


def test_every_update_is_there_with_the_values_of_the_metrics(finished):
    check_scalars(finished)
    tags = expected(finished)
    assert [len(tags[f"update/{name}"]) for name in ("entropy", "kl", "W1_norm")] == [5, 5, 5]
    assert 0 < len(tags["score/episode"]) < 5  # games ended in some updates, in others none


def test_the_settings_are_a_table_and_hyperparameters(finished):
    reader, config = read(finished), Run(finished).config
    (event,) = reader.Tensors("settings/text_summary")
    rows = event.tensor_proto.string_val[0].decode().splitlines()
    assert rows[:2] == ["| setting | value |", "| --- | --- |"]
    assert rows[2:] == [f"| {name} | {value} |" for name, value in asdict(config).items()]
    content = reader.PluginTagToContent("hparams")
    compared = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG]).hparams
    assert compared.keys() == {field.name for field in fields(TrainConfig)}
    assert compared["learning_rate"].number_value == config.learning_rate
    assert compared["env"].string_value == "ALE/Pong-v5"


def test_the_filters_are_drawn_at_checkpoints_and_at_the_end_of_a_session(finished):
    images = read(finished).Images("filters")
    steps = {line["update"]: line["step"] for line in read_lines(Run(finished).metrics)}
    assert [image.step for image in images] == [steps[update] for update in (2, 3, 4, 5)]
    with Image.open(io.BytesIO(images[-1].encoded_image_string)) as picture:
        drawn = np.asarray(picture)
    agent = Agent.load(Run(finished).latest)
    figure = plots.filters(agent, order="weight", scale="weights")
    np.testing.assert_array_equal(drawn, plots.to_pixels(figure))


def test_a_picture_names_the_episode_it_was_drawn_at(cli, folder, monkeypatch):
    named, filters = [], plots.filters

    def looking(agent, **choices):
        named.append((agent.provenance["run"], agent.provenance["episode"]))
        return filters(agent, **choices)

    monkeypatch.setattr(plots, "filters", looking)
    flags = ("--run", "a", "--tensorboard", "--updates", "3", *TINY, *LONG_BATCHES)
    monkeypatch.setattr(tensorboard, "PICTURE_SHARE", float("inf"))
    assert cli("train", *flags)[0] == 0
    episodes = [line["episode"] for line in read_lines(Run(folder / "runs/a").metrics)]
    assert episodes[0] < episodes[1]  # games ended since the checkpoint before
    assert named == [("a", episodes[1]), ("a", episodes[2])]


def test_pictures_take_a_small_share_of_the_time(cli, folder, monkeypatch):
    monkeypatch.setattr(tensorboard, "PICTURE_SHARE", 1e-9)
    assert cli("train", "--run", "a", "--tensorboard", "--updates", "6", *TINY)[0] == 0
    images = read(folder / "runs/a").Images("filters")
    steps = steps_of(folder / "runs/a")
    assert [image.step for image in images] == [steps[1], steps[5]]  # the first that is due, and the last


def test_what_a_checkpoint_stands_for_is_on_the_disk_before_it(cli, folder, monkeypatch):
    seen, save = [], Recorder.save

    def looking(recorder):
        update = recorder.state.progress.update
        if update:
            assert len(steps_of(folder / "runs/a")) == update
        seen.append(update)
        save(recorder)

    monkeypatch.setattr(Recorder, "save", looking)
    flags = (*TINY, "--frameskip", "100", "--evaluate-every", "1000", "--evaluation-episodes", "1")
    assert cli("train", "--run", "a", "--tensorboard", "--updates", "5", *flags)[0] == 0
    assert seen == [0, 2, 4, 5, 5]  # before the evaluation at the end, and after it once more, for nothing


def test_updates_that_are_played_again_replace_those_that_were_lost(cli, finished, folder):
    run = folder / "runs" / "tiny"
    shutil.copytree(finished, run)
    Run(run).latest.unlink()
    assert Run(run).latest.name == "update-000004.npz"
    events = max((run / "tensorboard").iterdir())
    events.write_bytes(events.read_bytes()[:-1000])  # as if a crash had cut the last picture short
    status, out, _ = cli("resume", "tiny", "--tensorboard", "--updates", "7")
    assert (status, "TensorBoard" in out) == (0, False)
    check_scalars(run)
    assert len(steps_of(run)) == 7
    assert len(read(run).Tensors("settings/text_summary")) == 1
    steps = [image.step for image in read(run).Images("filters")]
    assert steps == sorted(set(steps))


def test_a_killed_run_goes_on_without_overlap_or_gap(cli, folder):
    flags = ("--run", "k", "--tensorboard", *TINY, "--checkpoint-every", "3")
    process = start("train", *flags, cwd=folder)
    metrics = folder / "runs/k/metrics.jsonl"
    while not metrics.is_file() or metrics.read_bytes().count(b"\n") < 5:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lost = len(read_lines(metrics)) - int(Run(folder / "runs/k").latest.stem[-6:])
    assert 0 < lost < 3
    assert cli("resume", "k", "--tensorboard", "--updates", "8")[0] == 0
    check_scalars(folder / "runs/k")
    assert len(steps_of(folder / "runs/k")) == 8


def test_a_run_with_tensorboard_learns_the_same_as_one_without(cli, tiny_run, folder):
    assert cli("train", "--run", "with", "--tensorboard", "--updates", "3", *TINY)[0] == 0
    assert fingerprint(folder / "runs/with") == fingerprint(tiny_run)
    assert (folder / "runs/with/tensorboard").is_dir()
    assert not (tiny_run / "tensorboard").exists()


def test_evaluations_are_shown(cli, folder):
    flags = ("--frameskip", 100, "--num-envs", 2, "--batch-steps", 60, "--hidden", 4)
    flags += ("--evaluate-every", 2, "--evaluation-episodes", 1)
    assert cli("train", "--run", "a", "--tensorboard", "--updates", 6, *flags)[0] == 0
    assert "score/evaluation" in expected(folder / "runs/a")
    check_scalars(folder / "runs/a")


@pytest.fixture
def session(folder):
    """A training of some updates, and a guarded listener to it with all that it told."""
    state = new_state(CONFIG, find_game(CONFIG.env))
    told = []
    listener = Guarded("TensorBoard", TensorBoard(folder / "tensorboard", CONFIG, state), told.append)
    yield train(CONFIG, state), listener, told
    gc.collect()  # a file that were left open would be warned of here


def open_events(folder):
    """Return the descriptor of the event file that is being written."""
    (path,) = (folder / "tensorboard").iterdir()
    return next(int(fd) for fd in os.listdir("/proc/self/fd") if leads_to(fd, path))


def leads_to(fd, path):
    try:
        return os.path.samefile(f"/proc/self/fd/{fd}", path)
    except OSError:
        return False


def test_a_disk_that_fills_up_is_told_once_and_stops_nothing(session, folder):
    records, listener, told = session
    with listener:
        for number, record in enumerate(itertools.islice(records, 6)):
            listener.show(record)
            if number == 2:
                with open("/dev/full", "wb") as full:
                    os.dup2(full.fileno(), open_events(folder))
    assert told == [f"TensorBoard: No space left on device; {TOLD}"]


def test_a_disk_that_is_full_from_the_start_leaves_the_run_alone(cli, folder, monkeypatch):
    full = io.BufferedWriter(io.FileIO("/dev/full", "wb"))
    monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda path: full)
    status, out, err = cli("train", "--run", "a", "--tensorboard", "--updates", "3", *TINY)
    assert full.closed
    assert (status, err) == (0, "")
    assert out.count("TensorBoard") == out.count(f"TensorBoard: No space left on device; {TOLD}\n") == 1
    assert len(read_lines(Run(folder / "runs/a").metrics)) == 3


def test_a_folder_that_vanishes_during_the_run_stops_nothing(session, folder):
    records, listener, told = session
    with listener:
        for record in itertools.islice(records, 4):
            listener.show(record)
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    assert told == []


def test_a_file_in_the_folders_place_is_named(cli, tiny_run):
    (tiny_run / "tensorboard").write_text("a file, not a folder")
    status, out, err = cli("resume", "tiny", "--tensorboard", "--updates", "4")
    assert (status, err) == (0, "")
    assert f"TensorBoard: runs/tiny/tensorboard: File exists; {TOLD}\n" in out
    assert "saved update 4" in out


def test_a_picture_that_cannot_be_drawn_stops_nothing(cli, folder, monkeypatch):
    def fail(agent, **choices):
        raise NonFiniteError("W1 holds\nNaN")

    monkeypatch.setattr(plots, "filters", fail)
    status, out, err = cli("train", "--run", "a", "--tensorboard", "--updates", "4", *TINY)
    assert (status, err) == (0, "")
    assert out.count("TensorBoard") == 1
    assert f"TensorBoard: NonFiniteError: W1 holds NaN; {TOLD}\n" in out
    assert "saved update 4" in out
    assert len(steps_of(folder / "runs/a")) == 2  # what was written before stays


def test_a_run_that_fails_is_not_hidden_by_its_listener(session):
    records, listener, told = session

    def run():
        with listener:
            listener.show(next(records))
            raise KeyError("the run's own")

    with pytest.raises(KeyError, match="the run's own"):
        run()
    assert told == []


@pytest.mark.parametrize("verb", [("train", "--run", "a"), ("resume", "tiny")])
def test_without_the_library_one_line_says_what_to_install(tiny_run, folder, verb):
    before = sorted(folder.rglob("*"))
    command = [sys.executable, "-c", BLOCKED, *verb, "--updates", "4", "--tensorboard"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (2, "", NEEDS)
    assert sorted(folder.rglob("*")) == before


def test_without_the_flag_the_library_is_not_needed(folder):
    command = [sys.executable, "-c", BLOCKED, "train", "--run", "a", "--updates", "2", *TINY]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads((folder / "runs/a/run.json").read_text())["sessions"][0]["last_update"] == 2
    assert not (folder / "runs/a/tensorboard").exists()
