"""pgpong doctor: is everything here that is needed."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import ale_py.roms
import click
import numpy as np
from rich.console import Console

from pgpong.envs.vector import make_vec
from pgpong.errors import SettingError
from pgpong.learning.backend import BACKENDS, find_backend
from pgpong.machine import machine, versions
from pgpong.storage.run import RUNS

# By their names in `pip install 'pgpong[...]'`: the module that each brings.
EXTRAS = {
    "window": "pygame",
    "video": "av",
    "tensorboard": "tensorboardX",
    "safetensors": "safetensors",
    "notebooks": "jupyterlab",
    "torch": "torch",
    "cupy": "cupy",
    "bench": "stable_baselines3",
}
SPACE_WANTED = 500 * 2**20  # bytes: an overnight run with its kept agents


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `good` is None for what is merely told."""

    what: str
    result: str
    good: bool | None = None


@click.command("doctor")
def command() -> int:
    """Check that everything that is needed is here, and tell versions and machine.

    Ends with status 1 if something that training needs is missing.
    """
    findings = []
    for check in CHECKS:
        for finding in check():
            mark = {True: "ok     ", False: "PROBLEM", None: "       "}[finding.good]
            click.echo(f"{mark} {finding.what:<17} {finding.result}")
            findings.append(finding)
    problems = sum(finding.good is False for finding in findings)
    click.echo("all is well" if not problems else f"{problems} problem(s): see above")
    return 1 if problems else 0


def check_versions() -> Iterator[Finding]:
    """Name Python and the libraries."""
    for library, found in versions("matplotlib", "pillow", "jinja2").items():
        yield Finding(library, found, found != "missing")


def check_extras() -> Iterator[Finding]:
    """Tell which extras are installed, and which devices there are to compute on."""
    for extra, module in EXTRAS.items():
        if find_spec(module) is None:
            yield Finding(f"extra {extra}", f"not installed; pip install 'pgpong[{extra}]'")
            continue
        try:
            here = str(find_backend(extra)) if extra in BACKENDS else "installed"
        except SettingError as error:  # a library for GPUs where there is none
            here = str(error)
        yield Finding(f"extra {extra}", here)


def check_machine() -> Iterator[Finding]:
    """Name the machine."""
    facts = machine()
    yield Finding("machine", f"{facts['processor']}, {facts['cores']} cores, {facts['system']}")


def check_emulator() -> Iterator[Finding]:
    """Look for the ROM, and play a few steps twice from one seed."""
    rom = ale_py.roms.get_rom_path("pong")
    yield Finding("Pong ROM", str(rom or "missing: reinstall ale-py"), rom is not None)
    if rom is None:
        return
    first, speed = _play()
    second, _ = _play()
    repeats = np.array_equal(first, second)
    result = f"{speed:,.0f} steps/s; the same seed gives {'the same' if repeats else 'another'} game"
    yield Finding("emulator", result, repeats)


def _play(steps: int = 200) -> tuple[np.ndarray, float]:
    env = make_vec(8)
    observations = [env.reset(seed=0)[0]]
    began = time.perf_counter()
    observations += [env.step(np.full(8, step % 3 % 2))[0] for step in range(steps)]
    seconds = time.perf_counter() - began
    env.close()
    return np.array(observations), 8 * steps / seconds


def check_disk() -> Iterator[Finding]:
    """Write where the runs go, and see what space is left."""
    folder = RUNS if RUNS.is_dir() else RUNS.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Finding("runs folder", f"{RUNS.absolute()} cannot be written: {error.strerror}", False)
        return
    free = shutil.disk_usage(folder).free
    yield Finding("runs folder", f"{RUNS.absolute()}, {free / 2**30:,.1f} GiB free", free > SPACE_WANTED)


def check_terminal() -> Iterator[Finding]:
    """Tell how a training would be shown here."""
    console = Console()
    live = console.is_terminal and not console.is_dumb_terminal
    colours = console.color_system or "no colours"
    shown = f"live panel, {colours}, {console.width} columns" if live else "not a live one: plain lines"
    yield Finding("terminal", f"{shown} (TERM={os.environ.get('TERM', 'not set')})")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_versions,
    check_extras,
    check_machine,
    check_emulator,
    check_disk,
    check_terminal,
)
