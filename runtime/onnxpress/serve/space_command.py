"""`onnxpress space`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "space",
    epilog="""\b
  onnxpress space my-embedder my-space
  onnxpress space org/embedder-onnx my-space --from-hub --precision int8
""",
)
@click.argument("artifact", metavar="ARTIFACT")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="The model's name (default: the folder's).")
@click.option("--from-hub", is_flag=True, help="ARTIFACT is a Hub id, and its files stay there.")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit of the Hub id.")
@click.option("--precision", metavar="NAME", help="Variant (default: all; the server chooses).")
@click.option("--wheel", type=click.Path(path_type=Path), metavar="FILE", help="A wheel of onnxpress to install there.")
def space(
    artifact: str,
    out: Path,
    name: str | None,
    from_hub: bool,
    revision: str | None,
    precision: str | None,
    wheel: Path | None,
) -> None:
    """Write a folder OUT that runs on Hugging Face Spaces (Docker): the server, and a page that tries ARTIFACT."""
    from onnxpress.serve.space import write_space

    variants = write_space(
        artifact, out, name=name, from_hub=from_hub, revision=revision, precision=precision, wheel=wheel
    )
    click.echo(
        f"{out}: a Space of {artifact} ({variants}); publish it: hf upload ORGANIZATION/NAME {out} --repo-type space"
    )
