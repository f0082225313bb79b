"""Where the episodes come from that are watched: an agent, a run that still trains, a replay, a person.

Each source is an iterator of episodes, a title and its scenes, as `watching.watch` takes them.
"""

import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np

from pgpong.agent import Agent
from pgpong.errors import FileFormatError, RunError
from pgpong.storage.replay import SUFFIX, Replay
from pgpong.storage.run import PRETRAINED, SHIPPED, Run, find_agent
from pgpong.viewing.playback import Playback, Player, Scene, agent_player, play, play_replay
from pgpong.viewing.watching import Controls

Episodes = Iterator[tuple[str, Iterator[Scene]]]

_TRIES = 10  # to load a checkpoint before the training replaces it
_BETWEEN_TRIES = 0.05  # seconds


def load_subject(reference: str) -> tuple[str, Agent | Replay]:
    """Load what AGENT or a replay's file names; return what to call it, and its contents.

    Raises:
        RunError: there is no such run or agent.
        FileFormatError: the file is damaged, or neither agent nor replay.
    """
    if reference.endswith(SUFFIX):
        return reference, Replay.load(reference)
    path = find_agent(reference)
    try:
        return call(path), Agent.load(path)
    except FileFormatError as no_agent:
        try:
            return reference, Replay.load(path)
        except FileFormatError:
            raise no_agent from None


def agent_episodes(agent: Agent, name: str, controls: Controls, seeds: Iterator[int]) -> Episodes:
    """Play one game after the other with an agent."""
    playback = Playback(agent.game)
    for episode, seed in enumerate(seeds, start=1):
        scenes = play(playback, seed, choosing_player(agent, controls, seed))
        yield f"{name} · episode {episode}, seed {seed} · {agent.game}", scenes


def followed_episodes(run: Run, controls: Controls, seeds: Iterator[int]) -> Episodes:
    """Play with the newest checkpoint that a run has at the beginning of each game. The run is only read.

    Raises:
        RunError: the run has no checkpoint yet, or has vanished.
    """
    for episode, seed in enumerate(seeds, start=1):
        path, agent = load_newest_agent(run)
        scenes = play(Playback(agent.game), seed, choosing_player(agent, controls, seed))
        yield f"following {call(path)} · episode {episode}, seed {seed} · {agent.game}", scenes


def replayed_episode(replay: Replay, name: str) -> Episodes:
    """Play a replay back."""
    title = f"{name} · replay, seed {replay.seed}, score {replay.score:+d} · {replay.game}"
    yield title, play_replay(Playback(replay.game), replay)


def persons_episode(playback: Playback, controls: Controls, seed: int) -> Episodes:
    """Let a person play one game; `playback` then has its replay."""
    yield f"you play on the right · seed {seed} · {playback.game}", _by_hand(playback, controls, seed)


def call(path: Path) -> str:
    """Say which agent a file holds.

    >>> call(Path("runs/night/checkpoints/update-000120.npz")), call(Path("mine.npz"))
    ('night update 120', 'mine.npz')
    """
    if path == SHIPPED:
        return PRETRAINED
    if path.parent.name != "checkpoints":
        return str(path)
    which, _, number = path.stem.partition("-")
    return f"{path.parent.parent.name} {which}" + (f" {int(number)}" if number.isdecimal() else "")


def seeds_from(first: int, episodes: int | None) -> Iterator[int]:
    """Count the seeds of so many episodes, or of episodes without end."""
    return islice(count(first), episodes)


def choosing_player(agent: Agent, controls: Controls, seed: int) -> Player:
    """Let an agent choose, sampled or greedily as the keys have it at the time."""
    sampled, greedy = agent_player(agent, np.random.default_rng(seed)), agent_player(agent)

    def choose(scene: Scene) -> tuple[int, float | None, float | None]:
        return (greedy if controls.greedy else sampled)(scene)

    return choose


def _by_hand(playback: Playback, controls: Controls, seed: int) -> Iterator[Scene]:
    # Unlike an agent, a person decides when the scene has been seen: what the keys say then comes next.
    scene = playback.begin(seed)
    while not scene.ended:
        yield scene
        scene = playback.step(controls.direction)
    yield scene


def load_newest_agent(run: Run) -> tuple[Path, Agent]:
    """Load the newest checkpoint of a run that may be training, which deletes the older ones meanwhile.

    Raises:
        RunError: there is none, or the run has vanished.
        FileFormatError: it is damaged.
    """
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_BETWEEN_TRIES)
        path = run.latest
        try:
            return path, Agent.load(path)
        except FileFormatError:
            if path.exists():
                raise
    if not run.settings_file.is_file():
        raise RunError(f"the run {run.folder} has gone: 'pgpong runs' lists the runs here")
    raise RunError(f"{run.folder} has no checkpoint yet: it gets one while 'pgpong train' is at work")
