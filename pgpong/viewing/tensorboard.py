"""TensorBoard: a training's scalars, settings and filters as event files; an extra, loaded when asked for.

    pgpong train --tensorboard
    tensorboard --logdir runs

Events are written in the training's own thread, with tensorboardX's record writer. Its `SummaryWriter` hands
them to a thread over a queue that holds ten; when that thread has died of a full disk, the training waits for
room in the queue for ever. Here an error comes back to the call that met it, and `Guarded` takes it.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pgpong.agent import Agent
from pgpong.config import TrainConfig
from pgpong.errors import SettingError
from pgpong.learning.policy import Policy
from pgpong.state import Progress, TrainingState
from pgpong.storage.arrays import Meta
from pgpong.training import Record
from pgpong.viewing.guarded import Guarded, Nothing
from pgpong.viewing.progress import Display

FLUSH_INTERVAL = 10.0  # seconds that an event waits in memory, at most and about
PICTURE_SHARE = 0.01  # of the time, at most, goes into pictures
_MARK = "tfevents"  # what TensorBoard knows its files by


def check_tensorboard() -> None:
    """Check that TensorBoard's files can be written.

    Raises:
        SettingError: tensorboardX is not installed.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise SettingError("--tensorboard needs tensorboardX: pip install 'pgpong[tensorboard]'") from error


def make_listener(
    wanted: bool, folder: Path, config: TrainConfig, state: TrainingState, tell: Callable[[str], None]
) -> Display:
    """Make what writes a training's event files into `folder` if that is wanted, else what does nothing."""
    return Guarded("TensorBoard", TensorBoard(folder, config, state), tell) if wanted else Nothing()


class TensorBoard:
    """Writes event files into a folder; one a session, the step axis counts the environment's steps.

    It is to see an update before the update's checkpoint is saved, and what it has seen by then is on the
    disk: so a run that goes on from a checkpoint finds all events up to there, and takes back those after it.
    """

    def __init__(self, folder: Path, config: TrainConfig, state: TrainingState) -> None:
        self._folder = folder
        self._config = config
        self._state = state
        self._closing = ExitStack()
        self._drawn = state.progress.update  # the update of the last picture
        self._draw_after = 0.0  # monotonic time

    def __enter__(self) -> Self:
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._folder.mkdir(exist_ok=True)
        is_first = not any(self._folder.glob(f"*{_MARK}*"))
        # TensorBoard reads a folder's files in the order of their names.
        name = f"events.out.{_MARK}.{time.time():017.6f}"
        self._file = RecordWriter(str(self._folder / name))
        self._closing.callback(self._file.close)
        self._write(0, file_version="brain.Event:2")
        # Readers drop what earlier files hold from this step on: it was lost in a crash, and comes again.
        self._write(self._state.progress.step + 1, session_log=SessionLog(status=SessionLog.START))
        if is_first:
            for summary in settings(self._config):
                self._write(0, summary=summary)
        self._flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._closing:
            if kind is None and self._drawn < self._state.progress.update:
                self._draw()
            if kind is None:
                self._flush()

    def show(self, record: Record) -> None:
        """Write one update; now and then the filters too.

        Raises:
            OSError: the system refused to write.
        """
        progress = self._state.progress
        self._write(progress.step, summary=scalars(record, progress))
        now = time.monotonic()
        is_boundary = progress.update % self._config.checkpoint_every == 0
        if is_boundary and now >= self._draw_after:
            self._draw()
            self._draw_after = now + (time.monotonic() - now) / PICTURE_SHARE
        if is_boundary or now - self._flushed_at >= FLUSH_INTERVAL:
            self._flush()

    def _draw(self) -> None:
        progress = self._state.progress
        facts: Meta = {"run": self._folder.parent.name, "episode": progress.episode}
        agent = replace(self._state.agent, provenance=facts)  # its own are those of the last checkpoint
        if agent.policy.kind == Policy.kind:  # a convolutional one has no such filters
            self._write(progress.step, summary=filters_picture(agent))
        self._drawn = progress.update

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._file.write(Event(step=step, wall_time=time.time(), **content).SerializeToString())

    def _flush(self) -> None:
        self._file.flush()
        self._flushed_at = time.monotonic()


def scalars(record: Record, progress: Progress) -> Any:
    """Make the summary of an update: scores, the update's own figures, speed."""
    from tensorboardX.proto.summary_pb2 import Summary

    ended = [episode.score for episode in record.episodes]
    candidate = record.candidate
    values = {
        "score/mean": progress.score_mean,
        "score/episode": sum(ended) / len(ended) if ended else None,
        "score/evaluation": candidate.evaluation.mean if candidate else None,
        **{f"update/{name}": value for name, value in asdict(record.stats).items()},
        "speed/steps_per_second": record.steps / record.seconds,
    }
    known = {tag: value for tag, value in values.items() if value is not None}
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in known.items()])


def settings(config: TrainConfig) -> list[Any]:
    """Make the summaries of all settings: a table to read, and what TensorBoard compares runs by."""
    from tensorboardX.summary import hparams, text

    values = asdict(config)
    rows = [f"| {name} | {value} |" for name, value in values.items()]
    table = "\n".join(["| setting | value |", "| --- | --- |", *rows])
    plain = {name: value if type(value) in (int, float) else str(value) for name, value in values.items()}
    experiment, start, _ = hparams(plain, {"score/mean": None})
    return [text("settings", table), experiment, start]


def filters_picture(agent: Agent) -> Any:
    """Make the summary of the picture of W1, those hidden units first that weigh most."""
    from tensorboardX.summary import image

    from pgpong import plots

    figure = plots.filters(agent, order="weight", scale="weights")  # which play no games
    return image("filters", plots.to_pixels(figure), dataformats="HWC")
