"""pgpong export: write an agent for other people and programs."""

from pathlib import Path

import click

from pgpong.agent import Agent
from pgpong.commands.options import check_folder
from pgpong.storage.exchange import export_agent
from pgpong.storage.run import find_agent


@click.command("export")
@click.argument("agent", default="")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the file to write")
def command(agent: str, out: Path) -> None:
    """Write AGENT to a .npz model file, or to a .safetensors file for other programs.

    AGENT is a file, a run (its best), RUN@latest, RUN@best, RUN@500 (episode 500's) or pretrained; without
    it, the newest run, and where there is none, pretrained. Of a checkpoint the agent alone is written, not
    what its training needs to go on.
    """
    check_folder(out)
    loaded = Agent.load(find_agent(agent))
    export_agent(loaded, out)
    click.echo(f"{out}: {loaded.policy.hidden} hidden units, {loaded.game}")
