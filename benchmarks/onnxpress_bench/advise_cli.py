"""`onnxpress advise`: parses, calls, prints. Nothing is computed here."""

from __future__ import annotations

import json
import sys

import click

from onnxpress.format.schema import encode
from onnxpress_bench.options import FROM_ONE, LENGTHS, POSITIVE, PRECISION, REVISION, SEED, display


@click.command("advise")
@click.argument("artifact")
@click.option("--p99-ms", type=POSITIVE, required=True, help="99% of requests answered within.")
@click.option("--rate", type=POSITIVE, required=True, help="Requests per second, on average.")
@LENGTHS
@PRECISION
@click.option("--cores", type=FROM_ONE, help="To share among replicas (default: the usable cores).")
@click.option(
    "--trial-s",
    type=POSITIVE,
    default=8.0,
    show_default=True,
    help="Seconds that requests arrive in one trial; longer are surer.",
)
@SEED
@REVISION
@click.option("--json", "as_json", is_flag=True, help="Print the advice with its evidence as JSON.")
def advise_command(
    artifact: str,
    p99_ms: float,
    rate: float,
    lengths: str,
    precisions: tuple[str, ...],
    cores: int | None,
    trial_s: float,
    seed: int,
    revision: str | None,
    as_json: bool,
) -> None:
    """Recommend precision, threads, batches and replicas for ARTIFACT on this machine, from measurement.

    Exit code 0: the demand can be met; 3: not on this machine.
    """
    from onnxpress_bench.advise import Demand, advise
    from onnxpress_bench.report.advice import render
    from onnxpress_bench.subject import open_artifact

    opened = open_artifact(artifact, revision, precisions)
    with display() as show:
        demand = Demand(rate, p99_ms, lengths, seed)
        advice = advise(opened, demand, precisions=precisions, cores=cores, trial_s=trial_s, progress=show)
    click.echo(json.dumps(encode(advice), indent=1) if as_json else render(advice, opened))
    if advice.interrupted:
        sys.exit(130)
    sys.exit(0 if advice.best is not None else 3)
