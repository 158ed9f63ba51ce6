"""`onnxpress inspect`: what an artifact is."""

from __future__ import annotations

from typing import Any

import click

from onnxpress.cli.options import saying


@click.command()
@click.argument("artifact")
@click.option("--revision", help="Branch, tag or commit of a Hub repository.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@saying
def inspect(artifact: str, revision: str | None, as_json: bool, said: dict[str, Any]) -> None:
    """Show what ARTIFACT (a folder, a Hub id or an .onnx file) is: task, graphs, variants, quality, origin.

    Of an artifact on the Hub, no weights are downloaded. Of another tool's folder, what was inferred is told, fact by
    fact, with what says so.
    """
    from onnxpress.cli.inspection import describe
    from onnxpress.format.manifest import dump
    from onnxpress.pipelines.asked import Opening

    opened = Opening.of({"revision": revision, **said}).adopted(artifact)
    click.echo(dump(opened.manifest) if as_json else describe(opened.manifest, adopted=opened.adopted), nl=not as_json)
