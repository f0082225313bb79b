"""The command line: one module a verb, each thin. `VERBS` is the table of contents."""

from importlib import import_module

import click

# Verb and help line. The module of the same name holds its click command as `command`; it is imported
# when the verb is used, so that `pgpong --help` is quick.
VERBS = {
    "train": "Start a run: learn Pong from pixels.",
    "resume": "Go on with a run where it stopped.",
    "evaluate": "Play games with an agent and report its score.",
    "runs": "List the runs here.",
    "bench": "Measure training speed against the bare emulator.",
    "doctor": "Check that everything that is needed is here.",
}


class Verbs(click.Group):
    """A group whose commands are looked up in `VERBS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb and return its command."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"pgpong.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing any verb."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))
