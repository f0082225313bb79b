"""Where the time goes: what the profiler says is what the clock says."""

import time

import pytest

from pgpong.config import from_recipe
from pgpong.envs.game import find_game
from pgpong.profiling import Spent, where_time_goes


def work(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def often():
    work(0.02)
    work(0.02)


def once():
    work(0.01)


def both():
    often()
    once()


def test_time_is_told_by_function_and_by_caller():
    spent = Spent()
    for _ in range(3):
        spent.run(both)
        spent.steps += 1000
    within = 0.2  # it is the clock that `work` reads: others on the machine do not count
    assert spent.on(work) == pytest.approx(50, rel=within)
    assert spent.on(work, often) == pytest.approx(40, rel=within)
    assert spent.on(work, once) == pytest.approx(10, rel=within)
    assert spent.on(once, often) == 0
    assert spent.on(both) >= spent.on(often) + spent.on(once)


@pytest.mark.parametrize("critic", [False, True])
def test_every_part_of_a_training_is_seen_at_work(critic):
    config = from_recipe(
        "fast", num_envs=2, num_workers=1, batch_steps=60, optimizer="rmsprop", critic=critic
    )
    costs = where_time_goes(config, find_game(config.env), batches=1)
    assert list(costs) == ["games", "network", "rallies", "update"]
    assert all(cost > 0 for part in costs.values() for cost in part.values())
    assert costs["games"]["emulator"] > costs["games"]["resets"]
    assert ("critic" in costs["update"]) == critic
