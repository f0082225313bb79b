"""A whole session on a disk that refuses: taking the run, resuming, writing lines, saving, leaving."""

import errno
import itertools
import shutil
from contextlib import suppress
from dataclasses import replace

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import DiskError, FileFormatError, RunError
from pgpong.recorder import Recorder
from pgpong.state import new_state
from pgpong.storage.checkpoint import load_newest
from pgpong.storage.lines import read_lines
from pgpong.storage.lock import RunLock
from pgpong.storage.run import Run
from pgpong.training import train
from tests.storage.disk import Faults, descriptors, under

CODES = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE)
CONFIG = from_recipe("fast", num_envs=1, batch_steps=20, hidden=2, checkpoint_every=2, keep_every=1)
GAME = find_game(CONFIG.env)


def resume_and_save(folder, record, told):
    """Go on from update 2 to update 4, as `pgpong resume` does; note each update that was saved."""
    run = Run.open(folder)
    with RunLock(folder):
        state = load_newest(run.checkpoints, CONFIG, GAME, lambda line: None)
        with Recorder(run, state, []) as recorder:
            told.append(state.progress.update)
            for update in (3, 4):
                state.progress.update = update
                state.progress.episode += 1
                state.progress.scores.append(-21)
                state.agent.policy.W2[:] = update
                recorder.write(record)
                if update % CONFIG.checkpoint_every == 0:
                    told.append(update)


def test_no_refusal_at_any_call_of_a_session_loses_a_checkpoint(tmp_path, long, tally, monkeypatch):
    monkeypatch.setattr("pgpong.storage.lock._PATIENCE", 0.01)
    template = tmp_path / "template"
    state = new_state(CONFIG, GAME)
    with Recorder(Run.create(template, CONFIG, {}), state, []) as recorder:
        for record in itertools.islice(train(CONFIG, state), 2):
            recorder.write(record)
    record = replace(record, episodes=[])
    before = descriptors()

    def survives(code, number, forever):
        folder = tmp_path / "run"
        shutil.copytree(template, folder)
        disk = Faults(lambda n, name: code if n == number or (forever and n > number) else None)
        told = []
        # Each of these is one line to the user.
        with under(disk), suppress(DiskError, RunError, FileFormatError, OSError):
            resume_and_save(folder, record, told)
        # Without refusals the run is free, and at least what was told to be saved is there, and fits the log.
        with RunLock(folder):
            found = load_newest(Run(folder).checkpoints, CONFIG, GAME, lambda line: None)
        last = read_lines(folder / "metrics.jsonl")[-1]["update"]
        shutil.rmtree(folder)
        assert found.progress.update >= max(told, default=2)
        assert last >= found.progress.update
        assert descriptors() == before
        return len(disk.calls)

    calls = survives(errno.EIO, 10**9, False)
    cases = [
        (code, number, forever)
        for number in range(calls)
        for code in (CODES if long else [CODES[number % len(CODES)]])
        for forever in (False, True)
    ]
    for case in cases:
        survives(*case)
    tally("refusals in a session", len(cases), len(cases))
