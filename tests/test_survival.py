"""Runs that are killed, started twice, or left alone for long: real trainings in processes of their own."""

import os
import pty
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgpong.envs.game import find_game
from pgpong.storage.checkpoint import load_checkpoint
from pgpong.storage.lines import read_lines
from pgpong.storage.run import Run
from tests.conftest import TINY
from tests.runs import fingerprint, start, take_terminal

EVERY = 3  # updates from one checkpoint to the next
# Games of 40 steps or so end within few updates, so that there are evaluations to be killed in.
OPTIONS = (
    *TINY, "--frameskip", 100, "--batch-steps", 5, "--checkpoint-every", EVERY,
    "--evaluate-every", 10, "--evaluation-episodes", 2,
)  # fmt: skip


def acknowledged(run):
    """The last update whose checkpoint must be there, for a line after it has been written."""
    return max(last_update(run) - 1, 0) // EVERY * EVERY


def last_update(run):
    """The last update that is written down."""
    return max((line["update"] for line in read_lines(run.metrics)), default=0)


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(folder, long, tally):
    """At random instants: while it starts, plays its games again, learns, or saves."""
    kills, updates = (1000, 2000) if long else (50, 250)
    rng = random.Random(0)
    run = Run(folder / "runs" / "killed")
    good = at_work = 0
    for kill in range(1, kills + 1):
        verb = ["resume", "killed"] if run.folder.exists() else ["train", "--run", "killed", *OPTIONS]
        before = last_update(run)
        process = start(*verb, "--updates", updates, cwd=folder)
        if kill % 2:  # else it may be killed while it starts, however long that takes on this machine
            process.stdout.readline()
        time.sleep(rng.uniform(0.2, 2.2))
        # Some get a chance to save.
        process.send_signal(signal.SIGKILL if kill % 10 else rng.choice([signal.SIGINT, signal.SIGTERM]))
        process.communicate(timeout=60)
        if not (run.folder / "config.toml").exists():  # it had hardly begun
            shutil.rmtree(run.folder, ignore_errors=True)
            good += 1
            continue
        config = run.config
        game = find_game(config.env, config.frameskip, config.sticky)
        saved = [load_checkpoint(path, config, game) for path in run.checkpoints]
        newest = max((state.progress.update for state in saved), default=0)
        good += newest >= acknowledged(run)
        at_work += last_update(run) > before
        if newest == updates:  # faster than the killer, but for the last evaluation perhaps: once more
            start("resume", "killed", "--updates", updates, cwd=folder).communicate(timeout=60)
            check_against_an_undisturbed_run(folder, run, updates)
            shutil.rmtree(run.folder)
    finish = start(*(["resume", "killed"] if run.folder.exists() else verb), "--updates", updates, cwd=folder)
    assert "saved update" in finish.communicate(timeout=600)[0]
    check_against_an_undisturbed_run(folder, run, updates)
    assert at_work >= kills // 10  # the others came while it started
    tally("kill", good, kills)


def check_against_an_undisturbed_run(folder, run, updates):
    """Compare a finished run with one that nobody has killed; that is made once."""
    if not (folder / "runs/undisturbed").exists():
        process = start("train", "--run", "undisturbed", *OPTIONS, "--updates", updates, cwd=folder)
        assert "saved update" in process.communicate(timeout=600)[0]
    assert fingerprint(run.folder) == fingerprint(folder / "runs/undisturbed")
    assert not list(run.folder.rglob("*.tmp"))


def test_of_many_that_start_at_once_on_one_run_exactly_one_trains(folder, long, tally):
    rounds = 20 if long else 2
    begin = start("train", "--run", "one", *OPTIONS, "--updates", 1, cwd=folder)
    assert "saved update" in begin.communicate(timeout=60)[0]
    good = 0
    for _ in range(rounds):
        processes = [start("resume", "one", cwd=folder) for _ in range(20)]
        deadline = time.monotonic() + 120
        while sum(process.poll() is None for process in processes) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        running = [process for process in processes if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        ends = [process.communicate(timeout=60)[1] for process in processes]
        refused = [line for line in ends if line]
        assert all("is in use by process" in line and len(line.splitlines()) == 1 for line in refused)
        good += (len(running), len(refused)) == (1, 19)
    tally("one trains", good, rounds)


def test_a_long_training_takes_no_more_memory_files_or_threads(folder, tally):
    """2,000 updates of a tiny network, in a process of its own."""
    script = Path(__file__).with_name("memory.py")
    out = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, check=True)
    grown, files, threads = map(int, out.stdout.split())
    assert grown < 2 * 2**20
    assert (files, threads) == (0, 0)
    tally("updates without growth", 2000, 2000)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminal goes away here")
def test_a_connection_that_drops_costs_no_update(folder):
    """The terminal is gone, and with it the panel: what was learnt is saved."""
    outside, inside = pty.openpty()
    command = [sys.executable, "-m", "pgpong", "train", "--run", "dropped", *map(str, OPTIONS)]
    process = subprocess.Popen(
        [*command, "--checkpoint-every", "100000"], cwd=folder, stdin=inside, stdout=inside, stderr=inside,
        start_new_session=True, preexec_fn=take_terminal, env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(inside)
    run = Run(folder / "runs" / "dropped")
    while last_update(run) < 3:
        assert process.poll() is None
        if select.select([outside], [], [], 0.05)[0]:
            os.read(outside, 65536)
    os.close(outside)
    process.wait(timeout=60)
    assert run.latest == run.checkpoint(last_update(run))
    assert run.read_provenance()["sessions"][-1]["ending"] == "SIGHUP"


def test_a_reader_that_goes_away_ends_no_training(folder):
    """As in `pgpong train | head -1`: it goes on unheard, and Ctrl-C saves it."""
    process = start("train", "--run", "unheard", *OPTIONS, "--checkpoint-every", "100000", cwd=folder)
    process.stdout.readline()
    process.stdout.close()
    run = Run(folder / "runs" / "unheard")
    began = time.monotonic()
    while last_update(run) < 3 or time.monotonic() < began + 12:  # lines come five seconds apart
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 128 + signal.SIGINT
    with process.stderr as stderr:
        assert stderr.read() == ""
    assert run.latest == run.checkpoint(last_update(run))
    assert run.read_provenance()["sessions"][-1]["ending"] == "SIGINT"
