"""A game that is begun anew equals one that was never played before, whatever came before."""

from dataclasses import replace

import numpy as np
import pytest

from pgpong.envs.emulator import Emulator
from pgpong.envs.game import find_game


def look(emulator):
    screen, colours = np.zeros((210, 160), np.uint8), np.zeros((210, 160, 3), np.uint8)
    emulator.read_screen(screen)
    emulator.read_colours(colours)
    return screen.tobytes(), colours.tobytes(), emulator.frame, emulator.terminated, emulator.truncated


@pytest.mark.parametrize("sticky", [0.0, 0.25, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("last", range(6))
def test_nothing_is_left_of_the_game_before(sticky, last):
    game = find_game("ALE/Pong-v5", sticky=sticky)
    used = Emulator(game)
    for seed in (0, 1, 2**31 + 7):
        for _ in range(40):
            used.step(last)
        fresh = Emulator(game)
        used.reset(seed)
        fresh.reset(seed)
        actions = np.random.default_rng(seed).integers(0, 6, 30).tolist()
        assert look(used) == look(fresh)
        for action in actions:
            assert used.step(action) == fresh.step(action)
            assert look(used) == look(fresh)
        assert look(used)[0] != look(Emulator(game))[0]


def test_a_game_that_was_truncated_begins_anew():
    game = replace(find_game("ALE/Pong-v5"), max_frames=302)
    used, fresh = Emulator(game), Emulator(game)
    while not used.terminated and not used.truncated:
        used.step(3)
    assert used.truncated
    used.reset(5)
    fresh.reset(5)
    assert look(used) == look(fresh)
    assert look(used)[2:] == (0, False, False)
