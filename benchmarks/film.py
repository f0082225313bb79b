"""How fast films are written, as multiples of the game's own speed, and how much memory that takes.

    python benchmarks/film.py [--agent AGENT] [--seconds 60] [--steps 27000]

Films .mp4 and .gif at full size, with and without overlay, each in a process of its own: of some seconds for
the speed, and of many steps for the memory. What an agent plays is filmed game after game, without title
cards. Prints JSON: `real_time` is seconds of film a second of the clock, `per_cpu_second` a second of
processor time, all cores and the game itself included; `memory_bytes` is the peak above what the process
held before it began to film.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import chain, count, islice
from pathlib import Path

from pgpong.agent import Agent
from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.machine import machine, peak_memory, versions
from pgpong.state import new_state
from pgpong.storage.run import find_agent
from pgpong.viewing.film import Look, agent_pictures, write_film


def load(reference):
    """Load an agent; without a reference, make one that has learned nothing."""
    if reference:
        return Agent.load(find_agent(reference))
    config = from_recipe("fast")
    return new_state(config, find_game(config.env)).agent


def film(agent, suffix, steps, overlay, scale):
    """Write a film of so many pictures; return its figures."""
    before = peak_memory()
    look = Look("agent", scale=scale, overlay=overlay)
    pictures = chain.from_iterable(agent_pictures(agent, seed, look) for seed in count())
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / f"film{suffix}"
        clock, processor = time.perf_counter(), time.process_time()
        seconds = write_film(path, islice(pictures, steps))
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        size = path.stat().st_size
    return {
        "film": f"{suffix}, overlay {'on' if overlay else 'off'}, scale {scale}",
        "steps": steps,
        "seconds": round(seconds, 2),
        "bytes": size,
        "real_time": round(seconds / clock, 1),
        "per_cpu_second": round(seconds / processor, 1),
        "memory_bytes": peak_memory() - before,
    }


def main():
    """Measure everything, or, with --film, one film in this process, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default="", help="who plays [an agent that has learned nothing]")
    parser.add_argument("--seconds", type=int, default=60, help="of film, for the speed")
    parser.add_argument("--steps", type=int, default=27000, help="of the long film, for the memory")
    parser.add_argument("--film", help="measure this one alone: .mp4 or .gif")
    parser.add_argument("--no-overlay", action="store_true")
    parser.add_argument("--scale", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.film:
        agent = load(arguments.agent)
        result = film(agent, arguments.film, arguments.steps, not arguments.no_overlay, arguments.scale)
        print(json.dumps(result))
        return

    def measure(steps, *flags):
        command = [sys.executable, __file__, "--agent", arguments.agent, "--steps", str(steps), *flags]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    cases = [("--film", suffix, *flag) for suffix in (".mp4", ".gif") for flag in ((), ("--no-overlay",))]
    result = {
        "speed": [measure(15 * arguments.seconds, *case) for case in cases],
        "memory": [measure(arguments.steps, "--film", suffix) for suffix in (".mp4", ".gif")],
        "machine": machine(),
        "versions": versions(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
