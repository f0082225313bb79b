"""The 2016 preprocessing, against screens of the real game and a hand-made one."""

import numpy as np

from pgpong.envs.game import find_game
from pgpong.envs.preprocess import difference_frame, picture
from pgpong.envs.wrappers import make_single


def test_a_hand_made_screen():
    screen = np.full((210, 160), 87, np.uint8)
    screen[35, 0] = 200  # first pixel of the court: kept, at (0, 0)
    screen[36, 2] = 200  # an odd row of the court: dropped
    screen[193, 158] = 52  # last kept row and column: at (79, 79)
    screen[34, 4] = screen[195, 4] = 200  # outside the court
    small = picture(screen)
    assert small.shape == (80, 80)
    assert small.dtype == np.int8
    assert np.argwhere(small).tolist() == [[0, 0], [79, 79]]
    assert small[0, 0] == small[79, 79] == 1


def test_difference_marks_what_came_and_what_left():
    last, current = np.array([[1, 0, 1]], np.int8), np.array([[0, 1, 1]], np.int8)
    assert difference_frame(current, last).tolist() == [[-1, 1, 0]]


def the_2016_prepro(rgb):
    """The 2016 description, pixel by pixel on the red channel: backgrounds 144 and 109 are 0, the rest 1."""
    out = np.zeros((80, 80), int)
    for row in range(80):
        for column in range(80):
            red = rgb[35 + 2 * row, 2 * column, 0]
            out[row, column] = 0 if red in (144, 109, 0) else 1
    return out


def test_equals_the_2016_description_on_the_colour_screen_of_the_real_game():
    env = make_single(find_game("ALE/Pong-v5"))
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    emulator = env.unwrapped.ale
    lit = []
    for step in range(400):
        if step % 20 == 0:
            small = picture(emulator.getScreenGrayscale())
            assert (small == the_2016_prepro(emulator.getScreenRGB())).all()
            lit.append(small.sum())
        env.step(rng.integers(2))
    assert 0 < min(lit) < max(lit) < 100  # the first screen too shows paddle and ball alone
    env.close()
