"""What the keys set, how a show goes on, and where its episodes come from."""

import shutil
import threading
from itertools import islice
from types import SimpleNamespace

import pytest

from pgpong.actions import DOWN, STAY, UP
from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import FileFormatError, RunError
from pgpong.storage.files import write_atomically
from pgpong.storage.run import Run, find_agent
from pgpong.viewing import watching
from pgpong.viewing.playback import Playback
from pgpong.viewing.sources import (
    agent_episodes,
    choosing_player,
    followed_episodes,
    load_newest_agent,
    load_subject,
    persons_episode,
    replayed_episode,
    seeds_from,
)
from pgpong.viewing.watching import (
    ARROW_DOWN,
    ARROW_UP,
    CLOSE,
    ESCAPE,
    NORMAL,
    RELEASE,
    SPEEDS,
    Controls,
    watch,
)


class Script:
    """A viewer without a screen or a clock: keys come one by one at once, then time passes."""

    def __init__(self, *keys):
        self.typed = list(keys)
        self.drawn = []
        self.now = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.left = True

    def draw(self, scene, title, controls):
        self.drawn.append((title, scene.step, controls.paused))

    def keys(self, seconds):
        if self.typed and seconds:
            return [self.typed.pop(0)]
        self.now += seconds
        return []


@pytest.fixture
def script(monkeypatch):
    """Show episodes to a script of keys; return it."""

    def show(episodes, *keys, speed=1.0):
        viewer = Script(*keys)
        monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: viewer.now))
        watch(viewer, episodes, Controls(speed_level=SPEEDS.index(speed)))
        assert viewer.left
        return viewer

    return show


@pytest.fixture
def scenes():
    playback = Playback(find_game("ALE/Pong-v5"))
    return [playback.begin(0), *(playback.step(STAY) for _ in range(9))]


def test_keys_of_who_watches():
    controls = Controls()
    for key, name, value in (
        (" ", "paused", True), ("p", "paused", False), (".", "single_step", True), ("G", "greedy", True),
        ("v", "sees", False), ("n", "next_episode", True), ("unknown", "quits", False), ("q", "quits", True),
    ):  # fmt: skip
        controls.press(key)
        assert getattr(controls, name) == value, key
    for quits in (ESCAPE, CLOSE, "\x03"):
        controls = Controls()
        controls.press(quits)
        assert controls.quits


def test_keys_of_who_plays():
    controls = Controls(playing=True)
    for key, direction in (
        (ARROW_UP, UP), (RELEASE, STAY), ("s", DOWN), (" ", STAY), ("W", UP), (ARROW_DOWN, DOWN), ("n", DOWN),
    ):  # fmt: skip
        controls.press(key)
        assert controls.direction == direction, key
    assert not controls.next_episode


def test_speeds_end_at_both_ends():
    controls = Controls()
    assert (controls.speed, SPEEDS[NORMAL]) == (1, 1)
    for key, end in (("+", SPEEDS[-1]), ("-", SPEEDS[0])):
        for _ in range(20):
            controls.press(key)
        assert controls.speed == end


def test_a_show_stands_still_steps_and_goes_on(scenes, script):
    shown = script([("a", iter(scenes)), ("b", iter(scenes))], "x", " ", ".", ".", "x", "q")
    steps = [step for _, step, _ in shown.drawn]
    paused = [step for _, step, paused in shown.drawn if paused]
    assert steps == sorted(steps)
    assert paused[-1] - paused[0] == 2
    assert {title for title, _, _ in shown.drawn} == {"a"}
    shown = script([("a", iter(scenes))], " ", ".", " ")
    assert shown.drawn[-1] == ("a", len(scenes) - 1, False)


def test_the_next_episode_comes_when_asked_for_or_when_one_ends(scenes, script):
    shown = script([(name, iter(scenes)) for name in "abc"], "n")
    drawn = {name: sum(title == name for title, _, _ in shown.drawn) for name in "abc"}
    assert drawn["a"] < drawn["b"] == drawn["c"] == len(scenes)


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_a_game_takes_its_time(scenes, script, speed):
    assert script([("a", iter(scenes))], speed=speed).now == pytest.approx(scenes[-1].frame / 60 / speed)


def test_an_agent_plays_seed_after_seed_sampled_or_greedily(tiny_run):
    agent = Agent.load(find_agent("tiny"))
    controls = Controls()
    episodes = agent_episodes(agent, "tiny", controls, seeds_from(5, 2))
    titles, firsts = zip(
        *((title, [s.action for s in islice(scenes, 300)]) for title, scenes in episodes), strict=True
    )
    assert [title.split(" · ")[:2] for title in titles] == [
        ["tiny", "episode 1, seed 5"], ["tiny", "episode 2, seed 6"],
    ]  # fmt: skip
    again = [s.action for s in islice(next(agent_episodes(agent, "", controls, seeds_from(5, 1)))[1], 300)]
    assert again == firsts[0] != firsts[1]
    player = choosing_player(agent, controls, 5)
    scene = Playback(agent.game).begin(5)
    assert {player(scene)[0] for _ in range(100)} == {DOWN, UP, STAY}
    controls.greedy = True
    assert len({player(scene)[0] for _ in range(100)}) == 1


def test_a_person_moves_the_paddle_and_the_game_is_kept():
    controls = Controls(playing=True)
    playback = Playback(find_game("ALE/Pong-v5"))
    ((title, scenes),) = persons_episode(playback, controls, 7)
    assert "seed 7" in title
    for key in ("", ARROW_UP, RELEASE, ARROW_DOWN):
        assert next(scenes).probability is None
        controls.press(key)  # what is pressed while a scene is shown is what comes next
    next(scenes)
    replay = playback.replay()
    assert replay.actions.tolist() == [STAY, UP, STAY, DOWN]
    ((title, scenes),) = replayed_episode(replay, "mine.replay")
    assert title.startswith("mine.replay · replay, seed 7, score +0")
    assert [scene.action for scene in scenes] == [STAY, UP, STAY, DOWN, None]


def test_a_file_is_known_by_its_contents_too(tiny_run, folder):
    playback = Playback(find_game("ALE/Pong-v5"))
    playback.begin(1)
    playback.replay().save("game.replay")
    playback.replay().save("unnamed")
    assert load_subject("game.replay")[1].seed == load_subject("unnamed")[1].seed == 1
    name, agent = load_subject("")
    assert (name, type(agent)) == ("tiny update 3", Agent)
    (folder / "noise").write_bytes(b"noise" * 100)
    with pytest.raises(FileFormatError, match="noise"):
        load_subject("noise")
    with pytest.raises(FileFormatError, match=r"missing\.replay"):
        load_subject("missing.replay")


def test_a_followed_run_shows_each_new_checkpoint(tiny_run):
    run = Run.open(tiny_run)
    episodes = followed_episodes(run, Controls(), seeds_from(0, None))
    assert next(episodes)[0].startswith("following tiny update 3 · episode 1, seed 0")
    shutil.copy(run.latest, run.checkpoint(40))
    assert next(episodes)[0].startswith("following tiny update 40 · episode 2, seed 1")
    for checkpoint in run.checkpoints:
        checkpoint.unlink()
    with pytest.raises(RunError, match="has no checkpoint yet"):
        next(episodes)
    shutil.rmtree(run.folder)
    with pytest.raises(RunError, match="has gone"):
        load_newest_agent(run)


def test_checkpoints_that_are_replaced_meanwhile_are_tried_again(tiny_run):
    run = Run.open(tiny_run)
    content = run.latest.read_bytes()
    ended = threading.Event()

    def train():
        update = 3
        while not ended.is_set():
            write_atomically(run.checkpoint(update + 1), [content])
            run.checkpoint(update).unlink()
            update += 1

    training = threading.Thread(target=train)
    training.start()
    try:
        for _ in range(100):
            load_newest_agent(run)
    finally:
        ended.set()
        training.join()


def test_a_damaged_checkpoint_is_named(tiny_run):
    run = Run.open(tiny_run)
    run.checkpoint(9).write_bytes(b"noise")
    with pytest.raises(FileFormatError, match="update-000009"):
        load_newest_agent(run)
