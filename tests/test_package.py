"""The public names, and what importing the package costs."""

import shutil
import subprocess
import sys

import pytest

import pgpong
from pgpong import machine


def test_every_public_name_exists_and_is_documented():
    assert 0 < len(pgpong.__all__) <= 20
    for name in pgpong.__all__:
        assert getattr(pgpong, name).__doc__, name
    assert set(pgpong.__all__) <= set(dir(pgpong))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        pgpong.no_such_name  # noqa: B018


@pytest.mark.parametrize("statement", ["import pgpong", "import pgpong.training, pgpong.commands.train"])
def test_no_heavy_library_is_loaded_unasked(statement):
    heavy = ("matplotlib", "torch", "cupy", "jax", "pygame", "cv2", "av", "tensorboardX")
    code = f"import sys; {statement}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_importing_the_package_loads_neither_scipy_nor_the_emulator_nor_the_terminal():
    code = "import sys, pgpong; print([m for m in ('scipy', 'ale_py', 'rich', 'click') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_imports_point_one_way():
    """The mathematics knows nothing of games, files or terminals; nothing but the entry point, commands."""
    code = (
        "import sys, pgpong.learning.policy_gradient;"
        "print(sorted(m for m in sys.modules if m.startswith('pgpong.')))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for elsewhere in ("envs", "storage", "viewing", "commands", "training", "rollout", "agent"):
        assert f"'pgpong.{elsewhere}" not in answer.stdout


def test_the_commit_of_a_project_that_it_is_installed_in_is_not_its_own(tmp_path):
    package = tmp_path / ".venv" / "pgpong"
    package.mkdir(parents=True)
    shutil.copy(machine.__file__, package)
    (tmp_path / ".gitignore").write_text(".venv\n")
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -q -m first"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    ask = [sys.executable, "-c", "import machine; print(machine.git_commit())"]
    told = subprocess.run(ask, cwd=package, capture_output=True, text=True, check=True).stdout
    assert told == "None\n"
    subprocess.run(["git", "add", "--force", package], cwd=tmp_path, check=True)
    told = subprocess.run(ask, cwd=package, capture_output=True, text=True, check=True).stdout
    assert told.strip().endswith("-dirty")
