"""pgpong bench: training speed as a share of the bare emulator's."""

import json
import statistics

import click

from pgpong.benchmark import Benchmark, benchmark
from pgpong.config import from_recipe
from pgpong.contenders import CONTENDERS
from pgpong.machine import machine, peak_memory, versions


@click.command("bench")
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="batches of each")
@click.option("--recipe", default="fast", show_default=True, help="recipe to train with")
@click.option("--num-envs", type=click.IntRange(min=1), help="games at once [the recipe's]")
@click.option(
    "--compare", is_flag=True, help="with the loop of 2016, Stable-Baselines3 and EnvPool beside it"
)
@click.option("--json", "as_json", is_flag=True, help="print all figures as JSON")
def command(rounds: int, recipe: str, num_envs: int | None, compare: bool, as_json: bool) -> None:
    """Measure training steps a second against those of the bare vectorised emulator.

    The two take turns in one process, a batch each, with as many games; each has the number of threads
    or worker processes that is best for it. The ratio says how much of the emulator's speed the learning
    leaves.

    With --compare three more take turns with them: the loop of 2016 written plainly (one game, dense
    frames), the PPO of Stable-Baselines3 with its own Atari set-up on the CPU, and EnvPool's bare
    environment. The last two need pip install 'pgpong[bench]'.
    """
    config = from_recipe(recipe, **({} if num_envs is None else {"num_envs": num_envs}))
    contenders = [contender for contender in CONTENDERS if compare and contender.is_here]
    for contender in CONTENDERS:
        if compare and contender not in contenders:
            click.echo(f"{contender.name} is left out: it needs pip install 'pgpong[bench]'", err=True)
    result = benchmark(config, rounds, contenders)
    if as_json:
        libraries = [library for contender in contenders for library in contender.libraries]
        here = {"versions": versions(*libraries), "machine": machine(), "peak_memory_bytes": peak_memory()}
        click.echo(json.dumps({**result.as_dict(), **here}))
    else:
        click.echo(summary(result))


def summary(result: Benchmark) -> str:
    """Write a benchmark as two small tables."""
    memory = peak_memory()
    shares = ", ".join(f"{part} {share:.1%}" for part, share in result.shares.items())
    lines = [
        f"{result.game}, recipe {result.config.recipe}, {result.config.num_envs} games at once",
        f"bare emulator: {result.bare_threads} threads; training: {result.config.num_workers} workers",
        "",
        f"{'median':<21} {'steps/s':>8} {'of the bare emulator':>21}",
        *(speed(result, name) for name in result.steps_per_second),
        "",
        f"training time: {shares}",
        "a step, in microseconds of one core:",
        *(parts(name, costs) for name, costs in result.microseconds.items()),
        f"peak memory of this process: {'unknown' if memory is None else f'{memory / 2**20:,.0f} MiB'}",
    ]
    return "\n".join(lines)


def speed(result: Benchmark, name: str) -> str:
    """Write the median speed, and the ratio with its range."""
    ratios = result.ratios(name)
    steps = statistics.median(result.steps_per_second[name])
    return f"{name:<21} {steps:>8,.0f} {result.ratio(name):>8.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def parts(name: str, costs: dict[str, float]) -> str:
    """Write what one part of the training costs."""
    each = ", ".join(f"{part} {cost:.1f}" for part, cost in costs.items())
    return f"  {name:<8} {sum(costs.values()):>6.1f}  {each}"
