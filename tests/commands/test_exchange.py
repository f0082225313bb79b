"""pgpong import and pgpong export as a user types them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pgpong.agent import Agent
from pgpong.commands import VERBS
from pgpong.storage.run import find_agent
from tests.commands.test_commands import one_line_error
from tests.storage.test_exchange import agent, same
from tests.storage.test_karpathy import python2, weights


@pytest.fixture
def model(folder):
    """The model file of a small agent."""
    agent().save(folder / "model.npz")
    return folder / "model.npz"


def test_a_save_of_2016_is_imported_and_can_be_evaluated(cli, folder):
    W1, W2 = weights(4)
    (folder / "save.p").write_bytes(python2(W1, W2))
    status, out, err = cli("import", "save.p", "--out", "karpathy.npz")
    assert (status, err) == (0, "")
    assert out == "karpathy.npz: 4 hidden units, Pong-v0 (frameskip 2-4, sticky 0.25)\n"
    imported = Agent.load(folder / "karpathy.npz")
    np.testing.assert_array_equal(imported.policy.W1, W1)
    assert imported.policy.W1.dtype == np.float64
    assert imported.provenance == {"imported_from": "save.p"}
    status, out, _ = cli("import", "save.p", "--out", "other.npz", "--env", "ALE/Pong-v5")
    assert (status, "ALE/Pong-v5 (frameskip 4, sticky 0.25)" in out) == (0, True)
    assert cli("evaluate", "karpathy.npz", "--episodes", "1")[0] == 0


def test_an_agent_goes_to_safetensors_and_back(cli, folder, model):
    status, out, err = cli("export", model, "--out", "a.safetensors")
    assert (status, err) == (0, "")
    assert out == "a.safetensors: 2 hidden units, PongNoFrameskip-v4 (frameskip 1, sticky 0)\n"
    assert cli("import", "a.safetensors", "--out", "back.npz")[0] == 0
    same(Agent.load(model), Agent.load(folder / "back.npz"))


@pytest.mark.parametrize("reference", ["tiny", "tiny@latest", ""])
def test_of_a_checkpoint_the_agent_alone_is_exported(cli, folder, tiny_run, reference):
    checkpoint = find_agent(reference)
    for name in ("agent.npz", "agent.safetensors"):
        assert cli("export", reference, "--out", name)[0] == 0
    assert cli("import", "agent.safetensors", "--out", "back.npz")[0] == 0
    same(Agent.load(checkpoint), Agent.load(folder / "agent.npz"))
    same(Agent.load(checkpoint), Agent.load(folder / "back.npz"))
    with np.load(folder / "agent.npz") as members:
        assert members.files == ["header", "W1", "W2", "W2_stay"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["import", "gone.p", "--out", "x.npz"], 2, "no such file: gone.p"),
        (["import", "here", "--out", "x.npz"], 2, "cannot read here"),
        (
            ["import", "model.npz", "--out", "x.npz"],
            2,
            "neither a save.p of the 2016 script nor a .safetensors",
        ),
        (["import", "notes.txt", "--out", "x.npz"], 2, "is not a pickle of the arrays W1 and W2 alone"),
        (["import", "notes.safetensors", "--out", "x.npz"], 2, "neither a save.p of the 2016 script nor"),
        (["import", "save.p"], 2, "Missing option '--out'"),
        (["import", "--out", "x.npz"], 2, "Missing argument 'FILE'"),
        (["import", "save.p", "--out", "x.p"], 2, "expected the name of a .npz file, got 'x.p'"),
        (["import", "save.p", "--out", "here"], 2, "expected the name of a .npz file"),
        (["import", "save.p", "--out", "model.npz"], 1, "model.npz exists: choose another --out"),
        (["import", "save.p", "--out", "gone/x.npz"], 2, "--out: there is no folder gone"),
        (["import", "save.p", "--out", "x.npz", "--env", "Pong-v77"], 2, "unknown environment 'Pong-v77'"),
        (["import", "unfit.p", "--out", "x.npz"], 2, "do not fit together"),
        (["export", "nobody", "--out", "x.npz"], 1, "no run at nobody"),
        (["export", "here", "--out", "x.npz"], 1, "no run at here"),
        (["export", "save.p", "--out", "x.npz"], 2, "was not written by pgpong"),
        (["export", "model.npz"], 2, "Missing option '--out'"),
        (["export", "model.npz", "--out", "x.pt"], 2, "expected the name of a .npz or .safetensors file"),
        (["export", "model.npz", "--out", "model.npz"], 1, "model.npz exists: choose another --out"),
        (["export", "model.npz", "--out", "gone/x.npz"], 2, "--out: there is no folder gone"),
        (["export", "model.npz", "--out", "gone/x.safetensors"], 2, "--out: there is no folder gone"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing_behind(cli, folder, model, arguments, status, message):
    W1, W2 = weights(2)
    (folder / "save.p").write_bytes(python2(W1, W2))
    (folder / "unfit.p").write_bytes(python2(W1, W2[:1]))
    (folder / "notes.txt").write_text("what I did today\n")
    (folder / "notes.safetensors").write_text("what I did today\n")
    (folder / "here").mkdir()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = cli(*arguments)
    assert message in one_line_error(result)
    assert result[0] == status
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_written_is_named(cli, folder, model):
    (folder / "closed").mkdir(mode=0o500)
    if os.access(folder / "closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    for name in ("x.npz", "x.safetensors"):
        result = cli("export", model, "--out", f"closed/{name}")
        assert result[0] == 4
        assert "Permission denied" in one_line_error(result)


def test_without_safetensors_one_line_says_how_to_install_it(cli, folder, model, monkeypatch):
    assert cli("export", model, "--out", "a.safetensors")[0] == 0
    for name in [name for name in sys.modules if name.split(".")[0] == "safetensors"]:
        monkeypatch.setitem(sys.modules, name, None)
    for arguments in (
        ("export", model, "--out", "b.safetensors"),
        ("import", "a.safetensors", "--out", "b.npz"),
    ):
        result = cli(*arguments)
        assert result[0] == 2
        assert "pip install 'pgpong[safetensors]'" in one_line_error(result)
    assert sorted(os.listdir(folder)) == ["a.safetensors", "model.npz"]
    assert cli("export", model, "--out", "b.npz")[0] == 0


def test_safetensors_is_loaded_by_nothing_that_does_not_read_or_write_it():
    code = (
        "import sys, click, pgpong, pgpong.training\n"
        "from pgpong.commands import VERBS, Verbs\n"
        "group = Verbs()\n"
        "assert all(group.get_command(click.Context(group), verb).name == verb for verb in VERBS)\n"
        "print(sorted(VERBS), 'safetensors' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == f"{sorted(VERBS)} False", answer.stderr
