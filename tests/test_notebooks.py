"""The notebooks: stored without outputs, and run from top to bottom in a small setting."""

import asyncio
import io
import json
import sys
from base64 import b64decode
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from PIL import Image
from traitlets import default

from pgpong.storage.lines import read_lines
from pgpong.storage.run import Run

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REFERENCE = sorted((ROOT / "runs" / "reference").glob("fast-seed?"))
PATIENCE = 120  # seconds that a cell, or a wait, may take on a busy machine

# The cells that show a figure, one each.
FIGURES = {
    "compare_runs": ["by-episodes", "by-frames", "by-hours", "sheet"],
    "filters": [
        *("effect", "weights", "untrained", "by-weight", "by-firing"),
        *("neuron", "activations", "run", "evolution"),
    ],
    "policy_gradients": [
        *(
            "estimator",
            "noise",
            "rally",
            "other-rally",
            "short-sighted",
            "undiscounted",
            "update",
            "first-update",
        ),
    ],
    "train": ["training", "sheet"],
}

# A training of seconds: within four updates each of the four games ends once, for the first time.
SMALL = {"num_envs": 4, "batch_steps": 250, "hidden": 8, "evaluate_every": 0}


class Kernel(AsyncKernelManager):
    """The kernel of the interpreter that runs the tests, whatever others are installed."""

    @default("kernel_spec_manager")
    def _look_nowhere(self):
        return KernelSpecManager(kernel_dirs=[])


@pytest.fixture
def jupyter_home(tmp_path_factory, monkeypatch):
    """Keep kernels out of the user's home, and the settings that lie there out of the kernels."""
    home = tmp_path_factory.mktemp("jupyter")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(home / name.lower()))
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")


@pytest.fixture
def prepare(folder, jupyter_home):
    """Make what runs a notebook of that name in the test's folder, with small values for its parameters."""

    def make(name, **parameters):
        notebook = read(ROOT / "notebooks" / f"{name}.ipynb")
        lines = [f"{key} = {value!r}" for key, value in parameters.items()]
        lines.append(f"import sys; assert sys.executable == {sys.executable!r}")
        add_cell(notebook, "parameters", "\n".join(lines))
        where = {"metadata": {"path": str(folder)}}
        return NotebookClient(notebook, kernel_manager_class=Kernel, resources=where, timeout=PATIENCE)

    return make


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def add_cell(notebook, after, source):
    """Put a cell of code after the one of that id."""
    place = [cell.id for cell in notebook.cells].index(after)
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(source))


def outputs(notebook, name):
    (cell,) = [cell for cell in notebook.cells if cell.id == name]
    return cell.outputs


def text(notebook, name):
    """What a cell printed or, if it printed nothing, what came out of it, in plain text."""
    (output,) = outputs(notebook, name)
    return output.text if output.output_type == "stream" else output.data["text/plain"]


def check_figures(notebook, name):
    """Check that each figure's cell shows just one picture, that is not blank; and that nobody warned."""
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output.text
            if "image/png" in output.get("data", {}):
                shown.append(cell.id)
                picture = Image.open(io.BytesIO(b64decode(output.data["image/png"]))).convert("RGB")
                assert min(picture.size) > 200
                assert len(picture.getcolors(picture.width * picture.height)) > 50, cell.id
    assert shown == FIGURES[name]


def test_all_notebooks_are_run_here():
    assert [path.stem for path in NOTEBOOKS] == sorted(FIGURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        assert cell.metadata == ({"tags": ["parameters"]} if cell.id == "parameters" else {})
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert ids.count("parameters") == 1
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"


def test_filters(cli, prepare):
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    assert cli("train", "--run", "mine", "--updates", 4, "--keep-every", 1, *flags)[0] == 0
    notebook = prepare("filters", RUN="mine", NUMBER=8).execute()
    check_figures(notebook, "filters")


def test_filters_without_a_run(prepare):
    client = prepare("filters", NUMBER=4)
    keep = ("parameters", "agent", "run", "evolution")
    client.nb.cells = [c for c in client.nb.cells if c.id in keep or "sys.executable" in c.source]
    notebook = client.execute()
    assert text(notebook, "run") == "no RUN is set\n"
    assert "no RUN is set" in text(notebook, "evolution")


def test_train(prepare, cli, folder):
    client = prepare("train", RUN="mine", STOP={"updates": 4}, SETTINGS=SMALL, GAMES=2, SECONDS=1)
    again = next(cell.source for cell in client.nb.cells if cell.id == "training")
    add_cell(client.nb, "evaluation", "stop = StopConditions(updates=6)\n" + again)
    notebook = client.execute()
    run = Run.open(folder / "runs" / "mine")
    _, printed = outputs(notebook, "training")
    assert str(run.folder) in printed.text
    *_, last = notebook.cells
    assert len([output for output in last.outputs if "image/png" in output.get("data", {})]) == 1
    notebook.cells.remove(last)
    check_figures(notebook, "train")
    assert "text/html" in outputs(notebook, "game")[0].data
    assert "of 2 games" in text(notebook, "evaluation")
    assert [line["update"] for line in read_lines(run.metrics)] == [1, 2, 3, 4, 5, 6]
    assert len(read_lines(run.episodes)) >= 4

    sessions = run.read_provenance()["sessions"]
    assert [session["ending"] for session in sessions] == ["update 4 reached", "update 6 reached"]
    status, _, _ = cli("resume", "mine", "--updates", 7)
    assert status == 0
    assert [line["update"] for line in read_lines(run.metrics)] == [1, 2, 3, 4, 5, 6, 7]

    # Interrupted twice or never, a run is the same: the notebook trains as the command does.
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    assert cli("train", "--run", "undisturbed", "--updates", 7, *flags)[0] == 0
    assert (folder / "runs/undisturbed/episodes.jsonl").read_bytes() == run.episodes.read_bytes()


def test_an_interrupt_of_the_kernel_saves_the_training(prepare, folder):
    client = prepare("train", RUN="mine", STOP={"minutes": 60}, SETTINGS=SMALL)
    last = [cell.id for cell in client.nb.cells].index("training")
    client.nb.cells = client.nb.cells[: last + 1]
    run = Run(folder / "runs" / "mine")

    async def interrupt():
        while not (run.metrics.is_file() and len(read_lines(run.metrics)) >= 2):
            await asyncio.sleep(0.05)
        await client.km.interrupt_kernel()

    async def execute():
        await asyncio.wait_for(asyncio.gather(client.async_execute(), interrupt()), PATIENCE)

    asyncio.run(execute())
    assert "SIGINT. To go on in a terminal: pgpong resume" in outputs(client.nb, "training")[-1].text
    updates = read_lines(run.metrics)[-1]["update"]
    assert run.latest == run.checkpoint(updates)
    assert run.read_provenance()["sessions"][-1]["last_update"] == updates


def test_policy_gradients(prepare):
    notebook = prepare("policy_gradients", GAMES=2, STEPS=150).execute()
    check_figures(notebook, "policy_gradients")


def test_compare_runs(prepare):
    notebook = prepare(
        "compare_runs", RUNS=[str(folder) for folder in REFERENCE], SCORES=[-20, -10]
    ).execute()
    check_figures(notebook, "compare_runs")
    *_, row = text(notebook, "reached").splitlines()
    score, *minutes = row.split()
    assert float(score) == -10
    assert [float(number) for number in minutes] == [
        round(first_minutes(folder, -10), 1) for folder in REFERENCE
    ]


def test_compare_runs_finds_the_reference_runs_from_its_own_folder(prepare, monkeypatch):
    client = prepare("compare_runs")
    client.resources["metadata"]["path"] = str(ROOT / "notebooks")
    last = [cell.id for cell in client.nb.cells].index("read")
    client.nb.cells = client.nb.cells[: last + 1]
    assert text(client.execute(), "read") == str([folder.name for folder in REFERENCE])


def first_minutes(folder, score):
    """When the mean of 100 games was first at `score`, straight from the files, the slow way."""
    episodes = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    updates = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for k in range(100, len(episodes) + 1):
        if np.mean([episode["score"] for episode in episodes[k - 100 : k]]) >= score:
            return updates[episodes[k - 1]["update"] - 1]["seconds"] / 60
    return np.nan
