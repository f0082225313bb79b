"""Comparing runs: what must be equal bit for bit between a run that was interrupted and one that was not."""

import fcntl
import json
import signal
import subprocess
import sys
import termios
from functools import partial

from pgpong.storage.arrays import read_arrays
from pgpong.storage.run import Run


def start(*arguments, cwd, **kwargs):
    """Start pgpong as a process of its own, which hears Ctrl-C even if these tests run in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "pgpong", *map(str, arguments)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL), **kwargs,
    )  # fmt: skip


def take_terminal():
    """In a child whose input is a terminal: make it the controlling one, where a typed Ctrl-C is a SIGINT.

    SIGINT is heard even if these tests run in the background, where shells have it ignored.
    """
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def without_clock(values):
    """A dictionary without what the clock said, and without the run's own name."""
    names = values.keys() - {"provenance.run"}
    return {name: values[name] for name in names if not name.endswith("seconds")}


def fingerprint(folder):
    """All that a run leaves behind but for the clock: the checkpoint's every bit, episodes, metrics."""
    run = Run(folder)
    meta, arrays = read_arrays(run.latest)
    return {
        "arrays": {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()},
        "meta": without_clock(meta),
        "episodes": run.episodes.read_bytes(),
        "metrics": [without_clock(json.loads(line)) for line in run.metrics.read_text().splitlines()],
    }
