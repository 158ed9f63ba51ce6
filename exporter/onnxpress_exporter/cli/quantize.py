"""`onnxpress quantize`: parses, calls, prints. Nothing is computed here."""

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


@click.command("quantize")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--precision",
    required=True,
    help="Variants to add, separated by commas: int8, q8, q4, fp16, q4f16. With --tune also those that are there.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write a new artifact there (default: into ARTIFACT).")
@click.option("--force", is_flag=True, help="Make variants anew that are there already; replace the folder of --out.")
@quantization_options
@evaluation_options
@output_options
def quantize_command(
    artifact: Path,
    precision: str,
    out: Path | None,
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
    """Add quantized variants to ARTIFACT, a folder with an fp32 variant.

    Each is compared with fp32 on real texts by the figures of its task. One that misses a threshold is repaired, or
    refused with its figures; the others are written, and the exit code is 1. With --json, "x-refused" beside the
    manifest's fields says why, by precision.

    With --tune, variants that are there already (fp32 among them) are not made anew, only tuned for this machine;
    what was found on other machines is kept.
    """
    require("quantize", NEEDS)
    settings = quantization_settings(thresholds, repair_s, keep_slow, evaluation, tune=tune, cache=cache)
    with kept_log(log_file) as log, display({}) as show:
        show("opening")
        from onnxpress_exporter.flow import quantize

        with printed_if_refused(as_json):
            quantized = quantize(
                artifact,
                precision,
                out,
                settings=settings,
                force=force,
                command=public_command(sys.argv[1:]),
                log_file=log,
                progress=show,
            )
    print_artifact(quantized, as_json)
