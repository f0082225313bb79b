"""When did runs first reach a mean score over their last games? Reads the runs' own files.

    python benchmarks/time_to_score.py --score 0 runs/reference/fast-seed?

Minutes are of training: playing, learning and the evaluations on the way, without the start of the emulators.
"""

import argparse
from pathlib import Path

from pgpong.envs.game import find_game
from pgpong.storage.lines import read_lines
from pgpong.storage.run import find_run


def first_reached(run, score, games):
    """Return (minutes, steps, episodes) at the first update whose last `games` games average `score`."""
    updates = {line["update"]: line for line in read_lines(run.metrics)}
    scores = []
    for episode in read_lines(run.episodes):
        scores.append(episode["score"])
        if len(scores) >= games and sum(scores[-games:]) / games >= score:
            line = updates[episode["update"]]
            return line["seconds"] / 60, line["step"], episode["episode"]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--score", type=float, default=0)
    parser.add_argument("--games", type=int, default=100)
    arguments = parser.parse_args()
    for folder in arguments.runs:
        run = find_run(str(folder))
        config = run.config
        game = find_game(config.env, config.frameskip, config.sticky)
        reached = first_reached(run, arguments.score, arguments.games)
        when = (
            "not reached" if reached is None else "{:.1f} minutes, {:,} steps, {:,} episodes".format(*reached)
        )
        last = read_lines(run.metrics)[-1]
        scores = [episode["score"] for episode in read_lines(run.episodes)][-arguments.games :]
        end = f"{last['seconds'] / 60:.1f} minutes, {last['step']:,} steps, {last['episode']:,} episodes"
        print(f"{run.name}: seed {config.seed}, {game}, recipe {config.recipe}")
        print(f"    mean of {arguments.games} at {arguments.score:g} after {when}")
        print(f"    mean of {arguments.games} at the end {sum(scores) / len(scores):.1f}, after {end}")


if __name__ == "__main__":
    main()
