"""The command line as a user types it: verbs, bad input, signals; real games throughout."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from pgpong.agent import Agent
from pgpong.commands import VERBS
from pgpong.commands.evaluate import doubts
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.machine import git_commit
from pgpong.state import new_state
from pgpong.storage.arrays import parse, read_arrays
from pgpong.storage.checkpoint import save_checkpoint
from pgpong.storage.run import find_agent
from tests.conftest import NO_EVALUATION, TINY
from tests.runs import start, without_clock


def one_line_error(result):
    """Assert that a command ended by its user's mistake, in one line; return the line."""
    status, _, err = result
    assert status != 0
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("pgpong: ")
    return lines[0]


def test_help_names_every_verb_and_each_verb_has_help(cli):
    status, out, _ = cli("--help")
    assert status == 0
    for verb, text in VERBS.items():
        assert verb in out
        assert text in out
        status, help_of_verb, _ = cli(verb, "--help")
        assert status == 0
        assert f"pgpong {verb}" in help_of_verb


def test_no_arguments_show_the_help(cli):
    status, out, _ = cli()
    assert "Commands:" in out
    assert status == 2


def test_version(cli):
    assert "0." in cli("--version")[1]


def test_a_run_is_trained_listed_evaluated_and_resumed(cli, folder):
    status, out, _ = cli("train", "--run", "a", "--updates", "2", "--seed", "3", *TINY)
    assert status == 0
    assert "pgpong a: ALE/Pong-v5 (frameskip 4, sticky 0.25), recipe fast" in out
    assert "update 2 reached: saved update 2" in out
    assert out.strip().endswith("go on with: pgpong resume a")
    assert "seed = 3" in (folder / "runs/a/config.toml").read_text()
    assert "frameskip = 4" in (folder / "runs/a/config.toml").read_text()

    status, out, _ = cli("resume", "a", "--updates", "4")
    assert (status, "saved update 4" in out) == (0, True)
    lines = (folder / "runs/a/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [1, 2, 3, 4]
    sessions = json.loads((folder / "runs/a/run.json").read_text())["sessions"]
    assert [(s["first_update"], s["last_update"]) for s in sessions] == [(1, 2), (3, 4)]
    for session in sessions:
        assert session["versions"]["numpy"] == np.__version__
        assert session["machine"]["cores"] >= 1
        assert session["git"] == git_commit()

    status, out, _ = cli("runs")
    assert status == 0
    assert "ALE/Pong-v5 (frameskip 4, sticky 0.25)" in out
    assert "a " in out

    status, out, _ = cli("evaluate", "a", "--episodes", "2", "--json")
    result = json.loads(out)
    assert (status, list(result)) == (0, ["agent", "sampled", "greedy"])
    for way in ("sampled", "greedy"):
        assert (result[way]["episodes"], result[way]["first_seed"]) == (2, 0)
        assert result[way]["game"] == "ALE/Pong-v5 (frameskip 4, sticky 0.25)"
        assert len(result[way]["scores"]) == 2
    assert cli("evaluate", "a@latest", "--episodes", "2", "--json")[1] == out


def test_an_evaluation_is_a_line_each_way_and_says_if_it_is_not_to_be_published(cli, tiny_run):
    status, out, _ = cli("evaluate", "--episodes", "2", "--seed", "9")
    assert status == 0
    begin, sampled, greedy, end = out.splitlines()
    assert begin.endswith("update-000003.npz, seeds 9 to 10")
    for line, way in ((sampled, "sampled"), (greedy, "greedy")):
        assert re.fullmatch(
            rf"{way} +mean score +-\d+\.\d\d \(95% interval -\d+\.\d\d to [+-]\d+\.\d\d\) +0 of 2 won  "
            r"ALE/Pong-v5 \(frameskip 4, sticky 0\.25\)",
            line,
        )
    assert end == "not a score to publish: fewer than 100 games"
    out = cli("evaluate", "--episodes", "1", "--greedy")[1]
    assert "greedy " in out
    assert "sampled" not in out
    assert "no interval from one game" in out


def test_what_keeps_a_score_from_being_published(tiny_run):
    agent = Agent.load(find_agent("tiny"))
    assert doubts(agent, 100) == []
    assert doubts(agent, 99) == ["fewer than 100 games"]
    agent = replace(agent, game=find_game("PongNoFrameskip-v4"))
    assert doubts(agent, 100) == ["no sticky actions"]


def test_a_condition_that_is_met_already_stops_at_once(cli, tiny_run):
    status, out, _ = cli("resume", "tiny", "--updates", "3")
    assert (status, "update 3 reached" in out) == (0, True)


def test_replays_that_cannot_be_written_take_no_score_away(cli, tiny_run):
    (tiny_run.parent / "file").touch()
    to = str(tiny_run.parent / "file" / "replays")
    status, out, err = cli("evaluate", "tiny", "--episodes", "1", "--greedy", "--json", "--replays", to)
    assert len(json.loads(out)["greedy"]["scores"]) == 1
    assert "cannot make" in one_line_error((status, out, err))


@pytest.mark.parametrize("verb", ["train", "resume", "evaluate"])
def test_a_device_that_is_not_there_is_one_line_and_nothing_is_written(cli, tiny_run, verb):
    before = sorted(tiny_run.parent.rglob("*"))
    line = one_line_error(cli(verb, "--backend", "numpy", "--device", "cuda"))
    assert "numpy has no device 'cuda'" in line
    line = one_line_error(cli(verb, "--device", "cuda:99"))  # where none is named, it is torch's
    assert "pip install 'pgpong[torch]'" in line or "torch finds no device 'cuda:99' here" in line
    assert sorted(tiny_run.parent.rglob("*")) == before


def test_a_resumed_run_may_change_its_backend_and_says_which_it_had(cli, tiny_run):
    pytest.importorskip("torch")
    assert cli("resume", "tiny", "--updates", "4", "--backend", "torch", "--device", "cpu")[0] == 0
    assert "--backend=torch --device=cpu" in json.loads((tiny_run / "run.json").read_text())["repeat"]
    assert cli("resume", "tiny", "--updates", "5", "--backend", "auto", "--device", "cpu")[0] == 0
    sessions = json.loads((tiny_run / "run.json").read_text())["sessions"]
    assert [s["backend"] for s in sessions[:2]] == ["numpy on cpu", "torch on cpu"]
    assert sessions[2]["backend"] in ("numpy on cpu", "torch on cpu")
    assert cli("evaluate", "tiny", "--episodes", "1", "--sampled", "--backend", "torch")[0] == 0


def test_runs_of_different_environments_are_listed_apart(cli):
    cli("train", "--run", "a", "--updates", "1", *TINY)
    cli("train", "--run", "b", "--env", "PongNoFrameskip-v4", "--updates", "1", *TINY)
    out = cli("runs")[1]
    assert out.index("PongNoFrameskip-v4 (frameskip 1, sticky 0)") < out.index("\nb ")
    assert out.index("\nb ") < out.index("ALE/Pong-v5 (frameskip 4, sticky 0.25)") < out.index("\na ")


def test_runs_says_when_there_are_none(cli):
    assert "'pgpong train' starts one" in cli("runs")[1]


def test_doctor_finds_all_well(cli):
    status, out, _ = cli("doctor")
    assert (status, out.strip().splitlines()[-1]) == (0, "all is well")
    assert "the same seed gives the same game" in out
    assert "extra torch" in out


def test_doctor_names_a_folder_that_cannot_be_written(cli, folder):
    (folder / "runs").mkdir()
    (folder / "runs").chmod(0o500)
    if os.access(folder / "runs", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "cannot be written" in cli("doctor")[1]


def test_bench_measures_both_in_turn_and_tells_where_the_time_goes(cli):
    status, out, _ = cli("bench", "--rounds", "2", "--num-envs", "2", "--json")
    result = json.loads(out)
    assert status == 0
    speeds = result["steps_per_second"]
    assert list(speeds) == ["bare emulator", "training"]
    ratios = np.divide(speeds["training"], speeds["bare emulator"])
    assert (len(ratios), result["ratio"]) == (2, pytest.approx(np.median(ratios)))
    assert result["ratios"]["training"] == pytest.approx(ratios)
    assert sum(result["shares"].values()) == pytest.approx(1)
    assert all(cost > 0 for costs in result["microseconds"].values() for cost in costs.values())


def test_bench_compares_with_all_that_is_installed_and_names_the_rest(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)  # as if it were not there
    status, out, err = cli("bench", "--rounds", "1", "--num-envs", "2", "--compare")
    assert status == 0
    assert "EnvPool, bare is left out: it needs pip install 'pgpong[bench]'" in err
    assert "EnvPool" not in out
    names = ["bare emulator", "training", "2016 loop"]
    if find_spec("stable_baselines3"):
        names.append("Stable-Baselines3 PPO")
    assert len(names) == 4 or "Stable-Baselines3 PPO is left out" in err
    for name in names:
        assert len(re.findall(rf"^{name} +[0-9,]+ +[0-9.]+ \(", out, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--recipe", "slow"], "unknown recipe 'slow': use fast or karpathy"),
        (["train", "--env", "ALE/Breakout-v5"], "unknown environment 'ALE/Breakout-v5': use a Pong id"),
        (["train", "--no-such-flag"], "--no-such-flag"),
        (["train", "--hidden", "0"], "hidden: expected 1 or more, got 0"),
        (["train", "--hidden", str(10**15)], "hidden: expected less than 2^31"),
        (["train", "--num-envs", "7", "--recipe", "karpathy"], "a multiple of num_envs, the 7 games at once"),
        (["train", "--learning-rate", "-1"], "learning_rate: expected more than 0, got -1"),
        (["train", "--learning-rate", "fast"], "'fast' is not a valid float"),
        (["train", "--optimizer", "sgd"], "'sgd' is not one of 'adam', 'rmsprop'"),
        (["train", "--run", "../elsewhere"], "expected a plain name"),
        (["train", "--run", "me@home"], "a plain name without @"),
        (["train", "--run", "pretrained"], "and not pretrained"),
        (["train", "--run", "a\u3000b"], "a plain name"),
        (["train", "--blur", "inf"], "blur: expected a finite number, got inf"),
        (["train", "--seed", str(2**63)], "seed: expected less than 2^63"),
        (["train", "--frameskip", "200000"], "expected a frameskip of 108000 or less"),
        (["train", "--minutes", "nan"], "--minutes: expected a finite number, got nan"),
        (["train", "--hours", "inf"], "--hours: expected a finite number, got inf"),
        (["train", "--until", "inf"], "--until: expected a finite number, got inf"),
        (["record", "--growth", "--seconds", "nan"], "--seconds: expected a finite number, got nan"),
        (["record", "--seed", str(2**30 - 1), "--episodes", "2"], f"expected a seed from 0 to {2**30 - 2}"),
        (["watch", "--seed", str(2**30 - 1), "--episodes", "2"], f"expected a seed from 0 to {2**30 - 2}"),
        (["train", "--minutes", "-1"], "-1"),
        (["trian"], "No such command 'trian'"),
        (["resume"], "no run here yet"),
        (["resume", "nobody"], "no run at nobody"),
        (["evaluate", "nobody"], "no run at nobody"),
        (["evaluate", "--episodes", "0"], "0 is not in the range"),
        (["evaluate", "--seed", str(2**30)], "is not in the range"),
        (["bench", "--recipe", "slow"], "unknown recipe"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing_behind(cli, folder, arguments, message):
    assert message in one_line_error(cli(*arguments))
    assert list(folder.iterdir()) == []


def test_a_network_that_no_checkpoint_can_hold_is_refused_before_there_is_a_run(cli, folder, monkeypatch):
    """The most that the message names can be had, and no more."""
    monkeypatch.setattr("pgpong.storage.checkpoint.LARGEST_FILE", (1 << 26) + 20_000_000)
    line = one_line_error(cli("train", "--hidden", "200", *NO_EVALUATION))
    most = int(re.search(r"with these settings ([0-9,]+) units are the most", line).group(1))
    assert list(folder.iterdir()) == []
    for hidden, fits in ((most // 2 * 2, True), (most // 2 * 2 + 2, False)):
        state = new_state(from_recipe("fast", hidden=hidden), find_game("ALE/Pong-v5"))
        save_checkpoint(folder / "a.npz", state)
        assert ((folder / "a.npz").stat().st_size < 20_000_000) == fits


def test_a_run_that_exists_is_not_touched(cli, tiny_run):
    before = {path: path.read_bytes() for path in tiny_run.rglob("*") if path.is_file()}
    assert "tiny exists: choose another --run" in one_line_error(cli("train", "--run", "tiny", *TINY))
    assert {path: path.read_bytes() for path in tiny_run.rglob("*") if path.is_file()} == before


def damage(run, how):
    for checkpoint in run.glob("checkpoints/update-*.npz"):
        if how == "cut":
            checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
        elif how == "foreign":
            checkpoint.write_text("something else")
        elif how == "missing":
            checkpoint.unlink()
    config = run / "config.toml"
    if how == "other environment":
        config.write_text(config.read_text().replace("ALE/Pong-v5", "PongNoFrameskip-v4"))
    elif how == "other size":
        config.write_text(config.read_text().replace("hidden = 8", "hidden = 10"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", "update-000003.npz is damaged or was not written by pgpong"),
        ("foreign", "update-000003.npz is damaged or was not written by pgpong"),
        ("missing", "the run has no checkpoint to go on from"),
        ("other environment", "the run's config.toml says PongNoFrameskip-v4"),
        ("other size", "has 8 hidden units, the run's config.toml says 10"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_not_gone_on_with(cli, tiny_run, how, message):
    damage(tiny_run, how)
    metrics = (tiny_run / "metrics.jsonl").read_bytes()
    assert message in one_line_error(cli("resume", "tiny", "--updates", "9"))
    assert (tiny_run / "metrics.jsonl").read_bytes() == metrics


def test_a_log_that_somebody_has_edited_is_not_gone_on_with(cli, tiny_run):
    log = tiny_run / "metrics.jsonl"
    edited = log.read_text().replace('"seconds"', '"time"', 1)
    log.write_text(edited)
    message = f"{log.name}: line 1 is no line of a run's log: it has no 'seconds'"
    assert message in one_line_error(cli("resume", "tiny", "--updates", "9"))
    assert log.read_text() == edited


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(cli, tiny_run):
    latest = tiny_run / "checkpoints" / "update-000003.npz"
    content = bytearray(latest.read_bytes())
    whole = bytes(content)
    content[len(content) // 2] ^= 1
    latest.write_bytes(content)
    lines = (tiny_run / "metrics.jsonl").read_text().splitlines()
    status, out, _ = cli("resume", "tiny", "--updates", "3")
    assert status == 0
    assert "update-000003.npz is damaged" in out
    assert "going on from update 2" in out
    again = (tiny_run / "metrics.jsonl").read_text().splitlines()
    assert [without_clock(json.loads(line)) for line in again] == [
        without_clock(json.loads(line)) for line in lines
    ]
    arrays, arrays_again = parse(whole, "before")[1], read_arrays(latest)[1]
    assert {k: a.tobytes() for k, a in arrays.items()} == {k: a.tobytes() for k, a in arrays_again.items()}


def test_a_run_stopped_before_its_first_checkpoint_begins_at_its_beginning(cli, tiny_run):
    for path in [*tiny_run.glob("checkpoints/*"), *tiny_run.glob("*.jsonl")]:
        path.unlink()
    status, out, _ = cli("resume", "tiny", "--updates", "1")
    assert (status, "stopped before its first checkpoint" in out, "saved update 1" in out) == (0, True, True)


def test_a_line_that_a_crash_cut_short_is_taken_off_and_said(cli, tiny_run):
    metrics = tiny_run / "metrics.jsonl"
    whole = metrics.read_bytes()
    metrics.write_bytes(whole + b'{"update": 4, "epi')
    status, out, _ = cli("resume", "tiny", "--updates", "3")
    assert status == 0
    assert "metrics.jsonl: the last line was cut short; it is taken off" in out
    assert metrics.read_bytes() == whole


def test_a_run_that_is_being_trained_is_not_gone_on_with_but_can_be_read(folder, cli):
    process = start("train", "--run", "s", *TINY, cwd=folder)
    assert "pgpong s" in process.stdout.readline()
    assert process.stdout.readline().startswith("update ")
    began = time.monotonic()
    second = start("resume", "s", cwd=folder)
    _, err = second.communicate(timeout=20)
    assert time.monotonic() - began < 2 + 2  # two seconds, and two for a busy machine
    assert second.returncode == 1
    assert f"in use by process {process.pid} on {os.uname().nodename} since 20" in err
    assert len(err.splitlines()) == 1
    assert "\ns " in cli("runs")[1]
    assert cli("evaluate", "s@latest", "--episodes", "1")[0] == 0
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_run_json_holds_the_command_that_makes_the_same_run(cli, folder):
    cli("train", "--run", "a", "--updates", "2", "--seed", "5", "--clip", "inf", *TINY)
    repeat = json.loads((folder / "runs/a/run.json").read_text())["repeat"]
    assert shlex.split(repeat)[:2] == ["pgpong", "train"]
    status, _, _ = cli(*shlex.split(repeat)[1:], "--run", "b")
    assert status == 0
    assert (folder / "runs/a/config.toml").read_bytes() == (folder / "runs/b/config.toml").read_bytes()
    one, other = (read_arrays(folder / f"runs/{run}/checkpoints/update-000002.npz")[1] for run in "ab")
    assert {k: a.tobytes() for k, a in one.items()} == {k: a.tobytes() for k, a in other.items()}


@pytest.mark.parametrize("text", ["hidden = ", "a = " + 10_000 * "[", "seed = " + 5_000 * "1"])
def test_runs_that_cannot_be_read_are_listed_as_such(cli, tiny_run, text):
    (tiny_run / "config.toml").write_text(text)
    out = cli("runs")[1]
    assert "settings that cannot be read" in out


def test_a_run_with_foreign_logs_does_not_hide_the_others(cli, folder, tiny_run):
    shutil.copytree(tiny_run, folder / "runs" / "other")
    (folder / "runs/other/metrics.jsonl").write_text('{"epoch": 1}\n')
    status, out, _ = cli("runs")
    assert status == 0
    assert "\ntiny " in out
    assert "other its logs are no run's of this version" in " ".join(out.split())


def test_what_a_crash_left_behind_the_checkpoint_does_not_stop_a_resume(cli, tiny_run):
    metrics = tiny_run / "metrics.jsonl"
    whole = metrics.read_bytes()
    last = whole.splitlines(keepends=True)[-1].replace(b'"update": 3', b'"update": 5')
    metrics.write_bytes(whole + b"\0\0\0 garbled\n" + last)
    (tiny_run / "run.json").write_text('{"sessions": null}')
    (tiny_run / "replays").mkdir()
    (tiny_run / "replays/.latest.replay.12345678.tmp").touch()
    status, out, _ = cli("resume", "tiny", "--updates", "4")
    assert (status, "the last line was cut short" in out) == (0, True)
    assert [json.loads(line)["update"] for line in metrics.read_bytes().splitlines()] == [1, 2, 3, 4]
    assert len(json.loads((tiny_run / "run.json").read_text())["sessions"]) == 1
    assert not list(tiny_run.rglob("*.tmp"))


def test_lines_that_are_lost_are_told(cli, tiny_run):
    metrics = tiny_run / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes().splitlines(keepends=True)[0])
    status, out, _ = cli("resume", "tiny", "--updates", "4")
    assert (status, "metrics.jsonl: the lines up to update 3 are not all there" in out) == (0, True)


def test_a_folder_that_a_crash_left_without_settings_is_begun_anew(cli, folder):
    (folder / "runs/a/checkpoints").mkdir(parents=True)
    (folder / "runs/a/.config.toml.12345678.tmp").touch()
    assert cli("train", "--run", "a", "--updates", "1", *TINY)[0] == 0
    assert [path.name for path in (folder / "runs/a").iterdir() if path.suffix == ".tmp"] == []
    (folder / "runs/mine").mkdir()
    (folder / "runs/mine/notes.txt").touch()
    assert "mine exists: choose another --run" in one_line_error(cli("train", "--run", "mine", *TINY))


def test_how_to_go_on_names_a_run_that_lies_elsewhere(cli, folder, tiny_run):
    elsewhere = folder / "else where"
    elsewhere.mkdir()
    tiny_run.rename(elsewhere / "tiny")
    out = cli("resume", "else where/tiny", "--updates", "4")[1]
    assert out.strip().endswith("go on with: pgpong resume 'else where/tiny'")


def test_a_folder_that_cannot_be_written_is_named(cli, folder):
    (folder / "runs").write_text("a file, not a folder")
    line = one_line_error(cli("train", *TINY))
    assert "cannot make" in line


def test_numbers_out_of_bounds_stop_the_run_and_keep_the_last_checkpoint(cli, folder):
    # Updates so large that the weights leave the range of float32 within a few.
    result = cli(
        "train", "--run", "wild", "--learning-rate", "1e38", "--optimizer", "rmsprop", "--max-kl", "inf",
        "--clip", "inf", "--updates", "50", *TINY,
    )  # fmt: skip
    assert result[0] == 3
    assert "not finite" in one_line_error(result)
    agent = Agent.load(find_agent("wild@latest"))
    assert np.isfinite(agent.policy.W1).all()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(folder, number, status):
    process = start("train", "--run", "s", *TINY, "--evaluate-every", "1000", cwd=folder)
    first = [process.stdout.readline() for _ in range(2)]
    assert first[1].startswith("update ")
    sent = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 10
    assert (process.returncode, err) == (status, "")
    *_, agent, how = out.strip().splitlines()
    assert (agent, how) == ("its agent: the latest, for none was evaluated", "go on with: pgpong resume s")
    last = json.loads((folder / "runs/s/metrics.jsonl").read_text().splitlines()[-1])
    assert Agent.load(find_agent("s@latest")).provenance["update"] == last["update"]
    session = json.loads((folder / "runs/s/run.json").read_text())["sessions"][-1]
    assert session["ending"] == number.name


def test_a_reader_that_goes_away_is_no_bug(cli, folder):
    process = subprocess.run(
        f"{sys.executable} -m pgpong train --help | head -1",
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in process.stderr
