"""The numbers behind the pictures of neurons: against small examples worked by hand, and the real game."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from pgpong.actions import DOWN, STAY, UP
from pgpong.agent import Agent
from pgpong.envs.game import find_game
from pgpong.errors import SettingError
from pgpong.learning.batch import Batch
from pgpong.learning.policy import Policy
from pgpong.plots.neurons import ORDERS, check_neuron, look_at_neurons, pictures_of, play_rallies
from tests.plots.made import make_agent

# Three neurons that see two pixels, four frames.
W1 = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 4.0]], np.float32)
W2 = np.array([0.5, -2.0, 1.0], np.float32)
FRAMES = np.array([[1, 0], [0, 1], [1, 1], [-1, 0]], np.float32)


@pytest.fixture
def neurons():
    agent = Agent(Policy(W1, W2), find_game("ALE/Pong-v5"))
    n = len(FRAMES)
    batch = Batch(csr_array(FRAMES), *(np.zeros(n) for _ in range(5)))
    return look_at_neurons(agent, batch)


def test_firing_strength_and_importance_by_hand(neurons):
    # h is (1, 0, 0), (0, 2, 4), (1, 2, 1), (0, 0, 3).
    np.testing.assert_allclose(neurons.firing, [2 / 4, 2 / 4, 3 / 4])
    np.testing.assert_allclose(neurons.strength, [1, 2, 8 / 3])
    np.testing.assert_allclose(neurons.norm, [1, 2, 5])
    np.testing.assert_allclose(neurons.importance, [0.25, 1.0, 0.75])
    assert neurons.steps == 4


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("importance", [1, 2, 0]),
        ("weight", [1, 2, 0]),
        ("firing", [2, 0, 1]),  # equals by their number
        ("norm", [2, 1, 0]),
        ("number", [0, 1, 2]),
    ],
)
def test_the_orders_by_hand(neurons, by, expected):
    assert by in ORDERS
    assert neurons.order(by).tolist() == expected


def test_what_a_neuron_says_counts_to_stay_by_hand():
    W1, W2, W2_stay = (
        np.eye(6),
        np.array([0.6, -0.6, 0.6, 0.0, 0.0, 0.0]),
        np.array([0, 0, 1, 1, -1, 0]) * 0.6,
    )
    agent = Agent(Policy(W1, W2, W2_stay=W2_stay), find_game("ALE/Pong-v5"))
    neurons = look_at_neurons(agent, None)
    assert [neurons.action(i) for i in range(6)] == [UP, DOWN, STAY, STAY, None, None]
    # Beyond their mean the logits of the third are -0.5, 0.1, 0.4, of the fourth -0.2, -0.2, 0.4.
    lengths = [
        0.18,
        0.18,
        0.42,
        0.24,
        0.24,
        0,
    ]  # squared: 0.09 + 0.09; 0.25 + 0.01 + 0.16; 0.04 + 0.04 + 0.16
    np.testing.assert_allclose(neurons.weight, np.sqrt(2 * np.array(lengths)))
    assert neurons.order("weight").tolist() == [2, 3, 4, 0, 1, 5]


def test_an_unknown_order_lists_the_known(neurons):
    with pytest.raises(
        SettingError, match="unknown order 'size': use importance, weight, firing, norm, number"
    ):
        neurons.order("size")


def test_a_neuron_that_never_fires_has_strength_0():
    agent = Agent(
        Policy(np.array([[-1.0]], np.float32), np.array([1.0], np.float32)), find_game("ALE/Pong-v5")
    )
    batch = Batch(csr_array(np.ones((3, 1), np.float32)), *(np.zeros(3) for _ in range(5)))
    neurons = look_at_neurons(agent, batch)
    assert (neurons.firing[0], neurons.strength[0]) == (0, 0)


def test_without_a_game_nobody_knows_who_fires():
    neurons = look_at_neurons(make_agent(), None)
    assert np.isnan(neurons.firing).all()
    assert sorted(neurons.order("weight").tolist()) == list(range(12))


def test_rows_become_pictures_and_several_inputs_lie_side_by_side():
    rows = np.arange(2 * 12800).reshape(2, 12800)
    pictures = pictures_of(rows)
    assert pictures.shape == (2, 80, 160)
    assert pictures[1, 3, 5] == 12800 + 3 * 80 + 5
    assert pictures[1, 3, 85] == 12800 + 6400 + 3 * 80 + 5
    with pytest.raises(SettingError, match="expected rows of whole 80x80 pictures, got 6,401 pixels"):
        pictures_of(np.zeros((1, 6401)))


def test_a_number_out_of_range_is_named():
    for number in (0, 11):
        check_neuron(number, 12)
    for number in (-1, 12):
        with pytest.raises(SettingError, match=f"neuron {number}: the agent has neurons 0 to 11"):
            check_neuron(number, 12)


def test_the_same_seed_brings_the_same_rallies_of_ball_and_paddles():
    agent = make_agent()
    a, b, c = (play_rallies(agent, 2, 200, seed) for seed in (0, 0, 1))
    assert (a.frames != b.frames).nnz == 0
    assert a.actions.tolist() == b.actions.tolist() != c.actions.tolist()
    assert a.ends[-1]
    assert a.rewards[a.ends].all()
    assert 0 < np.diff(a.frames.indptr).max() < 100  # ball and paddles, never a whole screen


def test_an_agent_that_sees_the_current_picture_plays():
    batch = play_rallies(make_agent(inputs=2), 2, 100)
    assert batch.frames.shape[1] == 12800
    assert batch.frames[:, 6400:].data.min() == 1  # where ball and paddles are


def test_an_agent_that_sees_what_no_game_shows_cannot_play():
    with pytest.raises(
        SettingError, match=r"sees 19,200 pixels, the game shows 6,400, so it cannot play: take"
    ):
        play_rallies(make_agent(inputs=3))
