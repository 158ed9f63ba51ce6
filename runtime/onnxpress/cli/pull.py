"""`onnxpress pull`: a model of the Hub as a folder. Parses, calls, prints."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from onnxpress.cli.options import lock_option, revision_option


@click.command()
@click.argument("model", metavar="ID")
@click.option("--to", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder to make.")
@revision_option
@click.option(
    "--precision",
    metavar="NAMES",
    help="Variants, with commas between them, or all (default: the one that runs here).",
)
@lock_option
@click.option("--force", is_flag=True, help="Replace DIR if it is an artifact.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: commit, files, sizes, hashes.")
def pull(
    model: str,
    to: Path,
    revision: str | None,
    precision: str | None,
    lock: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Bring ID, a repository on the Hub, into the folder DIR, which needs no network afterwards.

    Only the files that the variants need come: of an artifact of onnxpress, or of another tool's repository. Each is
    compared with the hash that the Hub lists. A download that was cut is continued by the same command. Private
    repositories need HF_TOKEN or `hf auth login`.
    """
    from onnxpress.hub import USUAL_ACCESS
    from onnxpress.pipelines.figures import size
    from onnxpress.pipelines.pulling import bring

    pulled = bring(model, to, revision, precision, lock=lock, force=force, access=USUAL_ACCESS)
    if as_json:
        click.echo(json.dumps({**asdict(pulled), "folder": str(pulled.folder), "bytes": pulled.bytes}))
        return
    click.echo(
        f"{pulled.folder}: {', '.join(pulled.precisions)} of {pulled.repo_id} at {pulled.revision}, "
        f"{len(pulled.files)} files, {size(pulled.bytes)}\n  commit {pulled.commit}; each file was compared with the "
        "hash that the Hub lists"
    )
