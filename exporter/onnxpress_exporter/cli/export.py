"""`onnxpress export`: parses, calls, prints. Nothing is computed here."""

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
from onnxpress_exporter.layouts import LAYOUTS, USUAL
from onnxpress_exporter.write.origin import public_command

if TYPE_CHECKING:
    from onnxpress_exporter.judging.data import EvalData

NEEDS = ("torch", "transformers", "optimum", "requests", "onnx", "onnx_ir", "onnxscript", "onnxruntime")

#: stage -> what people read. The stages are those of `onnxpress_exporter.flow.STAGES`.
TITLES = {
    "open": "opening the checkpoint",
    "load": "loading the model",
    "trace": "tracing the graph",
    "save": "writing the graph",
    "reference": "asking PyTorch",
    "verify": "verifying",
    "write": "writing the artifact",
    "done": "done",
}


@click.command("export")
@click.argument("model")
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option("--task", help="The Hub's task name or an alias (default: found from the checkpoint).")
@click.option("--precision", default="fp32", show_default=True, help="Variants to write, separated by commas.")
@click.option("--revision", help="Branch, tag or commit of a Hub repository.")
@click.option("--force", is_flag=True, help="Replace OUT if it is an artifact.")
@click.option(
    "--allow-pickled-weights",
    is_flag=True,
    help="Load weights that are pickles, if there is no safetensors "
    "file. A pickle can run code: only for sources you trust.",
)
@click.option("--trust-remote-code", is_flag=True, help="Let the checkpoint's own Python code run.")
@click.option("--adapter", help="A PEFT adapter, a folder or a Hub id, to merge into the model.")
@click.option(
    "--layout",
    type=click.Choice(list(LAYOUTS)),
    default=USUAL.name,
    show_default=True,
    help="How files and graphs are laid out: for this runtime, or so that another tool runs a model that writes, too.",
)
@quantization_options
@evaluation_options
@output_options
def export_command(
    model: str,
    out: Path | None,
    task: str | None,
    precision: str,
    revision: str | None,
    force: bool,
    allow_pickled_weights: bool,
    trust_remote_code: bool,
    adapter: str | None,
    layout: str,
    thresholds: tuple[str, ...],
    repair_s: float,
    keep_slow: bool,
    tune: bool,
    cache: str,
    evaluation: EvalData | None,
    log_file: Path | None,
    as_json: bool,
) -> None:
    """Export MODEL (a folder or a Hub id) as a verified artifact in the folder OUT.

    OUT defaults to the model's name with "-onnx" in the current folder. Nothing is written unless the graph's
    answers agree with PyTorch's. A quantized variant (int8, q8, q4, fp16, q4f16) that misses its thresholds is
    repaired, or refused with its figures; the others are written, and the exit code is 1. With --json, "x-refused"
    beside the manifest's fields says why, by precision.
    """
    require("export", NEEDS)
    settings = quantization_settings(thresholds, repair_s, keep_slow, evaluation, tune=tune, cache=cache)
    target = out or Path(Path(model).absolute().name + "-onnx")
    with kept_log(log_file) as log, display(TITLES) as show:
        show("open")
        from onnxpress_exporter import export

        with printed_if_refused(as_json):
            artifact = export(
                model,
                target,
                task,
                precision.split(","),
                revision=revision,
                force=force,
                allow_pickled_weights=allow_pickled_weights,
                trust_remote_code=trust_remote_code,
                adapter=adapter,
                layout=layout,
                quantization=settings,
                command=public_command(sys.argv[1:]),
                log_file=log,
                progress=show,
            )
    print_artifact(artifact, as_json)
