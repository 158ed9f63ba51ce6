"""`onnxpress adopt`: parses, calls, prints. Nothing is computed here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxpress_exporter.cli.terminal import (
    display,
    evaluation_options,
    kept_log,
    output_options,
    print_artifact,
    printed_if_refused,
    quantization_options,
    quantization_settings,
    require,
)
from onnxpress_exporter.write.origin import public_command

if TYPE_CHECKING:
    from onnxpress_exporter.judging.data import EvalData

NEEDS = ("onnx", "onnx_ir", "onnxruntime")
NEEDS_OF_CHECKPOINTS = ("torch", "transformers", "optimum", "requests")

#: stage -> what people read.
TITLES = {
    "open": "understanding the folder",
    "copy": "copying the files",
    "asking the graph": "asking the graph",
    "rewriting the graph": "rewriting the graph",
    "asking PyTorch": "asking PyTorch",
    "verify": "verifying",
    "write": "writing the artifact",
    "done": "done",
}


@click.command("adopt")
@click.argument("source", metavar="FOLDER_OR_ID")
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option("--task", help="The Hub's task name or an alias (default: what the graph and the files show).")
@click.option("--precision", default="fp32", help="Variants to make beside fp32, separated by commas: int8, q8, ...")
@click.option("--pooling", help="How token states become one vector, where the folder does not say: mean, cls, ...")
@click.option(
    "--checkpoint", metavar="FOLDER_OR_ID", help="The PyTorch checkpoint that it was exported from, to compare with."
)
@click.option("--checkpoint-of-card", is_flag=True, help="Compare with the base_model that the folder's card names.")
@click.option(
    "--allow-pickled-weights",
    is_flag=True,
    help="Load the checkpoint's weights if they are pickles, which can run code: only for sources you trust.",
)
@click.option("--revision", help="Branch, tag or commit of a Hub repository.")
@click.option("--force", is_flag=True, help="Replace OUT if it is an artifact.")
@quantization_options
@evaluation_options
@output_options
def adopt_command(
    source: str,
    out: Path | None,
    task: str | None,
    precision: str,
    pooling: str | None,
    checkpoint: str | None,
    checkpoint_of_card: bool,
    allow_pickled_weights: bool,
    revision: str | None,
    force: bool,
    thresholds: tuple[str, ...],
    repair_s: float,
    keep_slow: bool,
    tune: bool,
    cache: str,
    evaluation: EvalData | None,
    log_file: Path | None,
    as_json: bool,
) -> None:
    """Turn another tool's ONNX files, in a folder or a Hub repository, into an artifact in the folder OUT.

    For what optimum, transformers.js, sentence-transformers and others wrote; a PyTorch checkpoint is exported with
    `onnxpress export`. OUT defaults to the source's name with "-onnxpress" in the current folder. The graph is
    rewritten where its answers stay as they are; every file gets a hash, and the manifest tells what was inferred, and
    from what. With --checkpoint its answers are compared with PyTorch's; without, they count as "not known", and those
    of quantized variants are held against its fp32 variant.
    """
    compares = checkpoint is not None or checkpoint_of_card
    require("adopt", (*NEEDS, *NEEDS_OF_CHECKPOINTS) if compares else NEEDS, extra="export" if compares else "quantize")
    settings = quantization_settings(thresholds, repair_s, keep_slow, evaluation, tune=tune, cache=cache)
    target = out or Path(Path(source).absolute().name + "-onnxpress")
    with kept_log(log_file) as log, display(TITLES) as show:
        show("open")
        from onnxpress_exporter.flow import adopt

        with printed_if_refused(as_json):
            artifact = adopt(
                source,
                target,
                task,
                precision,
                revision=revision,
                pooling=pooling,
                checkpoint=checkpoint,
                checkpoint_of_card=checkpoint_of_card,
                allow_pickled_weights=allow_pickled_weights,
                force=force,
                settings=settings,
                command=public_command(sys.argv[1:]),
                log_file=log,
                progress=show,
            )
    print_artifact(artifact, as_json)
