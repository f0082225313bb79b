"""The window, under SDL's dummy display: what it shows, what it hears, and that it always closes."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pygame
import pytest

from pgpong import TrainConfig, find_game, new_state
from pgpong.errors import SettingError
from pgpong.viewing.colours import CAME, GONE
from pgpong.viewing.playback import Playback, Scene, agent_player, play
from pgpong.viewing.watching import ARROW_DOWN, ARROW_UP, CLOSE, ESCAPE, REDRAW, RELEASE, Controls, watch
from pgpong.viewing.window import FAINT, GROUND, INK, SIZE, Window


@pytest.fixture(autouse=True)
def dummy_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture
def window():
    with Window() as window:
        window.keys(0)
        yield window
    assert not pygame.display.get_init()


def scene(step=0, probability=0.25):
    """A scene whose every pixel can be told from its neighbours."""
    rng = np.random.default_rng(1)
    screen = rng.integers(0, 256, (210, 160, 3), np.uint8)
    difference = rng.integers(-1, 2, (80, 80), np.int8)
    return Scene(screen, difference, probability, 1, (3, 12), step, 4 * step, ended=False, picture=difference)


def screenshot():
    return pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)  # (height, width, 3)


def count(shot, colour):
    return int((shot == colour).all(-1).sum())


def press(key, unicode="", kind=pygame.KEYDOWN):
    pygame.event.post(pygame.event.Event(kind, key=key, unicode=unicode))


def release(key):
    press(key, kind=pygame.KEYUP)


@pytest.mark.parametrize(
    ("size", "place"),  # left, top, width, height, worked out by hand
    [(SIZE, (20, 20, 640, 420)), ((1880, 980), (40, 40, 1280, 840)), ((960, 720), (20, 130, 654, 429))],
)
def test_the_game_is_shown_whole_in_its_colours_and_proportions(window, size, place):
    window.draw(scene(), "", Controls())
    pygame.display.set_mode(size, pygame.RESIZABLE)
    window.draw(scene(), "", Controls())
    left, top, width, height = place
    shot = screenshot()
    rows = top + ((np.arange(210) + 0.5) * height / 210).astype(int)
    columns = left + ((np.arange(160) + 0.5) * width / 160).astype(int)
    np.testing.assert_array_equal(shot[np.ix_(rows, columns)], scene().screen)
    frame = shot[top - 1 : top + height + 1, left - 1 : left + width + 1]
    for edge in (frame[0], frame[-1], frame[:, 0], frame[:, -1]):
        assert (edge == GROUND).all()


def test_what_the_network_sees_comes_and_goes_with_v(window):
    controls = Controls()
    window.draw(scene(), "", controls)
    colours = np.array([GONE, (0, 0, 0), CAME])[scene().difference + 1]  # (80, 80, 3)
    np.testing.assert_array_equal(screenshot()[128:368, 680:920], colours.repeat(3, 0).repeat(3, 1))

    controls.press("v")
    window.draw(scene(), "", controls)
    assert count(screenshot()[:, 661:], CAME) == count(screenshot()[:, 661:], GONE) == 0

    controls.press("v")
    window.draw(scene(), "", controls)
    assert count(screenshot()[:, 661:], CAME) > 10_000


def test_the_bar_is_as_long_as_up_is_probable(window):
    def length():
        return count(screenshot()[405, 680:920], INK)

    for probability, expected in ((0.25, 60), (0.0, 0), (None, 0)):
        window.draw(scene(probability=probability), "", Controls())
        assert length() == expected
    window.draw(replace(scene(probability=0.25), stay=0.5), "", Controls())
    assert (length(), count(screenshot()[405, 680:920], FAINT)) == (60, 120)
    window.draw(scene(probability=1.0), "", Controls())
    assert length() == 239  # the mark of one half is on it


def test_every_setting_shows(window):
    shots = []
    for settings in ({}, {"paused": True}, {"speed_level": 7}, {"greedy": True}, {"playing": True}):
        window.draw(scene(), "", Controls(**settings))
        shots.append(screenshot().tobytes())
    window.draw(scene(step=7), "", Controls())
    assert len({*shots, screenshot().tobytes()}) == 6


def test_the_caption_says_who_plays_and_the_smallest_window_is_drawn_too(window):
    pygame.display.set_mode((1, 1), pygame.RESIZABLE)
    window.draw(scene(), "the agent", Controls())
    assert pygame.display.get_caption()[0] == "the agent"


@pytest.mark.parametrize(
    ("key", "unicode", "expected"),
    [
        (pygame.K_q, "q", ["q"]),
        (pygame.K_EQUALS, "+", ["+"]),
        (pygame.K_KP_PLUS, "+", ["+"]),
        (pygame.K_SPACE, " ", [" "]),
        (pygame.K_UP, "", [ARROW_UP]),
        (pygame.K_DOWN, "", [ARROW_DOWN]),
        (pygame.K_ESCAPE, "\x1b", [ESCAPE]),
        (pygame.K_LSHIFT, "", []),
    ],
)
def test_keys_are_heard(window, key, unicode, expected):
    press(key, unicode)
    assert window.keys(1.0) == expected


def test_closing_and_resizing_are_keys_and_the_mouse_is_not_heard(window):
    for kind in (pygame.QUIT, pygame.MOUSEMOTION, pygame.VIDEOEXPOSE):
        pygame.event.post(pygame.event.Event(kind))
    assert window.keys(0) == [CLOSE, REDRAW]


def test_waiting_ends_with_its_time_and_costs_nothing(window):
    began, worked = time.perf_counter(), time.process_time()
    assert window.keys(0.3) == []
    assert 0.29 < time.perf_counter() - began < 2.0
    assert time.process_time() - worked < 0.1
    assert window.keys(1e-9) == []  # not for ever


def test_letting_go_is_a_key_once_the_press_has_been_a_step(window):
    press(pygame.K_w, "w")
    release(pygame.K_w)
    assert window.keys(0) == ["w"]
    window.draw(scene(0), "", Controls(playing=True))
    assert window.keys(0) == []
    window.draw(scene(1), "", Controls(playing=True))
    assert window.keys(0) == [RELEASE]


def test_a_key_tapped_twice_in_a_step_and_held_is_held(window):
    press(pygame.K_w, "w")
    release(pygame.K_w)
    press(pygame.K_w, "w")
    assert window.keys(0) == ["w", "w"]
    window.draw(scene(1), "", Controls(playing=True))
    assert window.keys(0) == []


def test_of_two_directions_the_one_still_down_goes_on(window):
    for step, (act, expected) in enumerate(
        [
            (lambda: press(pygame.K_UP), ARROW_UP),
            (lambda: press(pygame.K_DOWN), ARROW_DOWN),
            (lambda: release(pygame.K_DOWN), ARROW_UP),
            (lambda: release(pygame.K_UP), RELEASE),
        ]
    ):
        window.draw(scene(step), "", Controls(playing=True))
        act()
        assert window.keys(0) == [expected]


@pytest.fixture
def game():
    """A real game of a fresh agent."""
    pong = find_game("ALE/Pong-v5")
    agent = new_state(TrainConfig(hidden=8), pong).agent
    return play(Playback(pong), 1, agent_player(agent, np.random.default_rng(1)))


class Telling(Window):
    """A window that does something when a step is drawn."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def draw(self, scene, title, controls):
        super().draw(scene, title, controls)
        self.drawn = scene
        if scene.step == self.step:
            self.act()


def test_a_game_is_watched_until_q(game):
    window = Telling(40, lambda: press(pygame.K_q, "q"))
    began = time.perf_counter()
    watch(window, [("a game", game)], Controls(speed_level=7))
    assert window.drawn.step == 40
    assert time.perf_counter() - began > 0.1
    assert not pygame.display.get_init()


def test_closing_the_window_ends_it(game):
    window = Telling(3, lambda: pygame.event.post(pygame.event.Event(pygame.QUIT)))
    watch(window, [("a game", game)], Controls(paused=False))
    assert window.drawn.step == 3


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_closes_the_window(game, error):
    def fail():
        assert pygame.display.get_init()
        raise error

    with pytest.raises(error):
        watch(Telling(2, fail), [("a game", game)], Controls())
    assert not pygame.get_init()
    assert not pygame.display.get_init()


def refusal():
    with pytest.raises(SettingError) as error, Window():
        pass
    message = str(error.value)
    assert "\n" not in message
    assert "--in terminal" in message
    assert not pygame.display.get_init()
    return message


def test_without_pygame_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert "pip install 'pgpong[window]'" in refusal()


def test_a_display_that_cannot_be_opened(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    assert "cannot open a window" in refusal()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a display")
def test_no_display(monkeypatch):
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "there is no display" in refusal()


def test_pygame_is_loaded_only_by_opening_a_window_and_does_not_greet():
    code = (
        "import sys, pgpong.viewing.window as w; assert 'pygame' not in sys.modules\n"
        "with w.Window(): assert 'pygame' in sys.modules"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
