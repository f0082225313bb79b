"""Prints how much memory, files and threads a training has gained from update 200 to update 2,200."""

import os
import threading
from pathlib import Path

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.recorder import Recorder
from pgpong.state import new_state
from pgpong.storage.run import Run
from pgpong.training import train


def figures():
    """Return the bytes that are resident, the open files and the threads of this process."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, len(os.listdir("/proc/self/fd")), threading.active_count()


def main():
    """Train with a recorder, as the command line does."""
    config = from_recipe("fast", num_envs=8, batch_steps=4, hidden=4)
    state = new_state(config, find_game(config.env))
    with Recorder(Run.create(Path("run"), config, {}), state, []) as recorder:
        for record in train(config, state):
            recorder.write(record)
            if state.progress.update == 200:
                before = figures()
            if state.progress.update == 2200:
                print(*(after - then for after, then in zip(figures(), before, strict=True)))
                break


if __name__ == "__main__":
    main()
