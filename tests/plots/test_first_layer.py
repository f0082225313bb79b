"""Figures of W1: which neurons, which grey, which label stands where."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pgpong import plots
from pgpong.errors import NonFiniteError, SettingError
from pgpong.plots import first_layer, style
from pgpong.plots.neurons import Neurons
from tests.plots.made import make_agent, make_run


@pytest.fixture(scope="module")
def agent():
    return make_agent()


@pytest.fixture(scope="module")
def may_stay():
    agent = make_agent()
    agent.policy.parameters["W2_stay"] = agent.policy.W2[::-1].copy()
    return agent


def tile(figure, k, columns, width=80):
    """The k-th picture of a figure of tiles."""
    (image,) = figure.axes[0].images
    row, column = divmod(k, columns)
    top, left = row * (80 + 14), column * (width + 4)
    return np.asarray(image.get_array()[top : top + 80, left : left + width])


def labels(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()[0].isdigit()]


def test_the_tiles_are_the_rows_of_W1_in_their_order_symmetric_about_zero(agent):
    figure = plots.filters(agent, order="weight", scale="weights", number=5, columns=3)
    order = np.argsort(-np.abs(agent.policy.W2), kind="stable")[:5]
    for k, i in enumerate(order):
        row = agent.policy.W1[i].reshape(80, 80)
        limit = np.percentile(np.abs(row), 98)
        np.testing.assert_allclose(tile(figure, k, 3), np.clip(row / limit, -1, 1))
    (image,) = figure.axes[0].images
    assert (image.get_clim(), image.get_cmap().name) == ((-1, 1), "gray")
    arrows = {1: "▲", 0: "–", -1: "▼"}
    assert labels(figure) == [f"{i} {arrows[np.sign(agent.policy.W2[i])]}" for i in order.tolist()]


def test_effect_weighs_each_pixel_by_how_much_it_moves_and_tells_who_fires(agent):
    figure = plots.filters(agent, number=1, order="firing")
    batch = plots.play_rallies(agent)
    x = batch.frames.toarray()
    h = np.maximum(x @ agent.policy.W1.T, 0)
    firing = (h > 0).mean(axis=0)
    i = int(np.argmax(firing))
    expected = (agent.policy.W1[i] * np.sqrt((x**2).mean(axis=0))).reshape(80, 80)
    np.testing.assert_allclose(
        tile(figure, 0, 1), np.clip(expected / np.percentile(np.abs(expected), 98), -1, 1), atol=1e-5
    )
    assert labels(figure)[0].startswith(f"{i} ")
    assert labels(figure)[0].endswith(f"{firing[i]:.0%}")


def test_two_inputs_stand_side_by_side():
    agent = make_agent(hidden=3, inputs=2)
    figure = plots.filters(agent, order="number", scale="weights")
    shown = tile(figure, 2, 3, width=162)
    assert np.isnan(shown[:, 80:82]).all()  # the seam
    for there, inputs in ((shown[:, :80], slice(6400)), (shown[:, 82:], slice(6400, None))):
        assert np.corrcoef(there.ravel(), agent.policy.W1[2, inputs])[0, 1] > 0.99
    assert figure.axes[0].images[0].get_array().shape[1] == 3 * 162 + 2 * 4  # four in a row would fit


def test_all_or_forty_or_as_many_as_there_are():
    assert len(labels(plots.filters(make_agent(50), order="weight", scale="weights"))) == 40
    assert len(labels(plots.filters(make_agent(12), order="weight", scale="weights"))) == 12
    whole = plots.filters(make_agent(50), number=50, order="weight", scale="weights")
    assert "all 50 hidden units" in whole.axes[0].get_title(loc="left")


def test_the_title_names_run_environment_and_episode(agent):
    figure = plots.filters(agent, order="weight", scale="weights")
    assert "made · ALE/Pong-v5 · episode 1,234" in figure.axes[0].texts[-1].get_text()


def test_a_neuron_alone_has_its_statistics(agent):
    figure = plots.neuron(agent, 3)
    left, middle, right = figure.axes[0].child_axes
    neurons = plots.look_at_neurons(agent, plots.play_rallies(agent))
    text = right.texts[0].get_text()
    assert f"{neurons.says[3]:+.3f}" in text
    assert f"{neurons.firing[3]:.1%} of {neurons.steps:,} steps" in text
    assert f"{neurons.order().tolist().index(3) + 1} of 12" in text
    low, high = left.child_axes[0].images[0].get_clim()
    assert low == -high
    assert middle.child_axes[0].get_title() == "mean of what it sees when it fires"


def test_evolution_shows_one_row_a_neuron_and_one_column_an_agent():
    agents = [make_agent(seed=seed, episode=500 * seed) for seed in (1, 2, 3)]
    figure = plots.evolution(agents, number=4, scale="weights")
    chosen = plots.look_at_neurons(agents[-1], plots.play_rallies(agents[-1])).order()[:4]
    (image,) = figure.axes[0].images
    shown = np.asarray(image.get_array()[84:164, 0:80])  # second row, first column
    rows = np.array([agent.policy.W1[chosen[1]] for agent in agents]).reshape(3, 80, 80)
    np.testing.assert_allclose(shown, np.clip(rows[0] / np.percentile(np.abs(rows), 98), -1, 1))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "episode 500\n-3.5" in texts
    assert len([*plots.evolution_frames(agents, number=4)]) == 3


def test_evolution_of_a_run_shows_at_most_eight_of_its_agents_the_first_and_the_last_among_them(folder):
    run = make_run(folder)
    for episode in range(500, 6000, 500):
        make_agent(hidden=2, seed=episode, episode=episode).save(run.kept(episode))
    make_agent(hidden=2, episode=5678).save(run.checkpoint(3))
    figure = plots.evolution(run, scale="weights")
    heads = [text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("episode")]
    assert len(heads) == 8
    assert (heads[0], heads[-1]) == ("episode 500\n-3.5", "episode 5,678\n-3.5")
    assert len([*plots.evolution_frames(run)]) == 12


def test_a_figure_is_drawn_on_the_axes_it_is_given(agent):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plots.filters(agent, order="weight", scale="weights", ax=left) is figure
    assert plots.neuron(agent, 0, ax=right) is figure
    assert len(left.images) == 1
    assert len(right.child_axes) == 3
    inside = Figure().subfigures(1, 2)[0]
    assert plots.filters(agent, order="weight", scale="weights", ax=inside.subplots()) is inside.figure


def test_what_cannot_be_drawn_is_said(agent):
    for call, message in (
        (
            lambda: plots.filters(agent, number=13),
            "expected 1 to 12 neurons, for so many the agent has, got 13",
        ),
        (lambda: plots.filters(agent, number=0), "expected 1 to 12 neurons"),
        (lambda: plots.filters(agent, order="size"), "unknown order 'size'"),
        (lambda: plots.filters(agent, scale="log"), "unknown scale 'log': use effect, weights"),
        (lambda: plots.neuron(agent, 12), "neuron 12: the agent has neurons 0 to 11"),
        (lambda: plots.evolution([]), "expected one agent or more"),
        (lambda: plots.evolution([agent, make_agent(5)]), "networks of different sizes"),
    ):
        with pytest.raises(SettingError, match=message):
            call()


@pytest.mark.parametrize("name", ["W1", "W2"])
def test_an_agent_with_a_nan_is_refused(name):
    agent = make_agent()
    agent.policy.parameters[name].flat[3] = np.nan
    for draw in (plots.filters, plots.activations, plots.rally, plots.trajectory):
        with pytest.raises(NonFiniteError, match=f"{name} of the agent holds NaN or infinity"):
            draw(agent)


def test_a_network_of_zeros_is_grey():
    agent = make_agent()
    agent.policy.W1[...] = 0
    figure = plots.filters(agent, order="number", scale="weights", number=1)
    assert not tile(figure, 0, 1).any()


def test_mosaic_by_hand():
    whole, places = style.mosaic(np.arange(3).reshape(3, 1, 1), 2, (1, 2))
    np.testing.assert_array_equal(whole, [[0, np.nan, 1], [np.nan] * 3, [np.nan] * 3, [2, np.nan, np.nan]])
    assert places == [(0, 0), (2, 0), (0, 3)]


def test_each_action_has_its_sign_and_nothing_a_dash():
    says, stay, nothing = np.array([0.0, 1.0, -1.0, 1.0]), np.array([0.0, 0.4, -9.0, 0.6]), np.full(4, np.nan)
    neurons = Neurons(says, stay, norm=nothing, firing=nothing, strength=nothing, steps=0)
    assert [first_layer._label(neurons, i)[0] for i in range(4)] == ["0 –", "1 ▲", "2 ▼", "3 ■"]


def test_of_one_that_may_stay_that_weight_is_shown_too(may_stay):
    stay = may_stay.policy.parameters["W2_stay"]
    (*_, right) = plots.neuron(may_stay, 3).axes[0].child_axes
    assert f"W2_stay     {stay[3]:+.3f}" in right.texts[0].get_text()
    words = plots.filters(may_stay, number=1).axes[0].texts[-1].get_text().split()
    assert "largest |W2, W2_stay| times" in " ".join(words)
