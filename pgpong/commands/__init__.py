"""The command line: one module a verb, each thin. `VERBS` is the table of contents."""

import keyword
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import click

# Verb and help line. The module of the same name (`import_`, where Python has taken the name) holds its click
# command as `command`; it is imported when the verb is used, so that `pgpong --help` is quick.
VERBS = {
    "train": "Start a run: learn Pong from pixels.",
    "resume": "Go on with a run where it stopped.",
    "evaluate": "Play games with an agent and report its score.",
    "watch": "See an agent play: in a window, in this terminal, while it trains.",
    "play": "Play yourself against the built-in opponent.",
    "record": "Film an agent or a replay, or how a run learned.",
    "plot": "Draw filters, learning curve and more into a file.",
    "report": "Write one HTML page about a run: curve, filters, film, settings.",
    "runs": "List the runs here.",
    "export": "Write an agent to a file for other people and programs.",
    "import": "Make a model file of a save.p of 2016 or of a .safetensors file.",
    "bench": "Measure training speed against the bare emulator.",
    "doctor": "Check that everything that is needed is here.",
}


@contextmanager
def _ctrl_c_kills() -> Iterator[None]:
    """Let Ctrl-C end the process while libraries are imported: they may swallow a KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where somebody has had it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Verbs(click.Group):
    """A group whose commands are looked up in `VERBS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb and return its command."""
        if cmd_name not in VERBS:
            return None
        module = cmd_name + "_" * keyword.iskeyword(cmd_name)
        with _ctrl_c_kills():
            command: click.Command = import_module(f"pgpong.commands.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing any verb."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))
