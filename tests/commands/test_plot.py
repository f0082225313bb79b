"""pgpong plot: every figure from the command line, its file formats, and what a user may do wrong."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pgpong.agent import Agent
from pgpong.storage.run import Run, find_agent
from tests.commands.test_commands import one_line_error
from tests.plots.made import make_agent, make_run

AGENTS_FIGURES = ("filters", "activations", "rally", "trajectory")
QUICK = {"trajectory": ("--games", "2", "--steps", "200")}


@pytest.fixture
def run(folder):
    """A run with logs, two kept agents and a latest one."""
    run = make_run(folder)
    for episode in (500, 1000):
        make_agent(seed=episode, episode=episode).save(run.kept(episode))
    make_agent(episode=1234).save(run.checkpoint(3))
    return run


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("figure", AGENTS_FIGURES)
def test_a_figure_of_an_agent_goes_into_its_runs_folder(cli, run, figure):
    status, out, err = cli("plot", figure, "made", *QUICK.get(figure, ()))
    assert (status, err) == (0, "")
    assert out.startswith(f"runs/made/plots/{figure}.png: ")
    assert opened(run.folder / "plots" / f"{figure}.png").std() > 10


@pytest.mark.parametrize("figure", ["curve", "training", "evolution"])
def test_a_figure_of_a_run_is_the_newest_ones_without_a_name(cli, run, figure):
    assert cli("plot", figure)[0] == 0
    assert opened(run.folder / "plots" / f"{figure}.png").std() > 10


def test_a_really_trained_run_can_be_drawn(cli, tiny_run):
    assert cli("plot", "training", "tiny")[0] == 0
    assert cli("plot", "filters", "tiny", "--all")[0] == 0
    assert "has no finished episode yet" in one_line_error(cli("plot", "curve", "tiny"))


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_the_ending_chooses_the_format_and_the_same_call_gives_the_same_file(
    cli, folder, run, suffix, begins
):
    files = [folder / f"{name}{suffix}" for name in "ab"]
    for file in files:
        assert cli("plot", "curve", "made", "--out", file)[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(begins)


def test_options_change_the_picture(cli, folder, run):
    plain = ("--scale", "weights", "--order", "weight")  # plays no games
    calls = {
        "a": ["filters", "made"],
        "b": ["filters", "made", *plain],
        "c": ["filters", "made", *plain, "--order", "norm"],
        "d": ["filters", "made", *plain, "--number", "5"],
        "e": ["filters", "made", "--neuron", "5"],
        "f": ["filters", "made@500", *plain],
        "g": ["curve", "made"],
        "h": ["curve", "made", "--against", "hours"],
        "i": ["curve", "made", "--no-reference"],
        "j": ["rally", "made", "--number", "2"],
        "k": ["rally", "made", "--number", "2", "--gamma", "0.9"],
    }
    for name, arguments in calls.items():
        assert cli("plot", *arguments, "--out", f"{name}.png")[0] == 0
    assert len({(folder / f"{name}.png").read_bytes() for name in calls}) == len(calls)


def test_what_stood_there_is_replaced_and_an_error_leaves_it(cli, folder, run):
    (folder / "a.png").write_text("the picture before")
    assert cli("plot", "filters", "made", "--neuron", "99", "--out", "a.png")[0] == 2
    assert (folder / "a.png").read_text() == "the picture before"
    assert cli("plot", "curve", "made", "--out", "a.png")[0] == 0
    assert opened(folder / "a.png").std() > 10


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_evolution_may_be_an_animation_with_a_picture_an_agent(cli, folder, run, suffix):
    assert cli("plot", "evolution", "made", "--out", f"e.{suffix}")[0] == 0
    if suffix == "gif":
        with Image.open(folder / "e.gif") as image:
            assert image.n_frames == 3
    else:
        assert (folder / "e.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["filter"],
            "no figure 'filter': use filters, curve, training, activations, rally, trajectory, evolution",
        ),
        (["filters", "made", "--out", "a.bmp"], "expected the name of a .png, .svg, .pdf file, got 'a.bmp'"),
        (["filters", "made", "--out", "a.gif"], "expected the name of a .png, .svg, .pdf file, got 'a.gif'"),
        (["filters", "made", "--out", "no/a.png"], "--out: there is no folder no"),
        (["filters", "made", "--number", "13"], "expected 1 to 12 neurons"),
        (["filters", "made", "--neuron", "1", "--all"], "--all: --neuron draws one alone, leave it out"),
        (["filters", "made", "--neuron", "-1"], "neuron -1: the agent has neurons 0 to 11"),
        (["filters", "made", "--order", "size"], "'size' is not one of"),
        (["filters", "nobody"], "no run at nobody"),
        (["filters", "text.npz"], "text.npz"),
        (["curve", "nobody"], "no run at nobody"),
        (["curve", "made", "nobody"], "no run at nobody"),
        (["curve", "made", "--against", "days"], "'days' is not one of"),
        (["curve", "young"], "young has no finished episode yet: 'pgpong resume young' goes on with it"),
        (["training", "young"], "young has no update yet: 'pgpong resume young' goes on with it"),
        (["curve", "foreign"], "metrics.jsonl: line 1 is no line of a run's log: it has no 'update'"),
        (["training", "damaged"], "metrics.jsonl: line 3 is damaged"),
        (["evolution", "young"], "young has kept no agent yet: it keeps one every 500 episodes"),
        (["activations", "made", "--step", "99999"], "step 99999: the game of seed 0 has steps 0 to"),
        (["rally", "made", "--number", "99"], "rally 99: the game of seed 0 has rallies 1 to"),
        (["rally", "made", "--gamma", "2"], "gamma: expected 0 to 1, got 2"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing_behind(cli, folder, run, arguments, message):
    make_run(folder, "young", updates=0)
    make_run(folder, "foreign").metrics.write_text('{"loss": 1}\n{"loss": 2}\n')
    damaged = make_run(folder, "damaged").metrics
    damaged.write_text(damaged.read_text().replace('{"update": 3', '{"upda', 1))
    (folder / "text.npz").write_text("no agent")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert message in one_line_error(cli("plot", *arguments))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_metrics_file_that_is_cut_off_is_drawn_up_to_there(cli, folder, run):
    run.metrics.write_bytes(run.metrics.read_bytes()[:-40])
    assert cli("plot", "curve", "made")[0] == 0


def test_the_shipped_agent_is_drawn_where_there_is_no_run(cli, folder):
    assert cli("plot", "filters")[0] == 0
    assert opened(folder / "filters.png").std() > 10


def test_no_backend_is_chosen_and_no_display_needed(folder, run):
    Agent.load(find_agent("made")).save("agent.npz")
    code = (
        "import sys; from pgpong.__main__ import main\n"
        "status = main(['plot', 'filters', 'agent.npz']) or main(['plot', 'curve', 'made'])\n"
        "heavy = ('matplotlib.pyplot', 'tkinter', 'av', 'torch', 'pandas')\n"
        "print(status, [m for m in heavy if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    assert answer.stdout.splitlines()[-1] == "0 []"
    assert answer.stderr == ""
    assert (folder / "filters.png").is_file()


def test_plot_without_a_figure_lists_them(cli):
    status, out, _ = cli("plot")
    assert status == 2
    for figure in (*AGENTS_FIGURES, "curve", "training", "evolution"):
        assert f"\n  {figure} " in out


def test_a_run_that_trains_is_drawn_from_its_latest_agent(cli, folder):
    run = make_run(folder)
    make_agent().save(run.checkpoint(7))
    assert cli("plot", "filters", "made", "--scale", "weights", "--order", "weight")[0] == 0
    assert Run(run.folder).latest.name == "update-000007.npz"
