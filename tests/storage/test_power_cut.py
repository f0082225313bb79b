"""Power cuts: what is found afterwards, at every system call and for all that the disk may have made of it.

`kill -9` cannot test this: what a killed process wrote, but did not flush, is still there.
"""

import json
import os
import shutil

import pytest

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import PgpongError
from pgpong.recorder import Recorder
from pgpong.state import new_state
from pgpong.storage.files import opened, remove_temporaries, sync_folder, write_all, write_atomically
from pgpong.storage.lines import LineLog, read_lines, trim_lines
from pgpong.storage.run import Run
from pgpong.training import train
from tests.storage.disk import Journal, aftermaths, under

OLD = b"the old checkpoint " * 40
NEW = [b"head", b"", b"the new checkpoint, " * 50, b"end"]
LINES = [{"update": n, "loss": n / 7} for n in range(1, 7)]


def lines(count, start=0):
    return b"".join(json.dumps(line).encode() + b"\n" for line in LINES[start:count])


class Save:
    """One file is written; before, there is an older one or none."""

    def __init__(self, old=OLD, new=NEW, most=None, skipped=(), write=write_atomically):
        self.before = {} if old is None else {"latest": old}
        self.new = new
        self.options = {"most": most, "skipped": skipped}
        self.write = write

    def act(self, folder, mark):
        self.write(folder / "latest", self.new)
        mark("saved")

    def judge(self, folder, marks):
        remove_temporaries(folder)
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        return found == {"latest": b"".join(self.new)} or (not marks and found == self.before)


class Generations:
    """Checkpoints of several updates: a new one is written and read back, and the older is deleted."""

    def __init__(self, skipped=(), most=None, tidy_first=False):
        self.before = {}
        self.options = {"most": most, "skipped": skipped}
        self.tidy_first = tidy_first

    def act(self, folder, mark):
        write_atomically(folder / "update-000020", [b"20 " * 100])
        mark(20)
        if self.tidy_first:
            os.unlink(folder / "update-000020")
        write_atomically(folder / "update-000040", [b"40 " * 100])
        mark(40)
        assert (folder / "update-000040").read_bytes() == b"40 " * 100
        if not self.tidy_first:
            os.unlink(folder / "update-000020")

    def judge(self, folder, marks):
        found = {int(path.name[-2:]): path.read_bytes() for path in folder.glob("update-*")}
        whole = all(content == f"{update} ".encode() * 100 for update, content in found.items())
        return whole and max(found, default=0) >= max(marks, default=0)


class Log:
    """Lines are appended, and synced before the checkpoints of updates 3 and 5, from which it goes on."""

    def __init__(self, skipped=(), most=None):
        self.before = {}
        self.options = {"most": most, "skipped": skipped}

    def act(self, folder, mark):
        with LineLog(folder / "metrics") as log:
            for line in LINES:
                log.append(line)
                if line["update"] in (3, 5):
                    log.sync()
                    mark(line["update"])

    def judge(self, folder, marks):
        update = max(marks, default=0)
        trim_lines(folder / "metrics", update)
        return read_lines(folder / "metrics") == LINES[:update]


class Trim:
    """What follows update 3 is cut off."""

    def __init__(self, skipped=()):
        self.before = {"metrics": lines(5) + b'{"upd'}
        self.options = {"skipped": skipped}

    def act(self, folder, mark):
        assert trim_lines(folder / "metrics", 3)
        mark("trimmed")

    def judge(self, folder, marks):
        trimmed = (folder / "metrics").read_bytes() == lines(3)
        trim_lines(folder / "metrics", 3)
        return read_lines(folder / "metrics") == LINES[:3] and (trimmed or not marks)


def cut_everywhere(folder, story):
    """Act once, then cut the power after every call; return how many cases went well, and the others."""
    acted, found = folder / "acted", folder / "found"
    fill(acted, story.before)
    journal = Journal(story.before, **story.options)
    with under(journal):
        story.act(acted, journal.mark)
    passed, failed = 0, []
    for done in range(len(journal.calls) + 1):
        calls = journal.calls[:done]
        marks = [call[1] for call in calls if call[0] == "mark"]
        for contents in aftermaths(story.before, calls):
            fill(found, contents)
            try:
                with under(hasty):
                    assert story.judge(found, marks)
            except (AssertionError, PgpongError) as error:
                failed.append((type(story).__name__, calls[-1:], contents, error))
            else:
                passed += 1
    return passed, failed


def hasty(name, call, *arguments, **options):
    """A disk that flushes nothing, for what only looks at the ruins."""
    return None if name == "fsync" else call(*arguments, **options)


def fill(folder, contents):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def test_a_power_cut_costs_no_file_and_no_line(tmp_path, tally):
    stories = [
        *(Save(old, new, most) for old in (None, OLD) for new in (NEW, [b"x"]) for most in (None, 400)),
        *(Save(old, [], None) for old in (None, OLD)),
        *(Save(OLD, NEW * 3, most) for most in (None, 97)),
        *(Generations(most=most) for most in (None, 70)),
        *(Log(most=most) for most in (None, 11)),
        Trim(),
    ]
    passed, failed = 0, []
    for story in stories:
        well, badly = cut_everywhere(tmp_path, story)
        passed += well
        failed += badly
    print(*failed[:10], sep="\n")
    assert passed >= 500
    tally("power cut", passed, passed + len(failed))


def straight(path, chunks):
    """Sabotage: the file is written where it will stand."""
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as handle:
        write_all(handle, b"".join(chunks))
        os.fsync(handle)
    sync_folder(path.parent)


def renamed_too_early(path, chunks):
    """Sabotage: the new name comes before the content is durable."""
    temporary = path.with_name("temporary")
    with opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as handle:
        write_all(handle, b"".join(chunks))
        os.replace(temporary, path)
        os.fsync(handle)
    sync_folder(path.parent)


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(Save(skipped=["fsync"]), id="save without fsync of the file"),
        pytest.param(Save(skipped=["fsync folder"]), id="save without fsync of the folder"),
        pytest.param(Save(write=straight), id="save without a temporary file"),
        pytest.param(Save(write=renamed_too_early), id="save renamed before the fsync"),
        pytest.param(Save(None, skipped=["fsync"]), id="first save without fsync of the file"),
        pytest.param(Save(None, skipped=["fsync folder"]), id="first save without fsync of the folder"),
        pytest.param(Save(None, write=straight), id="first save without a temporary file"),
        pytest.param(Generations(skipped=["fsync"]), id="generations without fsync of the file"),
        pytest.param(Generations(skipped=["fsync folder"]), id="generations without fsync of the folder"),
        pytest.param(Generations(tidy_first=True), id="the older generation deleted first"),
        pytest.param(Log(skipped=["fsync"]), id="log without sync"),
        pytest.param(Log(skipped=["fsync folder"]), id="log without fsync of the folder"),
        pytest.param(Trim(skipped=["fsync"]), id="trim without fsync"),
    ],
)
def test_taking_out_any_one_of_them_is_noticed(tmp_path, story):
    _, failed = cut_everywhere(tmp_path, story)
    assert failed


def test_the_calls_of_a_save_are_the_ones_meant(tmp_path):
    journal = Journal()
    with under(journal):
        write_atomically(tmp_path / "a", [b"1", b"2"])
    made = [call[0] for call in journal.calls]
    assert made == ["create", "write", "write", "fsync", "close", "replace", "fsync folder", "close"]


class Durable:
    """A disk that notes which logs hold what is not durable yet whenever a checkpoint gets its name."""

    def __init__(self):
        self.names, self.waiting, self.synced, self.at_checkpoints = {}, set(), set(), []

    def __call__(self, name, call, *arguments, **options):
        answer = call(*arguments, **options)
        if name == "open":
            self.names[answer] = os.path.basename(arguments[0])
        elif name in ("write", "ftruncate"):
            self.waiting.add(self.names.get(arguments[0]))
        elif name == "fsync":
            self.waiting.discard(self.names[arguments[0]])
            self.synced.add(self.names[arguments[0]])
        elif name == "replace" and os.path.basename(arguments[1]).startswith("update-"):
            self.at_checkpoints.append({log for log in self.waiting if str(log).endswith(".jsonl")})
        return answer


def recorded(folder):
    """Make a run, train and record it; return what a `Durable` disk has seen of it."""
    config = from_recipe(
        "fast", num_envs=2, hidden=4, frameskip=100, batch_steps=5,
        checkpoint_every=2, evaluate_every=1, evaluation_episodes=1,
    )  # fmt: skip
    state = new_state(config, find_game(config.env, config.frameskip))
    with under(Durable()) as disk:
        run = Run.create(folder / "runs" / "a", config, {})
        with Recorder(run, state, []) as recorder:
            for record in train(config, state):
                recorder.write(record)
                if state.progress.update >= 40 and run.evaluations.stat().st_size:
                    break
    assert all(log.stat().st_size for log in (run.metrics, run.episodes, run.evaluations))
    return disk


def test_a_recorder_makes_its_logs_durable_before_each_checkpoint(tmp_path, monkeypatch):
    disk = recorded(tmp_path)
    assert len(disk.at_checkpoints) > 20
    assert not any(disk.at_checkpoints)
    assert {tmp_path.name, "runs", "a", "checkpoints"} <= disk.synced
    monkeypatch.setattr(LineLog, "sync", lambda log: None)
    without = recorded(tmp_path / "without")
    assert {"metrics.jsonl", "episodes.jsonl", "evaluations.jsonl"} <= set.union(*without.at_checkpoints)
