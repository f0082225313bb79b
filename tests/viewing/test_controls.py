"""Keys and pace, with a viewer whose clock moves only when it waits."""

import numpy as np
import pytest

from pgpong.actions import DOWN, STAY, UP
from pgpong.viewing import watching
from pgpong.viewing.playback import Scene
from pgpong.viewing.watching import ARROW_DOWN, ARROW_UP, CLOSE, ESCAPE, LAG, RELEASE, SPEEDS, Controls

STEP = 4 / 60  # seconds


class Scripted:
    """A viewer whose keys come at set times, (seconds, key); keeps what it drew, (seconds, step, title)."""

    def __init__(self, *presses):
        self.now = 0.0
        self.presses = list(presses)
        self.drawn = []
        self.waits = []
        self.open = False

    def monotonic(self):
        return self.now

    def __enter__(self):
        self.open = True
        return self

    def __exit__(self, kind, error, trace):
        self.open = False

    def draw(self, scene, title, controls):
        assert self.open
        self.drawn.append((self.now, scene.step, title))

    def keys(self, seconds):
        assert self.now < 100, "this never ends"
        self.waits.append(seconds)
        end = self.now + seconds
        if self.presses and self.presses[0][0] <= end:
            at, key = self.presses.pop(0)
            self.now = max(self.now, at)
            return [key]
        self.now = end
        return []

    @property
    def steps(self):
        return [step for _, step, _ in self.drawn]

    def drawn_at(self, step):
        """When a step was first drawn."""
        return next(at for at, drawn, _ in self.drawn if drawn == step)


def scenes(viewer, steps, late=None):
    """Scenes of a game; before those in `late` so many seconds pass."""
    for step in range(steps):
        viewer.now += (late or {}).get(step, 0.0)
        nothing = np.zeros((80, 80), np.int8)
        screen = np.zeros((210, 160, 3), np.uint8)
        yield Scene(
            screen, nothing, 0.5, UP, (0, 0), step, 4 * step, ended=step == steps - 1, picture=nothing
        )


@pytest.fixture
def show(monkeypatch):
    """Watch a game with a scripted viewer."""

    def run(viewer, steps=10, controls=None, late=None):
        monkeypatch.setattr(watching, "time", viewer)
        controls = controls or Controls()
        watching.watch(viewer, [("a game", scenes(viewer, steps, late))], controls)
        assert not viewer.open
        return controls

    return run


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_game_is_shown_at_its_speed(show, speed):
    viewer = Scripted()
    show(viewer, controls=Controls(speed_level=SPEEDS.index(speed)))
    assert viewer.steps == [*range(10)]
    gaps = np.diff([at for at, _, _ in viewer.drawn])[1:]
    np.testing.assert_allclose(gaps, STEP / speed)


def test_faster_and_slower_have_ends():
    controls = Controls()
    for key, end in (("+", SPEEDS[-1]), ("-", SPEEDS[0]), ("=", SPEEDS[-1])):
        for _ in range(20):
            controls.press(key)
        assert controls.speed == end


def test_a_pause_lasts_until_it_is_ended_and_is_not_caught_up_with(show):
    viewer = Scripted((0.1, " "), (5.0, " "))
    show(viewer)
    assert viewer.drawn_at(2) < 0.1
    assert viewer.drawn_at(3) == pytest.approx(5.0)
    assert viewer.drawn_at(9) - viewer.drawn_at(3) == pytest.approx(6 * STEP)
    assert max(viewer.waits) <= 0.5  # the window stays responsive


def test_keys_are_heard_in_a_pause_and_the_same_scene_is_drawn_again(show):
    viewer = Scripted((0.1, "p"), (1.0, "v"), (2.0, "g"), (3.0, "q"))
    controls = show(viewer)
    assert [(at, step) for at, step, _ in viewer.drawn[-3:]] == [(0.1, 2), (1.0, 2), (2.0, 2)]
    assert (controls.sees, controls.greedy) == (False, True)


def test_single_steps_pause_and_show_one_scene_each(show):
    viewer = Scripted((0.1, "."), (1.0, "."), (2.0, "."), (3.0, "q"))
    show(viewer)
    assert [viewer.drawn_at(step) for step in (3, 4, 5)] == [0.1, 1.0, 2.0]
    assert max(viewer.steps) == 5


def test_next_episode_begins_at_once(monkeypatch):
    viewer = Scripted((0.1, "n"))
    monkeypatch.setattr(watching, "time", viewer)
    watching.watch(viewer, [(title, scenes(viewer, 4)) for title in ("one", "two")], Controls())
    assert [(step, title) for _, step, title in viewer.drawn] == [
        *((step, "one") for step in range(3)),
        *((step, "two") for step in range(4)),
    ]
    assert viewer.drawn[3][0] == 0.1


@pytest.mark.parametrize("key", ["q", "Q", ESCAPE, CLOSE, "\x03"])
@pytest.mark.parametrize("paused", [False, True])
def test_quitting_ends_it_at_once(show, key, paused):
    viewer = Scripted((0.1, key))
    show(viewer, controls=Controls(paused=paused))
    assert viewer.now == 0.1


def test_a_short_lag_is_caught_up_with(show):
    viewer = Scripted()
    show(viewer, late={4: 0.2})
    assert viewer.drawn_at(9) == pytest.approx(8 * STEP)


def test_a_long_lag_is_not(show):
    viewer = Scripted()
    show(viewer, steps=20, late={4: 5.0})
    assert viewer.drawn_at(19) == pytest.approx(viewer.drawn_at(4) + 14 * STEP - LAG)


def test_keys_are_heard_when_the_game_is_always_late(show):
    viewer = Scripted((1.0, "q"))
    show(viewer, steps=100, late=dict.fromkeys(range(100), 0.5))
    assert viewer.now == 1.0


def test_a_key_while_it_runs_shows_at_once(show):
    viewer = Scripted((0.1, "v"))
    show(viewer)
    assert (0.1, 2, "a game") in viewer.drawn


def test_an_exception_leaves_the_viewer(monkeypatch):
    def broken():
        yield from scenes(viewer, 3)
        raise RuntimeError("the game broke")

    viewer = Scripted()
    monkeypatch.setattr(watching, "time", viewer)
    with pytest.raises(RuntimeError, match="the game broke"):
        watching.watch(viewer, [("a game", broken())], Controls())
    assert not viewer.open
    assert viewer.steps == [0, 1, 2]


@pytest.mark.parametrize(
    ("keys", "direction"), [("wWkK", UP), ("sSjJ", DOWN), ([ARROW_UP], UP), ([ARROW_DOWN], DOWN)]
)
def test_a_person_moves_and_stops(keys, direction):
    for key in keys:
        for stop in (RELEASE, " "):
            controls = Controls(playing=True)
            controls.press(key)
            assert controls.direction == direction
            controls.press(stop)
            assert controls.direction == STAY
            assert not controls.paused


def test_keys_that_mean_nothing_do_nothing():
    for playing, keys in ((False, ["w", ARROW_UP, RELEASE, "x", "", "\r"]), (True, ["n", "g", "x", ""])):
        controls = Controls(playing=playing)
        for key in keys:
            controls.press(key)
        assert controls == Controls(playing=playing)


@pytest.mark.parametrize("playing", [False, True])
def test_the_help_names_keys_that_work(playing):
    keys = {"space": " ", "up/down": ARROW_UP} | {key: key for key in "p.+-ngvq"}
    for entry in Controls(playing=playing).help.split("  "):
        controls = Controls(playing=playing, direction=DOWN)
        controls.press(keys[entry.split()[0]])
        assert controls != Controls(playing=playing, direction=DOWN), entry
