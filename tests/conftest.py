"""What several tests share: a folder of their own, the command line, a small training."""

import pytest

from pgpong.__main__ import main

# A training of a few seconds: real games, a small network.
TINY = ("--num-envs", "2", "--batch-steps", "60", "--hidden", "8", "--checkpoint-every", "2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(folder, capsys):
    """Run one command line in an empty folder; return exit status, stdout and stderr."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def tiny_run(cli, folder):
    """A finished small run named tiny; return its folder."""
    status, _, _ = cli("train", "--run", "tiny", "--updates", "3", *TINY)
    assert status == 0
    return folder / "runs" / "tiny"
