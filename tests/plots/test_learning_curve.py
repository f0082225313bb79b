"""Learning curves: bands by hand, and what a figure holds."""

import json
from pathlib import Path

import numpy as np
import pytest

from pgpong import plots
from pgpong.config import from_recipe
from pgpong.errors import RunError, SettingError
from pgpong.plots.learning_curve import AXES, Curve, band, curve_of
from pgpong.reference import reference_curves
from pgpong.storage.history import read_run
from tests.plots.made import make_run

REFERENCE = Path(__file__).parents[2] / "runs" / "reference"
FAST = reference_curves("fast", "ALE/Pong-v5 (frameskip 4, sticky 0.25)")


def lines_of(figure):
    """The lines of a figure's axes by their label."""
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def labels_of(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_a_band_by_hand():
    a = Curve(np.array([0.0, 10.0]), np.array([0.0, 10.0]))
    b = Curve(np.array([2.0, 6.0, 8.0]), np.array([4.0, 4.0, -2.0]))
    x, mean, low, high = band([a, b])
    assert (x[0], x[-1]) == (2, 8)  # the stretch that both share
    np.testing.assert_allclose(high, np.maximum(x, np.where(x < 6, 4, 4 - 3 * (x - 6))))
    np.testing.assert_allclose(low, np.minimum(x, np.where(x < 6, 4, 4 - 3 * (x - 6))))
    np.testing.assert_allclose(mean, (low + high) / 2)


@pytest.mark.parametrize("against", AXES)
def test_a_curve_is_the_running_mean_against_its_axis(folder, against):
    run = make_run(folder)
    line = curve_of(read_run(run), AXES[against])
    episodes = [json.loads(text) for text in run.episodes.read_text().splitlines()]
    updates = [json.loads(text) for text in run.metrics.read_text().splitlines()]
    expected = {
        "episodes": lambda e: e["episode"],
        "updates": lambda e: e["update"],
        "frames": lambda e: updates[e["update"] - 1]["frame"] / 1e6,
        "hours": lambda e: updates[e["update"] - 1]["seconds"] / 3600,
        "steps": lambda e: updates[e["update"] - 1]["step"] / 1e6,
    }[against]
    np.testing.assert_allclose(line.x, [expected(e) for e in episodes])
    assert line.mean[-1] == pytest.approx(updates[-1]["score_mean"])


def test_one_run_shows_each_episode_the_mean_the_opponent_and_the_reference(folder):
    run = make_run(folder, sessions=(1, 61))
    figure = plots.curve(run)
    lines = lines_of(figure)
    scores = [json.loads(text)["score"] for text in run.episodes.read_text().splitlines()]
    assert lines["an episode"].get_ydata().tolist() == scores
    assert lines["mean of the last 100"].get_ydata()[-1] == pytest.approx(np.mean(scores[-100:]))
    assert lines["resumed"].get_xdata() == [read_run(run).updates["episode"][60]]
    assert [0, 0] in [list(line.get_ydata()) for line in figure.axes[0].get_lines()]
    assert f"{len(FAST)} reference runs, lowest to highest" in labels_of(figure)
    assert "reference" not in " ".join(labels_of(plots.curve(run, reference=False)))


def test_evaluations_have_an_interval_and_the_first_of_the_best_is_filled(folder):
    run = make_run(folder, evaluated=[(30, -14), (60, 3.5), (90, 3.5)])
    figure = plots.curve(run, against="updates")
    (marks,) = figure.axes[0].containers
    points, _, (bars,) = marks.lines
    assert points.get_xdata().tolist() == [30, 60, 90]
    assert [(low[1], high[1]) for low, high in bars.get_segments()] == [(-16, -12), (1.5, 5.5), (1.5, 5.5)]
    best = lines_of(figure)["the best agent"]
    assert (best.get_xdata(), best.get_ydata()) == ([60], [3.5])
    assert "evaluation, 95% interval" in labels_of(figure)
    assert "evaluation" not in " ".join(labels_of(plots.curve(make_run(folder, "without"))))


def test_several_runs_have_a_mean_and_a_band(folder):
    runs = [make_run(folder, f"seed{seed}", seed) for seed in (1, 2, 3)]
    figure = plots.curve(*runs, reference=False)
    labels = labels_of(figure)
    assert labels == [
        "seed 1: seed1",
        "seed 2: seed2",
        "seed 3: seed3",
        "lowest to highest",
        "mean of 3 runs",
    ]
    mean = lines_of(figure)["mean of 3 runs"]
    each = [read_run(run).mean_scores() for run in runs]
    assert mean.get_ydata()[-1] == pytest.approx(np.mean([scores[-1] for scores in each]))


def test_the_name_of_a_run_is_no_formula(folder):
    runs = [make_run(folder, name, seed) for seed, name in enumerate((r"$\frac$", "_hidden"))]
    for figure in (plots.curve(*runs), plots.curve(runs[0]), plots.training(runs[0])):
        plots.to_pixels(figure)
    assert labels_of(plots.curve(*runs, reference=False))[:2] == [r"seed 0: \$\frac\$", "seed 1: _hidden"]


def test_the_reference_stands_behind_runs_of_its_own_kind_only(folder):
    other = make_run(folder, "other")
    config = other.folder / "config.toml"
    config.write_text(config.read_text().replace('env = "ALE/Pong-v5"', 'env = "Pong-v4"'))
    assert "reference" not in " ".join(labels_of(plots.curve(other)))
    assert "reference" not in " ".join(labels_of(plots.curve(other, make_run(folder))))


def test_a_reference_run_is_not_its_own_reference():
    label = f"{len(FAST) - 1} reference runs, lowest to highest"
    assert label in labels_of(plots.curve(REFERENCE / FAST[0]["name"]))


def test_a_single_reference_run_is_a_line(folder):
    run = make_run(folder)
    config = run.folder / "config.toml"
    config.write_text(config.read_text().replace('recipe = "fast"', 'recipe = "karpathy"'))
    label = "a reference run\n(other settings: num_envs, current, stay, ...)"
    assert label in labels_of(plots.curve(run))
    config.write_text(from_recipe("karpathy").dump())
    assert "a reference run" in labels_of(plots.curve(run))


def test_the_training_sheet_shows_each_figure_of_the_updates(folder):
    run = make_run(folder)
    history = read_run(run)
    figure = plots.training(run)
    panels = {panel.get_title(loc="left"): panel for panel in figure.axes[0].child_axes}
    assert len(panels) == 9
    for heading, values in (
        ("entropy of the policy", history.updates["entropy"]),
        ("what the critic foretells", history.updates["explained"][1:]),
        ("how far an update moves the policy", history.updates["kl"]),
        ("steps whose ratio is clipped", 100 * history.updates["clip_share"]),
        ("passes over a batch", history.updates["passes"]),
        ("length of the gradient", history.updates["grad_norm"]),
    ):
        np.testing.assert_allclose(panels[heading].get_lines()[0].get_ydata(), values)
    norms = panels["length of the weights, beside the first update"].get_lines()
    np.testing.assert_allclose(norms[0].get_ydata(), history.updates["W1_norm"] / 180)
    speed = panels["speed"].get_lines()[0].get_ydata()
    np.testing.assert_allclose(speed, 8000 / (1.4 + 0.1 + history.updates["update_seconds"]))
    assert all(panel.get_xlabel() == "updates" and panel.get_ylabel() for panel in panels.values())


def test_a_run_of_an_earlier_version_has_a_sheet_without_what_it_did_not_write(folder):
    run = make_run(folder)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    without = [
        {k: v for k, v in line.items() if k not in ("W1_norm", "W2_norm", "explained")} for line in lines
    ]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in without))
    figure = plots.training(run, columns=1)
    texts = [text.get_text() for panel in figure.axes[0].child_axes for text in panel.texts]
    assert texts.count("not written down by this run") == 2


def test_a_run_without_a_critic_says_so(folder):
    run = make_run(folder)
    config = run.folder / "config.toml"
    config.write_text(config.read_text().replace("critic = true", "critic = false"))
    texts = [text.get_text() for panel in plots.training(run).axes[0].child_axes for text in panel.texts]
    assert "no critic: steps are worth their returns" in texts


def test_what_cannot_be_drawn_is_said(folder):
    run = make_run(folder)
    for call, message in (
        (lambda: plots.curve(), "expected one run or more"),
        (
            lambda: plots.curve(run, against="days"),
            "cannot draw against 'days': use episodes, steps, frames, hours",
        ),
        (lambda: plots.training(run, columns=2), "expected 1, 3 or 9 columns, got 2"),
    ):
        with pytest.raises(SettingError, match=message):
            call()
    whole = run.metrics.read_text()
    run.metrics.write_text(whole.replace("entropy", "temperature"))
    with pytest.raises(RunError, match=r"metrics\.jsonl is no whole log of a run: it has no 'entropy'"):
        plots.training(run)
    run.metrics.write_text(whole)
    run.episodes.write_text("")
    with pytest.raises(
        RunError, match="made has no finished episode yet: 'pgpong resume made' goes on with it"
    ):
        plots.curve(run)
    run.metrics.write_text("")
    with pytest.raises(RunError, match="made has no update yet"):
        plots.training(run)
