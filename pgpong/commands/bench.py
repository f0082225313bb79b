"""pgpong bench: training speed as a share of the bare emulator's."""

import json

import click

from pgpong.benchmark import Benchmark, benchmark
from pgpong.config import from_recipe
from pgpong.machine import machine, peak_memory, versions


@click.command("bench")
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="batches of each")
@click.option("--recipe", default="fast", show_default=True, help="recipe to train with")
@click.option("--num-envs", type=click.IntRange(min=1), help="games at once [the recipe's]")
@click.option("--json", "as_json", is_flag=True, help="print all figures as JSON")
def command(rounds: int, recipe: str, num_envs: int | None, as_json: bool) -> None:
    """Measure training steps a second against those of the bare vectorised emulator.

    The two take turns in one process, a batch each, with as many games; each has the number of threads
    or worker processes that is best for it. The ratio says how much of the emulator's speed the learning
    leaves.
    """
    config = from_recipe(recipe, **({} if num_envs is None else {"num_envs": num_envs}))
    result = benchmark(config, rounds)
    if as_json:
        memory = {"peak_memory_bytes": peak_memory()}
        click.echo(json.dumps({**result.as_dict(), **memory, "versions": versions(), "machine": machine()}))
    else:
        click.echo(summary(result))


def summary(result: Benchmark) -> str:
    """Write a benchmark in a few lines."""
    memory = peak_memory()
    shares = ", ".join(f"{part} {share:.1%}" for part, share in result.shares.items())
    return "\n".join(
        (
            f"{result.game}, recipe {result.recipe}, {result.num_envs} games at once",
            f"bare emulator  {speed(result.bare_steps_per_second)}, {result.bare_threads} threads",
            f"training       {speed(result.training_steps_per_second)}, {result.training_workers} workers",
            f"ratio          {result.ratio:.3f} in the median of {len(result.ratios)} rounds, "
            f"{min(result.ratios):.3f} to {max(result.ratios):.3f}",
            f"training goes  {shares} (games: emulator and preprocessing)",
            f"peak memory    {'unknown' if memory is None else f'{memory / 2**20:,.0f} MiB'} (both together)",
        )
    )


def speed(steps_per_second: list[float]) -> str:
    """Write the median speed with its range."""
    ordered = sorted(steps_per_second)
    return f"{ordered[len(ordered) // 2]:,.0f} steps/s ({ordered[0]:,.0f} to {ordered[-1]:,.0f})"
