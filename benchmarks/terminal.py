"""What watching in a terminal costs: a real game, shown at its own speed in a pseudo-terminal.

    python benchmarks/terminal.py --seconds 20 --columns 80 --rows 53

Prints JSON: milliseconds for drawing a picture (render, compare, encode), bytes a second, and the share of a
core that the whole process takes, emulator and network included.
"""

import argparse
import fcntl
import json
import os
import pty
import statistics
import struct
import termios
import threading
import time

import numpy as np

from pgpong.agent import Agent
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.machine import machine
from pgpong.state import new_state
from pgpong.storage.run import find_agent
from pgpong.viewing import terminal
from pgpong.viewing.halfblocks import Depth
from pgpong.viewing.sources import agent_episodes, seeds_from
from pgpong.viewing.watching import Controls, watch


class Screen:
    """The other end: reads all that comes, and counts it."""

    def __init__(self, columns, rows):
        self.outside, self.inside = pty.openpty()
        fcntl.ioctl(self.inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.bytes = self.cpu = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            self.bytes += len(os.read(self.outside, 65536))
            self.cpu = time.thread_time()


def measure(agent, seconds, columns, rows, depth):
    """Watch for so many seconds; return the figures."""
    screen, milliseconds = Screen(columns, rows), []
    compose, encode = terminal.compose, terminal.encode

    def timed_compose(*arguments):
        timed_compose.began = time.perf_counter()
        return compose(*arguments)

    def timed_encode(*arguments):
        data = encode(*arguments)
        milliseconds.append(1000 * (time.perf_counter() - timed_compose.began))
        return data

    terminal.compose, terminal.encode = timed_compose, timed_encode
    threading.Timer(seconds, os.write, (screen.outside, b"q")).start()
    began, cpu = time.monotonic(), time.process_time()
    controls = Controls()
    episodes = agent_episodes(agent, "agent", controls, seeds_from(0, None))
    watch(terminal.Terminal(screen.inside, depth), episodes, controls)
    elapsed = time.monotonic() - began
    cpu = time.process_time() - cpu - screen.cpu
    terminal.compose, terminal.encode = compose, encode
    return {
        "size": f"{columns}x{rows}",
        "colours": int(depth),
        "pictures_per_second": round(len(milliseconds) / elapsed, 2),
        "draw_ms_median": round(statistics.median(milliseconds), 3),
        "draw_ms_99_percent": round(float(np.quantile(milliseconds, 0.99)), 3),
        "draw_ms_first": round(milliseconds[0], 3),
        "bytes_per_second": round(screen.bytes / elapsed),
        "cpu_share_of_a_core": round(cpu / elapsed, 4),
    }


def main():
    """Measure in full colour and in 256 colours and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", help="AGENT to watch [an untrained network of the usual size]")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--rows", type=int, default=53)
    arguments = parser.parse_args()
    if arguments.agent is None:
        config = from_recipe("fast")
        agent = new_state(config, find_game(config.env)).agent
    else:
        agent = Agent.load(find_agent(arguments.agent))
    results = [
        measure(agent, arguments.seconds, arguments.columns, arguments.rows, depth)
        for depth in (Depth.FULL, Depth.MANY)
    ]
    print(json.dumps({"results": results, "machine": machine()}))


if __name__ == "__main__":
    main()
