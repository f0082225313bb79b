"""Checkpoints: an agent plus what else a training needs to go on. Private to a run; data only."""

from collections import deque
from pathlib import Path

import numpy as np

from pgpong.agent import Agent
from pgpong.config import TrainConfig
from pgpong.envs.game import Game
from pgpong.errors import FileFormatError
from pgpong.state import SCORE_WINDOW, Progress, TrainingState, new_state
from pgpong.storage.arrays import Arrays, read_arrays, write_arrays


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write `state` as it was after its last update.

    Raises:
        NonFiniteError: a number of it is NaN or infinite; nothing is written.
        DiskError: the system refused to write.
    """
    header, arrays = state.agent.pack()
    progress = {**vars(state.progress), "scores": list(state.progress.scores)}
    header["training"] = {"progress": progress, "rng": state.rng_state}
    write_arrays(path, header, {**arrays, **_flat(state)})


def load_checkpoint(path: Path, config: TrainConfig, game: Game) -> TrainingState:
    """Read a training of the settings `config` back.

    Raises:
        FileFormatError: the file is damaged, holds no training, or was made with other settings.
    """
    header, arrays = read_arrays(path)
    agent = Agent.unpack(path, header, arrays)
    if agent.game != game:
        raise FileFormatError(f"{path} was trained on {agent.game}, the run's config.toml says {game}")
    if len(agent.policy.W2) != config.hidden:
        raise FileFormatError(
            f"{path} has {len(agent.policy.W2)} hidden units, the run's config.toml says {config.hidden}"
        )
    state = new_state(config, game)
    state.agent = agent
    expected = _flat(state)
    unfit = f"{path} holds an agent but no training of these settings to go on with"
    if arrays.keys() != {*expected, *agent.policy.parameters}:
        raise FileFormatError(unfit)
    try:
        for name, array in expected.items():
            array[...] = arrays[name]
        training = header["training"]
        state.rng.bit_generator.state = training["rng"]
        scores = deque(training["progress"].pop("scores"), SCORE_WINDOW)
        state.progress = Progress(**training["progress"], scores=scores)
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(unfit) from error
    state.mark_boundary()
    return state


def _flat(state: TrainingState) -> Arrays:
    """Name the optimiser's arrays in one level, as they stand in the file; they are not copied."""
    return {
        f"{mean}.{name}": np.asarray(array)
        for mean, arrays in state.optimizer.state.items()
        for name, array in arrays.items()
    }
