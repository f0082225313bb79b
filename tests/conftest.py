"""What several tests share: a folder of their own, the command line, a small training."""

from collections import Counter
from collections.abc import Callable

import pytest

from pgpong.__main__ import main


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the robustness tests at full length (hours)")
    parser.addoption("--store-pictures", action="store_true", help="draw the stored pictures of figures anew")


def pytest_terminal_summary(terminalreporter):
    """Print a line `NAME done/total` for each claim that rests on counting cases, in whatever process."""
    done, total = Counter(), Counter()
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for key, count in report.user_properties:
            if report.when == "call" and key == "tally":
                name, good, cases = count
                done[name] += good
                total[name] += cases
    if total:
        terminalreporter.section("robustness")
        for name in sorted(total):
            terminalreporter.line(f"{name} {done[name]}/{total[name]}")


@pytest.fixture
def long(pytestconfig) -> bool:
    """Whether this is the long form of the robustness tests."""
    return pytestconfig.getoption("--long")


@pytest.fixture
def tally(record_property) -> Callable[[str, int, int], None]:
    """A function that adds `done/total` to a name's line of the summary, and fails where not all is done."""

    def note(name: str, done: int, total: int) -> None:
        record_property("tally", (name, done, total))
        assert done == total, f"{name} {done}/{total}"

    return note


# An evaluation, of the last agent too, would take longer than a whole small training.
NO_EVALUATION = ("--evaluate-every", "0")

# A training of a few seconds: real games, a small network.
TINY = ("--num-envs", "2", "--batch-steps", "60", "--hidden", "8", "--checkpoint-every", "2", *NO_EVALUATION)


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
