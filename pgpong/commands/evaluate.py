"""pgpong evaluate: play games with an agent and report its score."""

import json
from functools import partial
from pathlib import Path

import click

from pgpong.agent import Agent
from pgpong.commands.options import backend_options, take_backend
from pgpong.evaluation import ENOUGH, GAMES_AT_ONCE, Evaluation, evaluate
from pgpong.fastest import seconds_a_step
from pgpong.rollout import FIRST_VALIDATION_SEED
from pgpong.storage.replay import Shelf
from pgpong.storage.run import find_agent, run_of


@click.command("evaluate")
@click.argument("agent", default="")
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=ENOUGH,
    show_default=True,
    help="games to play, each way",
)
@click.option(
    "--seed",
    type=click.IntRange(0, FIRST_VALIDATION_SEED - 1),
    default=0,
    show_default=True,
    help="of the first game",
)
@click.option("--sampled", is_flag=True, help="only with actions sampled from the policy")
@click.option("--greedy", is_flag=True, help="only with the likeliest action each time")
@click.option("--replays", type=click.Path(path_type=Path), help="keep best, worst, latest here [the run's]")
@backend_options
@click.option("--json", "as_json", is_flag=True, help="print all figures as JSON")
def command(
    agent: str,
    episodes: int,
    seed: int,
    sampled: bool,
    greedy: bool,
    replays: Path | None,
    as_json: bool,
    **place: str | None,
) -> None:
    """Play games with AGENT in parallel and report its score: with sampled actions, then with greedy ones.

    AGENT is a file, a run (its best), RUN@latest, RUN@best, RUN@500 (episode 500's) or pretrained; without
    it, the newest run, and where there is none, pretrained. The games are those of the environment that the
    agent was trained in, with the seeds SEED, SEED + 1, ..., by which no agent was trained or chosen. A score
    to publish takes 100 games or more and sticky actions. The best, the worst and the latest game are kept as
    replays: in the run's folder if the agent is a run's.
    """
    path = find_agent(agent)
    run = run_of(path)
    folder = replays or (run.folder / "replays" if run else None)
    shelf = Shelf(folder, "evaluation-") if folder else None
    keep = shelf.consider if shelf else lambda replay: None
    found = Agent.load(path)
    seconds = partial(seconds_a_step, found.policy, min(episodes, GAMES_AT_ONCE))
    found = found.to(take_backend(place, found.policy.needed_backend, seconds, partial(click.echo, err=True)))
    figures = {}
    if not as_json:
        click.echo(f"{path}, seeds {seed} to {seed + episodes - 1}")
    for way in [False] * sampled + [True] * greedy or [False, True]:
        result = evaluate(found, episodes, seed, greedy=way, keep=keep)
        figures[call(result)] = result.as_dict()
        if not as_json:
            click.echo(summary(result))
    if as_json:
        click.echo(json.dumps({"agent": str(path), **figures}))
    elif reasons := doubts(found, episodes):
        click.echo(f"not a score to publish: {' and '.join(reasons)}")
    if shelf:
        shelf.save()  # last: a folder that cannot be written takes no figure away


def call(result: Evaluation) -> str:
    """Name the way in which actions were chosen."""
    return "greedy" if result.greedy else "sampled"


def summary(result: Evaluation) -> str:
    """Write an evaluation in one line."""
    interval = "no interval from one game"
    if result.interval is not None:
        interval = "95% interval {:+.2f} to {:+.2f}".format(*result.interval)
    return (
        f"{call(result):<7}  mean score {result.mean:+6.2f} ({interval})  {result.won:>3} of "
        f"{len(result.scores)} won  {result.game}"
    )


def doubts(agent: Agent, episodes: int) -> list[str]:
    """Say what keeps a score from being one to publish."""
    few = [f"fewer than {ENOUGH} games"] * (episodes < ENOUGH)
    return few + ["no sticky actions"] * (agent.game.sticky == 0)
