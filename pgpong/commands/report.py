"""pgpong report: one HTML page about a run."""

from contextlib import nullcontext
from pathlib import Path

import click
from rich.console import Console

from pgpong.commands.options import check_folder
from pgpong.errors import SettingError
from pgpong.report import write_report
from pgpong.storage.files import write_atomically
from pgpong.storage.history import read_run

SUFFIX = ".html"


@click.command("report")
@click.argument("run", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), help="the .html file to write [report.html in the run's folder]"
)
def command(run: str | None, out: Path | None) -> None:
    """Write one HTML page about RUN, a folder or a name under runs/; without it, about the newest run.

    The page holds the result in one line, the learning curve, the end of the best game as a film, what the
    network looks for, the training sheet, all settings and where the figures come from. It is one file that
    needs no network and no script. What stood at --out is replaced.

    The film is a video where PyAV is installed (pip install 'pgpong[video]'), else a GIF.
    """
    if out is not None:
        if out.suffix.lower() != SUFFIX:
            raise SettingError(f"expected the name of a {SUFFIX} file, got {str(out)!r}")
        check_folder(out)
    history = read_run(run)
    out = out or history.run.folder / f"report{SUFFIX}"
    console = Console(stderr=True)
    with console.status("writing the report") if console.is_terminal else nullcontext():
        # A folder's name may hold bytes that are no text.
        page = write_report(history).encode("utf-8", "replace")
        write_atomically(out, [page])
    click.echo(f"{out}: {len(page) / 1e6:.1f} MB")
