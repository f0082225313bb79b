"""How much memory a training takes: the most that it and its processes held at once. Linux alone.

    python benchmarks/memory.py --updates 40

Trains the default recipe by the command line, in a temporary folder, and reads every tenth of a second what
its processes hold: proportional set sizes, in which a page that several share counts once. Prints JSON, in
bytes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pgpong.machine import machine

PROC = Path("/proc")


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children = (
        int(child) for path in PROC.glob(f"{pid}/task/*/children") for child in path.read_text().split()
    )
    return [pid, *(one for child in children for one in family(child))]


def held(pid: int) -> int:
    """Return the proportional set size of a process in bytes."""
    (line,) = (s for s in (PROC / f"{pid}/smaps_rollup").read_text().splitlines() if s.startswith("Pss:"))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Train, measure and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=40)
    updates = str(parser.parse_args().updates)
    command = [sys.executable, "-m", "pgpong", "train", "--updates", updates, "--evaluate-every", "0"]
    peak = learner = processes = 0
    with tempfile.TemporaryDirectory() as folder:
        training = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        while training.poll() is None:
            try:
                sizes = [held(pid) for pid in family(training.pid)]
            except (FileNotFoundError, ProcessLookupError, ValueError):  # one has just ended
                continue
            if sum(sizes) > peak:
                peak, learner, processes = sum(sizes), sizes[0], len(sizes)
            time.sleep(0.1)
    result = {"updates": int(updates), "peak": peak, "of_the_learner": learner, "processes": processes}
    print(json.dumps(result | {"status": training.returncode, "machine": machine()}))


if __name__ == "__main__":
    main()
