"""`onnxpress inspect`: what an artifact is."""

from __future__ import annotations

import click


@click.command()
@click.argument("artifact")
@click.option("--revision", help="Branch, tag or commit of a Hub repository.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def inspect(artifact: str, revision: str | None, as_json: bool) -> None:
    """Show what ARTIFACT (a folder or a Hub id) is: task, graphs, variants, quality, origin.

    Of a Hub repository, no weights are downloaded.
    """
    from onnxpress.cli.inspection import describe
    from onnxpress.format.manifest import dump
    from onnxpress.layouts.artifact import Artifact

    manifest = Artifact.open(artifact, revision=revision).manifest
    click.echo(dump(manifest) if as_json else describe(manifest), nl=not as_json)
