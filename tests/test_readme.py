"""The two lines of the README, in a clean copy of the project with nothing else installed."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pgpong.storage.run import Run
from tests.runs import hear_signals

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*.egg-info", "build", ".*_cache", "runs")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean") / "pgpong"
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    return folder


def readme_line(ending):
    """Find the one line of a shell block that makes a virtual environment and ends as given."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (line,) = (b.strip() for b in blocks if b.startswith("python3 -m venv") and b.strip().endswith(ending))
    return line


def clean_environment(**more):
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))
    } | more


def test_the_first_line_installs_and_trains_until_ctrl_c(copy):
    process = subprocess.Popen(
        readme_line("pgpong train"), shell=True, cwd=copy, env=clean_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=hear_signals,
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("update "):
            break
    else:
        pytest.fail("".join(lines))
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    out, _ = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    run = re.search(r"go on with: pgpong resume (\S+)", out).group(1)
    assert Run(copy / "runs" / run).latest.is_file()


def test_the_test_line_installs_and_tests(copy):
    # The line as it stands; the environment narrows the tests to a file, or this one would call itself.
    answer = subprocess.run(
        readme_line("pytest -n logical"), shell=True, cwd=copy, text=True, capture_output=True, check=False,
        env=clean_environment(PYTEST_ADDOPTS="tests/test_stopping.py"),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert " passed" in answer.stdout


def test_the_python_of_the_readme_runs_as_it_stands(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for block in blocks:
        command = [sys.executable, "-W", "error", "-c", block]
        answer = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["agent.npz"]


def test_every_command_that_the_readme_names_exists():
    from pgpong.commands import VERBS

    named = set(re.findall(r"`pgpong ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named == set(VERBS)
