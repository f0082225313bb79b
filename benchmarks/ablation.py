"""What each ingredient of the recipe fast is worth: it is taken out, three seeds each, and the table printed.

    python benchmarks/ablation.py --updates 610 --seeds 1 2 3 --json docs/ablation.json --figure ablation.png
    python benchmarks/ablation.py --updates 610 --seeds 1 2 3 no-critic no-mirror

What stands in the JSON file is not trained again, and each result is added to it as it comes; to have one
anew, take it out. Runs lie under runs/ as ablation-NAME-seedN, and one that was interrupted goes on. One run
goes at a time, on all cores; the runs of docs/ablation.json had one core each (`taskset -c 0 python ...`, and
another on core 1). For the recipe itself its reference runs serve where they are there.
Scores are means over the last 100 training episodes, minutes of training.
"""

import argparse
import json
import subprocess
import sys
from bisect import insort
from dataclasses import fields, replace
from operator import itemgetter
from pathlib import Path

from time_to_score import first_reached

from pgpong.commands.train import command
from pgpong.config import TrainConfig, from_recipe
from pgpong.plots import style
from pgpong.storage.lines import read_lines
from pgpong.storage.run import RUNS, Run

GAMES = 100
TARGETS = (0, 15)
VARIANTS = {
    "fast": ("the recipe", ()),
    "no-stay": ("two actions", ("--no-stay",)),
    "no-current": ("difference frames alone", ("--no-current",)),
    "neither": ("two actions and difference frames alone", ("--no-stay", "--no-current")),
    "no-critic": ("returns in place of a critic's advantages", ("--no-critic",)),
    "lambda-1": ("the critic a baseline alone, λ = 1", ("--gae-lambda", "1")),
    "no-mirror": ("200 units of their own in place of 100 pairs", ("--no-mirror",)),
    "no-blur": ("W1 starts as white noise", ("--blur", "0")),
    "six-steps": ("3 passes x 2 minibatches", ("--passes", "3", "--minibatches", "2")),
    "slow-steps": ("learning rate 1e-3", ("--learning-rate", "1e-3")),
    "no-anneal": ("step size and entropy's weight stay", ("--anneal-steps", "0")),
    "no-entropy": ("no entropy in the objective", ("--entropy", "0")),
    "no-clip": ("no bound on the ratio, none on the KL divergence", ("--clip", "inf", "--max-kl", "inf")),
    "rmsprop": ("RMSProp, as in 2016", ("--optimizer", "rmsprop", "--decay", "0.99", "--epsilon", "1e-5")),
    "games": ("32 games x 128 steps, batches as large", ("--num-envs", "32", "--batch-steps", "128")),
    "wide": ("400 hidden units", ("--hidden", "400")),
}


def flags(name, seed):
    """Return the flags of `pgpong train` that make a variant."""
    return ["--seed", str(seed), "--evaluate-every", "0", *VARIANTS[name][1]]


def settings(name, seed):
    """Return the settings that these flags lead to."""
    parsed = command.make_context("train", flags(name, seed)).params
    named = {setting.name for setting in fields(TrainConfig)}
    return from_recipe(**{key: value for key, value in parsed.items() if key in named and value is not None})


def progress(run):
    """Return how many updates a run has."""
    return max((line["update"] for line in read_lines(run.metrics)), default=0)


def trained(name, seed, updates):
    """Return the run of a variant and seed, trained for so many updates or more."""
    reference = Run(RUNS / "reference" / f"{name}-seed{seed}")
    if progress(reference) >= updates:
        return reference
    run = Run(RUNS / f"ablation-{name}-seed{seed}")
    if not run.folder.is_dir():
        words = ["train", "--run", run.name, *flags(name, seed)]
    elif replace(run.config, frameskip=None, sticky=None) != settings(name, seed):
        sys.exit(f"{run.folder} was trained with other settings: move it away")
    elif progress(run) < updates:
        words = ["resume", run.name]
    else:
        return run
    subprocess.run([sys.executable, "-m", "pgpong", *words, "--updates", str(updates)], check=True)
    return run


def result(name, seed, updates):
    """Train a variant with a seed; return when it came to each target, and how it stood at the end."""
    run = trained(name, seed, updates)
    last = next(line for line in read_lines(run.metrics) if line["update"] == updates)
    reached = {}
    for score in TARGETS:
        minutes, steps, _ = first_reached(run, score, GAMES) or (0, last["step"] + 1, 0)
        in_time = steps <= last["step"]
        reached[str(score)] = {"steps": steps, "minutes": round(minutes, 2)} if in_time else None
    return {
        "seed": seed,
        "updates": updates,
        "reached": reached,
        "steps": last["step"],
        "score": last["score_mean"],
    }


def mean(results):
    """Return the mean score of a variant's results."""
    return sum(one["score"] for one in results) / len(results)


def row(name, results):
    """Write a variant's row of the table, in each cell the seeds one after the other."""
    cells = [VARIANTS[name][0]]
    for score in TARGETS:
        reached = [one["reached"][str(score)] for one in results]
        cells.append(", ".join(f"{at['steps'] / 1e6:.2f}" if at else "-" for at in reached))
        cells.append(", ".join(f"{at['minutes']:.1f}" if at else "-" for at in reached))
    cells.append(", ".join(f"{one['score']:+.1f}" for one in results))
    return f"| {' | '.join(cells)} | {mean(results):+.1f} |"


def read(path):
    """Return the results of each variant that a file holds; none where there is no file."""
    return json.loads(path.read_text()) if path and path.is_file() else {}


def write(table, path):
    """Write the results into a file, where one is wanted, the variants in their order."""
    if path:
        in_order = {name: table[name] for name in VARIANTS if name in table}
        path.write_text(json.dumps(in_order, indent=1) + "\n")


def draw(table, path):
    """Draw the score of every seed, and the mean, variant by variant, the best on top."""
    names = sorted(table, key=lambda name: mean(table[name]))
    figure, ax = style.canvas(None, 7.6, 0.3 * len(names) + 1)
    for height, name in enumerate(names):
        colour = style.VERMILION if name == "fast" else style.BLUE
        scores = [one["score"] for one in table[name]]
        ax.plot(scores, [height] * len(scores), "o", color=colour, alpha=0.5, markeredgewidth=0)
        ax.plot(mean(table[name]), height, "|", color=colour, markersize=14, markeredgewidth=2)
    if "fast" in table:
        ax.axvline(mean(table["fast"]), color=style.VERMILION, linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(names)), [VARIANTS[name][0] for name in names])
    steps = max(one["steps"] for results in table.values() for one in results)
    ax.set_xlabel(
        f"score after {steps / 1e6:.1f}M steps (mean of {GAMES} training games); | is the seeds' mean"
    )
    ax.xaxis.label.set_size("small")
    style.tidy(ax)
    style.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument(
        "--updates", type=int, default=610, help="of each run; after 610 the step size is down"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(VARIANTS):
        parser.error(f"unknown variant {unknown.pop()!r}: use {', '.join(VARIANTS)}")
    table = read(arguments.json)
    if any(one["updates"] != arguments.updates for results in table.values() for one in results):
        parser.error(f"{arguments.json} has results after other than {arguments.updates} updates")
    to_targets = (head for score in TARGETS for head in (f"to {score}: M steps", "minutes"))
    heads = ["", *to_targets, "at the end", "mean"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)
    for name in arguments.names or VARIANTS:
        for seed in arguments.seeds:
            if not any(one["seed"] == seed for one in table.setdefault(name, [])):
                insort(table[name], result(name, seed, arguments.updates), key=itemgetter("seed"))
                write(table, arguments.json)
        print(row(name, table[name]), flush=True)
    if arguments.figure:
        draw(table, arguments.figure)


if __name__ == "__main__":
    main()
