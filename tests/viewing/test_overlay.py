"""What is drawn beside and over a game."""

from dataclasses import replace

import numpy as np
import pytest

from pgpong.envs.game import find_game
from pgpong.viewing.colours import CAME, GONE
from pgpong.viewing.overlay import (
    CAPTION_HEIGHT,
    COURT,
    difference,
    panel,
    screen,
    title_card,
    with_caption,
    with_panel,
)
from pgpong.viewing.playback import Playback, play


@pytest.fixture(scope="module")
def scene():
    """A moment with the ball in play."""
    scenes = play(Playback(find_game("ALE/Pong-v5")), 0, lambda scene: (1, 0.75, None))
    return next(scene for scene in scenes if scene.step == 40)


def test_the_screen_is_enlarged_with_pixels_twice_as_wide_as_high(scene):
    for scale in (1, 2, 3):
        drawing = screen(scene, scale)
        assert drawing.shape == (210 * scale, 320 * scale, 3)
        for row in (0, scale - 1):
            for column in (0, 2 * scale - 1):
                np.testing.assert_array_equal(drawing[row::scale, column :: 2 * scale], scene.screen)


def test_every_drawing_has_even_sizes_and_leaves_the_screen_as_it_is(scene):
    for scale in (1, 2, 3):
        drawing = with_panel(scene, "who", "how", scale)
        assert drawing.shape == (210 * scale, 496 * scale, 3)
        np.testing.assert_array_equal(drawing[:, : 320 * scale], screen(scene, scale))
        np.testing.assert_array_equal(drawing[:, 320 * scale :], panel(scene, "who", "how", scale))
        assert title_card(496 * scale, scale, "one", "two").shape == drawing.shape


def test_a_caption_covers_the_lower_wall_only(scene):
    drawing = with_caption(scene, "episode 500", 2)
    np.testing.assert_array_equal(drawing[:-CAPTION_HEIGHT], screen(scene, 2)[:-CAPTION_HEIGHT])
    assert not np.array_equal(
        drawing[-CAPTION_HEIGHT:], with_caption(scene, "episode 501", 2)[-CAPTION_HEIGHT:]
    )


def test_what_the_network_sees_is_orange_where_something_came_and_blue_where_it_left(scene):
    sees = np.zeros((80, 80), np.int8)
    sees[3, 5], sees[70, 60] = 1, -1
    drawing = difference(replace(scene, difference=sees), 2)
    assert drawing.shape == (160, 320, 3)
    assert (drawing[6:8, 20:24] == CAME).all()
    assert (drawing[140:142, 240:244] == GONE).all()
    assert (drawing == COURT).all(axis=2).sum() == 160 * 320 - 2 * 8


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_the_bar_is_as_long_as_up_is_probable(scene, p):
    row = panel(replace(scene, probability=p), "who", "how", 2)[368]
    assert (row == CAME).all(axis=1).sum() == pytest.approx(320 * p, abs=3)  # less the mark in the middle


@pytest.mark.parametrize(
    "change",
    [
        {"score": (3, 20)}, {"step": 1234}, {"probability": 0.1}, {"probability": None}, {"stay": 0.2},
        {"action": 0}, {"action": None, "ended": True}, {"score": (21, 0), "ended": True},
    ],
)  # fmt: skip
def test_whatever_changes_is_seen(scene, change):
    assert not np.array_equal(panel(scene, "who", "how", 2), panel(replace(scene, **change), "who", "how", 2))


def test_text_of_any_length_and_alphabet_is_drawn_inside_the_panel(scene):
    long = panel(scene, "very long " * 50, "", 2)
    np.testing.assert_array_equal(long[:, :16], panel(scene, "", "", 2)[:, :16])
    np.testing.assert_array_equal(long[:, -16:], panel(scene, "", "", 2)[:, -16:])
    for text in ("", "ночь 夜 🌙", "\x1b[31m\n"):
        assert panel(scene, text, text, 1).shape == (210, 176, 3)


def test_drawing_changes_nothing_that_was_drawn_before(scene):
    first = with_panel(scene, "who", "how", 2)
    kept = first.copy()
    with_panel(replace(scene, score=(9, 9)), "who", "how", 2)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(with_panel(scene, "who", "how", 2), kept)
