"""The growth film: how a run learned, told by the same game as each of its agents plays it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from pgpong.agent import Agent
from pgpong.storage.run import Run, spread
from pgpong.viewing.film import CARD, Look, Picture, agent_pictures, card_pictures, excerpt
from pgpong.viewing.playback import FRAMES_PER_SECOND
from pgpong.viewing.sources import call

FILM_SECONDS = 60  # about
SHORTEST, LONGEST = 4.0, 20.0  # seconds of each agent


def growth_pictures(
    run: Run, look: Look, seed: int, *, greedy: bool = False, seconds: float | None = None
) -> Iterator[Picture]:
    """Film a game's beginning as the kept agents, the best and the latest of a run play it.

    Each has so many `seconds`; with None as many as make a film of a minute.

    Raises:
        RunError: the run has kept no agent.
    """
    return _growth(run, run.kept_agents, look, seed, greedy=greedy, seconds=seconds)


def _growth(
    run: Run, kept: list[Path], look: Look, seed: int, *, greedy: bool, seconds: float | None
) -> Iterator[Picture]:
    card = CARD / FRAMES_PER_SECOND
    chosen = spread(kept, max(1, round(FILM_SECONDS / ((seconds or SHORTEST) + card)) - 2))
    each = seconds or min(LONGEST, max(SHORTEST, FILM_SECONDS / (len(chosen) + 2) - card))
    seen = set()
    for path in chain(chosen, _last_agents(run)):
        agent = Agent.load(path)
        update = agent.provenance.get("update")
        if update is not None and update in seen:  # the best is often a kept one, and the latest the best
            continue
        seen.add(update)
        title, score = _state_of(agent, path)
        yield from card_pictures(look, agent.game, title, score, f"{run.name} · {agent.game}")
        captioned = replace(look, title=title, detail=f"{score} · ", caption=True)
        yield from excerpt(agent_pictures(agent, seed, captioned, greedy=greedy), each)


def _last_agents(run: Run) -> Iterator[Path]:
    """Name the best and the latest agent, each when it is its turn: a training replaces them meanwhile."""
    if run.best.is_file():
        yield run.best
    if (latest := run.latest).is_file():
        yield latest


def _state_of(agent: Agent, path: Path) -> tuple[str, str]:
    """Say how far an agent had come: its episodes, its score."""
    episode, score = (agent.provenance.get(key) for key in ("episode", "score_mean"))
    title = f"episode {episode:,}" if isinstance(episode, int) else call(path)
    if not path.stem.startswith("episode"):
        title += f" · {path.stem.partition('-')[0].replace('update', 'latest')}"
    return title, f"mean score {score:+.1f}" if isinstance(score, int | float) else "no game finished yet"
