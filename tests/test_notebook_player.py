"""pgpong.show: a player that a notebook shows inline."""

import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest

import pgpong
from pgpong.agent import Agent
from pgpong.errors import RunError, SettingError
from pgpong.storage.replay import Replay
from pgpong.storage.run import find_agent
from pgpong.viewing.playback import Playback, agent_player, play
from tests.commands.test_record import make_run


class Page(HTMLParser):
    """The tags of a page and their attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def embedded(player):
    """The tag that shows the film, its attributes, and the film in it."""
    _, (tag, attributes), *_ = Page(player._repr_html_()).tags
    kind, _, data = attributes["src"].removeprefix("data:").partition(";base64,")
    assert kind == player.kind
    return tag, attributes, b64decode(data)


@pytest.fixture
def tiny_run(folder):
    return make_run(folder)


@pytest.fixture
def agent(tiny_run):
    return Agent.load(find_agent("tiny"))


def test_an_agent_becomes_a_video(agent):
    player = pgpong.show(agent, seed=3, seconds=2)
    tag, attributes, film = embedded(player)
    assert tag == "video"
    assert "controls" in attributes
    assert film[4:8] == b"ftyp"
    assert player.title == "tiny · episode 0 · seed 3 · ALE/Pong-v5 (frameskip 4, sticky 0.25)"
    assert player.seconds == pytest.approx(2)
    assert len(repr(player)) < 200
    assert pgpong.show("tiny", seed=3, seconds=2, greedy=True).film != film


def test_a_reference_is_loaded_and_an_unknown_one_is_a_pgpong_error(agent, tiny_run):
    assert embedded(pgpong.show("tiny@latest", seconds=1))[0] == "video"
    assert embedded(pgpong.show(tiny_run, seconds=1))[0] == "video"
    with pytest.raises(RunError, match="no run at nobody"):
        pgpong.show("nobody")


def test_a_replay_is_shown_and_one_that_comes_out_otherwise_is_not(agent, folder):
    playback = Playback(agent.game)
    for scene in play(playback, 7, agent_player(agent, np.random.default_rng(7))):
        if scene.step == 30:
            break
    replay = playback.replay()
    assert pgpong.show(replay).seconds == pytest.approx(3)
    replay.save(folder / "game.replay")
    assert "game.replay" in pgpong.show(folder / "game.replay").title
    wrong = Replay(replay.game, replay.seed, replay.actions, replay.score, replay.screen ^ 1)
    with pytest.raises(RunError, match="did not come out as it was played"):
        pgpong.show(wrong)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_game_of_no_length_is_not_shown(agent, seconds):
    with pytest.raises(SettingError, match="expected more than 0 seconds, or None for the whole game"):
        pgpong.show(agent, seconds=seconds)


def test_text_from_files_cannot_become_part_of_the_page(agent):
    agent.provenance["run"] = '<script>alert("x")</script>'
    html = pgpong.show(agent, seconds=0.5)._repr_html_()
    assert "<script" not in html
    assert [tag for tag, _ in Page(html).tags] == ["figure", "video", "figcaption"]


def test_without_pyav_it_is_a_gif(agent):
    code = (
        "import sys; sys.modules['av'] = None; import pgpong;"
        "html = pgpong.show('tiny', seconds=1)._repr_html_();"
        "assert '<img src=\"data:image/gif;base64,R0lGODlh' in html, html[:200];"
        "assert not {'IPython', 'asyncio', 'matplotlib', 'pygame'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
