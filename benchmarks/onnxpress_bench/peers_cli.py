"""`onnxpress peers`: parses, calls, prints. Nothing is installed here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from onnxpress_bench.environments import PEERS, Show, State, install, state
from onnxpress_bench.errors import BenchError

_ALL = "all"


@click.command("peers")
@click.option("--install", "wanted", metavar="NAME[,NAME]|all", help="Make these peers' environments.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, with all versions.")
def peers_command(wanted: str | None, as_json: bool) -> None:
    """List the libraries that onnxpress can be compared with, or install them, each in an environment of its own.

    Environments are kept in $ONNXPRESS_BENCH_HOME, or the user's cache; deleting that folder removes them.
    """
    failures = _install(wanted) if wanted else []
    peers = state()
    click.echo(json.dumps([asdict(peer) for peer in peers], indent=2) if as_json else _table(peers))
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    if failures:
        sys.exit(1)


def _install(wanted: str) -> list[BenchError]:
    """One after the other; what fails is returned, and the rest goes on.

    Raises:
        BenchError: one of the names is no peer; nothing is installed then.
    """
    names = sorted(PEERS) if wanted == _ALL else list(dict.fromkeys(wanted.split(",")))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise BenchError(f"There is no peer {unknown[0]!r}. Peers are: {', '.join(sorted(PEERS))}; or {_ALL}.")
    failures = []
    for name in names:
        with _display(name) as show:
            try:
                install(name, show)
            except BenchError as error:
                failures.append(error)
    return failures


@contextmanager
def _display(name: str) -> Iterator[Show]:
    """What pip does, as one line on standard error; nothing where that is not a terminal."""
    from tqdm import tqdm

    with tqdm(disable=not sys.stderr.isatty(), file=sys.stderr, bar_format="{desc} {elapsed}", leave=False) as bar:
        yield lambda line: bar.set_description_str(f"{name}: {line[:80]}")


def _table(peers: list[State]) -> str:
    rows = [("peer", "installed", "size", "what it is")]
    for peer in peers:
        size = f"{peer.size_bytes / 1e6:,.0f} MB" if peer.installed else ""
        rows.append((peer.name, peer.version or "no", size, peer.about))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    missing = [peer.name for peer in peers if not peer.installed]
    if missing:
        lines += ["", f"onnxpress peers --install {','.join(missing)}"]
    return "\n".join(lines)
