"""Comparing runs: what must be equal bit for bit between a run that was interrupted and one that was not."""

import fcntl
import signal
import subprocess
import sys
import termios

from pgpong.storage.arrays import read_arrays
from pgpong.storage.lines import read_lines
from pgpong.storage.run import Run


def start(*arguments, cwd, **kwargs):
    """Start pgpong as a process of its own, which hears Ctrl-C even if these tests run in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "pgpong", *map(str, arguments)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_signals, **kwargs,
    )  # fmt: skip


def hear_signals():
    """In a child: let signals act even if these tests run in the background, where some are ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def take_terminal():
    """In a child whose input is a terminal: make it the controlling one, where a typed Ctrl-C is a SIGINT."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    hear_signals()


def without_clock(values):
    """A dictionary without what the clock said, and without the run's own name."""
    names = values.keys() - {"provenance.run"}
    return {name: values[name] for name in names if not name.endswith("seconds")}


def fingerprint(folder):
    """All that a run leaves behind but for the clock: checkpoint and best agent, every bit, and the logs."""
    run = Run(folder)
    agents = {path.stem: read_arrays(path) for path in (run.latest, run.best) if path.is_file()}
    return {
        "agents": {
            stem: {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}
            for stem, (_, arrays) in agents.items()
        },
        "meta": {stem: without_clock(meta) for stem, (meta, _) in agents.items()},
        "episodes": run.episodes.read_bytes(),
        "metrics": [without_clock(line) for line in read_lines(run.metrics)],
        "evaluations": [without_clock(line) for line in read_lines(run.evaluations)],
    }
