"""The command-line tools that peers bring for conversion. Knows none of them."""

from __future__ import annotations

import subprocess
import sys


def run_tool(*arguments: str) -> None:
    """Python, with arguments: "-m", a module, and its own.

    Raises:
        RuntimeError: it failed; the message is the last line that it said.
    """
    done = subprocess.run([sys.executable, *arguments], capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise RuntimeError(said[-1] if said else f"{arguments[1]} ended with exit code {done.returncode}")
