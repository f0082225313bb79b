"""What a figure is of: an agent or a run, however it is named; and how a title calls it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pgpong.agent import Agent
from pgpong.errors import NonFiniteError, RunError, SettingError
from pgpong.learning.backend import NUMPY
from pgpong.learning.policy import Policy
from pgpong.storage.history import History, read_run
from pgpong.storage.run import Run, find_agent, find_run, spread

AnyAgent: TypeAlias = Agent | str | Path  # an agent, or what `pgpong watch` takes: a file, a run, RUN@500
AnyRun: TypeAlias = History | Run | str | Path  # a run that was read, or its folder or name


def take_agent(agent: AnyAgent) -> Agent:
    """Return the agent, read from its file where it is named.

    Raises:
        RunError: there is no such run or agent.
        FileFormatError: the file is damaged, or no agent's.
        NonFiniteError: a weight is NaN or infinite.
        SettingError: the agent's network is convolutional.
    """
    if not isinstance(agent, Agent):
        agent = Agent.load(find_agent(str(agent)))
    if agent.policy.kind != Policy.kind:
        raise SettingError("figures show the hidden units of a two-layer network, this one is convolutional")
    agent = agent.to(NUMPY)
    for name, weights in agent.policy.parameters.items():
        if not np.isfinite(weights).all():
            raise NonFiniteError(f"{name} of the agent holds NaN or infinity: there is nothing to draw")
    return agent


def take_run(run: AnyRun, *, finished: bool = False) -> History:
    """Return what the run has been so far; with `finished`, at least one of its episodes must be.

    Raises:
        RunError: there is no such run, its logs are damaged, or they are empty yet.
    """
    history = run if isinstance(run, History) else read_run(run)
    for missing, what in (
        (finished and not history.episodes.rows, "finished episode"),
        (not history.updates.rows, "update"),
    ):
        if missing:
            goes_on = f"'pgpong resume {history.run.called}' goes on with it"
            raise RunError(f"{history.name} has no {what} yet: {goes_on}")
    return history


def take_agents(agents: AnyRun | Sequence[Agent], most: int | None = None) -> list[Agent]:
    """Return agents as they are, or those that a run has kept and its latest, `most` of them, evenly chosen.

    Raises:
        RunError: there is no such run, or it has kept no agent.
        FileFormatError: a file is damaged, or no agent's.
        NonFiniteError: a weight is NaN or infinite.
    """
    if isinstance(agents, History | Run | str | Path):
        run = agents.run if isinstance(agents, History) else agents
        run = run if isinstance(run, Run) else find_run(str(run))
        paths = [*run.kept_agents, *([run.latest] if run.latest.is_file() else [])]
        return [take_agent(path) for path in (spread(paths, most) if most else paths)]
    return [take_agent(agent) for agent in agents]


def call_agent(agent: Agent) -> str:
    """Name run, environment id and episode of an agent."""
    run, episode = (agent.provenance.get(key) for key in ("run", "episode"))
    parts = ["an agent" if run is None else str(run), agent.game.id]
    if isinstance(episode, int):
        parts.append(f"episode {episode:,}")
    return " · ".join(parts)


def call_run(history: History) -> str:
    """Name run, environment id and episode of a run."""
    return f"{history.name} · {history.game.id} · episode {history.updates['episode'][-1]:,}"
