"""What safety costs: the share of training time that goes into writing it down, and how long a resume takes.

    python benchmarks/safety.py --updates 100

Trains the default recipe into a temporary run, then goes on with it in a new process until that has played.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.machine import machine
from pgpong.recorder import Recorder
from pgpong.rollout import Rollout
from pgpong.state import new_state
from pgpong.storage.lines import read_lines
from pgpong.storage.run import Run
from pgpong.training import train


def cost(folder, updates):
    """Train and record; return the seconds of training, of recording, and of packing the open games."""
    config = from_recipe("fast", seed=1)
    state = new_state(config, find_game(config.env))
    packing, recording = [], []
    pack = Rollout.pack

    def timed_pack(rollout):
        began = time.perf_counter()
        packed = pack(rollout)
        packing.append(time.perf_counter() - began)
        return packed

    Rollout.pack = timed_pack
    with Recorder(Run.create(folder, config, {}), state, []) as recorder:
        for record in train(config, state):
            began = time.perf_counter()
            recorder.write(record)
            recording.append(time.perf_counter() - began)
            if state.progress.update == updates:
                break
    return state.progress, sum(recording), sum(packing)


def resume(folder):
    """Go on for one update in a new process; return the seconds until it was playing, imports and all."""
    before = read_lines(folder / "metrics.jsonl")[-1]["update"]
    began = time.perf_counter()
    command = [sys.executable, "-m", "pgpong", "resume", str(folder), "--updates", str(before + 1)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    last = read_lines(folder / "metrics.jsonl")[-1]
    return seconds - last["games_seconds"] - last["network_seconds"] - last["update_seconds"]


def main():
    """Measure both and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as parent:
        folder = Path(parent) / "run"
        progress, recording, packing = cost(folder, arguments.updates)
        result = {
            "updates": progress.update,
            "steps": progress.step,
            "training_seconds": round(progress.seconds, 2),
            "recording_seconds": round(recording, 3),
            "packing_seconds": round(packing, 3),
            "share": round((recording + packing) / (progress.seconds + recording + packing), 5),
            "resume_seconds": round(resume(folder), 2),
            "checkpoint_bytes": os.path.getsize(Run(folder).latest),
            "machine": machine(),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
