"""The entry point: `pgpong` and `python -m pgpong`."""

import os
import sys
from collections.abc import Sequence

import click

import pgpong
from pgpong.commands import Verbs
from pgpong.errors import DiskError, PgpongError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(pgpong.__version__, prog_name="pgpong")
def cli() -> None:
    """Learn Atari Pong from pixels with a two-layer network and policy gradients."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; what the user can put right is said in one line."""
    try:
        status = cli.main(args=argv, prog_name="pgpong", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return error.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "pgpong"
        return _fail(f"{error.format_message()} ('{where} --help' lists what there is)", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except PgpongError as error:
        return _fail(str(error), error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: pgpong runs | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a disk or a device that fails where nobody expected it to
        return _fail(str(error), DiskError.exit_status)
    return status or 0


def _fail(message: str, status: int) -> int:
    # A message may quote a file, a path or a lock: no control character gets through to the terminal.
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(message.split()))
    click.echo(f"pgpong: {line}", err=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
