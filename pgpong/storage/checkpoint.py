"""Checkpoints: an agent plus what else a training needs to go on. Private to a run; data only.

The file is an agent's, with further arrays (`optimizer.*`, `critic.*`, `games.*`, `scores`) and metadata
(`training.*`); whoever only wants to play reads the agent's part of it.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pgpong.actions import number_of_actions
from pgpong.agent import TRAINING, Agent
from pgpong.config import TrainConfig
from pgpong.envs.game import Game
from pgpong.errors import FileFormatError, SettingError
from pgpong.learning.backend import NUMPY, Array, Backend
from pgpong.learning.optimizers import Optimizer
from pgpong.learning.policy import Policy
from pgpong.rollout import BOOKS, Columns
from pgpong.state import SCORE_WINDOW, Progress, TrainingState, new_state
from pgpong.storage.arrays import LARGEST_FILE, Arrays, Meta, read_arrays, write_arrays

T = TypeVar("T")

_ROOM_FOR_GAMES = 1 << 26  # bytes: what the games were and what is open in them, thousands of steps each

GENERATOR, GAMES, SCORES = "rng.", "games.", "scores"
OPTIMIZER, CRITIC = "optimizer.", "critic."
REST_OF_WORD = ("has_uint32", "uinteger")  # PCG64 makes 64 bits at a time, and half may be left over


def check_size(state: TrainingState) -> None:
    """Check, before a training begins, that one file can hold it.

    Raises:
        SettingError: its network is too large.
    """
    weights = [*state.agent.policy.parameters.values(), *_learning_arrays(state).values()]
    size, most = 4 * sum(math.prod(array.shape) for array in weights), LARGEST_FILE - _ROOM_FOR_GAMES
    if size > most:
        hidden = state.agent.policy.hidden
        raise SettingError(
            f"hidden: a checkpoint of {hidden:,} units takes {size / 2**30:.1f} GiB, and its file holds "
            f"{most / 2**30:.1f}: with these settings {int(hidden * most / size):,} units are the most"
        )


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write `state` as it was after its last update.

    Raises:
        NonFiniteError: a number of it is NaN or infinite; nothing is written.
        DiskError: the system refused to write.
    """
    meta, arrays = state.agent.pack()
    progress = asdict(state.progress)
    scores = np.array(progress.pop("scores"), np.int64)
    words = {**state.rng_state["state"], **{name: state.rng_state[name] for name in REST_OF_WORD}}
    meta |= _named(TRAINING, progress | _named(GENERATOR, words))
    to_numpy = state.agent.policy.backend.to_numpy
    arrays |= {name: to_numpy(array) for name, array in _learning_arrays(state).items()}
    arrays |= {SCORES: scores} | _named(GAMES, state.games)
    write_arrays(path, meta, arrays)


def load_checkpoint(path: Path, config: TrainConfig, game: Game, backend: Backend = NUMPY) -> TrainingState:
    """Read a training of the settings `config` back, whatever backend it was on before.

    Raises:
        FileFormatError: the file is damaged, holds no training, or was made with other settings.
    """
    meta, arrays = read_arrays(path)
    agent = Agent.unpack(path, meta, arrays)
    if agent.game != game:
        raise FileFormatError(f"{path} was trained on {agent.game}, the run's config.toml says {game}")
    if agent.policy.hidden != config.hidden:
        raise FileFormatError(
            f"{path} has {agent.policy.hidden} hidden units, the run's config.toml says {config.hidden}"
        )
    if (dtype := arrays["W1"].dtype) != np.float32:
        raise FileFormatError(f"{path} has weights of {dtype}, a training computes in float32")
    state = new_state(config, game, backend)
    state.agent = agent.to(backend)
    try:
        _restore(state, _under(TRAINING, meta), arrays)
        games = _under(GAMES, arrays)
        _check_games(games, config.num_envs, state.agent.policy)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(
            f"{path} holds an agent but no training of these settings to go on with"
        ) from error
    state.mark_boundary(games)
    return state


def load_newest(
    paths: Sequence[Path],
    config: TrainConfig,
    game: Game,
    tell: Callable[[str], None],
    backend: Backend = NUMPY,
) -> TrainingState:
    """Read the first good one of `paths`, the newest first; `tell` gets a line for each one passed over.

    Raises:
        FileFormatError: there is none; the error is that of the newest.
    """
    refusals: list[FileFormatError] = []
    for path in paths:
        try:
            state = load_checkpoint(path, config, game, backend)
        except FileFormatError as error:
            refusals.append(error)
        else:
            for refusal in refusals:
                tell(f"{refusal}: going on from update {state.progress.update}")
            return state
    raise refusals[0] if refusals else FileFormatError("the run has no checkpoint to go on from")


def _restore(state: TrainingState, training: Meta, arrays: Arrays) -> None:
    """Fill a new state with progress, random generator, the optimiser's running means and the critic."""
    expected = _learning_arrays(state)
    if expected.keys() != {name for name in arrays if name.startswith((OPTIMIZER, CRITIC))}:
        raise KeyError(OPTIMIZER)
    for name, array in expected.items():
        if arrays[name].shape != tuple(array.shape):
            raise ValueError(name)
        array[...] = state.agent.policy.backend.asarray(arrays[name])
    words = _under(GENERATOR, training)
    rest = {name: words.pop(name) for name in REST_OF_WORD}
    state.rng.bit_generator.state = {"bit_generator": "PCG64", "state": words, **rest}
    counts: dict[str, Any] = {n: value for n, value in training.items() if not n.startswith(GENERATOR)}
    if {**counts, SCORES: None}.keys() != asdict(state.progress).keys():
        raise KeyError(TRAINING)
    if any(type(value) is not type(getattr(state.progress, name)) for name, value in counts.items()):
        raise TypeError(TRAINING)
    state.progress = Progress(**counts, scores=deque(arrays[SCORES].tolist(), SCORE_WINDOW))


def _check_games(games: Columns, num_envs: int, policy: Policy) -> None:
    """Raise ValueError or KeyError unless a rollout can go on with `games`: what follows trusts them."""
    if not games:
        return  # nothing was played yet
    if any(games[name].shape != (num_envs,) for name in BOOKS):
        raise ValueError("books of another number of games")
    if any(games[name].dtype.kind not in "iu" for name in (*BOOKS, "actions", "pixel", "pixel_count")):
        raise ValueError("whole numbers expected")
    if games["steps"].min() < 0 or games["steps"].sum() != len(games["actions"]):
        raise ValueError("as many actions as steps expected")
    steps = len(games["pixel_count"])
    if any(games[name].shape != (steps,) for name in ("action", "logp", "in_episode")):
        raise ValueError("columns of different lengths")
    pixels, actions = policy.pixels, number_of_actions(policy.may_stay)
    if not len(games["pixel"]) == len(games["pixel_value"]) == games["pixel_count"].sum():
        raise ValueError("pixels without a frame")
    if (
        games["pixel"].max(initial=0) >= pixels
        or games["actions"].max(initial=0) >= actions
        or games["action"].max(initial=0) >= actions
    ):
        raise ValueError("out of range")


def _learning_arrays(state: TrainingState) -> dict[str, Array]:
    """Name the optimiser's and the critic's arrays, as they stand in the file; they are not copied."""
    named = _optimizer_arrays(state.optimizer)
    if state.critic:
        critic = state.critic.network.parameters | _optimizer_arrays(state.critic.optimizer)
        named |= _named(CRITIC, critic)
    return named


def _optimizer_arrays(optimizer: Optimizer) -> dict[str, Array]:
    return {
        f"{OPTIMIZER}{mean}.{name}": array
        for mean, arrays in optimizer.state.items()
        for name, array in arrays.items()
    }


def _named(prefix: str, values: Mapping[str, T]) -> dict[str, T]:
    return {prefix + name: value for name, value in values.items()}


def _under(prefix: str, values: Mapping[str, T]) -> dict[str, T]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
