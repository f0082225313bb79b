"""The numbers behind the figures of games: pictures restored, maps counted, credit given."""

import numpy as np
import pytest
from matplotlib.text import Text
from scipy.sparse import csr_array

from pgpong import plots
from pgpong.envs.emulator import Emulator
from pgpong.envs.game import EMULATOR_ACTIONS, find_game
from pgpong.envs.preprocess import BACKGROUND_COLOURS, SCREEN_SHAPE, difference_frame, picture
from pgpong.errors import SettingError
from pgpong.learning.batch import Batch
from pgpong.pixels import PICTURE_SHAPE
from pgpong.plots import games
from pgpong.plots.games import OPPONENT, PLAYER, occupancy, play_rally, restore_pictures
from pgpong.viewing.playback import seen_by
from tests.plots.made import make_agent


@pytest.fixture(scope="module")
def pictures():
    """Binary pictures of a real game, from its third screen on: the first are another colour."""
    emulator = Emulator(find_game("ALE/Pong-v5"))
    emulator.reset(3)
    screen = np.zeros(SCREEN_SHAPE, np.uint8)
    seen = []
    for action in np.random.default_rng(0).integers(0, 2, 400):
        emulator.step(EMULATOR_ACTIONS[action])
        emulator.read_screen(screen)
        seen.append(picture(screen, BACKGROUND_COLOURS))
    return np.array(seen[2:])


def test_pictures_are_restored_from_their_differences(pictures):
    restored = restore_pictures(difference_frame(pictures[1:], pictures[:-1]))
    changes = (pictures != pictures[0]).any(axis=0)
    np.testing.assert_array_equal(restored[:, changes], pictures[1:, changes])
    assert not restored[:, ~changes].any()
    assert (pictures[1:, ~changes] != 0).sum() < 40 * len(restored)  # a paddle's end that never moved


def test_the_paddles_are_where_the_figure_takes_them_to_be(pictures):
    lit = pictures.any(axis=1).mean(axis=0)  # share of pictures in which something is in the column
    assert set(np.flatnonzero(lit > 0.5).tolist()) == {*range(80)[OPPONENT], *range(80)[PLAYER]}


def test_maps_of_rallies_won_and_lost_by_hand():
    came, gone = (1, 5), (2, 5)  # a pixel that is lit by the second step of each rally, and one that goes out
    rally = np.zeros((3, *PICTURE_SHAPE), np.float32)
    rally[1][came] = 1
    rally[1][gone] = -1
    frames = csr_array(np.concatenate([rally, rally[:2], rally[:2]]).reshape(7, -1))
    rewards = np.array([0, 0, 1, 0, -1, 0, 0], float)
    ends = np.array([0, 0, 1, 0, 1, 0, 1], bool)  # the last one ends with its episode, without a point
    maps = occupancy(Batch(frames, ends, rewards, rewards, ends, ends))
    won, lost = maps[True], maps[False]
    assert won[1:] == (1, 3)
    assert lost[1:] == (1, 2)
    assert won[0][came] == pytest.approx(2 / 3)
    assert won[0][gone] == pytest.approx(1 / 3)
    assert lost[0][came] == lost[0][gone] == pytest.approx(1 / 2)
    assert won[0].sum() == pytest.approx(1)


def test_each_step_of_a_rally_gets_its_discounted_point():
    agent, gamma = make_agent(), 0.9
    first, second = (play_rally(agent, number, seed=4, gamma=gamma) for number in (1, 2))
    assert second.first_step == len(first.scenes)
    for played in (first, second):
        n = len(played.scenes)
        assert played.returns == pytest.approx((1 if played.won else -1) * gamma ** np.arange(n)[::-1])
        assert [scene.step for scene in played.scenes] == list(
            range(played.first_step, played.first_step + n)
        )
        expected = [agent.probabilities(scene.difference[None])[0, 1] for scene in played.scenes]
        assert played.probability == pytest.approx(expected)
    # Standardised over the game: the same scale and shift for all its steps.
    slope = np.diff(first.advantages) / np.diff(first.returns)
    assert slope == pytest.approx(np.full(len(slope), slope[0]))
    assert (second.advantages - first.advantages[-1]) / slope[0] == pytest.approx(
        second.returns - first.returns[-1]
    )


def test_the_points_of_a_rally_are_those_on_the_board():
    played = play_rally(make_agent(), 3, seed=4, gamma=0.99)
    assert sum(played.scenes[0].score) == sum(played.scenes[-1].score) == 2


@pytest.mark.parametrize(("number", "gamma"), [(0, 0.9), (99, 0.9), (1, 1.5), (1, -0.1)])
def test_a_rally_that_is_not_there_or_a_discount_that_cannot_be(number, gamma):
    with pytest.raises(
        SettingError, match=r"rally \d+: the game of seed 0 has rallies 1 to \d+|gamma: expected"
    ):
        play_rally(make_agent(), number, seed=0, gamma=gamma)


def test_what_a_neuron_adds_to_each_logit_stands_below_it():
    agent = make_agent()
    stay = agent.policy.parameters["W2_stay"] = agent.policy.W2[::-1].copy()
    scene = games._scene_at(agent, 75, seed=0)
    h, _ = agent.policy.forward(seen_by(agent, scene).reshape(1, -1).astype(np.float32))
    i = int(np.argmax(h[0]))
    texts = [text.get_text() for text in plots.activations(agent).findobj(Text)]
    (below,) = [text for text in texts if text.startswith(f"{i}: h = ")]
    assert below.endswith(f"{h[0, i] * agent.policy.W2[i]:+.2f}  ■ {h[0, i] * stay[i]:+.2f}")
    assert any(f", of staying {scene.stay:.0%}" in text for text in texts)


def test_where_no_neuron_fires_none_is_drawn():
    """The first difference frame of a game is all zeros, and so is every h."""
    figure = plots.activations(make_agent(), step=0)
    assert any("the 0 neurons that fire hardest" in text.get_text() for text in figure.findobj(Text))
