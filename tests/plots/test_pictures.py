"""Each figure beside the picture of it that is stored here.

`pytest tests/plots/test_pictures.py --store-pictures` draws them anew; look at them before you commit them.
"""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from pgpong import plots
from pgpong.config import from_recipe
from pgpong.plots import style
from tests.plots.made import make_agent, make_run

STORED = Path(__file__).parent / "pictures"
TOLERANCE = 4.0  # root mean square of the difference, of 255: letters may sit otherwise by part of a pixel
RESOLUTION = 50

AGENT = make_agent()
EVALUATED = [(30, -14.0), (60, -5.0), (90, 4.0), (120, 2.0)]
PLAIN = {"order": "weight", "scale": "weights"}

FIGURES = {
    "filters": lambda folder: plots.filters(AGENT, columns=4),
    "filters-weights": lambda folder: plots.filters(AGENT, columns=4, **PLAIN),
    "filters-two-inputs": lambda folder: plots.filters(make_agent(inputs=2), number=4, columns=2, **PLAIN),
    "neuron": lambda folder: plots.neuron(AGENT, 3),
    "evolution": lambda folder: plots.evolution(
        [make_agent(seed=s, episode=500 * s) for s in (1, 2)], number=3
    ),
    "curve": lambda folder: plots.curve(make_run(folder, sessions=(1, 61), evaluated=EVALUATED)),
    "curves": lambda folder: plots.curve(
        *(make_run(folder, f"seed{s}", s) for s in (1, 2, 3)), against="frames"
    ),
    "training": lambda folder: plots.training(make_run(folder)),
    "activations": lambda folder: plots.activations(AGENT),
    "rally": lambda folder: plots.rally(AGENT, number=2),
    "trajectory": lambda folder: plots.trajectory(AGENT, games=2, steps=300),
    "score-function": lambda folder: plots.score_function(),
    "update-effect": lambda folder: plots.update_effect(
        AGENT, plots.play_rallies(AGENT, 2, 300), from_recipe("fast")
    ),
}


def pixels(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def difference(a, b):
    """The root mean square of what two pictures differ by; infinite if it is the size."""
    if np.abs(np.subtract(a.shape, b.shape)).max() > 1:
        return np.inf
    height, width = np.minimum(a.shape, b.shape)[:2]
    return float(np.sqrt(np.mean((a[:height, :width] - b[:height, :width]) ** 2)))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_as_it_did(name, folder, pytestconfig):
    drawn = style.to_bytes(FIGURES[name](folder), ".png", RESOLUTION)
    stored = STORED / f"{name}.png"
    if pytestconfig.getoption("--store-pictures"):
        stored.write_bytes(drawn)
    assert difference(pixels(drawn), pixels(stored.read_bytes())) < TOLERANCE


def test_the_tolerance_is_not_too_wide(folder):
    """Another order of the neurons, another seed of the games, one point more: each is noticed."""
    for name, other in (
        ("filters-weights", plots.filters(AGENT, columns=4, order="number", scale="weights")),
        ("activations", plots.activations(AGENT, step=76)),
        ("rally", plots.rally(AGENT, number=3)),
        ("curve", plots.curve(make_run(folder, seed=1))),
    ):
        drawn = style.to_bytes(other, ".png", RESOLUTION)
        assert difference(pixels(drawn), pixels((STORED / f"{name}.png").read_bytes())) > TOLERANCE, name


def test_dark_figures_are_light_on_dark(folder):
    run = make_run(folder)
    with matplotlib.rc_context(plots.DARK):
        dark = pixels(style.to_bytes(plots.curve(run), ".png", RESOLUTION))
    light = pixels(style.to_bytes(plots.curve(run), ".png", RESOLUTION))
    assert np.median(dark) < 40
    assert np.median(light) > 250
    assert (dark > 200).mean() > 0.002  # letters and axes


def test_a_figure_shows_itself_in_a_notebook():
    picture = plots.filters(AGENT, **PLAIN)._repr_png_()
    assert pixels(picture).std() > 20
