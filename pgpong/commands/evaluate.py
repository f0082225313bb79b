"""pgpong evaluate: play games with an agent and report its score."""

import json
from pathlib import Path

import click

from pgpong.agent import Agent
from pgpong.evaluation import Evaluation, evaluate
from pgpong.storage.replay import Shelf
from pgpong.storage.run import find_agent, run_of


@click.command("evaluate")
@click.argument("agent", default="")
@click.option("--episodes", type=click.IntRange(min=1), default=100, show_default=True, help="games to play")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="of the first game")
@click.option("--greedy", is_flag=True, help="take the likelier action instead of sampling")
@click.option("--replays", type=click.Path(path_type=Path), help="keep best, worst, latest here [the run's]")
@click.option("--json", "as_json", is_flag=True, help="print all figures as JSON")
def command(agent: str, episodes: int, seed: int, greedy: bool, replays: Path | None, as_json: bool) -> None:
    """Play games with AGENT in parallel and report its score.

    AGENT is a file, a run (its best), RUN@latest, RUN@best, RUN@500 (episode 500's) or pretrained; without
    it, the newest run. The games are those of the environment that the agent was trained in, with the seeds
    SEED, SEED + 1, ..., none of which any training uses. The best, the worst and the latest game are kept as
    replays: in the run's folder if the agent is a run's.
    """
    path = find_agent(agent)
    run = run_of(path)
    folder = replays or (run.folder / "replays" if run else None)
    shelf = Shelf(folder, "evaluation-") if folder else None
    keep = shelf.consider if shelf else lambda replay: None
    result = evaluate(Agent.load(path), episodes, seed, greedy=greedy, keep=keep)
    if shelf:
        shelf.save()
    if as_json:
        click.echo(json.dumps({"agent": str(path), **result.as_dict()}))
    else:
        click.echo(summary(str(path), result))


def summary(agent: str, result: Evaluation) -> str:
    """Write an evaluation in four lines."""
    n = len(result.scores)
    interval = "no interval from one game"
    if result.interval is not None:
        interval = "95% interval {:.2f} to {:.2f}".format(*result.interval)
    return "\n".join(
        (
            f"{agent} on {result.game}, actions {'greedy' if result.greedy else 'sampled'}",
            f"mean score  {result.mean:+.2f}  ({interval}; {min(result.scores)} to {max(result.scores)})",
            f"games won   {result.won} of {n}",
            f"length      {sum(result.steps) / n:,.0f} steps on average; seeds {result.first_seed} to "
            f"{result.first_seed + n - 1}",
        )
    )
