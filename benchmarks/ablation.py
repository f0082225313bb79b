"""What each ingredient of the recipe fast is worth: it is taken out, three seeds each, and the table printed.

    python benchmarks/ablation.py --updates 610 --seeds 1 2 3
    python benchmarks/ablation.py --updates 610 --seeds 1 2 3 no-critic no-mirror

Runs lie under runs/ as ablation-NAME-seedN and stay there: what was trained is not trained again, and a run
that was interrupted goes on. One run at a time, for each uses all cores. Scores are means over the last 100
training episodes; minutes are of training.
"""

import argparse
import subprocess
import sys

from time_to_score import first_reached

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
    "rmsprop": ("RMSProp", ("--optimizer", "rmsprop")),
    "games": ("32 games x 128 steps, batches as large", ("--num-envs", "32", "--batch-steps", "128")),
    "wide": ("400 hidden units", ("--hidden", "400")),
}


def trained(name: str, seed: int, updates: int) -> Run:
    """Return the run of a variant and seed, trained up to so many updates."""
    run = Run(RUNS / f"ablation-{name}-seed{seed}")
    options = ("--updates", str(updates))
    if run.metrics.is_file():
        if read_lines(run.metrics)[-1]["update"] >= updates:
            return run
        command = ["resume", run.name, *options]
    else:
        flags = ("--evaluate-every", "0", *VARIANTS[name][1])
        command = ["train", "--run", run.name, "--seed", str(seed), *options, *flags]
    subprocess.run([sys.executable, "-m", "pgpong", *command], check=True)
    return run


def reached(run: Run, score: float) -> str:
    """Write when a run came to a score."""
    first = first_reached(run, score, GAMES)
    return "-" if first is None else f"{first[1] / 1e6:.2f}M, {first[0]:.1f} min"


def final(run: Run) -> str:
    """Write the score that a run ended with."""
    return f"{read_lines(run.metrics)[-1]['score_mean']:+.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument(
        "--updates", type=int, default=610, help="of each run; after 610 the step size is down"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(VARIANTS):
        parser.error(f"unknown variant {unknown.pop()!r}: use {', '.join(VARIANTS)}")
    lines = [
        "| | " + " | ".join(f"to {score}" for score in TARGETS) + " | at the end |",
        "| --- | --- | --- | --- |",
    ]
    for name in arguments.names or VARIANTS:
        runs = [trained(name, seed, arguments.updates) for seed in arguments.seeds]
        cells = [*("; ".join(reached(run, score) for run in runs) for score in TARGETS)]
        lines.append(f"| {VARIANTS[name][0]} | {' | '.join(cells)} | {', '.join(map(final, runs))} |")
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
