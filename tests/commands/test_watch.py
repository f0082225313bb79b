"""`pgpong watch` and `pgpong play` as a user meets them: in a pseudo-terminal, and without any."""

import shutil
import subprocess
import sys
import time

import pytest

from pgpong.commands import watch as watch_module
from pgpong.commands.watch import choose_viewer, why_no_window
from pgpong.envs.game import find_game
from pgpong.errors import SettingError
from pgpong.storage.replay import Replay
from pgpong.storage.run import Run
from pgpong.viewing.playback import Playback
from pgpong.viewing.terminal import Lines
from tests.commands.test_commands import one_line_error
from tests.conftest import TINY
from tests.viewing.test_terminal import PICTURE, Emulator


@pytest.fixture
def emulator():
    """A terminal that is closed in the end."""
    made = Emulator()
    yield made
    made.close()


@pytest.fixture
def replay(folder):
    """A replay of a few steps; return its file."""
    playback = Playback(find_game("ALE/Pong-v5"))
    playback.begin(3)
    for step in range(60):
        playback.step(step % 3)
    path = folder / "game.replay"
    playback.replay().save(path)
    return path


def test_without_a_terminal_a_line_is_written_for_each_point(cli, tiny_run):
    status, out, err = cli("watch", "tiny", "--episodes", "1", "--speed", "16", "--in", "terminal")
    assert status == 0
    assert err == "shown as lines: the output is no terminal: asked for\n"
    title, *lines = out.splitlines()
    assert title.startswith("tiny update 3 · episode 1, seed 0 · ALE/Pong-v5")
    assert lines[-1].endswith("end")
    assert len(lines) >= 21


def test_a_replay_is_played_back(cli, replay, emulator, folder):
    status, out, _ = cli("watch", "game.replay", "--speed", "16")
    assert status == 0
    assert "game.replay · replay, seed 3" in out
    emulator.start(folder, "watch", "game.replay", "--speed", "4").until(PICTURE)
    emulator.until(lambda: emulator.number("step") > 2).end(0)


def test_a_replay_that_comes_out_otherwise_says_so(cli, replay):
    good = Replay.load(replay)
    Replay(good.game, good.seed, good.actions, good.score, good.screen ^ 1, "0.0.1").save(replay)
    status, _, err = cli("watch", replay, "--speed", "16")
    assert status == 1
    _, line = err.splitlines()
    assert "it was played: made with ale-py 0.0.1, played back with" in line


def test_a_run_is_followed_while_it_trains_and_until_it_vanishes(folder, emulator):
    options = ("--num-envs", "2", "--batch-steps", "60", "--hidden", "8", "--checkpoint-every", "5")
    training = subprocess.Popen(
        [sys.executable, "-m", "pgpong", "train", "--run", "t", *options],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        run = Run(folder / "runs" / "t")
        end = time.monotonic() + 60
        while not run.latest.is_file():
            assert time.monotonic() < end
            time.sleep(0.1)
        emulator.start(folder, "watch", "t", "--follow").until("following t update ")
        first = played(emulator)
        emulator.until(lambda: int(run.latest.stem.removeprefix("update-")) > first)
        emulator.type("n")
        emulator.until("episode 2").until(lambda: played(emulator) > first)
        assert training.poll() is None
    finally:
        training.terminate()
        training.wait(60)
    shutil.rmtree(folder / "runs")
    emulator.type("n")
    emulator.end(1)
    assert emulator.said == "pgpong: the run runs/t has gone: 'pgpong runs' lists the runs here\r\n"


def played(emulator):
    """Return the update that the title names."""
    return int(emulator.screen.display[0].split("update ")[1].split()[0])


def test_a_game_is_played_kept_compared_and_watched_again(emulator, folder, tiny_run):
    emulator.start(folder, "play", "--seed", "11", "--out", "mine.replay").until(PICTURE)
    emulator.until("you play on the right · seed 11").until("you   staying")
    emulator.type("++++")
    emulator.until("x16")
    emulator.type("w")
    emulator.until("you   up")
    emulator.until("you   staying")  # nobody says that the key was let go
    emulator.type("\x1b[B")
    emulator.until("you   down")
    emulator.until(lambda: emulator.number("step") > 100)
    emulator.type("q")
    emulator.end(0)
    replay = Replay.load(folder / "mine.replay")
    assert replay.seed == 11
    assert {0, 1, 2} == set(replay.actions.tolist())
    assert f"you        {replay.score:+d} in {len(replay.actions)} steps on ALE/Pong-v5" in emulator.said
    assert "on the same seed (tiny update 3)" in emulator.said
    again = Emulator()
    again.start(folder, "watch", "mine.replay", "--speed", "16").end(0).close()


@pytest.mark.parametrize(("end", "status"), [("\x03", 130), ("SIGTERM", 143)])
def test_a_game_that_is_cut_short_is_kept(emulator, folder, end, status):
    emulator.start(folder, "play").until(PICTURE).until(lambda: emulator.number("step") > 5)
    if end == "SIGTERM":
        emulator.process.terminate()
    else:
        emulator.type(end)
    emulator.end(status)
    (path,) = (folder / "plays").iterdir()
    assert len(Replay.load(path).actions) > 5
    assert f"kept       plays/{path.name}" in emulator.said


def test_the_choice_of_where(monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert why_no_window() == "no display (DISPLAY is not set)"
    assert isinstance(choose_viewer(None), Lines)
    assert "no display" in capsys.readouterr().err
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setattr(watch_module, "find_spec", lambda name: None)
    assert "pip install" in why_no_window()
    monkeypatch.setattr(watch_module, "find_spec", lambda name: name == "pygame")
    assert why_no_window() is None
    assert type(choose_viewer(None)).__name__ == "Window"
    assert capsys.readouterr().err == "shown in a window: there is a display, and pygame\n"
    assert isinstance(choose_viewer("terminal"), Lines)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert why_no_window() is None
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")
    assert why_no_window() == "over SSH (--in window tries one all the same)"
    assert type(choose_viewer("window")).__name__ == "Window"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["watch", "--follow"], "no run here yet: 'pgpong train' starts one"),
        (["watch", "nobody"], "no run at nobody"),
        (["watch", "nobody", "--follow"], "no run at nobody"),
        (["watch", "missing.replay"], "missing.replay"),
        (["watch", "--seed", str(2**31)], "is not in the range"),
        (["watch", "--speed", "3"], "'3' is not one of"),
        (["watch", "--in", "space"], "'space' is not one of"),
        (["play", "--env", "ALE/Breakout-v5"], "unknown environment"),
        (["play", "--against", "nobody"], "no run at nobody"),
        (["play", "--out", "/dev/null/x.replay"], "cannot write /dev/null/x.replay"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing_behind(cli, folder, arguments, message):
    assert message in one_line_error(cli(*arguments))
    assert list(folder.iterdir()) == []


def test_files_that_are_no_agents_or_replays_are_named(cli, folder, replay):
    (folder / "noise.npz").write_bytes(b"noise" * 100)
    assert "noise.npz" in one_line_error(cli("watch", "noise.npz"))
    replay.write_bytes(replay.read_bytes()[:-40])
    assert "game.replay" in one_line_error(cli("watch", "game.replay"))


def test_a_replay_takes_no_settings(cli, replay):
    assert "--seed: a replay is one game as it was, leave it out" in one_line_error(
        cli("watch", "game.replay", "--seed", "1")
    )
    assert "--greedy: a replay is one game as it was" in one_line_error(
        cli("watch", "game.replay", "--greedy")
    )


def test_a_run_without_checkpoints_says_so(cli, tiny_run):
    shutil.rmtree(tiny_run / "checkpoints")
    (tiny_run / "checkpoints").mkdir()
    assert "holds no agent; the one that ships is called pretrained" in one_line_error(cli("watch"))
    status, _, err = cli("watch", "--follow")
    assert status == 1
    assert err.splitlines()[-1].startswith("pgpong: runs/tiny has no checkpoint yet")


def test_a_game_is_not_written_over_another_nor_compared_with_another_games_agent(cli, replay, folder):
    before = replay.read_bytes()
    assert "game.replay exists" in one_line_error(cli("play", "--out", "game.replay"))
    assert replay.read_bytes() == before
    cli("train", "--run", "other", "--env", "PongNoFrameskip-v4", "--updates", "1", *TINY)
    error = one_line_error(cli("play", "--against", "other"))
    assert "plays PongNoFrameskip-v4 (frameskip 1, sticky 0), not ALE/Pong-v5" in error
    assert not (folder / "plays").exists()


def test_a_window_without_pygame_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(SettingError, match="pip install"), choose_viewer("window"):
        pass


@pytest.mark.parametrize("verb", ["watch", "play"])
def test_the_help_names_the_keys_a_line_each(cli, verb):
    lines = cli(verb, "--help")[1].splitlines()
    (line,) = [line for line in lines if "show or hide what" in line]
    assert "v" in line.split()
    assert any("faster, slower" in line for line in lines)
