"""Listeners of a training that may fail: what watches it must not be able to stop it."""

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from pgpong.training import Record
from pgpong.viewing.progress import Display


class Nothing:
    """A listener that does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, record: Record) -> None:
        """Do nothing."""


class Guarded:
    """A listener that may fail: its first error is told in one line, and it is heard of no more."""

    def __init__(self, name: str, listener: Display, tell: Callable[[str], None]) -> None:
        self._name = name
        self._listener = listener
        self._tell = tell

    def __enter__(self) -> Self:
        self._try(lambda listener: listener.__enter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._try(lambda listener: listener.__exit__(kind, error, trace))

    def show(self, record: Record) -> None:
        """Pass one update on."""
        self._try(lambda listener: listener.show(record))

    def _try(self, act: Callable[[Display], object]) -> None:
        try:
            act(self._listener)
        except Exception as error:
            failed, self._listener = self._listener, Nothing()
            with suppress(Exception):
                failed.__exit__(type(error), error, error.__traceback__)
            self._tell(f"{self._name}: {reason(error)}; no more comes of it, the training is not affected")


def reason(error: Exception) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
