"""pgpong import: make a model file of an agent from elsewhere."""

from pathlib import Path

import click

from pgpong.commands.options import check_folder
from pgpong.storage.exchange import ENV_OF_2016, MODEL, check_output, import_agent


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the .npz file to write")
@click.option("--env", help=f"environment that a save.p was trained in [{ENV_OF_2016}]")
def command(file: Path, out: Path, env: str | None) -> None:
    """Make a model file of FILE: the 2016 script's save.p, or a .safetensors file of 'pgpong export'.

    A save.p is a pickle. It is read by a reader of pgpong's own that knows arrays and nothing else; a pickle
    that asks for anything else is refused, and nothing in it is executed.
    """
    check_output(out, MODEL)
    check_folder(out)
    agent = import_agent(file, env)
    agent.save(out)
    click.echo(f"{out}: {agent.policy.hidden} hidden units, {agent.game}")
