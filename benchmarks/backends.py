"""numpy or a GPU? Time of an update by backend, number of hidden units and size of the batch.

    python benchmarks/backends.py --json backends.json --figure backends.png
    python benchmarks/backends.py --hidden 200 2000 --batches 2048 8192

Whatever backend is installed takes part, torch on the CPU beside torch on a GPU. Policy and critic are those
of the recipe fast, the frames made up and as sparse as the game's; an update is 4 passes over 4 minibatches.
Steps a second are those of the learning alone: choosing the actions, 64 games at once, and the update. No
larger batch is tried where, four times as large, it would take longer than --patience seconds.

The least that an update can take is the time in which its bytes move through memory once at the speed of a
copy: for each minibatch the optimiser reads weights, gradient and two means and writes all four, and five
arrays of the size of the hidden layer are written or read. Beyond that are the launching of small pieces of
work, and products that miss the cache. The JSON file has torch's own profile of one update beside them, and
says for each size whether two updates from the same seed came to the same weights, bit for bit.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.errors import SettingError
from pgpong.fastest import installed, random_batch, seconds_a_step
from pgpong.learning.policy_gradient import update
from pgpong.machine import machine, versions
from pgpong.plots import style
from pgpong.state import new_state

FLOAT = 4  # bytes
COPY = 1 << 26  # floats that are copied to measure the bandwidth


def candidates():
    """Return every backend on its best device, and those with a CPU on that too."""
    found = {str(backend): backend for device in (None, "cpu") for backend in installed(device)}
    return list(found.values())


def bandwidth(backend):
    """Measure bytes a second through memory: a copy reads and writes."""
    source, target = (backend.asarray(np.full(COPY, value, np.float32)) for value in (1, 0))
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        target[...] = source
        backend.wait()
        seconds.append(time.perf_counter() - began)
    return 2 * FLOAT * COPY / min(seconds)


def bytes_moved(config, steps, pixels):
    """Count the bytes that an update must move at least."""
    learnt = config.hidden // 2 if config.mirror else config.hidden
    optimiser = 8 * learnt * pixels * config.minibatches
    layer = 5 * steps * config.hidden
    return 2 * FLOAT * config.passes * (optimiser + layer)  # policy and critic


def measure(config, backend):
    """Return what an update and a step of all games take."""
    rng = np.random.default_rng(0)
    batch = random_batch(config, rng)
    taken, weights = [], []

    def update_once(state, rng):
        began = time.perf_counter()
        update(state.agent.policy, state.optimizer, batch, config, rng, state.critic)
        backend.wait()
        taken.append(time.perf_counter() - began)

    with threadpool_limits(1):
        for _ in range(2):  # the first one warms up
            state = new_state(config, find_game(config.env), backend)
            update_once(state, np.random.default_rng(0))
            weights.append(state.agent.copy().pack()[1])
        while sum(taken) < 1:
            update_once(state, rng)
        acting = seconds_a_step(state.agent.policy, config.num_envs, backend)
        profile = profile_of(backend, lambda: update_once(state, rng))
    steps, pixels = batch.frames.shape
    best = min(taken[1:])
    return {
        "backend": str(backend),
        "hidden": config.hidden,
        "batch": steps,
        "update_seconds": best,
        "act_seconds": acting,
        "steps_per_second": steps / (best + acting * steps / config.num_envs),
        "bytes": bytes_moved(config, steps, pixels),
        "same_twice": all(np.array_equal(W, weights[1][name]) for name, W in weights[0].items()),
        "profile": profile,
    }


def profile_of(backend, work):
    """Return what torch says that `work` does: for its costliest parts, calls and milliseconds there."""
    if backend.name != "torch":
        return None
    from torch.profiler import ProfilerActivity, profile

    on_cpu = backend.device == "cpu"
    with profile(activities=[ProfilerActivity.CPU if on_cpu else ProfilerActivity.CUDA]) as profiled:
        work()
    where = "self_cpu_time_total" if on_cpu else "self_device_time_total"  # microseconds
    parts = sorted(profiled.key_averages(), key=lambda part: getattr(part, where), reverse=True)
    return [
        {"what": part.key, "calls": part.count, "milliseconds": round(getattr(part, where) / 1000, 3)}
        for part in parts[:12]
    ]


def table(rows):
    """Write milliseconds an update, a column for each backend, and the fastest."""
    names = list(dict.fromkeys(row["backend"] for row in rows))
    lines = [
        f"| hidden units | batch | {' | '.join(names)} | fastest |",
        "| ---: | ---: |" + " ---: |" * len(names) + " --- |",
    ]
    for hidden, batch in dict.fromkeys((row["hidden"], row["batch"]) for row in rows):
        here = {r["backend"]: r for r in rows if (r["hidden"], r["batch"]) == (hidden, batch)}
        cells = [
            f"{1000 * here[n]['update_seconds']:,.0f} ms, {here[n]['steps_per_second']:,.0f}/s"
            if n in here
            else "-"
            for n in names
        ]
        fastest = max(here, key=lambda name: here[name]["steps_per_second"])
        lines.append(f"| {hidden:,} | {batch:,} | {' | '.join(cells)} | {fastest} |")
    return "\n".join(lines)


def crossing(rows):
    """Name, for each number of hidden units, the smallest batch from which on something beats numpy."""
    lines = []
    for hidden in dict.fromkeys(row["hidden"] for row in rows):
        speeds = {(r["backend"], r["batch"]): r["steps_per_second"] for r in rows if r["hidden"] == hidden}
        for name in dict.fromkeys(r["backend"] for r in rows if not r["backend"].startswith("numpy")):
            batches = sorted(batch for other, batch in speeds if other == name)
            ahead = [b for b in batches if speeds[name, b] > speeds.get(("numpy on cpu", b), 0.0)]
            lasting = [b for b in ahead if set(batches[batches.index(b) :]) <= set(ahead)]
            where = "at no size measured"
            if ahead:
                where = f"with batches of {', '.join(f'{batch:,}' for batch in ahead)} steps alone"
            if lasting:
                where = f"from batches of {lasting[0]:,} steps on"
            lines.append(f"{hidden:,} hidden units: {name} is faster than numpy {where}")
    return "\n".join(lines)


def draw(rows, path):
    """Draw steps a second over the size of the batch, a panel for each number of hidden units."""
    sizes = list(dict.fromkeys(row["hidden"] for row in rows))
    figure, ax = style.canvas(None, 3.6 * len(sizes), 3.6)
    panels = style.panels(ax, 1, len(sizes), gap=(0.03, 0))
    slowest, fastest = (of(row["steps_per_second"] for row in rows) for of in (min, max))
    names = list(dict.fromkeys(row["backend"] for row in rows))
    batches = sorted({row["batch"] for row in rows})
    for panel, hidden in zip(panels, sizes, strict=True):
        for name, colour, marker in zip(names, style.LINES, "os^Dvx", strict=False):
            points = [r for r in rows if (r["hidden"], r["backend"]) == (hidden, name)]
            speeds = [r["steps_per_second"] for r in points]
            panel.plot([r["batch"] for r in points], speeds, color=colour, marker=marker, label=name)
        panel.set(xscale="log", yscale="log", xlabel="steps in a batch", title=f"{hidden:,} hidden units")
        panel.set_xticks(batches, [f"{batch:,}" for batch in batches])
        panel.set_xticks([], minor=True)
        panel.set_xlim(batches[0] / 1.5, 1.5 * batches[-1])
        panel.set_ylim(slowest / 1.5, 1.5 * fastest)
    for panel in panels[1:]:
        panel.tick_params(which="both", labelleft=False)
    panels[0].set_ylabel("steps a second, learning alone")
    panels[-1].legend()
    style.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[200, 2_000, 20_000])
    parser.add_argument("--batches", type=int, nargs="+", default=[2_048, 8_192, 32_768, 131_072])
    parser.add_argument("--patience", type=float, default=60, help="seconds a larger batch may take")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    recipe = from_recipe("fast", max_kl=math.inf)  # each update is one from beginning to end
    rows, bandwidths = [], {}
    for backend in candidates():
        bandwidths[str(backend)] = bandwidth(backend)
        print(f"{backend}: {bandwidths[str(backend)] / 1e9:,.0f} GB/s", flush=True)
        for hidden in arguments.hidden:
            for batch in sorted(arguments.batches):
                steps = batch // recipe.num_envs
                config = replace(recipe, hidden=hidden, batch_steps=steps)
                try:
                    row = measure(config, backend)
                except (SettingError, MemoryError) as error:
                    print(f"{backend}, {hidden:,} hidden units, {batch:,} steps: {error}", flush=True)
                    break
                row["least_seconds"] = row["bytes"] / bandwidths[str(backend)]
                rows.append(row)
                print(
                    f"{backend}, {hidden:,} hidden units, {batch:,} steps: "
                    f"{row['update_seconds']:.3f} s an update, {row['least_seconds']:.3f} s at the least, "
                    f"{row['steps_per_second']:,.0f} steps/s",
                    flush=True,
                )
                if (
                    row["update_seconds"] * 4 > arguments.patience
                ):  # the next batch is about four times as large
                    break
    print(table(rows))
    print(crossing(rows))
    if arguments.json:
        facts = {"machine": machine(), "versions": versions("torch"), "bandwidth": bandwidths, "rows": rows}
        arguments.json.write_text(json.dumps(facts, indent=1))
    if arguments.figure:
        draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
