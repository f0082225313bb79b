"""pgpong record: films of agents, replays and whole runs; bad input; a machine without PyAV."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from pgpong.agent import Agent
from pgpong.commands.record import _UPDATE_EVERY, told
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.state import new_state
from pgpong.storage.run import Run, find_agent
from pgpong.viewing.film import Picture
from pgpong.viewing.playback import Playback, agent_player, play
from tests.commands.test_commands import one_line_error

SMALL = ("--scale", "1", "--no-overlay")
SHORT = ("--seconds", "2")
BLOCKED = "import sys; sys.modules['av'] = None; from pgpong.__main__ import main; sys.exit(main())"


def pictures_in(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_run(folder):
    """Make a run with one small agent, as if it had stopped after three updates; return its folder."""
    config = from_recipe("fast", hidden=8)
    run = Run.create(folder / "runs" / "tiny", config, {})
    agent = new_state(config, find_game(config.env)).agent
    agent.provenance = {"run": "tiny", "update": 3, "episode": 0, "score_mean": None}
    agent.save(run.checkpoint(3))
    return run.folder


@pytest.fixture
def tiny_run(folder):
    """A run; return its folder."""
    return make_run(folder)


@pytest.fixture
def replay(tiny_run, folder):
    """The replay of a game's beginning; return its path and the replay."""
    agent = Agent.load(find_agent("tiny"))
    playback = Playback(agent.game)
    for scene in play(playback, 7, agent_player(agent, np.random.default_rng(7))):
        if scene.step == 100:
            break
    played = playback.replay()
    played.save(folder / "game.replay")
    return folder / "game.replay", played


@pytest.fixture
def grown_run(tiny_run):
    """The tiny run with three agents that it has kept, and a best one."""
    run = Run(tiny_run)
    agent = Agent.load(run.latest)
    for episode, score in ((500, -20.4), (1000, -3.0), (1500, 12.0)):
        agent.provenance |= {"update": episode, "episode": episode, "score_mean": score}
        agent.save(run.kept(episode))
    agent.save(run.best)  # the one kept last
    return run


def test_an_agent_is_filmed_into_its_runs_folder(cli, tiny_run):
    status, out, err = cli("record", "tiny@latest", "--seed", "5", *SHORT)
    film = tiny_run / "films" / "update-000003-seed5.mp4"
    assert (status, err) == (0, "")
    assert out.startswith("runs/tiny/films/update-000003-seed5.mp4: 0:02, ")
    assert [picture.shape for picture in pictures_in(film)] == [(420, 992, 3)] * 30
    assert [path.name for path in film.parent.iterdir()] == [film.name]


def test_the_newest_run_is_filmed_without_a_name_and_other_choices_change_the_film(cli, folder, tiny_run):
    flags = {
        "a": [],
        "b": ["--seed", "1"],
        "c": ["--greedy"],
        "d": ["--no-overlay"],
        "e": ["--scale", "1"],
        "f": [],
    }
    for name, flag in flags.items():
        assert cli("record", *flag, *SHORT, "--out", f"{name}.gif")[0] == 0
    films = {name: (folder / f"{name}.gif").read_bytes() for name in flags}
    assert films["a"] == films["f"]
    assert len(set(films.values())) == 5


def test_several_episodes_follow_one_another_behind_title_cards(cli, folder, tiny_run):
    assert cli("record", "tiny", "--out", "a.mp4", "--episodes", "2", "--no-overlay", *SHORT)[0] == 0
    assert cli("record", "tiny", "--out", "b.mp4", "--seed", "1", "--no-overlay", *SHORT)[0] == 0
    both, second = pictures_in(folder / "a.mp4"), pictures_in(folder / "b.mp4")
    card = 23  # pictures in one and a half seconds
    assert len(both) == 2 * (card + 30)
    for a, b in zip(both[-30:], second, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 1  # the same game, whatever was filmed before it


def test_a_replay_is_filmed_as_it_was_played(cli, folder, replay):
    path, played = replay
    status, out, _ = cli("record", path)
    assert status == 0
    assert out.startswith("game.mp4: 0:07, ")
    assert len(pictures_in(folder / "game.mp4")) == len(played.actions) + 15


def test_a_replay_that_does_not_come_out_as_it_was_leaves_no_film(cli, folder, replay):
    path, played = replay
    replace(played, screen=played.screen ^ 1, ale_py="0.0.1").save(path)
    before = files(folder)
    line = one_line_error(cli("record", path, "--out", "game.mp4"))
    assert "did not come out as it was played: made with ale-py 0.0.1" in line
    assert files(folder) == before


def test_the_growth_film_goes_through_all_kept_agents(cli, grown_run):
    status, out, _ = cli("record", "tiny", "--growth", "--scale", "1")
    film = grown_run.folder / "films" / "growth.mp4"
    assert status == 0
    assert out.startswith("runs/tiny/films/growth.mp4: 0:4")  # about a minute: 3 kept agents and the latest
    # The best is the one that was kept last, and is not shown again.
    cards = [n for n, picture in enumerate(pictures_in(film)) if is_card(picture)]
    assert sum(b - a > 1 for a, b in zip([-9, *cards], cards, strict=False)) == 4


def is_card(picture):
    """Whether this is an empty picture with some text."""
    return (np.abs(picture[::8, ::8].astype(int) - (24, 24, 28)) < 12).mean() > 0.9


def test_a_growth_film_without_overlay_has_a_caption(cli, grown_run, folder):
    assert cli("record", "tiny", "--growth", "--seconds", "1", *SMALL, "--out", "g.gif")[0] == 0
    with Image.open(folder / "g.gif") as image:
        assert image.size == (320, 210)
        image.seek(image.n_frames - 1)
        assert image.convert("RGB").getpixel((319, 209)) == (24, 24, 28)


def test_a_growth_film_of_many_agents_shows_some_of_them(cli, grown_run, folder):
    agent = Agent.load(grown_run.kept(500))
    for episode in range(2000, 6000, 500):
        agent.provenance["update"] = episode
        agent.save(grown_run.kept(episode))
    assert cli("record", "tiny", "--growth", "--seconds", "10", *SMALL, "--out", "g.gif")[0] == 0
    with Image.open(folder / "g.gif") as image:
        milliseconds = 0
        for number in range(image.n_frames):
            image.seek(number)
            milliseconds += image.info["duration"]
    assert 45_000 < milliseconds < 75_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny", "--out", "game.avi"], "expected the name of a .mp4 or .gif file, got 'game.avi'"),
        (["tiny", "--out", "there.gif"], "there.gif exists: choose another --out, or give --overwrite"),
        (["tiny", "--out", "runs", "--overwrite"], "expected the name of a .mp4 or .gif file"),
        (["tiny", "--out", "nowhere/game.gif"], "--out: there is no folder nowhere"),
        (["tiny", "--growth"], "runs/tiny has kept no agent yet: it keeps one every 500 episodes"),
        (["tiny", "--growth", "--episodes", "3"], "--episodes: growth shows one game of each agent"),
        (["nobody"], "no run at nobody"),
        (["nobody", "--growth"], "no run at nobody"),
        (["nothing.replay"], "nothing.replay"),
        (["damaged.replay"], "damaged.replay"),
        (["game.replay", "--seed", "0"], "--seed: a replay is one game as it was"),
        (["game.replay", "--greedy"], "--greedy: a replay is one game as it was"),
        (["tiny", "--scale", "9"], "9 is not in the range"),
        (["tiny", "--seconds", "0"], "0"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing_behind(cli, folder, replay, arguments, message):
    (folder / "there.gif").write_text("the film before")
    (folder / "damaged.replay").write_bytes((folder / "game.replay").read_bytes()[:-10])
    before = files(folder)
    assert message in one_line_error(cli("record", *arguments))
    assert files(folder) == before


def test_an_agent_of_no_environment_that_is_here_is_refused(cli, folder, tiny_run):
    agent = Agent.load(find_agent("tiny"))
    agent.game = replace(agent.game, id="ALE/Breakout-v5")
    agent.save(folder / "other.npz")
    assert "other.npz" in one_line_error(cli("record", "other.npz", "--out", "game.mp4"))
    assert not (folder / "game.mp4").exists()


def test_an_existing_film_is_replaced_when_asked(cli, folder, tiny_run):
    (folder / "game.gif").write_text("the film before")
    assert cli("record", "tiny", "--out", "game.gif", "--overwrite", *SHORT)[0] == 0
    assert (folder / "game.gif").read_bytes().startswith(b"GIF89a")


def test_a_folder_that_cannot_be_written_is_said(cli, folder, tiny_run):
    (folder / "shut").mkdir(mode=0o500)
    if os.access(folder / "shut", os.W_OK):
        pytest.skip("this user may write everywhere")
    result = cli("record", "tiny", "--out", "shut/game.gif")
    assert "cannot write shut/game.gif: Permission denied" in one_line_error(result)
    assert result[0] == 4


def test_record_as_a_command_is_silent_but_for_the_films_name(folder, tiny_run):
    command = [sys.executable, "-m", "pgpong", "record", "tiny", "--out", "game.mp4", *SHORT]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("game.mp4: 0:02, 0.")
    assert len(pictures_in(folder / "game.mp4")) == 30


def test_without_pyav_an_mp4_says_what_to_install_and_a_gif_is_written(folder, tiny_run):
    command = [sys.executable, "-c", BLOCKED, "record", "tiny", *SHORT]
    answer = subprocess.run([*command, "--out", "a.mp4"], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == "pgpong: .mp4 films need PyAV: pip install 'pgpong[video]', or write a .gif\n"
    assert not (folder / "a.mp4").exists()
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("runs/tiny/films/update-000003-seed0.gif: 0:02, ")


def test_the_other_verbs_load_neither_pyav_nor_pillow():
    code = (
        "import sys, pgpong.commands.train, pgpong.commands.evaluate, pgpong.commands.runs\n"
        "print([m for m in ('av', 'PIL') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_progress_is_told_now_and_then():
    lines = []
    status = SimpleNamespace(update=lines.append)
    picture = Picture(np.zeros((2, 2, 3), np.uint8), 4)
    passed = list(told(iter([picture] * (2 * _UPDATE_EVERY)), status, "game.mp4"))
    assert len(passed) == 2 * _UPDATE_EVERY
    assert lines == ["recording game.mp4: 0:00", "recording game.mp4: 0:02"]
