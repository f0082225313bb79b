"""Figures of agents and runs: functions that return a matplotlib `Figure`, or draw on a given `ax`.

    from pgpong import plots

    plots.filters("pretrained")
    plots.curve("my-run", "another-run", against="hours")
    plots.save(plots.training("my-run"), Path("training.svg"))

`pgpong plot` has a command for each of those that show an agent or a run.
"""

from pgpong.plots.estimator import score_function, update_effect
from pgpong.plots.first_layer import evolution, evolution_frames, filters, neuron
from pgpong.plots.games import activations, rally, trajectory
from pgpong.plots.learning_curve import curve, training
from pgpong.plots.neurons import Neurons, look_at_neurons, play_rallies
from pgpong.plots.style import DARK, save, to_pixels

__all__ = [
    "DARK",
    "Neurons",
    "activations",
    "curve",
    "evolution",
    "evolution_frames",
    "filters",
    "look_at_neurons",
    "neuron",
    "play_rallies",
    "rally",
    "save",
    "score_function",
    "to_pixels",
    "training",
    "trajectory",
    "update_effect",
]
