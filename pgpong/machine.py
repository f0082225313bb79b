"""What a figure depends on besides the code: library versions, machine, commit."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Those that a training uses.
LIBRARIES = ("pgpong", "numpy", "scipy", "gymnasium", "ale-py", "threadpoolctl", "rich", "click", "tomli-w")


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of the libraries in use and of those named."""
    found = {"python": platform.python_version()}
    for library in (*LIBRARIES, *more):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "missing"
    return found


def available_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Name system, processor and cores."""
    return {"system": platform.platform(), "processor": processor(), "cores": available_cores()}


def processor() -> str:
    """Name the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@cache
def git_commit() -> str | None:
    """Return the commit of the checkout that this code runs from, None if it is in none."""
    folder = Path(__file__).parent
    commands = (
        # It may be installed within another project's checkout.
        ["ls-files", "--error-unmatch", Path(__file__).name],
        ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
    )
    try:
        for command in commands:
            answer = subprocess.run(
                ["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=5, check=True
            )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def peak_memory() -> int | None:
    """Return the most memory this process has held, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
